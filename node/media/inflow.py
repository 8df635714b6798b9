"""What comes from another node: its tracks, as the room here knows those of its own seats.

*Who may*: a node speaks for its own seats only. What it says of a track that the roster of the call does not give it (`allow`) is not looked
at, and counted; a packet under an SSRC it did not say never gets here (`PipeTransport.admit`).

*Layers* stand here as soon as they are said, also those that are not sent, so that the plans of the seats here can choose them; what they
choose is told to the other node as what is wanted (`wanted`). A layer that nobody here has had for five seconds is not wanted any more.

*Going on*: sequence numbers are the publisher's, so a stream that comes under another SSRC because the pipe has new keys goes on in the same
layer, its gap is asked for like any other, and nobody below notices. A stream that paused is a new layer: its numbers may have jumped.

Feedback is per hop: gaps are asked for here, key frame requests are gathered for each layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from node.base import limits
from node.media.fanout import Fanout
from node.media.host import Host, Timer
from node.media.layer import Layer, Track
from node.media.pipe import PipeTransport
from node.media.proto import pipesaid, rtcp, rtp
from node.media.proto.rtp import Extensions, Layout
from node.services import relay
from node.services.relay import Wanted

IDENTITY: Final = {number: number for number in range(1, 15)}  # extension ids are canonical already
DEFAULT_RTT_S: Final = 0.1
_AUDIO_WIDTH: Final = 1  # any: a voice has no width
Name = tuple[bytes, str]


class Listener(Protocol):
    """Who is told what came (`room.Room`)."""

    def found(self, layer: Layer) -> None:
        """A layer has begun, perhaps the first of its track."""

    def ended(self, track: Track) -> None:
        """A track is there no more; its legs still are."""

    def heard(self, track: Track, level: int, now: float) -> None:
        """A packet of a microphone said how loud it is."""


class _Known:
    """What is known of one layer beside the layer itself."""

    __slots__ = ("arrived_at", "repair", "run", "ssrc", "used_at")

    def __init__(self, run: int) -> None:
        self.run = run
        self.ssrc = 0
        self.repair = 0
        self.arrived_at = 0.0
        self.used_at = float("-inf")  # a seat here had it or waited for it


class Inflow:
    """Everything from one other node."""

    def __init__(self, *, host: Host, fanout: Fanout, listener: Listener) -> None:
        self.tracks: dict[Name, Track] = {}
        self.loss = 0.0
        self.dropped: dict[str, int] = {}
        self._host = host
        self._fanout = fanout
        self._listener = listener
        self._allowed: frozenset[Name] = frozenset()
        self._said_at: dict[Name, float] = {}
        self._known: dict[Layer, _Known] = {}
        self._layers: dict[int, Layer] = {}  # by SSRC, in the pipe of now
        self._repairs: dict[int, Layer] = {}
        self._transport: PipeTransport | None = None
        self._timer: Timer | None = None
        self._closed = False

    # --- who may ----------------------------------------------------------------------------------------

    def allow(self, tracks: Iterable[relay.Track]) -> None:
        """The tracks of that node's seats, by the roster. What is gone ends."""
        self._allowed = frozenset((track.seat, track.source) for track in tracks)
        for name in [name for name in self.tracks if name not in self._allowed]:
            self._end(name)
        self._admit()

    def move(self, transport: PipeTransport | None) -> None:
        """It comes through this pipe from now on; what is what there is said anew."""
        if transport is not self._transport:
            self._transport = transport
            self._layers, self._repairs = {}, {}
            for known in self._known.values():
                known.ssrc = known.repair = 0

    def _admit(self) -> None:
        if self._transport is not None:
            self._transport.admit((*self._layers, *self._repairs))

    def close(self) -> None:
        """The node is gone: all its tracks end."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in list(self.tracks):
            self._end(name)
        self._transport = None

    # --- what is said -----------------------------------------------------------------------------------

    def said(self, tracks: Sequence[pipesaid.TrackSaid], now: float) -> None:
        """Which stream is what."""
        for track in tracks:
            name = (track.seat, track.source)
            if name not in self._allowed:
                self._count("not theirs")
                continue
            self._said_at[name] = now
            self._take_track(name, track, now)
        self._admit()

    def _take_track(self, name: Name, said: pipesaid.TrackSaid, now: float) -> None:
        track = self.tracks.get(name)
        if track is not None and track.codec != said.codec:  # legs are negotiated for one codec
            self._end(name)
            track = None
        if track is None:
            track = self.tracks[name] = Track(*name, video=said.source in pipesaid.VIDEO, wake=self.wake)
            track.codec = said.codec
        keys = {layer.key for layer in said.layers}
        for key in [key for key in track.layers if key not in keys]:
            self._forget(track.layers.pop(key))
        for layer in said.layers:
            self._take_layer(track, layer, now)

    def _take_layer(self, track: Track, said: pipesaid.LayerSaid, now: float) -> None:
        layer = track.layers.get(said.key)
        known = self._known.get(layer) if layer is not None else None
        if layer is None or known is None:
            layer, known = self._begin(track, said, now)
        elif said.ssrc and known.run != said.run:
            if known.arrived_at:
                layer, known = self._begin(track, said, now)
            known.run = said.run
        elif (
            said.ssrc and known.ssrc != said.ssrc and known.arrived_at and now - known.arrived_at > limits.PIPE_ALIAS_S
        ):
            layer, known = self._begin(track, said, now)  # so much is missing that its numbers may have gone round
        layer.heard_at = now
        layer.bps = said.kbps * 1000
        layer.width = said.width
        layer.temporal = max(layer.temporal, said.temporal)
        if said.ssrc != known.ssrc or said.repair != known.repair:
            self._rename(layer, known, said)

    def _begin(self, track: Track, said: pipesaid.LayerSaid, now: float) -> tuple[Layer, _Known]:
        before = track.layers.get(said.key)
        # Whatever tells the layers of a track apart is a name here; nothing is sent under it.
        layer = Layer(track, said.key, said.ssrc or said.run or said.key, track.codec)
        layer.heard_at = now
        if before is not None:
            self._forget(before)
        track.layers[said.key] = layer
        known = self._known[layer] = _Known(said.run)
        self._listener.found(layer)
        return layer, known

    def _rename(self, layer: Layer, known: _Known, said: pipesaid.LayerSaid) -> None:
        self._unname(known)
        fresh = [ssrc for ssrc in (said.ssrc, said.repair) if ssrc]
        taken = any(ssrc in self._layers or ssrc in self._repairs for ssrc in fresh)
        if taken or len(self._layers) + len(self._repairs) + len(fresh) > limits.PIPE_SSRCS_MAX:
            self._count("ssrc")
            return
        known.ssrc, known.repair = said.ssrc, said.repair
        if said.ssrc:
            self._layers[said.ssrc] = layer
        if said.repair:
            self._repairs[said.repair] = layer

    def _unname(self, known: _Known) -> None:
        self._layers.pop(known.ssrc, None)
        self._repairs.pop(known.repair, None)
        known.ssrc = known.repair = 0

    def _forget(self, layer: Layer) -> None:
        for leg in list(layer.track.legs):
            if layer in {leg.layer, leg.target}:
                leg.aim(None)
        known = self._known.pop(layer, None)
        if known is not None:
            self._unname(known)

    def _end(self, name: Name) -> None:
        track = self.tracks.pop(name)
        self._said_at.pop(name, None)
        for layer in track.layers.values():
            self._forget(layer)
        self._listener.ended(track)

    # --- packets (seam.Sink, by way of pipes.py) --------------------------------------------------------

    def rtp(self, packet: memoryview, size: int, now: float) -> None:
        """A packet under an SSRC that was said."""
        _, mark_type, seq, timestamp, ssrc = rtp.FIXED.unpack_from(packet)
        layer = self._layers.get(ssrc)
        where = rtp.layout(packet, size)
        if where is None:
            self._count("malformed")
            return
        found = rtp.scan(packet, where, IDENTITY) if where.elements != where.payload else rtp.NONE
        if layer is None:
            self._repair(packet, where, found, now)
            return
        if mark_type & 0x7F != layer.codec:
            self._count("payload")
            return
        if found.level >= 0:
            self._listener.heard(layer.track, found.level, now)
        self._known[layer].arrived_at = now
        self._take(layer, seq, timestamp, mark_type, found, packet[where.payload : where.end], now)

    def _repair(self, packet: memoryview, where: Layout, found: Extensions, now: float) -> None:
        _, mark_type, _, timestamp, ssrc = rtp.FIXED.unpack_from(packet)
        layer = self._repairs.get(ssrc)
        seq = rtp.original(packet, where)
        if layer is None or seq < 0:
            self._count("unknown")
            return
        mark_type = mark_type & 0x80 | layer.codec
        if self._take(layer, seq, timestamp, mark_type, found, packet[where.payload + 2 : where.end], now) >= 0:
            layer.reception.repaired += 1

    def _take(
        self, layer: Layer, seq: int, timestamp: int, mark_type: int, found: Extensions, payload: memoryview, now: float
    ) -> int:  # fmt: skip
        body = found.copied + payload if found.copied else bytes(payload)
        index = self._fanout.take(
            layer, seq, timestamp, mark_type, len(found.copied) >> 2, body, now, wide=found.wide
        )  # fmt: skip
        if layer.gaps.open or layer.gaps.broken:
            self.wake()
        return index

    def clock(self, report: rtcp.SenderReport, now: float) -> None:
        """A sender report of the publisher, for the legs here."""
        layer = self._layers.get(report.ssrc)
        if layer is None:
            self._count("ssrc")
            return
        layer.clock = (report.ntp, report.rtp)
        layer.reception.reported(report.ntp, now)
        for leg in layer.legs:
            leg.transport.send_rtcp(leg.sender_report(report.ntp, report.rtp, layer.track.seat.hex(), now))

    # --- feedback ---------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something is missing or a key frame is wanted: looks after it soon."""
        if self._timer is None and not self._closed:
            self._timer = self._host.later(0.0, self._tend)

    def _tend(self) -> None:
        self._timer = None
        now = self._host.clock.monotonic()
        transport = self._transport
        rtt_s = DEFAULT_RTT_S if transport is None or transport.rtt_s is None else transport.rtt_s
        ours = 0 if transport is None else transport.half.ssrc
        wishes: list[bytes] = []
        again = 0.0
        for layer, known in self._known.items():
            gaps, gate = layer.gaps, layer.gate
            if gaps.open:
                seqs = gaps.due(now, rtt_s)
                if seqs:
                    wishes.append(rtcp.nack(ours, known.ssrc, seqs))
                again = limits.NACK_WAIT_S
            if gaps.broken:
                gaps.broken = False
                if layer.legs or layer.waiting:
                    gate.ask()
            if gate.waiting:
                if known.ssrc and gate.due(now):
                    wishes.append(rtcp.pli(ours, known.ssrc))
                layer.look()
                again = again or limits.KEY_FRAME_GAP_S / 5
        self._send(wishes)
        if again:
            self._timer = self._host.later(again, self._tend)

    def _send(self, wishes: Sequence[bytes]) -> None:
        """Together, as many as fit a datagram each."""
        transport = self._transport
        if transport is None or not wishes:
            return
        head = rtcp.receiver_report(transport.half.ssrc, ())
        packet = head
        for wish in wishes:
            if len(packet) + len(wish) > limits.PIPE_SAID_BYTES_MAX:
                transport.send_rtcp(packet)
                packet = head
            packet += wish
        transport.send_rtcp(packet)

    # --- each second ------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Reports what came; what was not said for long has ended."""
        for name in [name for name, said_at in self._said_at.items() if now - said_at > limits.PIPE_SAID_LOST_S]:
            if self._transport is not None and self._transport.writable:
                self._end(name)
        for layer in self._known:
            if layer.waiting and layer.track.video:
                layer.ask_key_frame()
        self._report(now)

    def _report(self, now: float) -> None:
        transport = self._transport
        blocks = []
        weight = lost = 0.0
        for layer, known in self._known.items():
            if known.ssrc and now - known.arrived_at < limits.LAYER_LOST_S:
                block = layer.reception.block(known.ssrc, layer.gaps.highest, now)
                blocks.append(block)
                weight += layer.bps
                lost += layer.reception.loss * layer.bps
        self.loss = lost / weight if weight else 0.0
        if transport is None or not blocks:
            return
        for start in range(0, len(blocks), 31):
            transport.send_rtcp(rtcp.receiver_report(transport.half.ssrc, blocks[start : start + 31]))

    def wanted(self, now: float) -> list[Wanted]:
        """What the seats here get or wait for, or did until a moment ago: a track once for each width of its layers."""
        wishes = []
        for (seat, source), track in self.tracks.items():
            named = relay.Track(seat, source)
            if not track.video:  # every voice, also those that are not forwarded now: else nobody knew who is loud
                if track.legs:
                    wishes.append(Wanted(named, _AUDIO_WIDTH))
                continue
            used = {layer.key for leg in track.legs for layer in (leg.layer, leg.target) if layer is not None}
            for layer in track.layers.values():
                known = self._known[layer]
                if layer.key in used:
                    known.used_at = now
                if now - known.used_at < limits.LAYER_IDLE_S:
                    wishes.append(Wanted(named, max(layer.width, 1)))
        return wishes

    def _count(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    @property
    def bps(self) -> int:
        """What comes from there."""
        return sum(layer.bps for layer, known in self._known.items() if known.ssrc)
