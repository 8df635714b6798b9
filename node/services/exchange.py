"""Everything that nodes say to each other about rooms and people, in one place: which service gets which item, and one loop a
linked peer that keeps both sides equal.

Items come numbered and durable (`prepare`, `apply`): entries and submissions, offers, questions, answers. The loop (`_tend`) does what
is derived from state and therefore needs no queue: it compares heads when a link opens, pulls what a replica lacks, acknowledges what
was stored, passes receipts on, and asks for names. Whatever fails there is simply done again after the next wake-up or link, since each
step begins from what is on disk. Live delivery, a week of absence and a lost outbox are therefore the same code.

Implements `services.ports.PeerInbox` and `federation.queries.Acquaintances`; a `runtime.lifecycle.Service`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import EventId, NodeId, RoomId
from node.runtime.log import Log as Diary
from node.services.acknowledging import Acknowledging
from node.services.calls import Calls
from node.services.catchup import CatchUp
from node.services.contacts import Contacts
from node.services.followers import Followers
from node.services.forwarding import Forwarding
from node.services.gossip import Gossip
from node.services.marking import Marking
from node.services.naming import Naming
from node.services.offers import Offers
from node.services.ports import PeerLinks
from node.services.replicas import Checked, Replicas
from node.services.resending import Resending
from node.services.restoring import Restoring
from node.services.signals import Signals
from node.services.statements import Dropper, Statements
from node.services.submissions import Submission, Submissions
from node.storage.database import Database, Tx
from node.storage.outbox import HEAD, OutRow
from node.storage.peers import Peer
from node.wire import envelope, exchange, focus
from node.wire.exchange import (
    Answer,
    Ask,
    DirectItem,
    Entry,
    News,
    Offer,
    Profile,
    Proof,
    Reject,
    RoomItem,
    Submit,
    Withdraw,
)

_diary: Final = Diary("exchange")
Prepared = Checked | Submission | News | DirectItem
WORK_PAUSE_S: Final = limits.ACK_DELAY_S
WORK_RETRY_S: Final = float(limits.LINK_RETRY_S)  # what failed is tried again then, or at the next wake-up; doubles
WORK_RETRY_S_MAX: Final = 300.0
Step = Callable[[Peer], Awaitable[None]]


class Steps(Struct, frozen=True, kw_only=True):
    """The services behind the items."""

    followers: Followers
    forwarding: Forwarding
    submissions: Submissions
    replicas: Replicas
    contacts: Contacts
    offers: Offers
    catchup: CatchUp
    acks: Acknowledging
    gossip: Gossip
    marks: Marking
    names: Naming
    signals: Signals
    statements: Statements
    restoring: Restoring
    resending: Resending
    calls: Calls


class Exchange:
    """The inbox of all peers."""

    name = "exchange"

    def __init__(self, *, db: Database, steps: Steps) -> None:
        self._db = db
        self.steps = steps
        self._tasks: asyncio.TaskGroup | None = None
        self._wakes: dict[NodeId, asyncio.Event] = {}
        self._loops: dict[NodeId, tuple[Peer, asyncio.Task[None]]] = {}
        self._later: asyncio.TimerHandle | None = None
        self._work = (
            steps.statements.tell,
            steps.restoring.adopt,
            steps.catchup.pull,
            steps.acks.say,
            steps.gossip.tell,
            steps.names.ask,
            steps.marks.pass_on,
        )
        self.record: Callable[[], bytes] | None = None  # set by whoever publishes

    # --- life -------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Tends the peers that are linked."""
        with suppress(Rejected):  # a disk that refuses writes now is asked again at the next start
            await self._db.write(self.steps.forwarding.sign_again)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                ready()
                try:
                    while True:
                        await asyncio.sleep(limits.UNANSWERED_LOOK_S)
                        await self._resend()
                finally:
                    for _, task in self._loops.values():  # in the order in which they began; a group knows none
                        task.cancel()
        finally:
            self._tasks = None
            self._loops.clear()
            if self._later is not None:
                self._later.cancel()

    def attach(self, links: PeerLinks) -> None:
        """The edge exists."""
        self.steps.followers.links = links
        self.steps.calls.connect(links)
        for step in (
            self.steps.catchup,
            self.steps.acks,
            self.steps.gossip,
            self.steps.marks,
            self.steps.names,
            self.steps.signals,
            self.steps.statements,
            self.steps.restoring,
        ):
            step.links = links

    def drop_by(self, dropper: Dropper) -> None:
        """Whoever closes the links of nodes whose owner ended them."""
        self.steps.statements.dropper = dropper

    def linked(self, peer: Peer) -> None:
        """A link opened: compare and go on."""
        self.steps.submissions.meet(peer)
        self.steps.names.forget(peer.nid)
        self.steps.gossip.forget(peer.nid)
        self.steps.statements.forget(peer.nid)
        self.steps.catchup.forget(peer.nid)
        self.steps.acks.linked(peer)
        self.steps.calls.linked(peer)
        before = self._loops.get(peer.nid)
        if self._tasks is None or (before is not None and before[0] == peer):
            self.nudge(peer.nid)
            return
        if (
            before is not None
        ):  # it comes back with a new key while its old link still seems alive: nothing old verifies any more
            before[1].cancel()
        self._wakes[peer.nid] = asyncio.Event()
        self._loops[peer.nid] = peer, self._tasks.create_task(self._tend(peer))
        self.steps.signals.linked(peer)

    def unlinked(self, peer: Peer) -> None:
        """The last link is gone."""
        tended = self._loops.pop(peer.nid, None)
        self._wakes.pop(peer.nid, None)
        if tended is not None:
            tended[1].cancel()
        self.steps.resending.forget(peer.nid)
        self.steps.signals.unlinked(peer)

    async def _resend(self) -> None:
        """Posts that hubs received and never answered."""
        try:
            await self.steps.resending.refresh()
        except Exception as error:  # noqa: BLE001 - the boundary of one round: a disk that cannot be read now ends no link
            _diary.error("Unanswered posts could not be read", error)
            return
        for peer, _ in list(self._loops.values()):
            await self._attempt(peer, self.steps.resending.look)

    def nudge(self, nid: NodeId) -> None:
        """There may be something to do for this peer."""
        wake = self._wakes.get(nid)
        if wake is not None:
            wake.set()

    def nudge_all(self) -> None:
        """There may be something to do for everybody."""
        self._later = None
        for wake in self._wakes.values():
            wake.set()

    async def _tend(self, peer: Peer) -> None:
        wake, retry_s = self._wakes[peer.nid], WORK_RETRY_S
        todo: tuple[Step, ...] = (self.steps.catchup.compare, *self._work)
        while True:
            wake.clear()
            failed = [step for step in todo if not await self._attempt(peer, step)]
            await asyncio.sleep(WORK_PAUSE_S)
            retry_s = min(2 * retry_s, WORK_RETRY_S_MAX) if failed else WORK_RETRY_S
            with suppress(TimeoutError):
                async with asyncio.timeout(retry_s if failed else None):
                    await wake.wait()
            again = (self.steps.catchup.compare,) if self.steps.catchup.compare in failed else ()
            todo = (*again, *self._work)

    async def _attempt(self, peer: Peer, step: Step) -> bool:
        """Whether it succeeded, or there was nothing to do."""
        try:
            await step(peer)
        except (Rejected, RemoteError, TimeoutError) as error:
            _diary.info("step failed", step=step.__name__, code=getattr(error, "code", type(error).__name__))
            return False
        except Exception as error:  # noqa: BLE001 - the boundary of one peer: what it said made us fail, the others go on
            _diary.error("A step with a peer failed", error)
            return False
        return True

    # --- numbered items ---------------------------------------------------------------------------------

    def prepare(self, peer: Peer, cls: int, body: bytes) -> Prepared:
        """Decodes and checks signatures. Raises Rejected: poison."""
        if cls == exchange.CLASS_ROOM:
            return self._prepare_room(peer, exchange.decode_room_item(body))
        if cls == exchange.CLASS_DIRECT:
            return self._prepare_direct(peer, exchange.decode_direct_item(body))
        raise Rejected(Code.UNSUPPORTED, "This class of items is not known.")

    def _prepare_room(self, peer: Peer, item: RoomItem) -> Prepared:
        match item:
            case Entry():
                return self.steps.replicas.prepare(peer, item)
            case Submit():
                return self.steps.submissions.prepare(peer, item)
            case News():
                return item

    def _prepare_direct(self, peer: Peer, item: DirectItem) -> Prepared:
        match item:
            case Reject():
                key = envelope.Key(peer.nid, peer.incarnation, peer.op)
                signed = envelope.reject_bytes(
                    RoomId(item.room), EventId(item.event_id), item.code, peer.nid, peer.incarnation
                )
                envelope.check(key, signed, item.signature)
            case Profile():
                self.steps.names.check(item)
            case Proof():
                self.steps.gossip.check(item)
            case _:
                pass
        return item

    def apply(self, tx: Tx, peer: Peer, item: object) -> None:
        """The effect. Raises Rejected before its first change."""
        steps = self.steps
        match item:
            case Checked():
                steps.replicas.apply(tx, peer, item)
            case Submission():
                steps.submissions.apply(tx, peer, item)
            case News():
                steps.replicas.hear(tx, peer, RoomId(item.room), item.idx)
            case Reject():
                steps.forwarding.refused_by(tx, peer.nid, EventId(item.event_id), item.code, item.text)
            case Offer():
                steps.offers.offered(tx, peer, item)
            case Withdraw():
                steps.offers.withdrawn(tx, peer, item)
            case Ask():
                steps.contacts.asked(tx, peer, item)
            case Answer():
                steps.contacts.answered(tx, peer, item)
            case Profile():
                steps.names.store(tx, item)
            case Proof():
                steps.gossip.convinced(tx, item)
            case _:
                raise AssertionError("prepare made something else")

    def applied(self, peer: Peer, count: int) -> None:
        """Items are on disk: acknowledge them, pull what they announced; a little later, compare with the other followers."""
        self.nudge(peer.nid)
        if self._later is None and self._tasks is not None:
            self._later = asyncio.get_running_loop().call_later(limits.GOSSIP_DELAY_S, self.nudge_all)

    def nacked(self, tx: Tx, peer: Peer, cls: int, body: bytes, code: str) -> None:
        """The peer cannot take one of ours, or it is given up: its author is told."""
        if cls == exchange.CLASS_DIRECT and code == Code.BAD_SIGNATURE:
            direct = exchange.decode_direct_item(body)
            if isinstance(direct, Reject):  # of an earlier op key, which the peer knows no more
                self.steps.submissions.refuse_again(tx, peer, direct)
        if cls != exchange.CLASS_ROOM or not body:
            return
        item = exchange.decode_room_item(body)
        if isinstance(
            item, Entry
        ):  # say how far the room is: the peer fetches what it could not take, with all that proves it
            self.steps.followers.send(tx, peer.nid, News(item.room, item.idx))
        if isinstance(item, Submit):
            text = "It could not be delivered." if code == Code.UNDELIVERABLE else "The other node does not take it."
            self.steps.forwarding.refused(tx, envelope.event_id(item.event), code, text)

    def render(self, tx: Tx, peer: Peer, rows: Sequence[OutRow]) -> list[bytes | None]:
        """Bytes of entries, at the time they are sent."""
        return self.steps.catchup.render(tx, peer, rows, head_class=HEAD)

    # --- who has to do with whom --------------------------------------------------------------------------

    def share_room(self, peer: Peer, nid: NodeId) -> bool:
        """Whether a room has members of both nodes."""
        return self.steps.followers.share_room(peer.nid, nid)

    def own_record(self) -> bytes:
        """This node's newest location record; empty while it publishes none."""
        return self.record() if self.record is not None else b""

    # --- the rest ---------------------------------------------------------------------------------------

    def whisper(self, peer: Peer, topic: str, body: bytes) -> None:
        """A signal; whatever is wrong with it is ignored."""
        try:
            if topic in {focus.NOW, focus.SEATS}:
                self.steps.calls.heard(peer, topic, body)
            else:
                self.steps.signals.heard(peer, topic, body)
        except Rejected:
            return

    async def serve(self, peer: Peer, method: str, args: bytes) -> bytes:
        """Answers a request. Raises Rejected."""
        steps = self.steps
        match method:
            case exchange.LOG_RANGE:
                return await steps.catchup.serve_range(peer, exchange.decode_range(args))
            case exchange.HEADS:
                asked = exchange.decode_heads(args)
                steps.restoring.compared(peer, asked.heads)
                return steps.catchup.serve_heads(peer, asked)
            case exchange.ACKS:
                await steps.acks.heard(peer, exchange.decode_acks(args))
                self.nudge_all()
                return b""
            case exchange.MARKS:
                steps.marks.heard(peer, exchange.decode_marks(args))
                return b""
            case exchange.SEEN:
                await steps.gossip.heard(peer, exchange.decode_seen(args))
                self.nudge(peer.nid)
                return b""
            case exchange.STATEMENTS:
                await steps.statements.heard(exchange.decode_statements(args))
                return b""
            case exchange.PEOPLE:
                return steps.names.serve(peer, exchange.decode_people(args))
            case focus.ASK | focus.PIPE | focus.WANT:
                return await steps.calls.serve(peer, method, args)
            case _:
                raise Rejected(Code.UNSUPPORTED, "This request is not known.")
