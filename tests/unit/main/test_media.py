from __future__ import annotations

import ipaddress

import pytest

from node.base import limits
from node.base.errors import Fatal
from node.discovery.lan import machine_addresses
from node.discovery.reachability import Endpoint
from node.main.media import LOOPBACK, Outside, loopback_only, public, reachable, relay
from node.media.proto.sdp import Candidate
from node.runtime import config
from node.runtime.clock import ManualClock
from node.runtime.config import Config


@pytest.mark.parametrize(
    ("settings", "local"),
    [
        ({}, False),
        ({"https": False}, True),
        ({"https_host": "127.0.0.1"}, True),
        ({"https_host": "::1", "http_host": "localhost"}, True),
        ({"https": False, "trusted_proxies": ("127.0.0.1",)}, False),
        ({"https": False, "http_host": "192.168.1.5", "trusted_proxies": ("192.168.1.1",)}, False),
        ({"https_host": "chat.example"}, False),
    ],
)
def test_a_node_on_loopback_keeps_its_calls_there(settings: dict[str, object], local: bool) -> None:
    assert loopback_only(Config(**settings)) is local  # type: ignore[arg-type]


def test_devices_are_told_every_way_in() -> None:
    outside = Outside(mapped=Endpoint("8.8.4.4", 40000), proven=lambda: ("8.8.8.8",))
    told = reachable(Config(media_host="203.0.113.7"), outside)
    own = [Candidate(host, 0) for host in machine_addresses() if "%" not in host]
    further = [Candidate("203.0.113.7", 0), Candidate("8.8.4.4", 40000), Candidate("8.8.8.8", 0)]
    assert list(told) == own + further
    assert len(told) <= limits.MEDIA_CANDIDATES_MAX


def test_a_mapping_of_the_same_number_needs_no_port_of_its_own() -> None:
    outside = Outside(mapped=Endpoint("8.8.4.4", 8443), proven=lambda: ("8.8.4.4",))
    assert reachable(Config(), outside).count(Candidate("8.8.4.4", 0)) == 1


def test_a_router_behind_another_one_is_no_way_in() -> None:
    told = reachable(Config(), Outside(mapped=Endpoint("10.0.0.9", 40000)))
    assert all(candidate.host != "10.0.0.9" for candidate in told)


def test_there_are_only_so_many_candidates_and_never_none() -> None:
    many = tuple(str(ipaddress.ip_address(0x08080000 + number)) for number in range(40))
    assert len(reachable(Config(), Outside(proven=lambda: many))) == limits.MEDIA_CANDIDATES_MAX
    assert reachable(Config(), Outside())
    assert LOOPBACK == "127.0.0.1"


def test_only_public_addresses_count_as_proven() -> None:
    assert public([bytes((8, 8, 8, 8)), bytes((10, 0, 0, 1)), bytes(16)]) == ("8.8.8.8",)


def test_calls_can_be_switched_off() -> None:
    assert relay(Config(calls=False), ManualClock(), Outside()).standing.level == 0


def test_the_public_address_of_calls_is_an_address() -> None:
    assert config.load(env={"STARTALK_MEDIA_HOST": "2001:db8::1"}).media_host == "2001:db8::1"
    with pytest.raises(Fatal, match="media_host"):
        config.load(env={"STARTALK_MEDIA_HOST": "chat.example"})
    with pytest.raises(Fatal, match="media_workers"):
        config.load(env={"STARTALK_MEDIA_WORKERS": str(limits.MEDIA_WORKERS_MAX + 1)})
