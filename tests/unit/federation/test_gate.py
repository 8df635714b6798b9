"""Half-open links are few: by network, of strangers, and all together."""

from __future__ import annotations

from node.base import limits
from node.federation.proto.gate import NETWORKS_REMEMBERED, Gate, network_of


def test_an_address_has_eight_places() -> None:
    gate = Gate()
    for _ in range(limits.HANDSHAKES_PER_NETWORK_MAX):
        assert gate.may_enter("192.0.2.1", 0.0, known=True)
        gate.enter("192.0.2.1", known=True)
    assert not gate.may_enter("192.0.2.1", 0.0, known=True)
    assert gate.may_enter("192.0.2.2", 0.0, known=True)
    gate.leave("192.0.2.1", known=True)
    assert gate.may_enter("192.0.2.1", 0.0, known=True)


def test_a_stranger_begins_thirty_a_minute() -> None:
    gate = Gate()
    begun = sum(gate.may_enter("192.0.2.1", 0.0, known=False) for _ in range(100))
    assert begun == limits.HANDSHAKES_PER_MIN
    assert gate.may_enter("192.0.2.1", 0.0, known=True), "known ones are not counted"
    assert sum(gate.may_enter("192.0.2.1", 60.0, known=False) for _ in range(100)) == limits.HANDSHAKES_PER_MIN


def test_strangers_have_half_of_all_places() -> None:
    gate = Gate()
    for n in range(limits.HANDSHAKES_MAX // 2):
        assert gate.may_enter(f"n{n}", 0.0, known=False)
        gate.enter(f"n{n}", known=False)
    assert not gate.may_enter("one more", 0.0, known=False)
    for n in range(limits.HANDSHAKES_MAX // 2):
        assert gate.may_enter(f"k{n}", 0.0, known=True)
        gate.enter(f"k{n}", known=True)
    assert not gate.may_enter("one more", 0.0, known=True)
    assert gate.total == limits.HANDSHAKES_MAX
    for n in range(limits.HANDSHAKES_MAX // 2):
        gate.leave(f"n{n}", known=False)
        gate.leave(f"k{n}", known=True)
    assert gate.total == 0


def test_memory_is_bounded() -> None:
    gate = Gate()
    for n in range(NETWORKS_REMEMBERED + 10):
        gate.may_enter(f"{n}", 0.0, known=False)
    assert len(gate._spent) == NETWORKS_REMEMBERED


def test_networks() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::1") == "2001:0db8:0001:0002"
    assert network_of("fe80::1%eth0") == "fe80:0000:0000:0000"
    assert network_of("somewhere") == "somewhere"
