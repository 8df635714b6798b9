"""Where calls listen and which addresses devices are told."""

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
from node.wire.location import Spot


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
    proven = (Endpoint("8.8.8.8", 443),)
    outside = Outside(mapped=Endpoint("8.8.4.4", 40000), proven=lambda: proven, https_port=lambda: 8443)
    told = reachable(Config(media_hosts=("203.0.113.7",)), outside)
    hosts = [host for host in machine_addresses() if "%" not in host]
    udp = [Candidate(host, 0) for host in hosts]
    udp += [Candidate("203.0.113.7", 0), Candidate("8.8.4.4", 40000), Candidate("8.8.8.8", 0)]
    tcp = [Candidate("8.8.8.8", 443, "tcp")]
    tcp += [Candidate(host, 8443, "tcp") for host in (*hosts, "203.0.113.7") if ":" not in host]
    assert list(told) == udp + tcp


def test_on_loopback_everything_is_loopback() -> None:
    outside = Outside(proven=lambda: (Endpoint("8.8.8.8", 443),), https_port=lambda: 5000)
    local = Config(https_host=LOOPBACK)
    assert reachable(local, outside) == (Candidate(LOOPBACK, 0), Candidate(LOOPBACK, 5000, "tcp"))
    assert reachable(Config(https=False), Outside()) == (Candidate(LOOPBACK, 0),)


def test_a_mapping_of_the_same_number_needs_no_port_of_its_own() -> None:
    outside = Outside(mapped=Endpoint("8.8.4.4", 8443), proven=lambda: (Endpoint("8.8.4.4", 443),))
    assert reachable(Config(), outside).count(Candidate("8.8.4.4", 0)) == 1


def test_a_router_behind_another_one_is_no_way_in() -> None:
    told = reachable(Config(), Outside(mapped=Endpoint("10.0.0.9", 40000)))
    assert all(candidate.host != "10.0.0.9" for candidate in told)


def test_there_are_only_so_many_candidates_and_never_none() -> None:
    many = tuple(Endpoint(str(ipaddress.ip_address(0x08080000 + number)), 443) for number in range(40))
    told = reachable(Config(), Outside(proven=lambda: many, https_port=lambda: 8443))
    assert [candidate.transport for candidate in told].count("udp") == limits.MEDIA_CANDIDATES_MAX
    assert [candidate.transport for candidate in told].count("tcp") == limits.MEDIA_TCP_CANDIDATES_MAX
    assert reachable(Config(), Outside())
    assert LOOPBACK == "127.0.0.1"


def test_only_public_addresses_count_as_proven() -> None:
    spots = [Spot(4, bytes((8, 8, 8, 8)), 443), Spot(4, bytes((10, 0, 0, 1)), 443), Spot(6, bytes(16), 443)]
    assert public(spots) == (Endpoint("8.8.8.8", 443),)


def test_calls_can_be_switched_off() -> None:
    assert relay(Config(calls=False), ManualClock(), Outside()).standing.level == 0


def test_the_public_address_of_calls_is_an_address() -> None:
    assert config.load(env={"STARTALK_MEDIA_HOSTS": "2001:db8::1, 203.0.113.7"}).media_hosts[0] == "2001:db8::1"
    with pytest.raises(Fatal, match="media_hosts"):
        config.load(env={"STARTALK_MEDIA_HOSTS": "203.0.113.7,chat.example"})
    with pytest.raises(Fatal, match="media_workers"):
        config.load(env={"STARTALK_MEDIA_WORKERS": str(limits.MEDIA_WORKERS_MAX + 1)})
