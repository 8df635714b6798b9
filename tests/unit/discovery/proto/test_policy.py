"""Ids bound to addresses, networks, rates, tokens and votes."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.discovery.proto.policy import (
    BOUND_BITS,
    Contact,
    Policy,
    Rates,
    Tokens,
    Votes,
    allowance,
    is_bound,
    make_id,
    network_of,
    packed,
    source_of,
    unpacked,
)

V4 = "93.184.216.34"
V6 = "2606:2800:220:1:248:1893:25c8:1946"
OPEN = Policy()
LAN = Policy(lan=True)


def secrets() -> Callable[[], bytes]:
    numbers = iter(range(1, 200))
    return lambda: bytes([next(numbers)]) * 32


# --- ids ------------------------------------------------------------------------------------------------------


@given(st.ip_addresses(), st.binary(min_size=20, max_size=20))
def test_a_made_id_belongs_to_its_address(ip: ipaddress.IPv4Address, noise: bytes) -> None:
    made = make_id(str(ip), noise)
    assert is_bound(made, str(ip))
    assert made[3:] == noise[3:]


def test_another_address_may_not_have_it() -> None:
    made = make_id(V4, bytes(20))
    assert not is_bound(made, "93.184.216.35")


@pytest.mark.parametrize("bit", range(24))
def test_the_first_21_bits_are_bound_and_the_next_are_free(bit: int) -> None:
    made = int.from_bytes(make_id(V4, bytes(20)), "big")
    changed = (made ^ 1 << (159 - bit)).to_bytes(20, "big")
    assert is_bound(changed, V4) is (bit >= BOUND_BITS)


def test_an_address_has_eight_places() -> None:
    assert len({make_id(V4, bytes(19) + bytes([r]))[:3] for r in range(256)}) == 8


def test_a_neighbour_in_an_ipv6_64_has_the_same_places() -> None:
    made = make_id(V6, bytes(20))
    assert is_bound(made, "2606:2800:220:1::7")
    assert not is_bound(made, "2606:2800:220:2::7")


@given(st.ip_addresses())
def test_addresses_survive_packing(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert unpacked(packed(ip.compressed)) == ip.compressed


def test_networks_and_sources() -> None:
    assert network_of(V4) == network_of("93.184.216.255") != network_of("93.184.217.34")
    assert network_of(V6) == network_of("2606:2800:220:ffff::") != network_of("2606:2800:221::")
    assert source_of(V4) != source_of("93.184.216.35")
    assert source_of(V6) == source_of("2606:2800:220:1::") != source_of("2606:2800:220:2::")


# --- who may be a contact ---------------------------------------------------------------------------------------


def contact(ip: str, port: int = 8444) -> Contact:
    return Contact(make_id(ip, bytes(20)), ip, port)


def test_a_public_address_with_a_fitting_id_is_allowed() -> None:
    assert OPEN.allows(contact(V4))
    assert OPEN.allows(contact(V6))


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.1.1", "100.64.0.1", "224.0.0.1", "0.0.0.0", "::1", "fe80::1", "fd00::1", "ff0e::1", "::ffff:8.8.8.8", "2002:0808:0808::1", "64:ff9b::808:808"]
)  # fmt: skip
def test_other_addresses_are_not(ip: str) -> None:
    assert not OPEN.allows(contact(ip))


@pytest.mark.parametrize("port", [0, 53, 1_023, 65_536])
def test_ports_of_others_are_not(port: int) -> None:
    assert not OPEN.allows(contact(V4, port))
    assert OPEN.allows(contact(V4, 1_024))


def test_an_id_of_another_address_or_size_is_not() -> None:
    assert not OPEN.allows(contact(V4)._replace(ip="93.184.216.35"))
    assert not OPEN.allows(contact(V4)._replace(id=b"short"))


def test_on_a_lan_private_addresses_and_any_id_are() -> None:
    assert LAN.allows(Contact(bytes(20), "192.168.1.1", 8444))
    assert not LAN.allows(Contact(bytes(20), "224.0.0.1", 8444))
    assert not LAN.allows(Contact(bytes(20), "fe80::1", 8444))


def test_a_range_can_be_declared_public() -> None:
    loopback = Policy(public=(ipaddress.IPv4Network("127.0.0.0/8"),))
    assert loopback.allows(contact("127.1.2.3"))
    assert not loopback.allows(contact("10.1.2.3"))
    assert not loopback.allows(contact("127.1.2.3")._replace(id=bytes(20)))


def test_on_a_lan_every_endpoint_is_a_network_of_its_own() -> None:
    one, two = Contact(bytes(20), "192.168.1.1", 8444), Contact(bytes(20), "192.168.1.1", 8445)
    assert LAN.network_of(one) != LAN.network_of(two)
    assert OPEN.network_of(contact(V4)) == OPEN.network_of(contact("93.184.216.7"))


# --- rates ------------------------------------------------------------------------------------------------------


def test_a_source_has_a_burst_then_its_rate() -> None:
    rates = Rates()
    assert all(rates.allow(V4, now=0) for _ in range(limits.DHT_REQUESTS_BURST))
    assert not rates.allow(V4, now=0)
    assert [rates.allow(V4, now=1) for _ in range(limits.DHT_REQUESTS_PER_S + 1)].count(
        True
    ) == limits.DHT_REQUESTS_PER_S


def test_sources_do_not_pay_for_each_other() -> None:
    rates = Rates(burst=1)
    assert rates.allow(V4, now=0)
    assert rates.allow("93.184.216.35", now=0)
    assert rates.allow(V6, now=0)
    assert not rates.allow("2606:2800:220:1::7", now=0)


def test_a_bounded_number_of_sources_is_remembered() -> None:
    rates = Rates()
    for number in range(limits.DHT_SOURCES_MAX + 10):
        rates.allow(unpacked(number.to_bytes(4, "big")), now=0)
    assert len(rates) == limits.DHT_SOURCES_MAX


# --- tokens -----------------------------------------------------------------------------------------------------


def test_a_token_counts_for_its_address_only() -> None:
    tokens = Tokens(fresh=secrets())
    token = tokens.make(V4, now=0)
    assert tokens.check(token, V4, now=0)
    assert not tokens.check(token, "93.184.216.35", now=0)
    assert not tokens.check(b"", V4, now=0)
    assert not tokens.check(bytes(8), V4, now=0)


@pytest.mark.parametrize(("age", "counts"), [(0, True), (300, True), (599, True), (600, False), (10_000, False)])
def test_a_token_lives_for_five_to_ten_minutes(age: float, counts: bool) -> None:
    tokens = Tokens(fresh=secrets())
    token = tokens.make(V4, now=0)
    assert tokens.check(token, V4, now=age) is counts


def test_a_token_made_late_survives_the_turn() -> None:
    tokens = Tokens(fresh=secrets())
    tokens.make(V4, now=0)
    token = tokens.make(V4, now=limits.DHT_TOKEN_S - 1)
    assert tokens.check(token, V4, now=2 * limits.DHT_TOKEN_S - 1)
    assert not tokens.check(token, V4, now=2 * limits.DHT_TOKEN_S)


# --- our own address --------------------------------------------------------------------------------------------


def voter(number: int) -> Contact:
    return contact(f"93.{number}.216.34")


def test_two_unrelated_peers_decide() -> None:
    votes = Votes(policy=OPEN)
    assert not votes.cast(voter(1), "198.18.0.1")  # not a public address
    assert not votes.cast(voter(1), V4)
    assert votes.cast(voter(2), V4)
    assert votes.address == V4
    assert not votes.cast(voter(3), V4), "nothing changed"


def test_one_network_has_one_vote() -> None:
    votes = Votes(policy=OPEN)
    for last in range(1, 50):
        assert not votes.cast(contact(f"93.1.216.{last}"), V4)
    assert votes.address is None


def test_a_minority_changes_nothing_and_a_majority_does() -> None:
    votes = Votes(policy=OPEN)
    for number in range(1, 5):
        votes.cast(voter(number), V4)
    other = "93.184.1.1"
    assert not any(votes.cast(voter(number), other) for number in range(10, 14)), "four against four"
    assert votes.cast(voter(14), other)
    assert votes.address == other


def test_old_votes_are_forgotten() -> None:
    votes = Votes(policy=OPEN)
    for number in range(1, 50):
        votes.cast(voter(number), V4)
    changed = [votes.cast(voter(number), "93.184.1.1") for number in range(100, 100 + limits.DHT_VOTERS_MAX)]
    assert changed.count(True) == 1
    assert changed.index(True) == limits.DHT_VOTERS_MAX // 2


# --- answers to the unproven ------------------------------------------------------------------------------------


def test_an_answer_is_at_most_three_times_the_request() -> None:
    assert allowance(100) == 300
    assert allowance(100, reserved_bytes=80) == 220
    assert allowance(10, reserved_bytes=80) == 0
