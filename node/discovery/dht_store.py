"""What this node holds for others in the DHT: verified records, the newest of each key, a bounded number.

`SignedStorage` is a storage as the library wants one, with a rule the library lacks: nothing enters unless it proves
itself. A record belongs under its key (hash of nid and salt), its signatures hold, and it is newer than the one there.
So overwriting, resurrecting an old version and republishing somebody else's are harmless, whoever does it.

When it is full the record farthest from the own id goes: a flood can push out what others hold better anyway, not what
this node is nearest to. Records that nobody stored again for a day, and expired ones, go as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from kademlia.storage import IStorage

from node.base import limits
from node.base.errors import RemoteError
from node.runtime.clock import Clock
from node.wire.record import Record, Verifier, check_times, dht_key, is_newer


class Checker:
    """Verifies records for keys; one for all families of a node, so that bytes are verified once."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._verify = Verifier()

    def __call__(self, key: bytes, data: bytes) -> Record | None:
        """The record, if `data` is a valid one that belongs under `key`."""
        try:
            record = self._verify(data, now_s=self._clock.now_ms() // 1000)
        except RemoteError:
            return None
        return record if dht_key(record.nid, record.salt) == key else None


class _Held(NamedTuple):
    record: Record
    stored_at: float  # seconds of the clock that never goes back


class SignedStorage(IStorage):  # type: ignore[misc]
    """Records by key. `place` is the own id as a number."""

    def __init__(
        self, *, clock: Clock, check: Callable[[bytes, bytes], Record | None], records_max: int = limits.DHT_RECORDS_MAX
    ) -> None:
        self._clock = clock
        self._check = check
        self._max = records_max
        self._held: dict[bytes, _Held] = {}
        self.place = 0
        self.refused = 0

    def put(self, key: bytes, data: bytes) -> bool:
        """Whether `key` holds exactly this record afterwards."""
        record = self._check(key, data)
        if record is None:
            self.refused += 1
            return False
        held = self._find(key)
        if held is not None and is_newer(held, record):
            return False
        self._held[key] = _Held(record, self._clock.monotonic())
        self._bound()
        return key in self._held

    def find(self, key: bytes) -> Record | None:
        """The record under `key` that is still valid."""
        return self._find(key)

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        """Its bytes."""
        record = self._find(key)
        return default if record is None else record.raw

    def listed(self) -> list[bytes]:
        """Keys under which there is something, expired or not: cheap."""
        return list(self._held)

    def iter_older_than(self, seconds_old: float) -> list[tuple[bytes, bytes]]:
        """Keys and bytes of records that nobody has stored for this long."""
        since = self._clock.monotonic() - seconds_old
        return [(key, raw) for key, raw in self if self._held[key].stored_at <= since]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.put(key, value)

    def __getitem__(self, key: bytes) -> bytes:
        record = self._find(key)
        if record is None:
            raise KeyError(key)
        return record.raw

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for key in list(self._held):
            record = self._find(key)
            if record is not None:
                yield key, record.raw

    def __len__(self) -> int:
        return len(self._held)

    def _find(self, key: bytes) -> Record | None:
        held = self._held.get(key)
        if held is None:
            return None
        if not self._is_good(held):
            del self._held[key]
            return None
        return held.record

    def _is_good(self, held: _Held) -> bool:
        """Whether it is fresh; signatures do not age, so only times are looked at."""
        if held.stored_at <= self._clock.monotonic() - limits.DHT_RECORD_TTL_S:
            return False
        try:
            check_times(held.record, now_s=self._clock.now_ms() // 1000)
        except RemoteError:
            return False
        return True

    def _bound(self) -> None:
        if len(self._held) > self._max:
            del self._held[max(self._held, key=lambda key: int.from_bytes(key, "big") ^ self.place)]
