"""The simulation finds what it is there to find: every node of a world is built with one collaborator that is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from node.base.ids import NodeId, UserId
from node.core.room import Command
from node.main import Node, Services
from node.services.acknowledging import Acknowledging
from node.services.catchup import CatchUp
from node.services.exchange import Exchange
from node.services.gossip import Gossip
from node.services.submissions import Submission, Submissions
from node.storage.database import Tx
from node.storage.log import Draft
from node.storage.outbox import ENTRY, Outbox, OutRow
from node.storage.peers import Peer
from node.storage.rooms import RoomRow
from tests.sim.nodes.run import Sabotage, run
from tests.sim.nodes.world import plan

pytestmark = pytest.mark.slow
WORLDS = 12
T = TypeVar("T")


def as_other(original: Any, kind: type[T]) -> T:
    """An object of `kind` with the collaborators of `original`."""
    made = object.__new__(kind)
    made.__dict__.update(original.__dict__)
    return made


def with_step(name: str, kind: type[Any]) -> Callable[[Services], Services]:
    """Services whose exchange works with another step."""

    def tampered(services: Services) -> Services:
        steps = services.exchange.steps
        changed = replace(steps, **{name: as_other(getattr(steps, name), kind)})
        return replace(services, exchange=Exchange(db=services.db, steps=changed))

    return tampered


class Careless(Submissions):
    """A hub that gives every post a place."""

    def _sequence(self, tx: Tx, submission: Submission) -> None:
        row, event = self._rooms.load(tx, submission.item.room), submission.event.value  # type: ignore[arg-type]
        if row is None or submission.body is None:
            return
        item = submission.item
        draft = Draft(
            event=item.event, event_id=submission.event_id, salt=item.salt, body=item.body, kind=event.kind,
            author_pk=self._users.pk(tx, UserId(event.author)), counts=False, signature=item.signature,
            author_seq=event.author_seq,
        )  # fmt: skip
        self._signers.store(tx, submission.event.key)
        command = Command(UserId(event.author), event.kind, submission.body)
        self._appender.append(tx, row, command, draft, self._clock.now_ms(), None)


class Mute:
    """Sends nothing."""

    def send(self, tx: Tx, node: NodeId, item: object) -> None:
        """Not a word."""


class Silent(Submissions):
    """A hub that refuses without a word."""

    _followers = property(lambda self: Mute(), lambda self, value: None)


class Boastful(Acknowledging):
    """Calls stable what nobody has acknowledged."""

    def stable_idx(self, tx: Tx, row: RoomRow) -> int:
        """All there is."""
        return row.head.idx


class Deaf(Gossip):
    """Does not listen to other followers."""

    def _convict(self, tx: Tx, row: RoomRow, theirs: object) -> None:
        """What of it?"""


class Lazy(CatchUp):
    """Never fetches what a replica lacks."""

    async def pull(self, peer: Peer) -> None:
        """Another time."""


class Unstored(Outbox):
    """Forgets what waits for a peer as soon as it was looked at."""

    def page(self, tx: Tx, peer_pk: int, after: int, limit: int) -> list[OutRow]:
        """Only what is not a submission."""
        return [row for row in super().page(tx, peer_pk, after, limit) if row.by_reference or row.cls != ENTRY]


def unstored(node: Node) -> None:
    """Links that send no more than entries."""
    federation = node.federation
    federation._desk = replace(federation._desk, outbox=as_other(federation._desk.outbox, Unstored))


@pytest.mark.parametrize(
    ("sabotage", "theme", "found"),
    [
        (Sabotage(services=with_step("submissions", Careless)), "", "illegal"),
        (Sabotage(services=with_step("submissions", Silent)), "", "wait for another node"),
        (Sabotage(services=with_step("catchup", Lazy)), "", "replicas are behind"),
        (Sabotage(services=with_step("acks", Boastful)), "", "stable"),
        (Sabotage(services=with_step("gossip", Deaf)), "two-faced", "nobody noticed"),
        (Sabotage(node=unstored), "", "wait for another node"),
    ],
    ids=["careless", "silent", "lazy", "boastful", "deaf", "unstored"],
)
def test_sabotage_is_found(sabotage: Sabotage, theme: str, found: str) -> None:
    seeds = [seed for seed in range(1, 2_000) if plan(seed).theme == theme and plan(seed).size <= 5][:WORLDS]
    for seed in seeds:
        complaints = run(seed, sabotage).complaints
        print(seed, [text[:160] for text in complaints[:3]])
        if any(found in text for text in complaints):
            return
    pytest.fail(f"nobody noticed in {len(seeds)} worlds")
