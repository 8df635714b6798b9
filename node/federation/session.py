"""One open link on one socket: adapter between the machine `proto.link`, the socket, the outbox and the inbox.

The only task is the reader (`run`), and one for each question of the peer that is being answered. Sending happens where the reason
for it arises and is written at once; the heartbeat is the ticker of the whole service. Life: hello both ways, agree on the two places to
go on from, then items, whispers, questions, until one side goes away. A peer that asks more than `LINK_QUESTIONS_PER_S` is read more slowly:
every answer takes time that others wait for.

A session *ends* once: by `end` (we say why), by the peer's goaway, by a broken protocol, or because the socket is gone. `ending` then
says why, and whether it makes sense to come back soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, assert_never

from msgspec import Struct

from node.base import limits
from node.base.errors import HTTP_STATUS, Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.federation.proto import link as machine
from node.federation.proto.allowance import Allowance
from node.federation.proto.handshake import Channel, OwnIdentity
from node.federation.proto.link import Link
from node.federation.receiver import Receiver
from node.federation.sender import Sender
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.services.ports import PeerInbox
from node.storage.cursors import Cursors, Heard
from node.storage.database import Database
from node.storage.outbox import Outbox
from node.storage.peers import Peer, PeerStore, Quarantine
from node.wire import s2s
from node.wire.keys import Chain, OpCert

CLOSE_GOING: Final = 1001
CLOSE_BAD_FRAME: Final = 4400
CLOSE_SILENT: Final = 4408
YIELD_EVERY: Final = 16  # frames read at a stretch before others have a turn
QUESTION_BYTES: Final = 4_096  # so much more to look at counts as one more question
YIELD_BYTES: Final = 4_096  # a frame above this size is a stretch by itself
log = Log("federation.session")


class LinkSocket(Protocol):
    """What `runtime.net.FrameSocket` and `runtime.dial.DialledSocket` have in common."""

    @property
    def address(self) -> str:
        """The other end."""

    @property
    def buffered(self) -> int:
        """Bytes not yet taken by the kernel."""

    async def receive(self) -> bytes | None:
        """The next message; None at the end. Raises RemoteError."""

    def send(self, payload: bytes) -> None:
        """One binary message."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Flushes and closes."""

    def abort(self) -> None:
        """Drops it."""


class Answers(Protocol):
    """Questions that the link layer answers itself (`federation.queries.Queries`)."""

    async def serve(self, peer: Peer, address: str, method: str, args: bytes) -> bytes | None:
        """None: not one of these. Raises Rejected."""


class Hints(Protocol):
    """Whoever learns from hellos: our address as others see it, and that somebody has seen a later state of this node."""

    def heard(self, peer: Peer, hello: s2s.Hello, *, dialled: bool) -> None:
        """A peer said hello."""

    def superseded(self, peer: Peer, chain: Chain, cert: OpCert) -> None:
        """A peer sends us away as an old copy and shows this as our later state; nothing of it is verified yet."""


class NoHints:
    """Implements `Hints` where nobody listens."""

    def heard(self, peer: Peer, hello: s2s.Hello, *, dialled: bool) -> None:
        """A peer said hello."""

    def superseded(self, peer: Peer, chain: Chain, cert: OpCert) -> None:
        """A peer shows our later state."""


class Desk(Struct, frozen=True, kw_only=True):
    """What every session of a node works with."""

    db: Database
    peers: PeerStore
    outbox: Outbox
    cursors: Cursors
    quarantine: Quarantine
    inbox: PeerInbox
    answers: Answers
    hints: Hints
    identity: OwnIdentity
    clock: Clock


class Ending(Struct, frozen=True):
    """Why a session ended. `fault`: the peer broke the protocol or vanished."""

    reason: str
    retry_s: int = 0
    fault: bool = False


class Session:
    """Implements `receiver.Reception`."""

    def __init__(
        self, *, desk: Desk, peer: Peer, socket: LinkSocket, channel: Channel, dialled: bool, url: str = ""
    ) -> None:
        self.desk = desk
        self.peer = peer
        self.dialled = dialled
        self.url = url
        self.address = socket.address
        self.opened = desk.clock.monotonic()
        self.used_at = self.opened
        self.link = Link(channel, self.opened)
        self.ready = asyncio.Event()  # hello went both ways, or the end
        self.ending: Ending | None = None
        self.skew_ms = 0
        self.known = False  # somebody here has to do with this peer; never false again
        self._whispers = 0  # of this second
        self.announced = False  # services were told that this peer is linked
        self._socket = socket
        self._asking = Allowance(burst=limits.LINK_QUESTIONS_BURST, per_s=limits.LINK_QUESTIONS_PER_S, now=self.opened)
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._serving: dict[asyncio.Task[None], None] = {}  # in order, so that a simulation repeats itself
        self._heard = Heard()  # as said in our hello
        self.sender = Sender(
            peer=peer,
            link=self.link,
            db=desk.db,
            outbox=desk.outbox,
            inbox=desk.inbox,
            flush=self.flush,
            buffered=lambda: socket.buffered,
        )
        self.receiver = Receiver(
            peer=peer,
            db=desk.db,
            cursors=desk.cursors,
            quarantine=desk.quarantine,
            inbox=desk.inbox,
            clock=desk.clock,
            reception=self,
            is_stranger=self.is_stranger,
        )
        self.greeted: Callable[[], None] = lambda: None  # called once hello went both ways
        self._renewing = False  # the numbering is made anew, so nothing that comes under the old one counts

    @property
    def dialler(self) -> NodeId:
        """Who dialled."""
        return self.desk.identity.nid if self.dialled else self.peer.nid

    @property
    def up(self) -> bool:
        """Hello went both ways and the link is not over."""
        return self.ready.is_set() and self.ending is None

    def is_stranger(self) -> bool:
        """Nobody here has to do with this peer."""
        if not self.known:
            row = self.desk.db.view(lambda tx: self.desk.peers.get(tx, self.peer.pk))
            self.known = row is not None and bool(row.known)
        return not self.known

    # --- life -------------------------------------------------------------------------------------------

    async def run(self) -> Ending:
        """Serves to the end and says what it was. Raises Rejected when the disk is in trouble before hello."""
        try:
            await self._say_hello()
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._read()
                self._finish(Ending("closed", fault=True))
                for task in list(self._serving):
                    task.cancel()
        except* Rejected:  # from the group, so in a group of its own: the disk takes nothing now
            self.end("read_only", limits.LINK_RETRY_S)
        finally:
            self._finish(Ending("cancelled"))
            self._socket.close(CLOSE_GOING)
            # a peer that reads nothing more may not keep the connection with its last words in it
            asyncio.get_running_loop().call_later(limits.LINGER_S, self._socket.abort)
        assert self.ending is not None
        return self.ending

    async def _say_hello(self) -> None:
        desk, pk = self.desk, self.peer.pk
        run = desk.db.view(lambda tx: desk.outbox.peek(tx, pk))
        if run is None:
            run = await desk.db.write(lambda tx: desk.outbox.run(tx, pk))
        heard = self._heard = desk.db.view(lambda tx: desk.cursors.heard(tx, pk))
        self.link.hello(
            s2s.Hello(
                run_out=run.run,
                run_in=heard.run or None,
                last_in=heard.last,
                now_ms=max(0, desk.clock.now_ms()),
                incarnation=self.peer.incarnation,
                credit=limits.LINK_CREDIT,
                caps=(s2s.MSGS,),
                address=self.address[:64],
            )
        )
        self.flush()

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(limits.HELLO_S):
                data = await self._socket.receive()
            count = 0
            while data is not None and self.ending is None:
                self._take(data)
                await self.receiver.ready()
                await self._drained()
                await self._paid()
                count += 1
                if not count % YIELD_EVERY or len(data) > YIELD_BYTES:
                    await asyncio.sleep(0)
                data = await self._socket.receive()
        except RemoteError as error:
            log.warning("A peer broke the protocol of links", reason=str(error))
            self._finish(Ending("protocol", fault=True))
            self._socket.close(CLOSE_BAD_FRAME)
        except (ConnectionError, TimeoutError):
            self._finish(Ending("lost", fault=True))
            self._socket.abort()
        except Exception as error:  # noqa: BLE001 - the boundary of one peer: its link ends, the node goes on
            log.error("A link failed", error)
            self.end("internal", limits.LINK_RETRY_S)

    async def _drained(self) -> None:
        """A peer that asks and does not read what it gets is not read any more, either."""
        while (  # noqa: ASYNC110 - a transport's buffer has no event to wait for
            self._socket.buffered > 4 * limits.SOCKET_BUFFER_BYTES_MAX and self.ending is None
        ):
            await asyncio.sleep(limits.CONGESTED_POLL_S)

    async def _paid(self) -> None:
        """Waits until the questions so far are paid for."""
        wait_s = self._asking.owe(0, self.desk.clock.monotonic())
        if wait_s and self.ending is None:
            await asyncio.sleep(wait_s)

    def end(self, reason: str, retry_s: int = 0) -> None:
        """Says why and closes."""
        if self.ending is None:
            self.link.goaway(reason, retry_s)
            self.flush()
            self._finish(Ending(reason, retry_s))
            self._socket.close(CLOSE_GOING, reason)

    def _finish(self, ending: Ending) -> None:
        if self.ending is not None:
            return
        self.ending = ending
        self.sender.stop()
        self.receiver.stop()
        self.ready.set()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(offline())
        self._answers.clear()

    def tick(self, now: float) -> None:
        """Once a second."""
        self._whispers = 0
        if self.ending is None and now >= self.link.timer():
            self.link.handle_timer(now)
            self._drain()
            self.flush()

    def probe(self) -> None:
        """The peer dials again: does this link still live?"""
        self.link.probe(self.desk.clock.monotonic())
        self.flush()

    def flush(self) -> None:
        """Writes what the link has to send."""
        for message in self.link.to_send():
            self._socket.send(message)

    # --- what arrives -----------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        if self._renewing:
            return
        self.link.receive(data, self.desk.clock.monotonic())
        self._drain()
        self.flush()

    def _drain(self) -> None:
        while (event := self.link.next_event()) is not None:
            self._handle(event)

    def _handle(self, event: machine.Event) -> None:
        match event:
            case machine.ItemReceived(msg):
                self._touch()
                self.receiver.take(msg)
            case machine.Acked(cum):
                self.sender.acked(cum)
            case machine.Nacked(seq, code):
                self.sender.nacked(seq, code)
            case machine.Whispered(topic, body):
                self._whispers += 1
                if self._whispers <= limits.LINK_WHISPERS_PER_S:
                    self.desk.inbox.whisper(self.peer, topic, body)
            case machine.Asked():
                self._touch()
                self._asked(event)
            case machine.Answered(number, code, body):
                self._answered(number, code, body)
            case machine.HelloReceived(hello):
                self._on_hello(hello)
            case machine.WentAway(reason, retry_s, proof):
                self._finish(Ending(reason, retry_s))
                if reason == "superseded":
                    self.desk.hints.superseded(self.peer, *s2s.decode_later(proof))
                self._socket.close(CLOSE_GOING)
            case machine.Dead():
                self._finish(Ending("silent", fault=True))
                self._socket.abort()
            case _:
                assert_never(event)

    def _touch(self) -> None:
        self.used_at = self.desk.clock.monotonic()

    def _on_hello(self, hello: s2s.Hello) -> None:
        desk, pk = self.desk, self.peer.pk
        run = desk.db.view(lambda tx: desk.outbox.peek(tx, pk))
        heard = self._heard
        assert run is not None
        send_after = self.sender.resume_after(hello, run)
        if send_after is None:
            self._renew_run()
            return
        now_ms = desk.clock.now_ms()
        if heard.last and heard.run != hello.run_out and 0 <= now_ms - heard.since_ms < limits.LINK_NEW_RUN_S * 1000:
            self.end("new_run", limits.LINK_NEW_RUN_S)
            return
        receive_after = self.receiver.resume_after(hello, heard)
        self.link.start(receive_after=receive_after, send_after=send_after)
        for seq, code in desk.db.view(lambda tx: desk.quarantine.of_run(tx, pk, hello.run_out, limits.LINK_CREDIT)):
            if seq <= receive_after:
                self.link.nack(seq, code)  # the link may have broken before the peer heard of it
        self.link.ack(receive_after)
        self.link.ping(desk.clock.monotonic())
        self.skew_ms = hello.now_ms - now_ms
        self.ready.set()
        desk.hints.heard(self.peer, hello, dialled=self.dialled)
        self.greeted()
        self.sender.wake()

    def _renew_run(self) -> None:
        """The peer has numbers that we never gave: we lost our database, or it lies. Number anew, on the next link."""

        def done(run: bytes | None, error: Exception | None) -> None:
            self.end("new_run", 1)

        self._renewing = True
        try:
            self.desk.db.submit(lambda tx: self.desk.outbox.renew(tx, self.peer.pk), done)
        except Rejected:
            self.end("read_only", limits.LINK_RETRY_S)

    # --- questions --------------------------------------------------------------------------------------

    def _asked(self, asked: machine.Asked) -> None:
        assert self._group is not None
        self._asking.owe(1 + len(asked.args) / QUESTION_BYTES, self.desk.clock.monotonic())
        task = self._group.create_task(self._answer(asked))
        self._serving[task] = None
        task.add_done_callback(lambda done: self._serving.pop(done, None))

    async def _answer(self, asked: machine.Asked) -> None:
        code, body = "", b""
        try:
            async with asyncio.timeout(limits.LINK_REQUEST_S):
                found = await self.desk.answers.serve(self.peer, self.address, asked.method, asked.args)
                body = await self.desk.inbox.serve(self.peer, asked.method, asked.args) if found is None else found
            if len(body) > limits.LINK_BODY_BYTES_MAX:
                code, body = Code.TOO_LARGE.value, b""
        except Rejected as error:
            code = error.code.value
        except RemoteError:
            code = Code.BAD_REQUEST.value
        except TimeoutError:
            code = Code.RATE_LIMITED.value
        except Exception as error:  # noqa: BLE001 - the boundary of one question: it is refused, the link goes on
            log.error("A question of a peer made this node fail", error)
            code = Code.INTERNAL.value
        self.link.reply(asked.id, code, body)
        self.flush()

    def _answered(self, number: int, code: str, body: bytes) -> None:
        future = self._answers.pop(number, None)
        if future is None or future.done():
            return
        if code:
            known = Code(code) if code in HTTP_STATUS else Code.BAD_REQUEST
            future.set_exception(Rejected(known, "The other node refuses this."))
        else:
            future.set_result(body)

    async def request(self, method: str, args: bytes) -> bytes:
        """The peer's answer. Raises Rejected: its code, or `peer_offline`, `rate_limited`."""
        if not self.up:
            raise offline()
        number = self.link.request(method, args, self.desk.clock.monotonic())
        if number is None:
            raise Rejected(Code.RATE_LIMITED, "Too many questions to this node are open.", retry_after_s=1)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        self._touch()
        self.flush()
        try:
            async with asyncio.timeout(limits.LINK_REQUEST_S):
                return await future
        except TimeoutError:
            raise offline() from None
        finally:
            self._answers.pop(number, None)
            self.link.give_up(number)

    def whisper(self, topic: str, body: bytes) -> bool:
        """Whether it was sent."""
        if (
            not self.up
            or self._socket.buffered > limits.SOCKET_BUFFER_BYTES_MAX
            or len(body) > limits.WHISPER_BYTES_MAX
        ):
            return False
        self.link.whisper(topic, body)
        self.flush()
        return True

    # --- receiver.Reception -----------------------------------------------------------------------------

    def stored(self, cum: int, refused: list[tuple[int, str]]) -> None:
        """Refusals before the acknowledgement that covers them."""
        for seq, code in refused:
            self.link.nack(seq, code)
        self.link.ack(cum)
        self.flush()

    def failed(self, reason: str) -> None:
        """The receiver cannot go on."""
        self.end(reason, limits.LINK_RETRY_S)


def offline() -> Rejected:
    """Nobody answers."""
    return Rejected(Code.PEER_OFFLINE, "There is no link to this node now.")
