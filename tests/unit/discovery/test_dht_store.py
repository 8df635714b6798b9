"""What a node holds for others: only what proves itself, the newest of it, a bounded number."""

from __future__ import annotations

import pytest

from bench.dht_village import Home
from node.base import limits
from node.discovery.dht_store import Checker, SignedStorage
from node.runtime.clock import ManualClock
from node.wire.record import dht_key


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def storage(clock: ManualClock) -> SignedStorage:
    return SignedStorage(clock=clock, check=Checker(clock=clock), records_max=4)


def home(number: int, clock: ManualClock) -> Home:
    return Home(number, now_s=clock.now_ms() // 1000)


def test_a_record_is_kept_under_its_key(storage: SignedStorage, clock: ManualClock) -> None:
    anna = home(1, clock)
    assert storage.put(anna.key, anna.version(1))
    assert storage[anna.key] == storage.get(anna.key) == anna.version(1)
    found = storage.find(anna.key)
    assert found is not None
    assert found.nid == anna.nid
    assert list(storage) == [(anna.key, anna.version(1))]
    assert storage.listed() == [anna.key]


def test_another_key_garbage_and_a_changed_byte_are_refused(storage: SignedStorage, clock: ManualClock) -> None:
    anna, ben = home(1, clock), home(2, clock)
    raw = anna.version(1)
    for key, data in ((ben.key, raw), (anna.key, raw[:-1] + bytes([raw[-1] ^ 1])), (anna.key, b""), (b"", raw)):
        assert not storage.put(key, data)
    assert not storage.put(dht_key(anna.nid, b"id"), raw)
    assert storage.refused == 5
    assert len(storage) == 0


def test_newer_replaces_older_and_never_the_other_way(storage: SignedStorage, clock: ManualClock) -> None:
    anna = home(1, clock)
    assert storage.put(anna.key, anna.version(2))
    assert not storage.put(anna.key, anna.version(1))
    assert storage.get(anna.key) == anna.version(2)
    assert storage.put(anna.key, anna.version(2)), "the same again is held"
    storage[anna.key] = anna.version(3)
    assert storage.get(anna.key) == anna.version(3)


def test_nothing_under_a_key(storage: SignedStorage) -> None:
    assert storage.get(bytes(20)) is None
    assert storage.get(bytes(20), b"x") == b"x"
    with pytest.raises(KeyError):
        storage[bytes(20)]


def test_the_farthest_goes_when_it_is_full(storage: SignedStorage, clock: ManualClock) -> None:
    homes = [home(number, clock) for number in range(8)]
    storage.place = int.from_bytes(homes[0].key, "big")
    for one in homes:
        storage.put(one.key, one.version(1))
    nearest = sorted(homes, key=lambda one: int.from_bytes(one.key, "big") ^ storage.place)[:4]
    assert {key for key, _ in storage} == {one.key for one in nearest}
    far = max(homes, key=lambda one: int.from_bytes(one.key, "big") ^ storage.place)
    assert not storage.put(far.key, far.version(1)), "what goes at once was not stored"


def test_the_shipped_size() -> None:
    clock = ManualClock()
    assert SignedStorage(clock=clock, check=Checker(clock=clock))._max == limits.DHT_RECORDS_MAX == 4_096


@pytest.mark.parametrize(("age_s", "kept"), [(limits.DHT_RECORD_TTL_S - 1, True), (limits.DHT_RECORD_TTL_S, False)])
def test_what_nobody_stores_again_goes_after_a_day(storage: SignedStorage, clock: ManualClock, age_s: int, kept: bool) -> None:  # fmt: skip
    anna = home(1, clock)
    storage.put(anna.key, anna.version(1))
    clock.advance(seconds=age_s)
    assert (storage.get(anna.key) is not None) is kept
    assert len(storage) == int(kept)


def test_what_is_stored_again_stays_until_it_expires(storage: SignedStorage, clock: ManualClock) -> None:
    anna = home(1, clock)
    raw = anna.version(1)
    for hour in range(43):
        assert storage.put(anna.key, raw) is (hour <= 42), hour
        clock.advance(seconds=3_600)
    assert storage.get(anna.key) is None


def test_records_due_for_another_store(storage: SignedStorage, clock: ManualClock) -> None:
    anna, ben = home(1, clock), home(2, clock)
    storage.put(anna.key, anna.version(1))
    clock.advance(seconds=3_600)
    storage.put(ben.key, ben.version(1))
    assert storage.iter_older_than(3_600) == [(anna.key, anna.version(1))]
    assert len(storage.iter_older_than(0)) == 2
