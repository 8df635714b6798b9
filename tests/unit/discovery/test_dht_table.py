"""The contacts of a node: who may stand where."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.base import limits
from node.discovery.dht_table import Table, contact_of, node_of
from node.discovery.proto.policy import Contact, Policy, make_id

OPEN = Policy()
OWN = Contact(make_id("93.0.0.1", bytes(20)), "93.0.0.1", 8_444)


def contact(number: int, *, last: int = 1, noise: int | None = None) -> Contact:
    ip = f"93.{1 + (number >> 8)}.{number & 255}.{last}"
    return Contact(make_id(ip, (noise if noise is not None else number * 7919).to_bytes(20, "big")), ip, 8_444)


@pytest.fixture
def pinged() -> list[Contact]:
    return []


@pytest.fixture
def table(pinged: list[Contact]) -> Table:
    return Table(OWN, policy=OPEN, ping=pinged.append)


def in_buckets(table: Table) -> set[Contact]:
    return {contact_of(node) for bucket in table.buckets for node in bucket.get_nodes()}


def test_a_contact_comes_and_goes(table: Table) -> None:
    assert table.add(contact(1))
    assert contact(1) in table
    assert table.contacts() == [contact(1)]
    table.remove(contact(1))
    assert len(table) == 0
    table.remove(contact(1))


def test_we_and_the_not_allowed_stay_out(table: Table) -> None:
    assert not table.add(OWN)
    assert not table.add(contact(1)._replace(id=bytes(20)))
    assert len(table) == 0


def test_an_endpoint_has_one_entry(table: Table) -> None:
    first = contact(1)
    other = first._replace(id=make_id(first.ip, b"\x07" * 20))
    assert table.add(first)
    assert table.add(other)
    assert table.contacts() == [other]


def test_an_id_that_moved_to_another_port_has_one_entry(table: Table) -> None:
    moved = contact(1)._replace(port=9_000)
    table.add(contact(1))
    assert table.add(moved)
    assert table.contacts() == [moved]
    table.remove(contact(1))
    assert moved in table, "the old address is not in there"


def test_a_network_has_two_in_a_bucket(table: Table) -> None:
    added = [table.add(contact(1, last=last, noise=last)) for last in range(1, 40)]
    assert 0 < sum(added) <= limits.DHT_NETWORK_TABLE_MAX
    for bucket in table.buckets:
        assert len(bucket) <= limits.DHT_NETWORK_MAX


def test_a_network_has_eight_in_the_table(table: Table) -> None:
    for number in range(300):
        table.add(contact(1_000 + number))
    for last in range(2, 255):
        for noise in range(8):
            table.add(contact(7, last=last, noise=noise))
    same = [one for one in table.contacts() if OPEN.network_of(one) == OPEN.network_of(contact(7))]
    assert limits.DHT_NETWORK_MAX < len(same) <= limits.DHT_NETWORK_TABLE_MAX


def test_the_nearest_are_exact(table: Table) -> None:
    for number in range(300):
        table.add(contact(number))
    for key in (bytes(20), b"\xff" * 20, OWN.id, contact(5).id):
        place = int.from_bytes(key, "big")
        expected = sorted(table.contacts(), key=lambda one: one.place ^ place)
        assert table.nearest(key) == expected[:20]
        assert table.nearest(key, 3, but=expected[0].endpoint) == expected[1:4]


def test_a_full_bucket_checks_its_oldest_and_keeps_it(table: Table, pinged: list[Contact]) -> None:
    for number in range(400):
        table.add(contact(number))
    assert pinged
    assert all(one in table for one in pinged)


def test_who_was_heard_is_checked_last(table: Table) -> None:
    for number in range(400):
        table.add(contact(number))
    bucket = max(table.buckets, key=len)
    first = contact_of(bucket.head())
    table.touch(first)
    assert contact_of(bucket.head()) != first
    assert contact_of(list(bucket.nodes.values())[-1]) == first


def test_a_replacement_is_pinged_before_it_takes_a_place(table: Table, pinged: list[Contact]) -> None:
    for number in range(400):
        table.add(contact(number))
    bucket = next(bucket for bucket in table.buckets if bucket.replacement_nodes)
    waiting = {contact_of(node) for node in bucket.replacement_nodes.values()}
    size = len(table)
    pinged.clear()
    table.remove(contact_of(bucket.head()))
    assert len(table) == size - 1
    assert pinged[0] in waiting
    assert pinged[0] not in table


@pytest.mark.slow
def test_a_table_has_a_largest_size(table: Table) -> None:
    for number in range(3_000):
        table.add(contact(number))
    assert len(table) <= limits.DHT_CONTACTS_MAX + limits.DHT_K * 20
    assert len(table) == len(in_buckets(table))


def test_the_middle_of_a_range_is_found_again() -> None:
    lan = Table(Contact(b"\xff" * 20, "192.168.0.1", 8_444), policy=Policy(lan=True), ping=lambda _: None)
    middle = Contact((2**159).to_bytes(20, "big"), "192.168.0.2", 8_444)
    for number in range(60):
        lan.add(Contact((number * 2**154).to_bytes(20, "big"), "192.168.0.3", 2_000 + number))
    assert lan.add(middle)
    assert len(lan.buckets) > 1
    lan.remove(middle)
    assert middle not in in_buckets(lan)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(1, 4), st.integers(0, 8)), max_size=200))
def test_lists_and_buckets_agree_after_anything(steps: list[tuple[bool, int, int, int]]) -> None:
    table = Table(OWN, policy=OPEN, ping=lambda _: None)
    for adds, number, last, noise in steps:
        one = contact(number, last=last, noise=noise)
        (table.add if adds else table.remove)(one)
        assert set(table.contacts()) == in_buckets(table)
        assert len({other.endpoint for other in table.contacts()}) == len(table)


def test_contacts_survive_the_library() -> None:
    assert contact_of(node_of(contact(3))) == contact(3)
