"""A device of the simulation: frames over a hand-made WebSocket, a store that survives, and no tolerance.

It keeps exactly what the protocol tells a device to keep (cursor, outbox, entries) and complains at once about what a
device must never see: an entry twice, a cursor that goes back, an answer to nothing. The WebSocket is RFC 6455 with a
mask of zeros, so that its bytes are the same in every run.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from contextlib import suppress
from random import Random
from typing import Any

from node.base.errors import Code
from node.base.ids import DeviceId, UserId
from node.core.content import Body, decode_body, encode_body
from node.wire import c2s
from node.wire.envelope import decode_event
from tests.sim.net import Address, Network, Pipe
from tests.unit.core.chronicle import KIND_OF

PING_S = 25.0
ANSWER_S = 40.0  # nothing heard this long: the connection is dead
GIVEN_UP = "undeliverable"  # the hub may have it all the same, and refuse it
TRANSIENT = frozenset({"rate_limited", "read_only", "upgrading"})


class Wish:
    """A post from the moment somebody wanted it; `fate` is an acknowledgement or a refusal."""

    def __init__(self, number: int, room: bytes, client_id: bytes, body: Body, guests: tuple[str, ...]) -> None:
        self.number, self.room, self.client_id, self.body, self.guests = number, room, client_id, body, guests
        self.kind = KIND_OF[type(body)]
        self.posted: c2s.PostedItem | None = None
        self.refused = ""


class Socket(asyncio.Protocol):
    """The client's side of one WebSocket connection."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._buffer = bytearray()
        self._open = False
        self.frames: deque[bytes] = deque()
        self.news = asyncio.Event()
        self.over = False
        self.pipe: Pipe | None = None

    def connection_made(self, transport: Any) -> None:
        """Asks for the upgrade."""
        self.pipe = transport
        transport.write(
            b"GET /c2s HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: startalk.c2s.1\r\n"
            b"Authorization: Bearer " + self._token.encode() + b"\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        """Takes frames apart."""
        self._buffer += data
        if not self._open:
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.hang_up()
                return
            self._open, self._buffer = True, bytearray(rest)
        while self._take():
            pass
        self.news.set()

    def _take(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        size, start = buffer[1] & 0x7F, 2
        if size == 126:
            start = 4
        elif size == 127:
            start = 10
        if len(buffer) < start:
            return False
        if start > 2:
            size = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + size:
            return False
        if buffer[0] & 0x0F == 2:
            self.frames.append(bytes(buffer[start : start + size]))
        elif buffer[0] & 0x0F == 8:
            self.over = True
        del buffer[: start + size]
        return True

    def send(self, payload: bytes) -> None:
        """One binary frame, masked with zeros."""
        size = len(payload)
        head = struct.pack("!BB", 0x82, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x82, 0xFE, size)
        if self.pipe is not None and not self.pipe.is_closing():
            self.pipe.write(head + bytes(4) + payload)

    def hang_up(self) -> None:
        """Ends the connection from this side."""
        self.over = True
        self.news.set()
        if self.pipe is not None:
            self.pipe.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The end."""
        self.over = True
        self.news.set()


class Device:
    """One device of one user."""

    def __init__(
        self, *, network: Network, node: Address, user: UserId, device: DeviceId, token: str, number: int
    ) -> None:
        self.user, self.device, self.number = user, device, number
        self.name = f"{user.partition('@')[0]}-{number}"
        self.network, self._node, self._token = network, node, token
        self.random = Random(f"device {network.seed} {number}")
        # what is stored
        self.cursor: int | None = None
        self.first_head: int | None = None  # entries after this must all arrive
        self.live: dict[tuple[bytes, int], c2s.Entry] = {}  # as delivered
        self.seen: dict[tuple[bytes, int], bytes] = {}  # event ids, live or from history
        self.known: set[bytes] = set()  # the same ids
        self.cards: dict[bytes, c2s.Card] = {}
        self.outbox: deque[Wish] = deque()
        self.wishes: list[Wish] = []
        self.waiting: dict[bytes, c2s.WaitingItem] = {}  # posts that wait for other nodes or were refused there
        # what is not
        self.socket: Socket | None = None
        self.ready = False
        self.complaints: list[str] = []
        self.pages: dict[int, asyncio.Future[c2s.Page]] = {}
        self.ack_delay_s = 0.0
        self.trace: list[tuple[float, str, bytes]] = []
        self._n = 0
        self._acked = -1

    # --- what its person does ---------------------------------------------------------------------------

    def wish(self, room: bytes, body: Body, guests: tuple[str, ...] = ()) -> Wish:
        """Something to post: kept until the node has answered, sent again after each reconnect."""
        made = Wish(len(self.wishes), room, self.random.randbytes(16), body, guests)
        self.wishes.append(made)
        self.outbox.append(made)
        if self.ready:
            self._send_wish(made)
        return made

    def read(self, room: bytes, idx: int) -> None:
        """The person has read up to `idx`."""
        if self.ready:
            self._send(c2s.Read(self._next(), room, idx))

    async def history(self, room: bytes, idx: int, *, back: bool = True) -> c2s.Page:
        """A page of a room. Raises ConnectionError when the connection ends first."""
        n = self._next()
        future: asyncio.Future[c2s.Page] = asyncio.get_running_loop().create_future()
        self.pages[n] = future
        self._send(c2s.History(n, room, idx, back, 7))
        return await future

    # --- its life ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connects again and again, for ever."""
        while True:
            with suppress(ConnectionError):
                await self._session()
            self.ready, self.socket = False, None
            for future in self.pages.values():
                if not future.done():
                    future.set_exception(ConnectionResetError("page lost"))
            self.pages.clear()
            await asyncio.sleep(self.random.uniform(0.05, 2.0))

    async def _session(self) -> None:
        self.socket = socket = Socket(self._token)
        self._acked = -1
        self.network.connect(socket, (f"10.0.0.{self.number}", 40000), self._node)
        heard = pinged = asyncio.get_running_loop().time()
        self._send(c2s.Hello(c2s.VERSION, self.cursor, "sim"))
        try:
            while not socket.over or socket.frames:
                socket.news.clear()
                while socket.frames:
                    self._receive(socket.frames.popleft())
                    heard = asyncio.get_running_loop().time()
                if socket.over:
                    return
                await self._pause(socket)
                now = asyncio.get_running_loop().time()
                if now - heard > ANSWER_S:
                    return
                if now - pinged > PING_S:
                    pinged = now
                    self._send(c2s.Ping(1))
        finally:
            socket.hang_up()

    async def _pause(self, socket: Socket) -> None:
        """Until there is news, or it is time to acknowledge or ping."""
        try:
            async with asyncio.timeout(self.ack_delay_s or 5.0):
                await socket.news.wait()
        except TimeoutError:
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self.ready and self.cursor is not None and self.cursor > self._acked:
            self._acked = self.cursor
            self._send(c2s.Ack(self.cursor))

    # --- frames -----------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._n += 1
        return self._n

    def _send(self, frame: c2s.Frame) -> None:
        if self.socket is not None:
            self.socket.send(c2s.encode_frame(frame))

    def _send_wish(self, wish: Wish) -> None:
        self._send(
            c2s.Post(1_000_000 + wish.number, wish.room, wish.client_id, wish.kind, encode_body(wish.body), wish.guests)
        )

    def _complain(self, text: str) -> None:
        self.complaints.append(f"{self.name}: {text}")

    def _receive(self, data: bytes) -> None:
        self.trace.append((asyncio.get_running_loop().time(), self.name, data))
        frame = c2s.decode_node_frame(data)
        match frame:
            case c2s.Welcome():
                self._welcome(frame)
            case c2s.Rooms():
                self.cards |= {card.room: card for card in frame.rooms}
                if not frame.more:
                    self._greeted()
            case c2s.RoomChanged():
                self.cards[frame.card.room] = frame.card
            case c2s.Entries():
                self._entries([c2s.decode_entry(bytes(raw)) for raw in frame.entries])
            case c2s.Receipts():
                self._move(frame.seq)
            case _:
                self._answer(frame)

    def _answer(self, frame: c2s.NodeFrame) -> None:
        match frame:
            case c2s.Posted():
                for item in frame.items:
                    self._posted(item)
            case c2s.Refused():
                self._refused(frame)
            case c2s.Page():
                self._paged(frame)
            case c2s.Waiting():
                self._wait(frame)
            case c2s.Error() if frame.code not in {"slow_reader", "upgrading", "conflict"}:
                self._complain(f"closed with {frame.code}: {frame.text}")
            case _:
                pass

    def _wait(self, frame: c2s.Waiting) -> None:
        for item in frame.items:
            if item.gone:
                self.waiting.pop(item.event_id, None)
            elif item.event_id in self.known:
                self._complain(f"a post waits ({item.code or 'no code'}) although its entry is here")
            else:
                before = self.waiting.get(item.event_id)
                if before is not None and before.code not in {"", GIVEN_UP, item.code}:
                    self._complain(f"a post that was refused with {before.code} is now {item.code or 'waiting'}")
                self.waiting[item.event_id] = item

    def _paged(self, frame: c2s.Page) -> None:
        future = self.pages.pop(frame.n, None)
        if future is None:
            self._complain("a page nobody asked for")
        elif not future.done():
            future.set_result(frame)

    def _welcome(self, frame: c2s.Welcome) -> None:
        self.waiting.clear()  # what waits now follows
        if self.cursor is None:
            self.cursor = self.first_head = frame.head
            if frame.resumed:
                self._complain("resumed without a cursor")
        elif not frame.resumed:
            self._complain(f"the node does not know cursor {self.cursor}, its head is {frame.head}")

    def _greeted(self) -> None:
        self.ready = True
        self._acknowledge()
        for wish in self.outbox:
            self._send_wish(wish)

    def _entries(self, entries: list[c2s.Entry]) -> None:
        for entry in entries:
            if self.cursor is None or entry.seq <= self.cursor:
                self._complain(f"entry {entry.seq} came although the cursor is {self.cursor}")
            self._move(entry.seq)
            self.live[entry.room, entry.idx] = entry
            self._see(entry)
        if not self.ack_delay_s:
            self._acknowledge()

    def _move(self, seq: int) -> None:
        self.cursor = seq if self.cursor is None else max(self.cursor, seq)

    def _see(self, entry: c2s.Entry) -> None:
        key = entry.room, entry.idx
        self.known.add(entry.event_id)
        was = self.waiting.pop(entry.event_id, None)
        given_up = "", Code.UNDELIVERABLE  # by this node, not by the hub, which may have it
        if was is not None and was.code not in given_up:
            self._complain(f"an entry came although it was refused with {was.code}")
        if self.seen.setdefault(key, entry.event_id) != entry.event_id:
            self._complain(f"two entries at idx {entry.idx}")

    def see_page(self, page: c2s.Page) -> list[int]:
        """Remembers a page of history; its idxs."""
        entries = [c2s.decode_entry(bytes(raw)) for raw in page.entries]
        for entry in entries:
            self._see(entry)
        return [entry.idx for entry in entries]

    def _posted(self, item: c2s.PostedItem) -> None:
        wish = self.wishes[item.n - 1_000_000]
        if wish.refused:
            self._complain("a refused post was accepted later")
        before = wish.posted
        signed_again = before is not None and not before.seq and not item.seq  # with a new key, while it waits
        if (
            before is not None
            and not signed_again
            and (before.event_id, before.seq or item.seq) != (item.event_id, item.seq)
        ):
            self._complain("one post has two results")
        wish.posted = item
        if wish in self.outbox:
            self.outbox.remove(wish)

    def _refused(self, frame: c2s.Refused) -> None:
        if frame.code == "internal":
            self._complain(f"the node made a mistake: {frame.text}")
        future = self.pages.pop(frame.n, None)
        if future is not None and not future.done():
            future.set_exception(ConnectionAbortedError(frame.code))
        if frame.n < 1_000_000:
            return
        wish = self.wishes[frame.n - 1_000_000]
        if frame.code in TRANSIENT:
            if self.socket is not None:
                self.socket.hang_up()  # come back and send everything again, in order
            return
        if wish.posted is not None:
            self._complain("an accepted post was refused later")
        wish.refused = frame.code
        if wish in self.outbox:
            self.outbox.remove(wish)

    @property
    def settled(self) -> bool:
        """Whether it has a line to its node that works, and nothing to say."""
        pipe = None if self.socket is None else self.socket.pipe
        return self.ready and not self.outbox and pipe is not None and not pipe.is_closing() and not pipe.lost

    # --- what it knows ----------------------------------------------------------------------------------

    def rooms(self, state: str) -> list[bytes]:
        """Rooms where its user is ``member``, ``invited`` or ``left``, as far as it knows."""
        return sorted(room for room, card in self.cards.items() if card.state == state)

    def messages(self, room: bytes) -> list[c2s.Entry]:
        """Texts of a room that came live."""
        found = [entry for (where, _), entry in self.live.items() if where == room]
        return [entry for entry in found if decode_event(entry.event).kind == "text"]


def body_of(entry: c2s.Entry) -> Body | None:
    """The body, unless it was erased."""
    return None if entry.body is None else decode_body(decode_event(entry.event).kind, entry.body)
