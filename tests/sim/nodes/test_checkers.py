"""The simulation finds what it is there to find: every node of a world is built with one collaborator that is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from node.base.ids import EventId, UserId, parse_user
from node.core.content import Body
from node.core.room import Command
from node.main import Node, Services
from node.services.acknowledging import Acknowledging
from node.services.catchup import CatchUp
from node.services.exchange import Exchange
from node.services.followers import Followers
from node.services.forwarding import Forwarding
from node.services.gossip import Gossip
from node.services.replicas import Checked, Replicas
from node.services.submissions import Submission, Submissions
from node.storage import acks
from node.storage.cursors import Cursors
from node.storage.database import Tx
from node.storage.log import Draft
from node.storage.outbox import OutRow
from node.storage.peers import Peer
from node.storage.rooms import RoomRow
from node.wire.exchange import Ack
from tests.sim.nodes.run import Sabotage, run
from tests.sim.nodes.world import plan

pytestmark = pytest.mark.slow
WORLDS = 30
T = TypeVar("T")


def as_other(original: Any, kind: type[T]) -> T:
    """An object of `kind` with the collaborators of `original`."""
    made = object.__new__(kind)
    made.__dict__.update(original.__dict__)
    return made


def with_step(name: str, kind: type[Any]) -> Callable[[Services], Services]:
    """Services whose exchange works with another step."""

    def tampered(services: Services) -> Services:
        steps = services.exchange._steps
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
        )  # fmt: skip
        self._signers.store(tx, submission.event.key)
        command = Command(UserId(event.author), event.kind, submission.body)
        self._appender.append(tx, row, command, draft, self._clock.now_ms(), None)


class Silent(Submissions):
    """A hub that refuses without a word."""

    def apply(self, tx: Tx, peer: Peer, submission: Submission) -> None:
        """No answer."""
        from node.base.errors import Rejected

        try:
            if not self._log.has_event(tx, submission.event_id):
                self._sequence(tx, submission)
        except Rejected:
            return


class Trusting(Replicas):
    """A follower that takes any history."""

    def _give_up(self, tx: Tx, row: RoomRow, why: str) -> None:
        """Nothing is ever wrong."""


class Believing(Acknowledging):
    """A hub that counts acknowledgements of any hash."""

    def _keep(self, tx: Tx, peer: Peer, good: list[Ack]) -> None:
        for ack in good:
            row = self._rooms.load(tx, ack.room)  # type: ignore[arg-type]
            if row is not None:
                acks.put(tx, row.pk, ack)


class Deaf(Gossip):
    """Does not listen to other followers."""

    def _convict(self, tx: Tx, row: RoomRow, theirs: object) -> None:
        """What of it?"""


class Lazy(CatchUp):
    """Never fetches what a replica lacks."""

    async def pull(self, peer: Peer) -> None:
        """Another time."""


class Unbound(Cursors):
    """Moves the cursor wherever a link says."""

    def advance(self, tx: Tx, peer_pk: int, run: bytes, *, before: int, last: int) -> bool:
        """Always."""
        tx.execute("UPDATE peer_in SET last = ?, run = ? WHERE peer = ?", (last, run, peer_pk))
        return True


class Repeating(Submissions):
    """Does not look whether an event has its place already."""

    def prepare(self, peer: Peer, item: Any) -> Submission:
        """Under an id of its own each time."""
        made = super().prepare(peer, item)
        self._count = getattr(self, "_count", 0) + 1
        return made

    def apply(self, tx: Tx, peer: Peer, submission: Submission) -> None:
        """Again."""
        self._sequence(tx, submission)


def unbound(node: Node) -> None:
    """Links whose cursors are not compared."""
    federation = node.federation
    federation._desk = replace(federation._desk, cursors=Unbound())


@pytest.mark.parametrize(
    ("sabotage", "theme", "found"),
    [
        (Sabotage(services=with_step("submissions", Careless)), "", "illegal"),
        (Sabotage(services=with_step("submissions", Silent)), "", "wait for another node"),
        (Sabotage(services=with_step("catchup", Lazy)), "", "replicas are behind"),
        (Sabotage(services=with_step("acks", Believing)), "liar", "called"),
        (Sabotage(services=with_step("replicas", Trusting)), "two-faced", "nobody noticed"),
        (Sabotage(services=with_step("gossip", Deaf)), "two-faced", "nobody noticed"),
        (Sabotage(services=with_step("submissions", Repeating), node=unbound), "", ""),
        (Sabotage(node=unbound), "", ""),
    ],
    ids=["careless", "silent", "lazy", "believing", "trusting", "deaf", "repeating", "unbound"],
)
def test_sabotage_is_found(sabotage: Sabotage, theme: str, found: str) -> None:
    seeds = [seed for seed in range(1, 2_000) if plan(seed).theme == theme and plan(seed).size <= 5][:WORLDS]
    for seed in seeds:
        complaints = run(seed, sabotage).complaints
        print(seed, complaints[:4])
        if any(found in text for text in complaints):
            return
    pytest.fail(f"nobody noticed in {len(seeds)} worlds")


_ = (EventId, parse_user, Body, Followers, Forwarding, Checked, OutRow)
