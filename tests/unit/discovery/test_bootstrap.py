"""The list of whom to ask first: what is kept, what is believed of a file, in which order it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.base import limits
from node.discovery.bootstrap import FILE_BYTES_MAX, BootstrapList, parse_seed
from node.discovery.proto.policy import Contact, unpacked

NOW_S = 1_764_000_000
NODE = bytes(range(20))


def contact(number: int) -> Contact:
    return Contact(NODE, unpacked((0x5D000000 + number).to_bytes(4, "big")), 8_444)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dht.json"


async def endpoints(path: Path, **more: Any) -> list[tuple[str, int]]:
    again = BootstrapList(path, **more)
    again.load()
    return await again.endpoints(4)


async def test_what_is_saved_is_asked_again_newest_first(path: Path) -> None:
    kept = BootstrapList(path)
    kept.verified([contact(1)], now_s=NOW_S)
    kept.verified([contact(2)], now_s=NOW_S + 1)
    kept.verified([contact(1)], now_s=NOW_S + 2)
    kept.save()
    assert await endpoints(path) == [contact(1).endpoint, contact(2).endpoint]
    assert json.loads(path.read_text()) == {
        "v": 1,
        "contacts": [[NODE.hex(), "93.0.0.1", 8444, NOW_S + 2], [NODE.hex(), "93.0.0.2", 8444, NOW_S + 1]],
    }


def test_it_is_private_and_replaced_in_one_step(path: Path) -> None:
    kept = BootstrapList(path)
    kept.save()
    kept.save()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["dht.json"]


async def test_two_hundred_are_kept(path: Path) -> None:
    kept = BootstrapList(path)
    kept.verified(map(contact, range(limits.DHT_BOOTSTRAP_MAX + 1)), now_s=NOW_S)
    kept.save()
    assert kept.size == limits.DHT_BOOTSTRAP_MAX
    assert path.stat().st_size < FILE_BYTES_MAX
    assert contact(0).endpoint not in await endpoints(path)


async def test_two_hundred_are_learned() -> None:
    kept = BootstrapList(None)
    for number in range(limits.DHT_BOOTSTRAP_MAX + 1):
        kept.learn(*contact(number).endpoint)
    assert len(await kept.endpoints(4)) == limits.DHT_BOOTSTRAP_MAX
    kept.save()


@pytest.mark.parametrize("ip", ["example.test", "", "1.2.3", "01.2.3.4", "fe80::1%eth0"])
async def test_only_addresses_are_learned(ip: str) -> None:
    kept = BootstrapList(None)
    kept.learn(ip, 8444)
    kept.learn("93.0.0.1", 0)
    kept.learn("93.0.0.1", 65_536)
    assert await kept.endpoints(4) == []


async def test_verified_then_learned_then_seeds_and_nobody_twice(path: Path) -> None:
    kept = BootstrapList(path, seeds=["93.0.0.3:8444", "93.0.0.1:8444", "[2606:2800:220::1]:8444", "nonsense"])
    kept.learn("93.0.0.2", 8444)
    kept.verified([contact(1)], now_s=NOW_S)
    assert await kept.endpoints(4) == [contact(number).endpoint for number in (1, 2, 3)]
    assert await kept.endpoints(6) == [("2606:2800:220::1", 8444)]


async def test_names_are_resolved_and_unknown_ones_are_none() -> None:
    kept = BootstrapList(None, seeds=["localhost:8444", "nobody.invalid:8444"])
    assert await kept.endpoints(4) == [("127.0.0.1", 8444)]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"v":2,"contacts":[]}', '{"v":1,"contacts":[["zz","93.0.0.1",1,1]]}', "\x00", '{"v":1,"contacts":[[]]}']
)  # fmt: skip
async def test_a_file_that_cannot_be_read_is_an_empty_list(path: Path, text: str) -> None:
    path.write_text(text)
    assert await endpoints(path) == []


async def test_a_huge_file_is_not_read(path: Path) -> None:
    path.write_text('{"v":1,"contacts":[]}' + " " * FILE_BYTES_MAX)
    assert await endpoints(path) == []


async def test_an_entry_that_is_no_address_is_left_out(path: Path) -> None:
    path.write_text(
        json.dumps({"v": 1, "contacts": [[NODE.hex(), "evil.test", 8444, 1], [NODE.hex(), "93.0.0.1", 8444, 1]]})
    )
    assert await endpoints(path) == [("93.0.0.1", 8444)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_file_is_read_or_ignored(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert BootstrapList(path).load() == 0


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("casa.example:8444", ("casa.example", 8444)),
        (" 93.0.0.1:1 ", ("93.0.0.1", 1)),
        ("[2606::1]:65535", ("2606::1", 65_535)),
        ("casa.example", None),
        (":8444", None),
        ("casa.example:0", None),
        ("casa.example:65536", None),
        ("casa.example:http", None),
        ("", None),
    ],
)
def test_seeds(text: str, parsed: tuple[str, int] | None) -> None:
    assert parse_seed(text) == parsed
