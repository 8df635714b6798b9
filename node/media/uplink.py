"""What one seat sends: the sink of its up transport. Finds out which stream is what, feeds the loop, and answers the sender.

*Learning*: with BUNDLE and simulcast an offer names no SSRCs. The first packets of a stream carry the mid of its m-line, and the rid of its
layer or of the layer it repairs; then the SSRC alone is enough. At most MEDIA_SSRCS_MAX are learned between two offers, so that no device keeps the room busy
with new ones; a packet of any other costs one look-up.

*Feedback* to the sender, on a timer that runs only while something is amiss: NACK, then PLI. Each second a receiver report and, for video, REMB:
what the way here can take and, where there is one layer only, what those who get it can take.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from node.base import limits
from node.media.fanout import Fanout
from node.media.host import Host, Timer
from node.media.layer import Layer, Track
from node.media.proto import bwe, canonical, rtcp, rtp
from node.media.seam import Transport

DEFAULT_RTT_S: Final = 0.1  # until a repair has come
SOONEST_S: Final = 0.0
LESS: Final = 0.9  # a limit that fell below this part of the last one is said at once


class Listener(Protocol):
    """Who is told what an uplink finds (`room.Room`)."""

    def found(self, layer: Layer) -> None:
        """A layer has begun, perhaps the first of its track."""

    def ended(self, track: Track) -> None:
        """A track is offered no longer; it is out of `Uplink.tracks` already, its legs are still there."""

    def heard(self, track: Track, level: int, now: float) -> None:
        """A packet of a microphone said how loud it is."""

    def up(self, seat: bytes, *, on: bool) -> None:
        """The transport carries media now, or no longer."""


class Uplink:
    """Of `seat`. `transport` is set by who makes both."""

    transport: Transport

    def __init__(self, seat: bytes, *, host: Host, fanout: Fanout, listener: Listener, ssrc: int) -> None:
        self.seat = seat
        self.tracks: dict[str, Track] = {}  # by source
        self.lines: dict[str, canonical.Line] = {}  # by mid
        self.loss = 0.0
        self.dropped: dict[str, int] = {}
        self._host = host
        self._fanout = fanout
        self._listener = listener
        self._ssrc = ssrc  # of our reports
        self._layers: dict[int, Layer] = {}
        self._repairs: dict[int, Layer] = {}
        self._lines_of: dict[int, canonical.Line] = {}  # by SSRC of a layer
        self._ids: dict[int, int] = {}
        self._timer: Timer | None = None
        self._rate = bwe.LossBased(host.clock.monotonic())
        self._rtt_s = DEFAULT_RTT_S
        self._closed = False
        self._learned = 0  # SSRCs since the last offer
        self._ceiling = self._bound = limits.REMB_BPS_MAX
        self._said_bps = 0

    # --- descriptions -----------------------------------------------------------------------------------

    def configure(self, lines: Iterable[canonical.Line]) -> None:
        """What the newest offer says: lines that are gone end their tracks."""
        self.lines = {line.mid: line for line in lines}
        self._learned = len(self._layers) + len(self._repairs)
        self._ids = {number: name for line in self.lines.values() for number, name in line.ids.items()}
        sources = {line.source for line in self.lines.values()}
        for source in [source for source in self.tracks if source not in sources]:
            self._drop(self.tracks.pop(source))
        mids = {layer.ssrc: self._lines_of[layer.ssrc].mid for layer in self._layers.values()}
        for ssrc, mid in mids.items():
            line = self.lines.get(mid)
            if line is None or line.source != self._layers[ssrc].track.source:
                self._forget(self._layers[ssrc])
            else:
                self._lines_of[ssrc] = line

    def _drop(self, track: Track) -> None:
        for layer in track.layers.values():
            self._forget(layer)
        self._listener.ended(track)

    def _forget(self, layer: Layer) -> None:
        self._layers.pop(layer.ssrc, None)
        self._lines_of.pop(layer.ssrc, None)
        for ssrc in [ssrc for ssrc, other in self._repairs.items() if other is layer]:
            del self._repairs[ssrc]

    def close(self) -> None:
        """Frees everything; the tracks end."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self.tracks:
            self._drop(self.tracks.popitem()[1])
        self.lines, self._ids = {}, {}

    # --- packets ----------------------------------------------------------------------------------------

    def rtp(self, packet: memoryview, size: int, now: float) -> None:
        """See `seam.Sink`."""
        _, mark_type, seq, timestamp, ssrc = rtp.FIXED.unpack_from(packet)
        layer = self._layers.get(ssrc)
        if layer is None:
            self._other(packet, size, ssrc, now)
            return
        line = self._lines_of[ssrc]
        where = rtp.layout(packet, size)
        if where is None or line.types.get(mark_type & 0x7F) != layer.codec:
            self._count("malformed" if where is None else "payload")
            return
        track = layer.track
        _, elements, payload, end = where
        words, wide, body = 0, False, b""
        if elements != payload:
            found = rtp.scan(packet, where, line.ids)
            if found.level >= 0:
                layer.level = found.level
                self._listener.heard(track, found.level, now)
            if found.copied:
                words, wide, body = len(found.copied) >> 2, found.wide, found.copied
        if track.muted:
            return
        if words:
            body += packet[payload:end]
        else:
            body = bytes(packet[payload:end])
        self._fanout.take(layer, seq, timestamp, mark_type & 0x80 | layer.codec, words, body, now, wide=wide)
        if layer.gaps.open and self._timer is None:
            self.wake()

    def _other(self, packet: memoryview, size: int, ssrc: int, now: float) -> None:
        """A repair, or a stream that is not known yet."""
        layer = self._repairs.get(ssrc)
        if layer is not None:
            self._repair(layer, packet, size, now)
        elif self._learned >= limits.MEDIA_SSRCS_MAX:
            self._count("ssrc")
        elif self._learn(packet, size, ssrc, now):
            self._learned += 1
            self.rtp(packet, size, now)

    def _repair(self, layer: Layer, packet: memoryview, size: int, now: float) -> None:
        where = rtp.layout(packet, size)
        seq = rtp.original(packet, where) if where is not None else -1
        if where is None or seq < 0 or layer.track.muted:  # padding, which probes the path
            return
        _, mark_type, _, timestamp, _ = rtp.FIXED.unpack_from(packet)
        asked = layer.gaps.asked(rtp.unwrap(seq, layer.gaps.highest))
        found = rtp.scan(packet, where, self._lines_of[layer.ssrc].ids)
        body = found.copied + packet[where.payload + 2 : where.end]
        index = self._fanout.take(
            layer, seq, timestamp, mark_type & 0x80 | layer.codec, len(found.copied) >> 2, body, now, wide=found.wide
        )  # fmt: skip
        if index < 0:
            return
        layer.reception.repaired += 1
        if asked:
            self._rtt_s += (min(now - asked, 1.0) - self._rtt_s) / 8

    def _learn(self, packet: memoryview, size: int, ssrc: int, now: float) -> bool:
        """Whether the stream of this packet is known from now on."""
        where = rtp.layout(packet, size)
        if where is None:
            self._count("malformed")
            return False
        number = packet[1] & 0x7F
        found = rtp.scan(packet, where, self._ids)
        line = self._line(found.mid, ssrc, number)
        if line is None:
            self._count("unknown")
            return False
        if number in line.repairs:
            return self._learn_repair(line, ssrc, found.repaired or found.rid)
        codec = line.types.get(number)
        key = self._key(line, found.rid)
        if codec is None or key < 0:
            self._count("payload" if codec is None else "unknown")
            return False
        self._begin(line, key, ssrc, codec, now)
        return True

    def _line(self, mid: bytes, ssrc: int, number: int) -> canonical.Line | None:
        if mid:
            return self.lines.get(mid.decode("ascii", "replace"))
        for line in self.lines.values():
            if ssrc in line.ssrcs or ssrc in line.ssrcs.values():
                return line
        alike = [line for line in self.lines.values() if number in line.types or number in line.repairs]
        return alike[0] if len(alike) == 1 and not alike[0].rids else None

    @staticmethod
    def _key(line: canonical.Line, rid: bytes) -> int:
        if not line.rids:
            return 0
        name = rid.decode("ascii", "replace")
        return line.rids.index(name) if name in line.rids else -1

    def _learn_repair(self, line: canonical.Line, ssrc: int, rid: bytes) -> bool:
        track = self.tracks.get(line.source)
        layer: Layer | None = None
        if track is not None:
            main = next((main for main, repair in line.ssrcs.items() if repair == ssrc), 0)
            layer = self._layers.get(main) or track.layers.get(self._key(line, rid))
        if layer is None:
            self._count("unknown")
            return False
        layer.repair = ssrc
        self._repairs[ssrc] = layer
        return True

    def _begin(self, line: canonical.Line, key: int, ssrc: int, codec: int, now: float) -> None:
        track = self.tracks.get(line.source)
        if track is None:
            track = self.tracks[line.source] = Track(self.seat, line.source, video=line.video, wake=self.wake)
        if track.codec not in {0, codec}:  # legs are negotiated for one codec
            self._drop(self.tracks.pop(line.source))
            track = self.tracks[line.source] = Track(self.seat, line.source, video=line.video, wake=self.wake)
        track.codec = codec
        layer = Layer(track, key, ssrc, codec)
        layer.heard_at = now
        before = track.layers.get(key)
        if before is not None:
            for leg in track.legs:
                if before in {leg.layer, leg.target}:
                    leg.aim(None)
            self._forget(before)
        track.layers[key] = layer
        self._layers[ssrc] = layer
        self._lines_of[ssrc] = line
        repair = line.ssrcs.get(ssrc, 0)
        if repair:
            layer.repair = repair
            self._repairs[repair] = layer
        self._listener.found(layer)

    def _count(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def rtcp(self, packet: bytes, now: float) -> None:
        """See `seam.Sink`."""
        for item in rtcp.parse(packet):
            if not isinstance(item, rtcp.SenderReport):
                continue
            layer = self._layers.get(item.ssrc)
            if layer is None:
                if item.ssrc not in self._repairs:
                    self._count("ssrc")
                continue
            layer.clock = (item.ntp, item.rtp)
            layer.reception.reported(item.ntp, now)
            for leg in layer.legs:
                leg.transport.send_rtcp(leg.sender_report(item.ntp, item.rtp, self.seat.hex(), now))
            for onward in layer.onward:
                onward.report(item.ntp, item.rtp)

    def connected(self, on: bool) -> None:
        """See `seam.Sink`."""
        if not self._closed:
            self._listener.up(self.seat, on=on)

    # --- feedback ---------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something is missing or a key frame is wanted: looks after it soon."""
        if self._timer is None and not self._closed:
            self._timer = self._host.later(SOONEST_S, self._tend)

    def _tend(self) -> None:
        self._timer = None
        now = self._host.clock.monotonic()
        again = 0.0
        for layer in self._layers.values():
            gaps, gate = layer.gaps, layer.gate
            if gaps.open:
                seqs = gaps.due(now, self._rtt_s)
                if seqs:
                    self.transport.send_rtcp(rtcp.nack(self._ssrc, layer.ssrc, seqs))
                again = limits.NACK_WAIT_S
            if gaps.broken:
                gaps.broken = False
                if layer.legs or layer.waiting or layer.onward:
                    gate.ask()
            if gate.waiting:
                if gate.due(now):
                    self.transport.send_rtcp(rtcp.pli(self._ssrc, layer.ssrc))
                layer.look()
                again = again or limits.KEY_FRAME_GAP_S / 5
        if again:
            self._timer = self._host.later(again, self._tend)

    def report(self, now: float) -> None:
        """Each second: says what was received and what would fit."""
        blocks = []
        weights = 0
        lost = 0.0
        for layer in self._layers.values():
            if not layer.alive(now):
                continue
            layer.measure(now)
            blocks.append(layer.reception.block(layer.ssrc, layer.gaps.highest, now))
            weights += layer.bps
            lost += layer.reception.loss * layer.bps
        if not blocks:
            return
        self.loss = lost / weights if weights else 0.0
        self._rate.update(self.loss, now)
        self.transport.send_rtcp(rtcp.receiver_report(self._ssrc, blocks) + self._remb())

    def bound(self, bps: int) -> None:
        """What the admin lets one device send of video, whoever could take more."""
        self._bound = min(max(bps, limits.REMB_BPS_MIN), limits.REMB_BPS_MAX)
        self._ceiling = min(self._ceiling, self._bound)

    def limit(self, bps: int) -> None:
        """What those who get this seat's video can take, all of it together; less than before is said at once."""
        self._ceiling = min(max(bps, limits.REMB_BPS_MIN), self._bound)
        if self._ceiling < self._said_bps * LESS:
            self.transport.send_rtcp(rtcp.receiver_report(self._ssrc, ()) + self._remb())

    def _remb(self) -> bytes:
        videos = [layer.ssrc for layer in self._layers.values() if layer.track.video]
        if not videos:
            return b""
        self._said_bps = min(int(self._rate.bps), self._ceiling)
        return rtcp.remb(self._ssrc, self._said_bps, videos)

    def layers_of(self, track: Track) -> int:
        """How many layers it was offered with, whether they have come or not."""
        rids = next((len(line.rids) for line in self.lines.values() if line.source == track.source), 0)
        return max(rids, 1)

    @property
    def bps(self) -> int:
        """Measured rate of all layers."""
        return sum(layer.bps for layer in self._layers.values())
