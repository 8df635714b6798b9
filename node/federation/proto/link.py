"""An open link as a machine: frames in and out, numbering, credit, heartbeat, questions and answers, change of keys.

It knows nothing of sockets and files. Hand it each WebSocket message (`receive`), send what `to_send` gives, take what happened from
`next_event`, and call `handle_timer` when `timer` has come. The order of use: `hello`, then a `HelloReceived` event, then `start` with
the two places from which the numbers go on; only then may items pass.

Numbers rise by one from item to item; only an empty item of class 0 may skip some. More items than the credit granted, an
acknowledgement of what was never sent, a second hello: each is a broken protocol (RemoteError), and the link must be closed.

Items that are sent before anybody asks for `to_send` leave in one frame, if the peer understands that: sealing, framing and reading
cost more than what is in an item. An item alone, and an item for an older peer, leaves as it is.

Both directions are independent. `unacknowledged` counts what was sent and is not yet known to be on the peer's disk.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, RemoteError
from node.federation.proto.handshake import Channel
from node.wire import s2s

NOTHING_YET: Final = -1


class HelloReceived(Struct, frozen=True):
    """The first frame of the peer."""

    hello: s2s.Hello


class ItemReceived(Struct, frozen=True):
    """A numbered item; it may be void."""

    msg: s2s.Msg


class Acked(Struct, frozen=True):
    """The peer has everything up to `cum` on disk, or grants more credit."""

    cum: int


class Nacked(Struct, frozen=True):
    """The peer refused item `seq`."""

    seq: int
    code: str


class Whispered(Struct, frozen=True):
    """Something unstored."""

    topic: str
    body: bytes


class Asked(Struct, frozen=True):
    """A question; answer it with `reply`."""

    id: int
    method: str
    args: bytes


class Answered(Struct, frozen=True):
    """The answer to our question `id`."""

    id: int
    code: str
    body: bytes


class WentAway(Struct, frozen=True):
    """The peer closes the link."""

    reason: str
    retry_s: int
    proof: bytes


class Dead(Struct, frozen=True):
    """The peer is silent: drop the connection."""


Event = HelloReceived | ItemReceived | Acked | Nacked | Whispered | Asked | Answered | WentAway | Dead


class Link:
    """One side of an open link. `now` is in monotonic seconds."""

    def __init__(self, channel: Channel, now: float, *, rekey_records: int = limits.LINK_REKEY_RECORDS) -> None:
        self._channel = channel
        self._rekey_records = rekey_records
        self._out: list[bytes] = []
        self._events: deque[Event] = deque()
        self._said_hello = False
        self._heard_hello = False
        self._started = False
        self._ended = False
        # what we send
        self.sent = 0
        self.acked = 0
        self._in_flight: deque[int] = deque()
        self._credit = 0
        self._gathers = False  # the peer takes several items in one frame
        self._gathered: list[s2s.Msg] = []
        self._gathered_bytes = 0
        # what we get
        self.received = 0
        self._unacked: deque[int] = deque()
        # questions
        self._next_id = 1
        self._asked: dict[int, float] = {}
        self._to_answer: set[int] = set()
        # heartbeat
        self._heard_at = now
        self._pings = 0
        self._ping_n = 0
        self._ping_at = 0.0
        self._probe_until: float | None = None
        self.rtt_s: float | None = None

    # --- bytes ------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """One WebSocket message. Raises RemoteError: close the link."""
        self.receive_frame(self._channel.open(data), now)

    def receive_frame(self, plain: bytes, now: float) -> None:
        """One frame, decrypted. Raises RemoteError."""
        frame = s2s.decode_frame(plain)
        self._heard_at, self._pings, self._probe_until = now, 0, None
        if self._heard_hello == isinstance(frame, s2s.Hello) and not isinstance(frame, s2s.Goaway):
            raise RemoteError("hello comes first, and once")
        match frame:
            case s2s.Hello():
                self._heard_hello = True
                self._credit = min(frame.credit, limits.LINK_CREDIT)
                self._gathers = s2s.MSGS in frame.caps
                self._events.append(HelloReceived(frame))
            case s2s.Msg():
                self._on_msg(frame)
            case s2s.Msgs():
                for msg in frame.msgs:
                    self._on_msg(msg)
            case s2s.Ack():
                self._on_ack(frame)
            case s2s.Nack():
                if frame.seq > self.sent:
                    raise RemoteError("this refuses what was never sent")
                self._events.append(Nacked(frame.seq, frame.code))
            case s2s.Ping():
                self._send(s2s.Pong(frame.n))
            case s2s.Pong():
                if frame.n == self._ping_n:
                    self.rtt_s = now - self._ping_at
            case _:
                self._on_other(frame)

    def _on_other(self, frame: s2s.AnyFrame) -> None:
        match frame:
            case s2s.Whisper():
                self._events.append(Whispered(frame.topic, frame.body))
            case s2s.Request():
                self._on_request(frame)
            case s2s.Reply():
                if self._asked.pop(frame.id, None) is not None:
                    self._events.append(Answered(frame.id, frame.code, frame.body))
            case s2s.Goaway():
                self._events.append(WentAway(frame.reason, frame.retry_s, frame.proof))
            case s2s.Rekey():
                self._channel.rekey_in()

    def _on_msg(self, frame: s2s.Msg) -> None:
        if not self._started:
            raise RemoteError("an item came before the numbering was agreed")
        if frame.seq <= self.received or (frame.seq != self.received + 1 and not frame.is_void):
            raise RemoteError("the numbers of items rise by one")
        if len(self._unacked) >= limits.LINK_CREDIT:
            raise RemoteError("more items are under way than the credit allows")
        self.received = frame.seq
        self._unacked.append(frame.seq)
        self._events.append(ItemReceived(frame))

    def _on_ack(self, frame: s2s.Ack) -> None:
        if frame.cum > self.sent:
            raise RemoteError("this acknowledges what was never sent")
        while self._in_flight and self._in_flight[0] <= frame.cum:
            self._in_flight.popleft()
        self.acked = max(self.acked, frame.cum)
        self._credit = min(frame.credit, limits.LINK_CREDIT)
        self._events.append(Acked(self.acked))

    def _on_request(self, frame: s2s.Request) -> None:
        if frame.id in self._to_answer:
            raise RemoteError("this question has a number that waits for its answer")
        if len(self._to_answer) >= limits.LINK_REQUESTS_MAX:
            self._send(s2s.Reply(frame.id, Code.RATE_LIMITED, b""))
            return
        self._to_answer.add(frame.id)
        self._events.append(Asked(frame.id, frame.method, frame.args))

    def to_send(self) -> list[bytes]:
        """WebSocket messages to send now, in this order."""
        self._seal_gathered()
        out, self._out = self._out, []
        return out

    def next_event(self) -> Event | None:
        """What happened, one at a time."""
        return self._events.popleft() if self._events else None

    # --- what we say ------------------------------------------------------------------------------------

    def hello(self, hello: s2s.Hello) -> None:
        """Our first frame."""
        assert not self._said_hello
        self._said_hello = True
        self._send(hello)

    def start(self, *, receive_after: int, send_after: int) -> None:
        """After both hellos: the numbers after which each direction goes on."""
        assert self._said_hello
        assert self._heard_hello
        assert not self._started
        self._started = True
        self.received = receive_after
        self.sent = self.acked = send_after

    @property
    def room(self) -> int:
        """Items that may be sent now."""
        return max(0, self._credit - len(self._in_flight)) if self._started and not self._ended else 0

    @property
    def unacknowledged(self) -> int:
        """Items under way to the peer."""
        return len(self._in_flight)

    def item(self, seq: int, cls: int, body: bytes) -> None:
        """A numbered item; there must be `room`. An empty body of class 0 skips the numbers up to `seq`."""
        assert self.room
        msg = s2s.Msg(seq, cls, body)
        assert seq == self.sent + 1 or (seq > self.sent and msg.is_void)
        self.sent = seq
        self._in_flight.append(seq)
        if not self._gathers:
            self._send(msg)
            return
        if self._gathered_bytes + len(body) > limits.LINK_FRAME_ITEMS_BYTES_MAX:
            self._seal_gathered()
        self._gathered.append(msg)
        self._gathered_bytes += len(body)
        if len(self._gathered) == limits.LINK_FRAME_ITEMS_MAX:
            self._seal_gathered()

    def ack(self, cum: int) -> None:
        """Everything up to `cum` is on disk."""
        assert cum <= self.received
        while self._unacked and self._unacked[0] <= cum:
            self._unacked.popleft()
        self._send(s2s.Ack(cum, limits.LINK_CREDIT))

    def nack(self, seq: int, code: str) -> None:
        """Item `seq` is in quarantine; say this before the ack that covers it."""
        self._send(s2s.Nack(seq, code))

    def whisper(self, topic: str, body: bytes) -> None:
        """Something unstored."""
        self._send(s2s.Whisper(topic, body))

    def request(self, method: str, args: bytes, now: float) -> int | None:
        """A question; its number, or None when too many are open."""
        if len(self._asked) >= limits.LINK_REQUESTS_MAX:
            return None
        number = self._next_id
        self._next_id += 1
        self._asked[number] = now
        self._send(s2s.Request(number, method, args))
        return number

    def give_up(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self._asked.pop(number, None)

    def reply(self, number: int, code: str, body: bytes) -> None:
        """The answer to question `number` of the peer."""
        if number in self._to_answer:
            self._to_answer.remove(number)
            self._send(s2s.Reply(number, code, body))

    def goaway(self, reason: str, retry_s: int = 0, proof: bytes = b"") -> None:
        """Our last frame."""
        if not self._ended:
            self._send(s2s.Goaway(reason, retry_s, proof))
            self._ended = True

    def _send(self, frame: s2s.AnyFrame) -> None:
        if self._ended:
            return
        self._seal_gathered()
        self._seal(frame)

    def _seal_gathered(self) -> None:
        """The items that wait for company leave."""
        msgs = self._gathered
        if msgs:
            self._gathered, self._gathered_bytes = [], 0
            self._seal(msgs[0] if len(msgs) == 1 else s2s.Msgs(tuple(msgs)))

    def _seal(self, frame: s2s.AnyFrame) -> None:
        self._out.append(self._channel.seal(s2s.encode_frame(frame)))
        if self._channel.records_out >= self._rekey_records:
            self._out.append(self._channel.seal(s2s.encode_frame(s2s.Rekey())))
            self._channel.rekey_out()

    # --- time -------------------------------------------------------------------------------------------

    def timer(self) -> float:
        """When `handle_timer` has something to do, if nothing is heard until then."""
        due = self._heard_at + (self._pings + 1) * limits.HEARTBEAT_S
        return due if self._probe_until is None else min(due, self._probe_until)

    def handle_timer(self, now: float) -> None:
        """Pings a silent peer; after two unanswered pings it is `Dead`."""
        if self._probe_until is not None and now >= self._probe_until:
            self._die()
        elif now >= self._heard_at + (self._pings + 1) * limits.HEARTBEAT_S:
            if self._pings == limits.LINK_PINGS_MISSED_MAX:
                self._die()
            else:
                self._pings += 1
                self.ping(now)

    def ping(self, now: float) -> None:
        """Also measures the round trip."""
        self._ping_n += 1
        self._ping_at = now
        self._send(s2s.Ping(self._ping_n))

    def probe(self, now: float) -> None:
        """Is the peer still there? It has a few seconds to say anything."""
        if self._probe_until is None:
            self._probe_until = now + limits.LINK_PROBE_S
            self.ping(now)

    def _die(self) -> None:
        if not self._ended:
            self._ended = True
            self._events.append(Dead())
