"""A track and its layers: what came in of one stream of somebody, kept for a second or two, and who gets it.

A track without simulcast has one layer, with it up to three, lowest first. A layer owns the ring that answers every NACK of every
subscriber, its gaps towards the publisher, its key frame gate, and four tables of legs, replaced whole when they change and never
changed in place, so that the loop may walk them:

- `plain`: legs whose packets differ from the received ones by the header only; (shift of the sequence number, SSRC, mid word, transport)
- `shifted`: legs that came from another layer; timestamp and VP8 counters differ by constants too
- `slow`: legs that leave out pictures; they look at every packet
- `waiting`: legs that come in with the next key frame

Beside them `onward`: copies for other nodes, which take every packet as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from node.base import limits
from node.media.proto import canonical, vp8
from node.media.proto.forward import Dynacast
from node.media.proto.loss import Gaps, KeyFrameGate, Reception
from node.media.seam import Transport

RING_MASK: Final = limits.RING_PACKETS - 1
FLOWING_S: Final = 0.5  # a layer that was heard of within this is being sent
LOOK_PACKETS: Final = 200  # of a new layer whose descriptors are read to learn its temporal layers

assert limits.RING_PACKETS & RING_MASK == 0

PlainLeg = tuple[int, int, int, Transport]


class Taker(Protocol):
    """A leg, as what it gets sees it (`leg.Leg`)."""

    ssrc: int
    mid_word: int
    transport: Transport
    layer: Layer | None
    target: Layer | None

    def aim(self, layer: Layer | None, cap: int = ...) -> None:
        """What it should get, from the next key frame on."""

    def enter(self, layer: Layer, kept: Kept, picture: vp8.Picture | None, now: float) -> None:
        """It gets `layer`, beginning with `kept`."""

    def constants(self) -> tuple[int, int, int, int] | None:
        """What the loop adds to sequence numbers, timestamps, picture ids and TL0PICIDX; None: the leg has to look at each packet."""

    def forward(self, kept: Kept, picture: vp8.Picture | None, send_time: int) -> None:
        """The newest packet of its layer."""

    def forward_late(self, kept: Kept, picture: vp8.Picture | None, send_time: int) -> None:
        """A packet that others overtook."""

    def sender_report(self, ntp: int, timestamp: int, cname: str, now: float) -> bytes:
        """The sender report of its layer, in its own numbers."""


class Onward(Protocol):
    """A layer on its way to another node (`outflow.Onward`)."""

    def forward(self, kept: Kept) -> None:
        """A new packet of it, in order or late."""

    def report(self, ntp: int, timestamp: int) -> None:
        """A sender report of its publisher."""


ShiftedLeg = tuple[int, int, int, int, int, int, Transport, Taker]
Kept = tuple[int, int, int, int, bool, bytes]
"""A packet in the ring: index, timestamp, canonical marker and payload type, words of copied extensions, wide, body (copied extensions,
then the payload). A plain tuple, since one is made for each packet."""


class Layer:
    """`key` orders the layers of a track, 0 is the lowest. `ssrc` and `repair` (0: none) are the publisher's."""

    __slots__ = (
        "at_rate", "bps", "clock", "codec", "curious", "duplicates", "gaps", "gate", "heard_at", "key", "legs", "level", "mark_octets",
        "onward", "plain", "reception", "repair", "ring", "shifted", "slow", "ssrc", "temporal", "track", "usual_bps", "waiting", "width",
    )  # fmt: skip

    def __init__(self, track: Track, key: int, ssrc: int, codec: int) -> None:
        video = track.video
        self.track = track
        self.key = key
        self.ssrc = ssrc
        self.repair = 0
        self.codec = codec
        self.gaps = Gaps(asks=video)
        self.gate = KeyFrameGate()
        self.reception = Reception(canonical.VIDEO_HZ if video else canonical.AUDIO_HZ)
        self.ring: list[Kept | None] = [None] * limits.RING_PACKETS
        self.legs: tuple[Taker, ...] = ()
        self.plain: tuple[PlainLeg, ...] = ()
        self.shifted: tuple[ShiftedLeg, ...] = ()
        self.slow: tuple[Taker, ...] = ()
        self.waiting: tuple[Taker, ...] = ()
        self.onward: tuple[Onward, ...] = ()  # to other nodes
        self.level = -1  # how loud its newest packet said it is, for them
        self.curious = video  # whether descriptors are to be read
        self.heard_at = 0.0
        self.clock: tuple[int, int] | None = (
            None  # NTP time (32.32) and timestamp of the same instant, from sender reports
        )
        self.temporal = 0  # highest temporal layer seen
        self.width = 0  # pixels, of the last key frame that could be read
        self.bps = 0  # measured each second
        self.usual_bps = 0  # while it was sent: what it will take when it is sent again
        self.at_rate = 0.0
        self.mark_octets = 0
        self.duplicates = 0

    def kept(self, index: int) -> Kept | None:
        """The packet of that index, if it is still there."""
        entry = self.ring[index & RING_MASK]
        return entry if entry is not None and entry[0] == index else None

    def arrange(self) -> None:
        """Makes the tables anew from `legs`."""
        plain: list[PlainLeg] = []
        shifted: list[ShiftedLeg] = []
        slow: list[Taker] = []
        for leg in self.legs:
            constants = leg.constants()
            if constants is None:
                slow.append(leg)
            elif any(constants[1:]):
                shifted.append((*constants, leg.ssrc, leg.mid_word, leg.transport, leg))
            else:
                plain.append((constants[0], leg.ssrc, leg.mid_word, leg.transport))
        self.plain, self.shifted, self.slow = tuple(plain), tuple(shifted), tuple(slow)
        self.look()

    def look(self) -> None:
        """Decides whether descriptors have to be read."""
        self.curious = bool(self.waiting) or (
            self.track.video
            and (bool(self.slow) or bool(self.shifted) or self.gate.waiting or self.reception.packets < LOOK_PACKETS)
        )

    def join(self, leg: Taker) -> None:
        """`leg` gets this layer from now on."""
        self.waiting = tuple(other for other in self.waiting if other is not leg)
        if leg not in self.legs:
            self.legs += (leg,)
        self.arrange()

    def part(self, leg: Taker) -> None:
        """`leg` neither gets this layer nor waits for it any more."""
        self.waiting = tuple(other for other in self.waiting if other is not leg)
        self.legs = tuple(other for other in self.legs if other is not leg)
        self.arrange()

    def wait(self, leg: Taker) -> None:
        """`leg` comes in with the next key frame, which is asked for."""
        if leg not in self.waiting:
            self.waiting += (leg,)
        self.curious = True
        if self.track.video:
            self.ask_key_frame()

    def ask_key_frame(self) -> None:
        """Somebody cannot go on without one."""
        self.gate.ask()
        self.look()
        self.track.wake()

    def measure(self, now: float) -> None:
        """Takes the rate since the last call; halves what key frames and pauses make of it."""
        passed = now - self.at_rate
        if passed <= 0:
            return
        octets = self.reception.octets
        if self.at_rate:
            bps = int((octets - self.mark_octets) * 8 / passed)
            self.bps = (self.bps + bps) // 2 if self.bps else bps
            if now - self.heard_at < FLOWING_S:
                self.usual_bps = self.bps
        self.mark_octets, self.at_rate = octets, now

    def alive(self, now: float) -> bool:
        """Whether packets come."""
        return now - self.heard_at < limits.LAYER_LOST_S


class Track:
    """`source`: mic, camera, screen, sound. `codec` is the canonical payload type of its first packet, 0 before."""

    __slots__ = ("codec", "dynacast", "layers", "legs", "muted", "seat", "source", "video", "wake")

    def __init__(self, seat: bytes, source: str, *, video: bool, wake: Callable[[], None]) -> None:
        """`wake` makes somebody look after key frame gates and gaps of the layers."""
        self.wake = wake
        self.seat = seat
        self.source = source
        self.video = video
        self.codec = 0
        self.muted = False
        self.dynacast = Dynacast()
        self.layers: dict[int, Layer] = {}  # by key, 0 is the lowest
        self.legs: list[Taker] = []

    def best(self, now: float, key: int) -> Layer | None:
        """The highest living layer that is not above `key`, else the lowest living one, else any."""
        alive = [layer for layer in self.layers.values() if layer.alive(now)]
        below = [layer for layer in alive if layer.key <= key]
        if below:
            return max(below, key=lambda layer: layer.key)
        return min(alive or self.layers.values(), key=lambda layer: layer.key, default=None)
