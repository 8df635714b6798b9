"""One track on its way to one subscriber: a stream of its own, with its own SSRC, numbers, counters and repair stream.

A leg gets at most one layer at a time. It comes in (`enter`) at a key frame, goes on with the numbers where it stopped, and leaves out the
pictures of temporal layers above its cap. As long as every number differs from what was received by a constant, the fan-out
loop serves it without asking; else `forward` is called for each packet.

Never the same SSRC and number twice with other bits: repairs travel on their own SSRC (RFC 4588), and a new leg has new ones.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from node.base import limits
from node.media.layer import Kept, Layer, Track
from node.media.proto import canonical, rtcp, rtp, vp8
from node.media.proto.munger import Munger, Step
from node.media.seam import Mux, Transport

ALL: Final = 3  # temporal layers are 0 to 3
REPORTS_KEPT: Final = 8  # of our sender reports, whose echo tells the round trip
_CYCLE: Final = 1 << 32
_NEVER: Final = float("-inf")


class _Tail(NamedTuple):
    """Where a leg stopped, in its own numbers: what came last, when, and the sender's clock."""

    layer: Layer
    out: int
    timestamp: int
    pid: int
    tl0: int
    at: float
    clock: tuple[int, int] | None


class Leg:
    """`seq` is a random number below 2^15; `ssrc` and `repair` (0: the device takes no RTX) are random too."""

    __slots__ = (
        "_count", "_level", "_mark", "_mux", "_reports", "_resent", "_skipped", "_tail", "cap", "jitter", "layer", "loss", "mid",
        "mid_word", "munger", "ready", "repair", "repair_seq", "ssrc", "target", "track", "transport",
    )  # fmt: skip

    def __init__(
        self, track: Track, *, transport: Transport, mux: Mux, mid: str, ssrc: int, repair: int, seq: int
    ) -> None:
        self.track = track
        self.transport = transport
        self.mid = mid
        self.mid_word = rtp.mid_word(mid)
        self.ssrc = ssrc
        self.repair = repair
        self.repair_seq = seq
        self.munger = Munger(seq)
        self.layer: Layer | None = None
        self.target: Layer | None = None  # waited for
        self.cap = ALL  # temporal layers above are not wanted
        self.ready = False  # the device has accepted the line
        self.loss = 0.0  # told by the subscriber, 0 to 1
        self.jitter = 0
        self._mux = mux
        self._level = ALL  # temporal layers above are left out; follows `cap` where a stream allows it
        self._skipped = -1  # picture id that is being left out
        self._tail: _Tail | None = None
        self._count = (0, 0)  # packets and octets sent before the layer of now
        self._mark = (0, 0)  # of the layer when it was entered
        self._resent: dict[int, float] = {}
        self._reports: dict[int, float] = {}

    # --- which layer ------------------------------------------------------------------------------------

    def aim(self, layer: Layer | None, cap: int = ALL) -> None:
        """What this leg should get: `layer` with temporal layers up to `cap` as soon as a key frame allows it, or nothing."""
        if cap != self.cap:
            self.cap = cap
            if self.layer is not None:
                self.layer.arrange()
        if self.target is not None and layer is not self.target:
            target, self.target = self.target, None
            target.part(self)
        if layer is None:
            self.leave()
        elif layer is not self.layer and layer is not self.target:
            self.target = layer
            layer.wait(self)

    def enter(self, layer: Layer, kept: Kept, picture: vp8.Picture | None, now: float) -> None:
        """`layer` begins with `kept`, its newest packet."""
        self.target = None
        layer.waiting = tuple(other for other in layer.waiting if other is not self)
        self.leave()
        index, timestamp = kept[0], kept[1]
        tail, step = self._tail, self.munger.step
        if tail is None or step is None:
            self.munger.switch(layer.ssrc, index, self.munger.end(0))
        elif tail.layer is layer:  # the counters of the sender went on
            self.munger.switch(layer.ssrc, index, tail.out, timestamp=step.timestamp, pid=step.pid, tl0=step.tl0)
        else:
            readable = picture is not None and tail.pid >= 0
            self.munger.switch(
                layer.ssrc,
                index,
                tail.out,
                timestamp=_shift(tail, timestamp, layer.clock, now, layer.reception.hz),
                pid=tail.pid + 1 - picture.pid if readable and picture is not None else 0,
                tl0=tail.tl0 + 1 - picture.tl0 if readable and picture is not None else 0,
            )
        self._level = self.cap
        self.layer = layer
        self._mark = (layer.reception.packets - 1, layer.reception.octets - len(kept[5]))
        layer.join(self)

    def leave(self) -> None:
        """Stops after what was forwarded last."""
        layer, step = self.layer, self.munger.step
        if layer is None or step is None:
            return
        self._count = self.counted()
        self.layer = None
        highest = layer.gaps.highest
        timestamp, pid, tl0 = 0, -1, -1
        kept = layer.kept(highest)
        if kept is not None:
            timestamp = kept[1] + step.timestamp & 0xFFFFFFFF
            picture = vp8.read(kept[5][4 * kept[3] :]) if layer.codec == canonical.VP8 else None
            if picture is not None:
                pid, tl0 = picture.pid + step.pid, picture.tl0 + step.tl0
        clock = None
        if layer.clock is not None:
            clock = layer.clock[0], layer.clock[1] + step.timestamp
        self._tail = _Tail(layer, self.munger.end(highest), timestamp, pid, tl0, layer.heard_at, clock)
        layer.part(self)

    def close(self) -> None:
        """Leaves everything for good."""
        self.aim(None)
        if self in self.track.legs:
            self.track.legs.remove(self)

    def constants(self) -> tuple[int, int, int, int] | None:
        """What the fan-out loop adds to sequence numbers, timestamps, picture ids and TL0PICIDX, or None if packets have to be
        looked at."""
        step, layer = self.munger.step, self.layer
        if step is None or layer is None or min(self.cap, self._level) < layer.temporal:
            return None
        return step.out - step.begin & 0xFFFF, step.timestamp, step.pid, step.tl0

    # --- packets ----------------------------------------------------------------------------------------

    def forward(self, kept: Kept, picture: vp8.Picture | None, send_time: int) -> None:
        """The newest packet of the layer."""
        step = self.munger.step
        assert step is not None
        if picture is not None and picture.tid > min(self._level, self.cap):
            if picture.first:
                rises = picture.sync and self.cap > self._level
                self._level = self.cap if rises or self.cap < self._level else self._level
            if picture.tid > self._level:
                self._skip(kept, picture)
                return
        self._send(step, kept, picture, send_time)

    def _skip(self, kept: Kept, picture: vp8.Picture) -> None:
        counts = picture.pid >= 0 and picture.pid != self._skipped
        self._skipped = picture.pid
        self.munger.skip(kept[0], picture=counts)
        self._mark = (self._mark[0] + 1, self._mark[1] + len(kept[5]))

    def forward_late(self, kept: Kept, picture: vp8.Picture | None, send_time: int) -> None:
        """A packet that others of its layer overtook."""
        layer = self.layer
        step = self.munger.find(layer.ssrc, kept[0]) if layer is not None else None
        if step is None:
            return
        if picture is not None and picture.tid > self._level:
            # Its number was kept free, its picture is not wanted: the number is used up without content.
            kept = (kept[0], kept[1], kept[2], 0, False, b"")
            picture = None
        self._send(step, kept, picture, send_time)

    def _send(self, step: Step, kept: Kept, picture: vp8.Picture | None, send_time: int) -> None:
        index, timestamp, mark_type, words, wide, body = kept
        out = step.out + index - step.begin & 0xFFFF
        view = self._mux.slot()
        head = self._head(
            view, mark_type, out, timestamp + step.timestamp, self.ssrc, words, body, send_time, wide=wide
        )
        view[head : head + len(body) - 4 * words] = body[4 * words :]
        if picture is not None and (step.pid or step.tl0):
            vp8.rewrite(view, head, picture, step.pid, step.tl0)
        self._mux.push(self.transport, head + len(body) - 4 * words)

    def _head(
        self, view: memoryview, mark_type: int, seq: int, timestamp: int, ssrc: int, words: int, body: bytes, send_time: int, *, wide: bool
    ) -> int:  # fmt: skip
        """Writes everything before the payload; returns its length."""
        timestamp &= 0xFFFFFFFF
        copied = body[: 4 * words]
        if wide:
            head = rtp.wide_head(mark_type, seq, timestamp, ssrc, self.mid, send_time, copied)
            view[: len(head)] = head
            return len(head)
        begin = rtp.ONE_BYTE_HEAD + words
        rtp.HEAD.pack_into(view, 0, rtp.FIRST, mark_type, seq, timestamp, ssrc, begin, self.mid_word, send_time)
        end = rtp.HEAD_BYTES + 4 * words
        view[rtp.HEAD_BYTES : end] = copied
        return end

    def resend(self, seq: int, now: float, send_time: int) -> bool:
        """Answers a NACK for `seq` from the ring, as RTX; at most once a round trip. Whether anything was sent."""
        if not self.repair:
            return False
        end = self._end()
        out = rtp.unwrap(seq, end)
        origin = self.munger.origin(out)
        if origin is None or out >= end or now - self._resent.get(out, _NEVER) < (self.transport.rtt_s or 0.0):
            return False
        ssrc, index, step = origin
        layer = next((layer for layer in self.track.layers.values() if layer.ssrc == ssrc), None)
        kept = layer.kept(index) if layer is not None else None
        if kept is None:
            return False
        if len(self._resent) >= limits.RING_PACKETS:
            self._resent.clear()
        self._resent[out] = now
        self._repair(step, kept, seq, send_time)
        return True

    def _repair(self, step: Step, kept: Kept, seq: int, send_time: int) -> None:
        _, timestamp, mark_type, words, wide, body = kept
        payload = body[4 * words :]
        self.repair_seq = self.repair_seq + 1 & 0xFFFF
        mark_type = mark_type & 0x80 | canonical.RTX[mark_type & 0x7F]
        view = self._mux.slot()
        head = self._head(
            view, mark_type, self.repair_seq, timestamp + step.timestamp, self.repair, words, body, send_time, wide=wide
        )
        view[head] = seq >> 8
        view[head + 1] = seq & 0xFF
        head += 2
        view[head : head + len(payload)] = payload
        if (step.pid or step.tl0) and mark_type & 0x7F == canonical.RTX[canonical.VP8]:
            picture = vp8.read(payload)
            if picture is not None:
                vp8.rewrite(view, head, picture, step.pid, step.tl0)
        self._mux.push(self.transport, head + len(payload))

    def _end(self) -> int:
        if self.layer is not None:
            return self.munger.end(self.layer.gaps.highest)
        return self._tail.out if self._tail is not None else self.munger.end(0)

    # --- reports ----------------------------------------------------------------------------------------

    def counted(self) -> tuple[int, int]:
        """Packets and octets sent so far, without repairs."""
        packets, octets = self._count
        if self.layer is not None:
            packets += self.layer.reception.packets - self._mark[0]
            octets += self.layer.reception.octets - self._mark[1]
        return packets, octets

    def sender_report(self, ntp: int, timestamp: int, cname: str, now: float) -> bytes:
        """The sender report of the layer of now, in this leg's numbers: lip sync survives."""
        step = self.munger.step
        packets, octets = self.counted()
        shifted = timestamp + (step.timestamp if step is not None else 0) & 0xFFFFFFFF
        if len(self._reports) >= REPORTS_KEPT:
            del self._reports[next(iter(self._reports))]
        self._reports[ntp >> 16 & 0xFFFFFFFF] = now
        report = rtcp.SenderReport(self.ssrc, ntp, shifted, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
        return rtcp.sender_report(report) + rtcp.description(self.ssrc, cname)

    def reported(self, block: rtcp.Block, now: float) -> float | None:
        """What the subscriber says about this leg; returns the round trip in seconds if it tells."""
        self.loss = block.fraction / 256
        self.jitter = block.jitter
        sent = self._reports.get(block.last)
        if sent is None or not block.last:
            return None
        rtt = now - sent - block.delay / 65_536
        return rtt if rtt >= 0 else None


def _shift(tail: _Tail, timestamp: int, clock: tuple[int, int] | None, now: float, hz: int) -> int:
    """What to add to the timestamps of another layer, whose first is `timestamp`: by the sender's clock if both layers have told it,
    else by the time that passed. The stream never goes back."""
    passed = max(int((now - tail.at) * hz), 1)
    if clock is not None and tail.clock is not None:
        (ntp, there), (before, here) = clock, tail.clock
        aligned = here + ((ntp - before) * hz >> 32) - there
        ahead = (aligned + timestamp - tail.timestamp + (_CYCLE >> 1)) % _CYCLE - (_CYCLE >> 1)
        if 0 < ahead < passed + hz:
            return aligned
    return tail.timestamp + passed - timestamp
