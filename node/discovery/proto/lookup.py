"""One look-up: whom to ask next, what counts as found, when to stop. Sans-IO.

The driver asks everybody in `due()`, and reports `answered`, `failed` or (after a quarter of a second) `slow`; until
`finished`. It owns sockets and time.

A look-up walks on three paths that share nothing but the list of whom was asked: the contacts known at the start are
dealt out among the paths, an answer's contacts stay on the path that asked, and nobody is asked twice. So one captured
contact sends one path astray, not all. On each path, always, the unasked among the 20 nearest candidates are asked, 3 at
once. A path ends when its 20 nearest were all asked; the whole ends there too, or earlier with `quorum` equal copies of
the newest version.

What an answer may do is little: add at most 20 candidates to one path, all of them allowed by the policy. At most two
nodes of one /24 or /48 are asked, and each endpoint once, whatever ids it shows. Validation is done before: a record is a
verified one for this very key, and an answer with an invalid one was reported as `failed`.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from node.base import limits
from node.discovery.proto.policy import Contact, Policy
from node.wire.record import Record, is_newer


class Accepts(Protocol):
    """Whether a version is at least as new as what we have seen."""

    def __call__(self, record: Record, /) -> bool:
        """False: as if there were none."""
        ...


Candidate = tuple[int, Contact]  # distance first: sorted lists of these are nearest first


class _Path:
    """One of the walks: its candidates, nearest first, and who is being asked."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.known: set[bytes] = set()
        self.running: set[bytes] = set()  # asked, not answered, not slow

    def add(self, distance: int, contact: Contact) -> None:
        if contact.id not in self.known:
            self.known.add(contact.id)
            insort(self.candidates, (distance, contact))


class Lookup:
    """The state of one look-up. `quorum` 0 looks for nodes only."""

    def __init__(
        self,
        key: bytes,
        seeds: Iterable[Contact],
        *,
        policy: Policy,
        own: bytes,
        quorum: int = 0,
        accept: Accepts | None = None,
    ) -> None:
        self._key: Final = int.from_bytes(key, "big")
        self._policy = policy
        self._own = own
        self._quorum = quorum
        self._accept = accept
        self._paths: Final = [_Path() for _ in range(limits.DHT_PATHS)]
        self._path_of: dict[bytes, _Path] = {}  # everybody asked
        self._endpoints: set[tuple[str, int]] = set()
        self._networks: Counter[bytes] = Counter()
        self._open: set[bytes] = set()  # asked, not answered, slow or not
        self._failed: set[bytes] = set()
        self._alive: list[Candidate] = []
        self._holders: list[Contact] = []
        self._behind: list[Contact] = []
        self.best: Record | None = None
        nearest = sorted((self._distance(contact), contact) for contact in set(seeds) if self._admits(contact))
        for number, (distance, contact) in enumerate(nearest):
            self._paths[number % limits.DHT_PATHS].add(distance, contact)

    # --- what the driver asks -----------------------------------------------------------------------------------

    def due(self) -> list[Contact]:
        """Whom to ask now; each must be reported later."""
        if self.found:
            return []
        return [contact for path in self._paths for contact in self._due(path)]

    @property
    def found(self) -> bool:
        """Whether enough copies of the newest version were seen."""
        return 0 < self._quorum <= len(self._holders)

    @property
    def finished(self) -> bool:
        """Whether nothing remains: after `due()` returned nothing and everybody was reported, or when found."""
        return self.found or not self._open

    @property
    def requests(self) -> int:
        """How many were asked."""
        return len(self._path_of)

    @property
    def copies(self) -> int:
        """How many hold the newest version."""
        return len(self._holders)

    def nearest(self) -> list[Contact]:
        """The nearest that answered: the holders of a record to be stored."""
        return [contact for _, contact in self._alive[: limits.DHT_K]]

    def stale(self) -> list[Contact]:
        """The nearest that answered and do not have the newest version."""
        return sorted(self._behind, key=self._distance)[: limits.DHT_REPAIRS_MAX]

    # --- what the driver reports --------------------------------------------------------------------------------

    def slow(self, contact: Contact) -> None:
        """It may still answer, but others take its turn."""
        self._path_of[contact.id].running.discard(contact.id)

    def failed(self, contact: Contact) -> None:
        """No answer, or none that is worth anything."""
        if self._close(contact):
            self._failed.add(contact.id)

    def answered(self, contact: Contact, contacts: Sequence[Contact], record: Record | None = None) -> None:
        """Its answer: contacts nearer to the key, and a verified record for this key."""
        if not self._close(contact):
            return
        insort(self._alive, (self._distance(contact), contact))
        path = self._path_of[contact.id]
        for other in contacts[: limits.DHT_K]:
            if other.id not in path.known and self._admits(other):
                path.add(self._distance(other), other)
        if self._quorum:
            self._weigh(contact, record if record is not None and self._accepts(record) else None)

    # --- how -----------------------------------------------------------------------------------------------------

    def _distance(self, contact: Contact) -> int:
        return contact.place ^ self._key

    def _admits(self, contact: Contact) -> bool:
        return contact.id != self._own and self._policy.allows(contact)

    def _accepts(self, record: Record) -> bool:
        return self._accept is None or self._accept(record)

    def _due(self, path: _Path) -> list[Contact]:
        chosen: list[Contact] = []
        considered = 0
        for _, contact in path.candidates:
            if considered == limits.DHT_K or len(path.running) >= limits.DHT_ALPHA:
                break
            if contact.id in self._failed:
                continue
            if contact.id in self._path_of:
                considered += 1
            elif self._may_ask(contact):
                considered += 1
                self._ask(path, contact)
                chosen.append(contact)
        return chosen

    def _may_ask(self, contact: Contact) -> bool:
        return (
            self.requests < limits.DHT_LOOKUP_REQUESTS_MAX
            and contact.endpoint not in self._endpoints
            and self._networks[self._policy.network_of(contact)] < limits.DHT_NETWORK_MAX
        )

    def _ask(self, path: _Path, contact: Contact) -> None:
        self._networks[self._policy.network_of(contact)] += 1
        self._endpoints.add(contact.endpoint)
        self._path_of[contact.id] = path
        self._open.add(contact.id)
        path.running.add(contact.id)

    def _close(self, contact: Contact) -> bool:
        """Whether this is its first report."""
        if contact.id not in self._open:
            return False
        self._open.discard(contact.id)
        self._path_of[contact.id].running.discard(contact.id)
        return True

    def _weigh(self, contact: Contact, record: Record | None) -> None:
        if record is None:
            self._behind.append(contact)
        elif self.best is None or is_newer(record, self.best):
            self._behind += self._holders
            self.best, self._holders = record, [contact]
        elif record.raw == self.best.raw:
            self._holders.append(contact)
        else:
            self._behind.append(contact)
