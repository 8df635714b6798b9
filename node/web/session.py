"""A session of the device socket: adapter between frames and the services. The protocol is node/wire/c2s.py, the door socket.py.

A session is *live* (it gets chunks from the feed as they are committed) or *behind* (it reads pages from its cursor until it
has reached the head). It falls behind when its window of unacknowledged entries or its socket buffer is full; acknowledging
brings it back. Nothing is ever queued for a slow reader: the log is the queue. A reader that stays paused for
`SLOW_READER_S` is told `slow_reader` and disconnected.

A session owns no task and no timer: its reader and the ticker of all sessions belong to the door.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Final

from msgspec import Raw, Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import ClientId, NodeId, RoomId
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.runtime.metrics import Metrics
from node.runtime.net import FrameSocket, ws_frame
from node.services.access import RoomAccess, access_room
from node.services.actor import Actor
from node.services.budget import Budget
from node.services.calls import Calls
from node.services.feed import Chunk, Feed
from node.services.post import Post
from node.services.posting import Posting
from node.services.presence import Presence
from node.services.receipts import Receipts
from node.services.settings import Settings
from node.services.sync import Delivered, Sync, gone, to_mark
from node.storage.database import Database, Tx
from node.storage.devices import DeviceStore
from node.storage.log import Appended
from node.storage.rooms import Rooms
from node.web.calls import CallFrames
from node.wire import c2s, calling

PROGRAM: Final = "startalk-node"
SIGNALS: Final = (c2s.TypingSignal, c2s.PresenceSignal, calling.CallSpeakers, calling.CallQuality)
_DEVICES: Final = DeviceStore()
log = Log("session")


class Desk(Struct, frozen=True, kw_only=True):
    """The services a session talks to."""

    db: Database
    rooms: Rooms
    feed: Feed
    sync: Sync
    posting: Posting
    requests: Budget
    calls: Calls
    call_frames: Budget
    receipts: Receipts
    presence: Presence
    clock: Clock
    metrics: Metrics
    node: NodeId
    settings: Settings


class _Sent(Struct, frozen=True):
    """A frame of entries that waits for its acknowledgement."""

    seq: int
    entries: int
    delivered: tuple[Delivered, ...]


class DeviceSession:
    """One open socket of one device. Implements `services.feed.Subscriber`."""

    __slots__ = (
        "_acks", "_acks_armed", "_behind_since", "_calls", "_cursor", "_ended_at", "_heard_at", "_in_flight", "_live", "_rooms", "_sent",
        "_signals", "_snapshot_at", "_socket", "_unacked", "actor", "desk", "ended", "ready",
    )  # fmt: skip

    def __init__(self, *, desk: Desk, actor: Actor, socket: FrameSocket) -> None:
        self.desk = desk
        self.actor = actor
        self.ready = False  # hello was answered
        self.ended = False
        self._socket = socket
        self._rooms: dict[RoomId, int] = {}
        self._live = False
        self._cursor = 0  # everything up to here was sent
        self._sent: deque[_Sent] = deque()
        self._unacked = 0
        self._snapshot_at: int | None = None
        self._acks: list[c2s.PostedItem] = []
        self._acks_armed = False
        self._in_flight = 0
        self._signals = 0
        self._heard_at = desk.clock.monotonic()
        self._behind_since: float | None = None
        self._ended_at = 0.0
        self._calls = CallFrames(calls=desk.calls, socket=self, budget=desk.call_frames)

    # --- life -------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """One message from the device. Raises Rejected when the socket must be closed for it."""
        self._heard_at = self.desk.clock.monotonic()
        frame = c2s.decode_client_frame(data)
        if not self.ready:
            self._hello(frame)
            return
        match frame:
            case c2s.Post():
                self._post(frame)
            case c2s.Ack():
                self._ack(frame)
            case c2s.Ping():
                self.send(c2s.Pong(frame.t))
            case c2s.History():
                self._request(frame.n, partial(self._history, frame))
            case c2s.Read():
                self._request(frame.n, partial(self._read, frame))
            case c2s.Typing() | c2s.Presence():
                self._signal(frame)
            case c2s.Hello():
                raise Rejected(Code.BAD_REQUEST, "Hello is said once.")
            case _:
                self._calls.receive(frame)

    def _hello(self, frame: c2s.ClientFrame) -> None:
        if not isinstance(frame, c2s.Hello):
            raise Rejected(Code.BAD_REQUEST, "The first frame must be hello.")
        if frame.version != c2s.VERSION:
            raise Rejected(Code.UNSUPPORTED, f"This node speaks version {c2s.VERSION}.", limit=c2s.VERSION)
        desk = self.desk
        self._socket.hold()
        desk.db.view(
            lambda tx: self._greet(tx, frame.cursor)
        )  # one snapshot, or the cards would be newer than their head
        self.ready = True
        first = desk.feed.attach(self, self._rooms.values())
        desk.presence.came(self, self._rooms.values(), first=first)
        desk.metrics.sockets_opened.inc()
        self._advance()
        self._calls.came(self._rooms.values())
        self._socket.release()

    def _greet(self, tx: Tx, cursor: int | None) -> None:
        if not _DEVICES.is_alive(tx, self.actor.device_pk):
            # Signed out between the upgrade and hello, when the feed did not know this socket yet.
            raise Rejected(Code.NOT_SIGNED_IN, "This device was signed out.")
        sync = self.desk.sync
        head = sync.head()
        resumed = cursor is not None and cursor <= head
        self._cursor = cursor if cursor is not None and resumed else head
        self._snapshot_at = None if resumed else head
        self._welcome(head, resumed=resumed)
        for rooms in sync.snapshot(self.actor, self._cursor if resumed else None, head):
            self.send(rooms)
        waiting = sync.waiting(self.actor)
        if waiting.items:
            self.send(waiting)
        self._rooms = {room: pk for pk, room in sync.rooms_of(self.actor)}

    def _welcome(self, head: int, *, resumed: bool) -> None:
        self.send(
            c2s.Welcome(
                version=c2s.VERSION,
                node=self.desk.node,
                domain=self.desk.settings.domain,
                user=self.actor.user,
                device=self.actor.device,
                head=head,
                resumed=resumed,
                window=limits.WINDOW_ENTRIES,
                heartbeat_s=limits.HEARTBEAT_S,
                now_ms=self.desk.clock.now_ms(),
                program=PROGRAM,
            )
        )

    def closed(self) -> None:
        """The connection is over."""
        self.ended = True
        if self.ready:
            self._calls.went()
            last = self.desk.feed.detach(self, self._rooms.values())
            self.desk.presence.went(self, self._rooms.values(), last=last)

    def end(self, code: str, text: str) -> None:
        """Says why and closes."""
        if self.ended:
            return
        self.ended = True
        self._ended_at = self.desk.clock.monotonic()
        self.desk.metrics.sockets_closed.inc(of=code)
        close = {Code.NOT_SIGNED_IN: c2s.CLOSE_SIGNED_OUT, Code.SLOW_READER: c2s.CLOSE_TOO_SLOW, Code.UPGRADING: c2s.CLOSE_RESTARTING,
                 Code.TOO_LARGE: c2s.CLOSE_TOO_LARGE, Code.UNSUPPORTED: c2s.CLOSE_VERSION, Code.INTERNAL: c2s.CLOSE_INTERNAL,
                 Code.CONFLICT: c2s.CLOSE_REPLACED}.get(Code(code), c2s.CLOSE_BAD_FRAME)  # fmt: skip
        retry_ms = -1 if code == Code.NOT_SIGNED_IN else 1000 if code == Code.UPGRADING else 0
        self._socket.send(c2s.encode_frame(c2s.Error(code, text, retry_ms)))
        self._socket.close(close, code)

    def tick(self, now: float) -> None:
        """Once a second: heartbeat, slow readers, sockets that drained without acknowledging."""
        self._signals = 0
        if self.ended:
            if now - self._ended_at > limits.LINGER_S:
                self._socket.abort()
        elif now - self._heard_at > (limits.IDLE_S if self.ready else limits.HELLO_S):
            self._socket.abort()
        elif self._behind_since is not None and now - self._behind_since > limits.SLOW_READER_S:
            self.end(Code.SLOW_READER, "This device read too slowly and was disconnected; connect again to go on.")
        elif self.ready and not self._live:
            self._advance()

    @property
    def congested(self) -> bool:
        """Whether reading further requests must wait."""
        return (
            self._in_flight >= limits.REQUESTS_IN_FLIGHT_MAX or self._socket.buffered > limits.SOCKET_BUFFER_BYTES_MAX
        )

    # --- entries to the device --------------------------------------------------------------------------

    def deliver(self, chunks: list[Chunk]) -> None:
        """Entries just committed."""
        if not self._live:
            return
        if not self._has_room():
            self._pause()
            return
        if sum(chunk.size_bytes for chunk in chunks) > limits.ENTRIES_FRAME_BYTES_MAX:
            self.catch_up()  # too much for one frame: pages are bounded and look at the buffer in between
            return
        if len(chunks) == 1 and chunks[0].first_seq > self._cursor:
            chunk = chunks[0]
            self._write(chunk.frame(ws_frame))
            entries = len(chunk.raws)
        else:
            fresh = sorted(
                (seq, raw) for c in chunks for seq, raw in zip(c.seqs, c.raws, strict=True) if seq > self._cursor
            )
            if not fresh:
                return
            self._write(ws_frame(c2s.encode_frame(c2s.Entries(tuple(raw for _, raw in fresh)))))
            entries = len(fresh)
        self._cursor = max(chunk.last_seq for chunk in chunks)
        self._note(self._cursor, entries, tuple(Delivered(c.room_pk, c.last_idx, c.receipts) for c in chunks))

    def catch_up(self) -> None:
        """Read the log instead of the live chunks."""
        self._live = False
        asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """Pages from the cursor while there is room; live at the end."""
        while not self._live and not self.ended:
            if not self._has_room():
                self._pause()
                return
            page = self.desk.sync.page(self.actor, self._cursor, limits.SYNC_PAGE_ENTRIES)
            if page.people:
                self.send(c2s.People(page.people))
            # Receipts first, and without moving the cursor over entries: a device cut off in between loses neither
            if page.receipts:
                self.send(c2s.Receipts(self._cursor if page.entries else page.end, page.receipts))
            if page.entries:
                self._socket.send(c2s.encode_frame(c2s.Entries(page.entries)))
                self._note(page.last_seq, len(page.entries), page.delivered)
            self._cursor = page.end
            self._live = page.complete
        self._behind_since = None

    def _note(self, seq: int, entries: int, delivered: tuple[Delivered, ...]) -> None:
        self.desk.metrics.deliveries.inc(entries)
        self._sent.append(_Sent(seq, entries, delivered))
        self._unacked += entries

    def _has_room(self) -> bool:
        return self._unacked < limits.WINDOW_ENTRIES and self._socket.buffered < limits.SOCKET_BUFFER_BYTES_MAX

    def _pause(self) -> None:
        self._live = False
        if self._behind_since is None:
            self._behind_since = self.desk.clock.monotonic()

    def _ack(self, frame: c2s.Ack) -> None:
        if frame.seq > self._cursor:
            raise Rejected(Code.BAD_REQUEST, "This acknowledges more than was sent.", field="seq", limit=self._cursor)
        receipts, sent = self.desk.receipts, self._sent
        reached: dict[int, int] = {}
        if sent and sent[0].seq <= frame.seq:
            self._behind_since = None
        while sent and sent[0].seq <= frame.seq:
            done = sent.popleft()
            self._unacked -= done.entries
            for part in done.delivered:
                if part.receipts:
                    reached[part.room_pk] = part.idx
        if self._snapshot_at is not None and frame.seq >= self._snapshot_at:
            self._snapshot_at = None
            reached = self._snapshot_delivered() | reached
        for room_pk, idx in reached.items():
            receipts.delivered(self.actor, room_pk, idx)
        receipts.cursor(self.actor.device_pk, frame.seq)
        if not self._live:
            self._advance()

    def _snapshot_delivered(self) -> dict[int, int]:
        """What a new device got with its snapshot: the head of each small room."""
        rooms = self.desk.rooms
        rows = self.desk.db.view(lambda tx: [rooms.peek_pk(tx, pk) for pk in self._rooms.values()])
        return {row.pk: row.head.idx for row in rows if len(row.state.members) <= limits.RECEIPT_MEMBERS_MAX}

    # --- other frames to the device ---------------------------------------------------------------------

    def card(self, room: RoomId) -> None:
        """The card of this room, anew; also follows joining and leaving."""
        card = self.desk.sync.card(self.actor, room)
        if card is None:
            self._rooms.pop(room, None)
            self.send(c2s.RoomChanged(gone(room)))
            return
        if card.state == "member":
            row = self.desk.db.view(lambda tx: self.desk.rooms.peek(tx, room))
            assert row is not None, "its card was just made"
            self._rooms[room] = row.pk
        else:
            self._rooms.pop(room, None)
        self.send(c2s.RoomChanged(card, self.desk.sync.people_of([card])))

    def send(self, frame: c2s.Frame) -> None:
        """A small frame; a signal is dropped when the socket is full."""
        signal = isinstance(frame, SIGNALS)
        if not (signal and self._socket.buffered > limits.SOCKET_BUFFER_BYTES_MAX):
            self._write(ws_frame(c2s.encode_frame(frame)))

    def _write(self, framed: bytes) -> None:
        """One message, and with it the answers to posts that wait: what a post leads to comes in the same turn, and a write is dear."""
        self._socket.send_framed(framed + self._posted_frame() if self._acks else framed)

    def nodes(self, room: RoomId) -> None:
        """How far the nodes of a room have it; dropped when the socket is full, the card says it again."""
        frame = self.desk.sync.nodes(room)
        if frame is not None and self._socket.buffered <= limits.SOCKET_BUFFER_BYTES_MAX:
            self.send(frame)

    def receipts(self, frame: c2s.Receipts) -> None:
        """Marks that moved; a session that is behind reads them with its next page."""
        if self._live:
            self._cursor = max(self._cursor, frame.seq)
            self.send(frame)

    # --- requests of the device -------------------------------------------------------------------------

    def _post(self, frame: c2s.Post) -> None:
        self._in_flight += 1
        post = Post(frame.room, ClientId(frame.client_id), frame.kind, frame.body, frame.guests, frame.token, frame.hub)
        self.desk.posting.submit(self.actor, post, partial(self._posted, frame.n))

    def _posted(self, n: int, entry: Appended | None, error: Exception | None) -> None:
        self._in_flight -= 1
        if error is not None or entry is None:
            self.refuse(n, error)
            return
        self._acks.append(c2s.PostedItem(n, entry.room, entry.idx, entry.seq, entry.event_id, entry.at_ms))
        if not self._acks_armed:
            self._acks_armed = True
            asyncio.get_running_loop().call_soon(self._send_acks)

    def _send_acks(self) -> None:
        self._acks_armed = False
        if self._acks:
            self._socket.send_framed(self._posted_frame())

    def _posted_frame(self) -> bytes:
        items, self._acks = self._acks, []
        return ws_frame(c2s.encode_frame(c2s.Posted(tuple(items))))

    def _request(self, n: int, handle: partial[None]) -> None:
        try:
            self.desk.requests.spend(self.actor.device_pk)
            handle()
        except Rejected as error:
            self.refuse(n, error)

    def awaited(self, *, more: int) -> None:
        """So many requests more (or less) wait for an answer."""
        self._in_flight += more

    def refuse(self, n: int, error: Exception | None) -> None:
        """Answers a request with a refusal; anything but `Rejected` is a fault of ours."""
        if isinstance(error, Rejected):
            self.send(c2s.Refused(n, error.code, error.text, error.detail))
        else:
            self.desk.metrics.internal_errors.inc()
            log.error("A request failed", error)
            self.send(c2s.Refused(n, Code.INTERNAL, "The node made a mistake; try again, and tell its admin.", {}))

    def _access(self, room: bytes) -> RoomAccess:
        return self.desk.db.view(lambda tx: access_room(tx, self.desk.rooms, self.actor, RoomId(room)))

    def _history(self, frame: c2s.History) -> None:
        access = self._access(frame.room)
        page = self.desk.sync.history(access, frame.idx, frame.limit, back=frame.back)
        marks = tuple(to_mark(mark) for mark in page.marks)
        entries: tuple[Raw, ...] = page.entries
        self.send(c2s.Page(frame.n, frame.room, entries, marks, page.people, page.more))

    def _read(self, frame: c2s.Read) -> None:
        access = self._access(frame.room)
        if not access.present:
            raise Rejected(Code.NOT_MEMBER, "You are not a member of this chat.")
        self._in_flight += 1

        def done(error: Exception | None) -> None:
            self._in_flight -= 1
            if error is None:
                self.send(c2s.Done(frame.n))
            else:
                self.refuse(frame.n, error)

        self.desk.receipts.read(access, frame.idx, done)

    def _signal(self, frame: c2s.Typing | c2s.Presence) -> None:
        self._signals += 1
        if self._signals > limits.SIGNALS_PER_S:
            return
        if isinstance(frame, c2s.Presence):
            self.desk.presence.say(self, self._rooms.values(), frame.state)
            return
        pk = self._rooms.get(RoomId(frame.room))
        if pk is not None:
            self.desk.presence.typing(self, pk, frame)
