"""Allowances of those who have proven nothing."""

from __future__ import annotations

from node.base import limits
from node.media.strangers import Strangers

V4 = b"\x0a\x00\x00\x01"
V6 = bytes.fromhex("20010db8000000000000000000000001")


def test_an_address_has_its_allowance_each_second() -> None:
    strangers = Strangers()
    taken = [strangers.admit(V4, 5.0) for _ in range(limits.MEDIA_STRANGERS_PER_S + 3)]
    assert sum(taken) == limits.MEDIA_STRANGERS_PER_S
    assert strangers.admit(b"\x0a\x00\x00\x02", 5.0)
    assert strangers.admit(V4, 6.0)


def test_a_network_of_ipv6_is_one_stranger() -> None:
    strangers = Strangers()
    for at in range(limits.MEDIA_STRANGERS_PER_S):
        assert strangers.admit(V6[:-2] + at.to_bytes(2, "big"), 0.0)
    assert not strangers.admit(V6, 0.0)
    assert strangers.admit(bytes.fromhex("20010db800000001") + bytes(8), 0.0)


def test_all_together_have_an_allowance_too() -> None:
    strangers = Strangers()
    taken = [strangers.admit(at.to_bytes(4, "big"), 0.0) for at in range(limits.MEDIA_STRANGERS_ALL_PER_S + 3)]
    assert sum(taken) == limits.MEDIA_STRANGERS_ALL_PER_S


def test_handshakes_are_counted_apart() -> None:
    strangers = Strangers()
    taken = [strangers.admit_handshake(V4, 0.0) for _ in range(limits.MEDIA_HANDSHAKES_PER_S + 3)]
    assert sum(taken) == limits.MEDIA_HANDSHAKES_PER_S
    assert strangers.admit(V4, 0.0)
