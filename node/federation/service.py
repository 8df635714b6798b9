"""The links of a node: who is linked, who is being dialled, and why. Implements `services.ports.PeerLinks`.

*One link a peer.* When both dial at once, the link dialled by the smaller nid stays; in the same direction the newest wins. The other one
is told ``duplicate`` and closes; cursors make the overlap harmless. A link that would lose against one that may be dead makes us ask
the old one for a sign of life, so that a peer that lost its network comes back within seconds.

Who may link is said by gate.py, what is noted of peers by notes.py. *A campaign* (campaigns.py) is the effort to link one peer. It begins
when something is put into the outbox, at the start for every peer with waiting rows and every known one linked in the last 30 days, and
when such a link was lost.

Every task lives in the group of `run`. One ticker looks after all links.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.federation.campaigns import Campaigns
from node.federation.dialer import Dialer, Opener, Resting
from node.federation.gate import Gate
from node.federation.hosts import Hosts
from node.federation.listener import Listener
from node.federation.notes import Notes
from node.federation.proto.handshake import Channel, OwnIdentity, Proven
from node.federation.proto.link import Link
from node.federation.queries import Acquaintances, Queries
from node.federation.session import Desk, Hints, LinkSocket, NoHints, Session, offline
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.log import Log
from node.services.causes import Cause, tell
from node.services.peers import PeerLink
from node.services.ports import Candidate, PeerInbox, Resolver
from node.storage.cursors import Cursors
from node.storage.database import Database, Tx
from node.storage.outbox import Outbox
from node.storage.peers import PeerRow, PeerStore, Quarantine
from node.wire import s2s
from node.wire.address import Place

TICK_S: Final = 1.0
SWEEP_S: Final = 600.0  # outboxes over their bounds, old quarantine
REACH_ATTEMPTS: Final = 3
log = Log("federation")


class Federation:
    """A `runtime.lifecycle.Service`."""

    name = "federation"

    def __init__(
        self,
        *,
        db: Database,
        peers: PeerStore,
        outbox: Outbox,
        inbox: PeerInbox,
        identity: OwnIdentity,
        acquaintances: Acquaintances,
        resolver: Resolver,
        opener: Opener,
        clock: Clock,
        entropy: Entropy,
        hints: Hints | None = None,
        allowed_only: Callable[[], bool] = lambda: False,
    ) -> None:
        """`allowed_only`: whether nodes are kept out unless their policy is ``allow``."""
        self._db = db
        self._peers = peers
        self._outbox = outbox
        self._inbox = inbox
        self._identity = identity
        self._resolver = resolver
        self._clock = clock
        self._entropy = entropy
        self._gate = Gate(db=db, peers=peers, clock=clock, allowed_only=allowed_only)
        self._was_closed = allowed_only()
        quarantine = Quarantine()
        self.notes = Notes(db=db, peers=peers, outbox=outbox, quarantine=quarantine, inbox=inbox, clock=clock)
        self.hosts = Hosts(peers)
        self._links: dict[NodeId, Session] = {}
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}  # of the group, in order, so that a simulation repeats itself
        self._stopping = False
        self._reaching: dict[NodeId, asyncio.Lock] = {}
        self._swept = 0.0
        self._dialer = Dialer(
            identity=identity,
            resolver=resolver,
            opener=opener,
            clock=clock,
            entropy=entropy,
            accept=self._gate.accept,
            binding_required=self._gate.binding_required,
            failed=self.notes.address_failed,
        )
        self._campaigns = Campaigns(
            clock=clock, entropy=entropy, spawn=self._spawn, worth=self._worth, linked=self.linked, dial=self._dial
        )
        self._desk = self._new_desk(quarantine, acquaintances, hints or NoHints())
        self.listener: Final = Listener(
            identity=identity,
            clock=clock,
            accept=self._gate.accept_call,
            serve=self._serve_accepted,
            is_known=self.hosts.__contains__,
            end=self._end_accepted,
        )

    def _new_desk(self, quarantine: Quarantine, acquaintances: Acquaintances, hints: Hints) -> Desk:
        answers = Queries(
            db=self._db, peers=self._peers, acquaintances=acquaintances, own=self._identity.nid, clock=self._clock,
            dialer=lambda: self._dialer,
        )  # fmt: skip
        return Desk(
            db=self._db, peers=self._peers, outbox=self._outbox, cursors=Cursors(), quarantine=quarantine, inbox=self._inbox,
            answers=answers, hints=hints, identity=self._identity, clock=self._clock,
        )  # fmt: skip

    # --- life -------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Links and keeps links until cancelled."""
        self._stopping = self.listener.stopping = False
        self._campaigns.forget()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await self._begin()
                ready()
                while True:
                    await asyncio.sleep(TICK_S)
                    self._tick()
            finally:
                self._group = None
                self.stop()
                for task in list(self._tasks):
                    task.cancel()

    async def _begin(self) -> None:
        since_ms = self._clock.now_ms() - limits.LINK_KEEP_S * 1000
        wanted = self._db.view(lambda tx: self._wanted(tx, since_ms))
        self._db.view(self.hosts.load)
        for place, nid in enumerate(wanted):
            self._campaign(nid, delay_s=place * limits.DIAL_SPREAD_MS / 1000)

    def _wanted(self, tx: Tx, since_ms: int) -> list[NodeId]:
        """Those for whom something waits, then those who were linked lately."""
        waiting = [self._peers.get(tx, pk) for pk in self._outbox.peers_waiting(tx)]
        found = dict.fromkeys(row.nid for row in waiting if row is not None and not self._gate.shut(row))
        found |= dict.fromkeys(row.nid for row in self._peers.linked_since(tx, since_ms))
        return list(found)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        assert self._group is not None, "nothing is begun before or after run"
        task = self._group.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def stop(self) -> None:
        """Tells every peer that the node goes, and takes no more."""
        self._stopping = self.listener.stopping = True
        for session in list(self._links.values()):
            session.end("restarting", limits.LINK_RETRY_S)

    def _end_accepted(self) -> None:
        for session in list(self._links.values()):
            if not session.dialled:
                session.end("restarting", limits.LINK_RETRY_S)

    def _tick(self) -> None:
        now = self._clock.monotonic()
        for session in list(self._links.values()):
            session.tick(now)
            if session.up and now - session.used_at > limits.STRANGER_IDLE_S and self._is_stranger(session):
                session.end("idle")
            elif session.up and session.dialled and now - session.opened > limits.LINK_AGE_S:
                session.opened = now - limits.LINK_AGE_S + limits.DIAL_DELAY_S_MAX  # once more if this fails
                self._campaign(session.peer.nid, renew=True)
        if self._was_closed != self._gate.allowed_only():
            self._was_closed = not self._was_closed
            self._close_shut()
        if now - self._swept > SWEEP_S:
            self._swept = now
            self.notes.sweep()

    def _close_shut(self, only: NodeId | None = None) -> None:
        """Ends links with nodes that are shut out now."""
        for nid in list(self._links) if only is None else [only]:
            row = self._db.view(lambda tx, nid=nid: self._peers.find(tx, nid))  # type: ignore[misc]
            if row is not None and self._gate.shut(row):
                self.drop(nid, "blocked")

    # --- services.ports.PeerLinks -----------------------------------------------------------------------

    def wake(self, nid: NodeId) -> None:
        """Something is in the outbox for `nid`."""
        session = self._links.get(nid)
        if session is not None and session.ending is None:
            session.sender.wake()  # before hello it has no credit and will be woken again
        else:
            self._campaign(nid)

    def whisper(self, nid: NodeId, topic: str, body: bytes) -> bool:
        """Sends something unstored; whether it was sent."""
        session = self._links.get(nid)
        return session is not None and session.whisper(topic, body)

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        """The answer of `nid`. Raises Rejected."""
        session = self._links.get(nid)
        if session is None:
            raise offline()
        return await session.request(method, args)

    def linked(self, nid: NodeId) -> bool:
        """Whether there is a link now."""
        session = self._links.get(nid)
        return session is not None and session.up

    async def reach(
        self, nid: NodeId | None, *, domain: str = "", places: Sequence[Place] = (), admit: bool = False
    ) -> NodeId:
        """Opens a link now and says who is there; `admit` allows that node first. Raises Rejected."""
        if nid is None:
            nid = await self._resolver.who_owns(domain)
        target = nid
        if target == self._identity.nid:
            raise Rejected(Code.CONFLICT, "This is the address of this very node.")
        lock = self._reaching.setdefault(target, asyncio.Lock())
        if admit and self._gate.allowed_only():
            await self._gate.admit(target)
        try:
            async with lock:  # several people may want the same first contact
                if not self.linked(target):
                    await self._reach(target, domain, places)
        finally:
            if not lock.locked():
                self._reaching.pop(target, None)
        return target

    async def _reach(self, target: NodeId, domain: str, places: Sequence[Place]) -> None:
        row = self._db.view(lambda tx: self._peers.find(tx, target))
        if self._gate.allowed_only() if row is None else self._gate.shut(row):
            raise _blocked()
        reason = ""
        for _ in range(REACH_ATTEMPTS):
            reason = await self._link_now(target, domain, places)
            if self.linked(target):
                return
            if reason != "duplicate":
                break
            await asyncio.sleep(TICK_S)  # the peer dialled us at the same time, and its link is on its way
        if not self.linked(target):
            raise _blocked() if reason == "blocked" else unreachable(reason)

    async def _link_now(self, target: NodeId, domain: str, places: Sequence[Place]) -> str:
        """Waits for a link that is there or is made; why it ended, if it did. Raises Rejected."""
        session = self._links.get(target)
        if session is None or session.ending is not None:
            session = await self._dial(target, places=places, domain=domain, eager=True)
        try:
            async with asyncio.timeout(limits.HELLO_S):
                await session.ready.wait()
        except TimeoutError:
            raise unreachable("it does not say hello") from None
        return "" if session.ending is None else session.ending.reason

    async def prove(self, nid: NodeId, candidate: Candidate) -> None:
        """Whether `nid` answers there; nothing is kept open. Raises RemoteError, OSError, TimeoutError."""
        await self._dialer.prove(nid, candidate)

    # --- for admins and discovery -----------------------------------------------------------------------

    def nudge(self, nid: NodeId | None = None) -> None:
        """Something new is known of a peer (None: of our network): who waits to dial dials now."""
        if nid is None:
            self._dialer.forgive()
        else:
            self._close_shut(nid)
            self._dialer.forgive(self.notes.proved_addresses(nid))
        self._campaigns.nudge(nid)

    def drop(self, nid: NodeId, reason: str = "closed") -> None:
        """Closes the link with `nid`, for instance because it is blocked now."""
        session = self._links.get(nid)
        if session is not None:
            session.end(reason, limits.BLOCKED_RETRY_S if reason == "blocked" else 0)

    def ping(self, nid: NodeId) -> None:
        """Measures the round trip anew."""
        session = self._links.get(nid)
        if session is not None and session.up:
            session.probe()

    def open_links(self) -> list[PeerLink]:
        """All open links."""
        now = self._clock.monotonic()
        return [
            PeerLink(
                nid=nid,
                address=session.address,
                url=session.url,
                dialled=session.dialled,
                age_s=now - session.opened,
                rtt_ms=None if session.link.rtt_s is None else session.link.rtt_s * 1000,
                skew_ms=session.skew_ms,
                under_way=session.link.unacknowledged,
            )
            for nid, session in self._links.items()
            if session.up
        ]

    @property
    def dialling(self) -> list[NodeId]:
        """Peers that this node tries to link."""
        return self._campaigns.peers

    # --- campaigns --------------------------------------------------------------------------------------

    def _campaign(self, nid: NodeId, *, renew: bool = False, delay_s: float = 0.0) -> None:
        if self._group is not None and not self._stopping and nid != self._identity.nid:
            self._campaigns.begin(nid, renew=renew, delay_s=delay_s)

    def _worth(self, nid: NodeId) -> PeerRow | None:
        """The row of a peer that somebody wants to reach: something waits for it, or it is known and was linked lately."""
        row = self._db.view(lambda tx: self._peers.find(tx, nid))
        if row is None or self._gate.shut(row):
            return None
        if row.known and self._clock.now_ms() - row.seen_ms < limits.LINK_KEEP_S * 1000:
            return row
        return row if self._db.view(lambda tx: self._outbox.waiting(tx, row.pk)) else None

    async def _dial(
        self, nid: NodeId, *, places: Sequence[Place] = (), domain: str = "", eager: bool = False
    ) -> Session:
        """A link on its way. Raises Rejected."""
        try:
            dialled = await self._dialer.dial(nid, places=places, domain=domain, eager=eager)
        except Resting:
            raise  # the note of what failed before stays
        except Rejected as error:
            reason = str(error.detail.get("reason") or error.text)
            await self.notes.dial(nid, tell(str(error.detail.get("cause") or Cause.OTHER), reason))
            raise
        if self._group is None:
            dialled.socket.abort()
            raise offline()
        try:
            peer = await self._gate.prove(dialled.proven, known=True)
        except BaseException:
            dialled.socket.abort()
            raise
        tls = dialled.proven.bound
        now_ms = self._clock.now_ms()
        url, source = dialled.candidate.url, dialled.candidate.source

        def note(tx: Tx) -> None:
            self._peers.address_ok(tx, peer.pk, url, source, now_ms, tls=tls)
            self._peers.dialled(tx, peer.pk, now_ms, "")

        try:
            await self._db.write(note)
        except BaseException:
            dialled.socket.abort()
            raise
        if self._stopping:
            dialled.socket.abort()
            raise offline()
        session = Session(
            desk=self._desk, peer=peer, socket=dialled.socket, channel=dialled.channel, dialled=True, url=url
        )
        self._spawn(self._serve(session))
        return session

    # --- links ------------------------------------------------------------------------------------------

    async def _serve_accepted(self, socket: LinkSocket, proven: Proven, channel: Channel) -> None:
        """From the listener: runs the link to its end."""
        try:
            peer = await self._gate.prove(proven)
        except Rejected:
            self._send_away(socket, proven, channel)
            return
        session = Session(desk=self._desk, peer=peer, socket=socket, channel=channel, dialled=False)
        await self._serve(session)

    def _send_away(self, socket: LinkSocket, proven: Proven, channel: Channel) -> None:
        """It is an old copy, or our disk is in trouble."""
        row = self._db.view(lambda tx: self._peers.find(tx, proven.who.nid))
        link = Link(channel, self._clock.monotonic())
        if row is not None and proven.who.order < (row.rotations, row.incarnation):
            link.goaway("superseded", limits.BLOCKED_RETRY_S, s2s.encode_later(row.chain, row.cert))
        else:
            link.goaway("read_only", limits.LINK_RETRY_S)
        for message in link.to_send():
            socket.send(message)
        socket.close()

    async def _serve(self, session: Session) -> None:
        nid = session.peer.nid
        try:
            refusal = self._refusal(session)
            if refusal is not None:
                session.end(*refusal)
                return
            old = self._links.get(nid)
            self._links[nid] = session
            if old is not None:
                session.announced = old.announced
                old.end("duplicate")
                async with asyncio.timeout(limits.DRAIN_S):
                    await old.receiver.idle()
            session.greeted = lambda: self._greeted(session)
            ending = await session.run()
            log.debug("A link ended", reason=ending.reason)
        except (Rejected, TimeoutError):
            session.end("read_only", limits.LINK_RETRY_S)
        except Exception as error:  # noqa: BLE001 - the boundary of one link: it ends, those of the others go on
            log.error("A link failed", error)
            session.end("internal", limits.LINK_RETRY_S)
        finally:
            self._left(session)
            if nid not in self._links:
                self.notes.gone(session.peer, is_back=lambda: nid in self._links)

    def _refusal(self, session: Session) -> tuple[str, int] | None:
        """Why a proved link may not stay: reason and when to come back."""
        nid = session.peer.nid
        row = self._db.view(lambda tx: self._peers.find(tx, nid))
        if row is None or row.pk != session.peer.pk:
            return "duplicate", 1  # a stranger whose earlier link ended now, and who was forgotten with it
        if self._gate.shut(row):
            return "blocked", limits.BLOCKED_RETRY_S
        if self._stopping:
            return "restarting", limits.LINK_RETRY_S
        if not row.known and self._strangers() >= limits.STRANGERS_MAX:
            return "busy", limits.STRANGER_IDLE_S
        old = self._links.get(nid)
        crossed = old is not None and old.ending is None and old.dialled != session.dialled
        if old is not None and crossed and session.dialler != min(self._identity.nid, nid):
            old.probe()
            return "duplicate", limits.LINK_PROBE_S
        return None

    def _strangers(self) -> int:
        return sum(self._is_stranger(session) for session in self._links.values())

    def _is_stranger(self, session: Session) -> bool:
        if not session.known:
            row = self._db.view(lambda tx: self._peers.get(tx, session.peer.pk))
            session.known = row is not None and bool(row.known)
        return not session.known

    def _greeted(self, session: Session) -> None:
        session.announced = True
        skew_ms = session.skew_ms
        self._campaigns.wake(session.peer.nid)
        if not self._is_stranger(session):
            self.hosts.remember(session.address)
        if abs(skew_ms) > limits.CLOCK_SKEW_WARN_S * 1000:
            log.warning("The clock of a peer differs from ours", ms=skew_ms)
        self.notes.seen(session.peer, session.skew_ms)
        self._inbox.linked(session.peer)  # also in the place of another link, on which things may have been lost

    def _left(self, session: Session) -> None:
        nid = session.peer.nid
        if self._links.get(nid) is not session:
            return
        del self._links[nid]
        if session.announced:
            self.notes.seen(session.peer, session.skew_ms)
            self._inbox.unlinked(session.peer)
        ending = session.ending
        assert ending is not None
        if session.dialled and not session.announced and ending.reason != "duplicate" and not self._stopping:
            self.notes.turned_away(session.peer, ending.reason)
        # An idle link is not missed, and whoever turned us away is left alone, unless something waits: nothing else would make us dial.
        if ending.reason not in {"idle", "blocked", "superseded"} or (self._worth(nid) and self.notes.waits(nid)):
            self._campaign(nid, delay_s=self._entropy.uniform(0.0, max(1.0, 2.0 * ending.retry_s)))


def unreachable(reason: str) -> Rejected:
    """Nobody was there, or not for long."""
    return Rejected(Code.PEER_UNREACHABLE, "The other node cannot be reached.", reason=reason)


def _blocked() -> Rejected:
    return Rejected(Code.NODE_BLOCKED, "This node and the other one do not talk to each other.")
