"""One look-up: whom it asks, what it believes, when it stops."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.dht_village import Home
from node.base import limits
from node.discovery.proto.lookup import Lookup
from node.discovery.proto.policy import Contact, Policy, make_id
from node.wire.record import Record, verify_record

NOW_S = 1_764_000_000
OPEN = Policy()
OWN = bytes(20)
HOME = Home(1, now_s=NOW_S)
OLD, NEW = (verify_record(HOME.version(seq), now_s=NOW_S) for seq in (1, 2))


def contact(number: int, *, last: int = 1) -> Contact:
    """Number 0…65,535; each in a network of its own, unless only `last` differs."""
    ip = f"93.{number >> 8}.{number & 255}.{last}"
    return Contact(make_id(ip, (number * 257 + last).to_bytes(20, "big")), ip, 8_444)


def look(*seeds: Contact, quorum: int = 3, policy: Policy = OPEN, min_seq: int = 0) -> Lookup:
    return Lookup(HOME.key, seeds, policy=policy, own=OWN, quorum=quorum, accept=lambda record: record.seq >= min_seq)


def by_distance(contacts: list[Contact]) -> list[Contact]:
    place = int.from_bytes(HOME.key, "big")
    return sorted(contacts, key=lambda contact: contact.place ^ place)


def walk(lookup: Lookup, near: dict[Contact, list[Contact]], holds: dict[Contact, Record], dead: set[Contact] = frozenset()) -> list[Contact]:  # type: ignore[assignment]  # fmt: skip
    """Drives a look-up through a network; whom it asked, in order."""
    asked: list[Contact] = []
    waiting: list[Contact] = []
    while True:
        waiting += lookup.due()
        if lookup.finished:
            return asked
        one = waiting.pop(0)
        asked.append(one)
        if one in dead:
            lookup.failed(one)
        else:
            lookup.answered(one, near.get(one, []), holds.get(one))


def test_nobody_to_ask_is_the_end() -> None:
    lookup = look()
    assert lookup.due() == []
    assert lookup.finished
    assert lookup.best is None
    assert lookup.nearest() == []


def test_three_paths_ask_three_each() -> None:
    lookup = look(*map(contact, range(30)))
    assert len(lookup.due()) == limits.DHT_PATHS * limits.DHT_ALPHA
    assert lookup.due() == []
    assert not lookup.finished


def test_paths_start_with_the_nearest() -> None:
    everybody = list(map(contact, range(60)))
    assert set(look(*everybody).due()) == set(by_distance(everybody)[:9])


def test_an_answer_stays_on_its_path() -> None:
    lookup = look(contact(1), contact(2), contact(3))
    first, *_ = lookup.due()
    lookup.answered(first, [contact(10), contact(11), contact(12), contact(13)])
    assert len(lookup.due()) == limits.DHT_ALPHA, "one path asks three, the two others know nobody else"


def test_a_slow_contact_gives_up_its_turn_and_may_still_answer() -> None:
    lookup = look(contact(1))
    (only,) = lookup.due()
    lookup.slow(only)
    assert lookup.due() == []
    assert not lookup.finished
    lookup.answered(only, [], NEW)
    assert lookup.best is NEW


def test_slowness_lets_the_next_go_first() -> None:
    lookup = look(*map(contact, range(30)))
    first = lookup.due()
    lookup.slow(first[0])
    assert len(lookup.due()) == 1


def test_equal_copies_reach_the_quorum() -> None:
    everybody = list(map(contact, range(30)))
    asked = walk(lookup := look(*everybody, quorum=3), {}, dict.fromkeys(everybody, NEW))
    assert lookup.found
    assert lookup.best is NEW
    assert len(asked) == 3


def test_without_a_quorum_the_twenty_nearest_of_each_path_are_asked() -> None:
    everybody = list(map(contact, range(200)))
    asked = walk(lookup := look(*everybody, quorum=20), {}, {})
    assert len(asked) == 60
    assert lookup.best is None
    assert lookup.nearest() == by_distance(everybody)[:20]


def test_old_copies_do_not_outvote_a_new_one() -> None:
    everybody = by_distance(list(map(contact, range(12))))
    holds = dict.fromkeys(everybody, OLD) | {everybody[1]: NEW}
    walk(lookup := look(*everybody, quorum=4), {}, holds)
    assert lookup.best is NEW
    assert lookup.copies == 1
    assert lookup.stale() == [everybody[0], everybody[2]]


def test_a_version_below_the_pin_is_none() -> None:
    everybody = list(map(contact, range(12)))
    walk(lookup := look(*everybody, quorum=3, min_seq=2), {}, dict.fromkeys(everybody, OLD))
    assert lookup.best is None
    assert not lookup.found


def test_who_has_nothing_is_repaired_too() -> None:
    one, two = by_distance([contact(1), contact(2)])
    walk(lookup := look(one, two, quorum=2), {}, {two: NEW})
    assert lookup.stale() == [one]


def test_who_does_not_answer_is_no_holder() -> None:
    everybody = list(map(contact, range(9)))
    walk(lookup := look(*everybody, quorum=0), {}, {}, dead=set(everybody[:4]))
    assert set(lookup.nearest()) == set(everybody[4:])


def test_a_second_report_changes_nothing() -> None:
    lookup = look(contact(1))
    (only,) = lookup.due()
    lookup.answered(only, [], NEW)
    lookup.answered(only, [contact(5)], NEW)
    lookup.failed(only)
    assert lookup.copies == 1
    assert lookup.due() == []


@pytest.mark.parametrize("asked_max", [limits.DHT_NETWORK_MAX])
def test_a_network_is_asked_twice(asked_max: int) -> None:
    flat = [contact(7, last=last) for last in range(1, 60)]
    assert len(walk(look(*flat, quorum=20), {}, {})) == asked_max


def test_neighbours_that_are_not_asked_take_no_place() -> None:
    flat = [contact(7, last=last) for last in range(1, 200)]
    others = list(map(contact, range(100, 130)))
    asked = walk(look(*flat, *others, quorum=20), {}, {})
    assert set(others) <= set(asked)


def test_on_a_lan_neighbours_count_one_by_one_and_an_endpoint_once() -> None:
    lan = Policy(lan=True)
    people = [Contact(bytes([number]) * 20, "192.168.1.7", 8_000 + number) for number in range(1, 10)]
    double = people[0]._replace(id=b"x" * 20)
    asked = walk(look(*people, double, policy=lan, quorum=20), {}, {})
    assert len(asked) == 9


def test_who_is_not_allowed_and_we_ourselves_are_never_asked() -> None:
    wrong_id = contact(1)._replace(id=b"x" * 20)
    private = Contact(make_id("10.0.0.1", bytes(20)), "10.0.0.1", 8_444)
    own = contact(2)
    lookup = Lookup(HOME.key, [contact(3)], policy=OPEN, own=own.id)
    assert walk(lookup, {contact(3): [wrong_id, private, own, contact(3)]}, {}) == [contact(3)]


def test_twenty_contacts_of_an_answer_count() -> None:
    named = list(map(contact, range(100, 150)))
    asked = walk(look(contact(0), quorum=20), {contact(0): named}, {})
    assert set(asked) <= {contact(0), *named[: limits.DHT_K]}
    assert len(asked) >= limits.DHT_K


def test_sixty_four_requests_are_all() -> None:
    everybody = list(map(contact, range(400)))
    near = {one: everybody[(place * 20) % 400 :][:20] for place, one in enumerate(everybody)}
    asked = walk(lookup := look(*everybody[:60], quorum=20), near, {})
    assert len(asked) == lookup.requests <= limits.DHT_LOOKUP_REQUESTS_MAX
    liar = Lookup(HOME.key, everybody[:3], policy=OPEN, own=OWN, quorum=20)
    closer = iter(reversed(by_distance(list(map(contact, range(1_000, 3_000))))))
    asked = []
    while due := liar.due():
        for one in due:
            asked.append(one)
            liar.answered(one, [next(closer) for _ in range(5)])
    assert len(asked) == limits.DHT_LOOKUP_REQUESTS_MAX


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_whatever_is_answered_the_limits_hold(data: st.DataObject) -> None:
    people = [contact(number % 50, last=1 + number // 50) for number in range(150)]
    some = st.lists(st.sampled_from(people), max_size=25)
    lookup = look(*data.draw(some), quorum=data.draw(st.integers(0, 20)))
    asked: list[Contact] = []
    waiting: list[Contact] = []
    while True:
        due = lookup.due()
        asked += due
        waiting += due
        if lookup.finished:
            break
        one = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        match data.draw(st.sampled_from(["answer", "fail", "slow"])):
            case "answer":
                lookup.answered(one, data.draw(some), data.draw(st.sampled_from([None, OLD, NEW])))
            case "fail":
                lookup.failed(one)
            case _:
                lookup.slow(one)
                waiting.append(one)
    assert len(asked) == len(set(asked)) <= limits.DHT_LOOKUP_REQUESTS_MAX
    assert max(Counter(OPEN.network_of(one) for one in asked).values(), default=0) <= limits.DHT_NETWORK_MAX
    assert len(lookup.stale()) <= limits.DHT_REPAIRS_MAX
    assert len(lookup.nearest()) <= limits.DHT_K
