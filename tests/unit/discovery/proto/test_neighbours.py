"""Claims of neighbours: what is taken, how many, and for how long."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.ids import NodeId, format_node
from node.discovery.proto.neighbours import SERVICE, Claim, Neighbours, instance_of, own_txt, parse_claim
from node.runtime.targets import Targets


def nid_of(number: int | str) -> NodeId:
    return NodeId(hashlib.sha256(str(number).encode()).digest())


ALICE = nid_of("alice")


def txt(nid: NodeId, *, v: str = "1", seq: str = "7", more: bytes = b"") -> bytes:
    keys = (f"v={v}", f"id={format_node(nid)}", f"seq={seq}")
    return b"".join(bytes((len(key),)) + key.encode() for key in keys) + more


def parse(
    instance: str = "", data: bytes | None = None, port: int = 8443, addresses: tuple[str, ...] = ("192.168.1.5",)
) -> Claim | None:
    return parse_claim(
        instance or instance_of(ALICE), txt(ALICE) if data is None else data, port, addresses, targets=Targets()
    )


def claim(nid: NodeId, *, suffix: str = "", port: int = 8443) -> Claim:
    return Claim(
        instance=f"{format_node(nid)}{suffix}.{SERVICE}", nid=nid, addresses=("192.168.1.5",), port=port, seq=1
    )


def test_a_claim_has_three_keys_and_no_names() -> None:
    assert parse() == Claim(instance=instance_of(ALICE), nid=ALICE, addresses=("192.168.1.5",), port=8443, seq=7)
    assert own_txt(ALICE, 7) == {"v": "1", "id": format_node(ALICE), "seq": "7"}


@pytest.mark.parametrize(
    "data",
    [b"", txt(ALICE, v="2"), txt(ALICE, seq="x"), txt(ALICE, seq="-1"), txt(ALICE, seq=str(2**53)), txt(ALICE)[:-3],
     txt(nid_of("bob")), txt(ALICE, more=b"\xff" + b"x" * 255), b"\xff"],
)  # fmt: skip
def test_a_txt_that_is_not_in_order_is_no_claim(data: bytes) -> None:
    assert parse(data=data) is None


def test_a_txt_at_the_limit_is_read_and_beyond_it_is_not() -> None:
    room = limits.LAN_TXT_BYTES_MAX - len(txt(ALICE))
    assert parse(data=txt(ALICE, more=bytes((room - 1,)) + b"x" * (room - 1))) is not None
    assert parse(data=txt(ALICE, more=bytes((room,)) + b"x" * room)) is None


@pytest.mark.parametrize("port", [0, 22, 53, 1023, 65536])
def test_a_port_of_something_else_is_no_claim(port: int) -> None:
    assert parse(port=port) is None


def test_addresses_are_those_of_a_neighbour() -> None:
    heard = (
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "224.0.0.1",
        "fe80::1",
        "nonsense",
        "fe80::1%2",
        "10.0.0.9",
        "10.0.0.9",
        "2600::1",
    )
    found = parse(addresses=heard)
    assert found is not None
    assert found.addresses == ("fe80::1%2", "10.0.0.9", "2600::1")
    assert parse(addresses=("127.0.0.1",)) is None
    many = parse(addresses=tuple(f"10.0.0.{number}" for number in range(50)))
    assert many is not None
    assert len(many.addresses) == limits.LAN_ADDRESSES_MAX


def test_the_instance_begins_with_the_nid() -> None:
    assert parse(instance=f"{format_node(ALICE)}-2.{SERVICE}") is not None
    assert parse(instance=f"x{format_node(ALICE)}.{SERVICE}") is None
    assert parse(instance=f"{format_node(ALICE)}._other._tcp.local.") is None


@given(st.binary(max_size=300))
def test_no_txt_breaks_the_reader(data: bytes) -> None:
    parse(data=data)


def table(*known: NodeId) -> Neighbours:
    return Neighbours(known=known.__contains__)


def test_only_news_are_news() -> None:
    near = table()
    assert near.heard(claim(ALICE), now_s=0, now_ms=10)
    assert not near.heard(claim(ALICE), now_s=1, now_ms=20)
    assert near.heard(claim(ALICE, port=9443), now_s=2, now_ms=30)
    (one,) = near.nearby()
    assert (one.nid, one.first_seen_ms, one.last_seen_ms) == (ALICE, 10, 30)


def test_claims_about_one_node_are_few_and_shown_as_one() -> None:
    near = table()
    for number in range(limits.LAN_CLAIMS_MAX):
        assert near.heard(claim(ALICE, suffix=f"-{number}"), now_s=0, now_ms=number)
    assert not near.heard(claim(ALICE, suffix="-x"), now_s=0, now_ms=9)
    assert len(near.of(ALICE)) == limits.LAN_CLAIMS_MAX
    assert len(near.nearby()) == 1


def test_a_full_table_takes_friends_only() -> None:
    near = table(ALICE)
    for number in range(limits.LAN_ENTRIES_MAX):
        assert near.heard(claim(nid_of(number)), now_s=0, now_ms=0)
    assert not near.heard(claim(nid_of("stranger")), now_s=0, now_ms=0)
    assert near.heard(claim(ALICE), now_s=0, now_ms=0)
    assert len(near) == limits.LAN_ENTRIES_MAX
    assert not near.of(nid_of(0))
    assert near.of(nid_of(1))


def test_silence_ends_an_entry() -> None:
    near = table()
    near.heard(claim(ALICE), now_s=0, now_ms=0)
    assert not near.stale(limits.LAN_REFRESH_S - 1)
    assert near.stale(limits.LAN_REFRESH_S)
    near.expire(limits.LAN_EXPIRY_S - 1)
    assert near.of(ALICE)
    near.expire(limits.LAN_EXPIRY_S)
    assert not near.of(ALICE)


def test_a_goodbye_ends_an_entry_that_does_not_answer() -> None:
    near = table()
    near.heard(claim(ALICE), now_s=0, now_ms=0)
    near.left(instance_of(ALICE), now_s=1)
    near.left("somebody else", now_s=1)
    assert near.stale(1)
    near.heard(claim(ALICE), now_s=1.1, now_ms=0)
    assert near.stale(2), "an answer on its way when the goodbye was said"
    near.expire(0.9 + limits.LAN_GOODBYE_S)
    assert near.of(ALICE)
    near.expire(1 + limits.LAN_GOODBYE_S)
    assert not near.of(ALICE)


def test_an_answer_after_a_goodbye_shows_that_it_was_forged() -> None:
    near = table()
    near.heard(claim(ALICE), now_s=0, now_ms=0)
    near.left(instance_of(ALICE), now_s=1)
    near.heard(claim(ALICE), now_s=3, now_ms=0)
    assert not near.stale(4)
    near.expire(1 + limits.LAN_GOODBYE_S)
    assert near.of(ALICE)
