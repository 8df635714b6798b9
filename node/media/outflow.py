"""What goes to another node: one copy of each layer that its people want, as it came, in canonical numbers.

An `Onward` is one layer on its way: protect and send only. Sequence numbers and timestamps are the publisher's, so a NACK is answered from the
ring by the number it names, and a sender report passes as it is. Its SSRC belongs to the pipe it goes through: a stream that begins anew, and
every stream when the pipe changes or was broken, gets a fresh one, so that libsrtp never sees a jump and a nonce is never used twice.
Repairs travel on an SSRC of their own (RFC 4588).

Only tracks of seats of this node come here: what came through a pipe goes into none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from node.base import limits
from node.media.host import Host
from node.media.lanes import LANE
from node.media.layer import Kept, Layer, Track
from node.media.pipe import PipeTransport
from node.media.proto import canonical, pipesaid, rtcp, rtp
from node.media.seam import Transport
from node.services.relay import Wanted

PLAIN: Final = 0x80  # version 2, nothing else
_SAY_AGAIN_S: Final = 0.1  # after a change, should its datagram be lost
_RUNS: Final = 1 << 32


class Onward:
    """One layer in one pipe (`layer.Onward`). `run` names this stream as long as no number is missing in it."""

    __slots__ = ("_octets", "_outflow", "_packets", "_resent", "failed", "layer", "loss", "repair", "repair_seq", "run", "ssrc", "transport")  # fmt: skip

    def __init__(self, layer: Layer, outflow: Outflow, run: int) -> None:
        self.layer = layer
        self.run = run
        self.ssrc = 0  # none before there is a pipe
        self.repair = 0
        self.repair_seq = 0
        self.loss = 0.0  # told by the other node, 0 to 1
        self.failed = 0
        self.transport: PipeTransport | None = None
        self._outflow = outflow
        self._packets = 0
        self._octets = 0
        self._resent: dict[int, float] = {}

    def move(self, transport: PipeTransport | None) -> None:
        """Through this pipe from now on, under new SSRCs; None: nowhere."""
        self.transport = transport
        self.ssrc = self.repair = 0
        if transport is not None:
            self.ssrc = transport.fresh_ssrc()
            self.repair = transport.fresh_ssrc() if self.layer.track.video else 0
        self.repair_seq = 0
        self._packets = self._octets = 0
        self._resent.clear()

    def forward(self, kept: Kept) -> None:
        """A packet of the layer, in order or late."""
        transport = self.transport
        if transport is None or not transport.writable:
            return
        index, timestamp, mark_type, words, wide, body = kept
        level = self.layer.level if not self.layer.track.video else -1
        batch = self._outflow.mux.batch
        view = batch.views[batch.queued] if batch is not None else self._outflow.mux.slot()
        at = LANE + rtp.FIXED_BYTES
        first = PLAIN
        if words or level >= 0:
            first = rtp.FIRST
            at += _extensions(view, at, level, words, wide=wide)
        rtp.FIXED.pack_into(view, LANE, first, mark_type, index & 0xFFFF, timestamp, self.ssrc)
        end = at + len(body)
        view[at:end] = body
        self._push(transport, end)
        self._packets += 1
        self._octets += len(body)

    def _push(self, transport: PipeTransport, end: int) -> None:
        """Protects what stands behind the lane of the slot and queues it; the inlined loop of seam.py, for one."""
        mux = self._outflow.mux
        batch = mux.batch
        if batch is None or transport.sockaddr is None:
            if not mux.push(cast(Transport, transport), end):
                self.failed += 1
            return
        slot, size = batch.queued, batch.size
        batch.views[slot][:LANE] = transport.lane
        size[0] = end - LANE
        if batch.protect(transport.tx, self._outflow.pointers[slot], size):
            self.failed += 1
            return
        batch.iovs[slot].iov_len = size[0] + LANE
        batch.headers[slot].msg_name = transport.sockaddr
        batch.queued = slot + 1
        if batch.queued == batch.capacity:
            mux.flush()

    def resend(self, seq: int, now: float) -> bool:
        """Answers a NACK from the ring, as RTX; at most once a round trip. Whether anything was sent."""
        transport, layer = self.transport, self.layer
        if transport is None or not transport.writable or not self.repair:
            return False
        index = rtp.unwrap(seq, layer.gaps.highest)
        kept = layer.kept(index)
        if kept is None or now - self._resent.get(index, float("-inf")) < (transport.rtt_s or 0.0):
            return False
        if len(self._resent) >= limits.RING_PACKETS:
            self._resent.clear()
        self._resent[index] = now
        _, timestamp, mark_type, words, wide, body = kept
        view = self._outflow.mux.slot()
        at = LANE + rtp.FIXED_BYTES
        first = PLAIN
        if words:
            first = rtp.FIRST
            at += _extensions(view, at, -1, words, wide=wide)
            view[at : at + 4 * words] = body[: 4 * words]
            at += 4 * words
        self.repair_seq = self.repair_seq + 1 & 0xFFFF
        mark_type = mark_type & 0x80 | canonical.RTX[mark_type & 0x7F]
        rtp.FIXED.pack_into(view, LANE, first, mark_type, self.repair_seq, timestamp, self.repair)
        payload = body[4 * words :]
        view[at : at + 2] = seq.to_bytes(2, "big")
        view[at + 2 : at + 2 + len(payload)] = payload
        self._push(transport, at + 2 + len(payload))
        return True

    def report(self, ntp: int, timestamp: int) -> None:
        """A sender report of the publisher: its clock passes as it is."""
        transport = self.transport
        if transport is not None and transport.writable:
            said = rtcp.SenderReport(self.ssrc, ntp, timestamp, self._packets & 0xFFFFFFFF, self._octets & 0xFFFFFFFF)
            # The first SSRC of a datagram is that of the pipe's reports, which is the only one let in.
            transport.send_rtcp(rtcp.receiver_report(transport.half.ssrc, ()) + rtcp.sender_report(said))


def _extensions(view: memoryview, at: int, level: int, words: int, *, wide: bool) -> int:
    """Writes what stands before the copied elements, which `body` begins with; returns its length."""
    more = level >= 0
    profile = rtp.TWO_BYTE if wide else rtp.ONE_BYTE
    view[at : at + 4] = (profile << 16 | words + more).to_bytes(4, "big")
    if not more:
        return 4
    head = bytes((canonical.AUDIO_LEVEL, 1, level, 0)) if wide else bytes((canonical.AUDIO_LEVEL << 4, level, 0, 0))
    view[at + 4 : at + 8] = head
    return 8


class Outflow:
    """Everything for one other node."""

    def __init__(self, *, host: Host, width: Callable[[Layer], int]) -> None:
        """`width` says how wide a layer is, or is likely to be."""
        self.mux = host.mux
        batch = host.mux.batch
        self.pointers = () if batch is None else tuple(pointer + LANE for pointer in batch.pointers)
        self.legs: dict[Layer, Onward] = {}
        self.loss = 0.0
        self.dropped: dict[str, int] = {}
        self._host = host
        self._width = width
        self._transport: PipeTransport | None = None
        self._tracks: tuple[Track, ...] = ()
        self._widths: dict[tuple[bytes, str], set[int]] = {}
        self._runs = int.from_bytes(host.entropy.token_bytes(4), "big")
        self._resends_left = limits.RESENDS_PER_S
        self._closed = False

    # --- what is sent -----------------------------------------------------------------------------------

    def want(self, tracks: Sequence[Wanted]) -> None:
        """What the other node wants, all of it anew. A track may be named once for each width."""
        self._widths = {}
        for wanted in tracks[: limits.CALL_WISHES_MAX]:
            if wanted.width > 0:
                self._widths.setdefault((wanted.track.seat, wanted.track.source), set()).add(wanted.width)
        self._arrange()

    def offer(self, tracks: Iterable[Track]) -> None:
        """The tracks of the seats here, all of them anew; layers may have come or gone."""
        self._tracks = tuple(tracks)
        self._arrange()

    def move(self, transport: PipeTransport | None) -> None:
        """Goes through this pipe from now on, or (the same again) goes on in it after it was broken."""
        self._transport = transport
        for leg in self.legs.values():
            leg.move(transport)
        self.say()

    def _arrange(self) -> None:
        if self._closed:
            return
        chosen = [layer for track in self._tracks for layer in self._chosen(track)]
        before = set(self.legs)
        for layer in before.difference(chosen):
            self._stop(layer)
        for layer in chosen:
            if layer not in self.legs:
                self._start(layer)
        if before != set(self.legs):
            self.say()

    def _chosen(self, track: Track) -> list[Layer]:
        """For each width the lowest living layer that is wide enough, else the highest; one that sleeps, if none lives."""
        widths = self._widths.get((track.seat, track.source))
        layers = sorted(track.layers.values(), key=lambda layer: layer.key)
        if not widths or not layers:
            return []
        now = self._host.clock.monotonic()
        alive = [layer for layer in layers if layer.alive(now)] or layers[:1]
        if not track.video:
            return alive[:1]
        return list({next((layer for layer in alive if self._width(layer) >= width), alive[-1]) for width in widths})

    def _start(self, layer: Layer) -> None:
        self._runs = (self._runs + 1) % _RUNS
        leg = self.legs[layer] = Onward(layer, self, self._runs)
        leg.move(self._transport)
        layer.onward += (leg,)
        if layer.track.video:
            layer.ask_key_frame()

    def _stop(self, layer: Layer) -> None:
        leg = self.legs.pop(layer)
        layer.onward = tuple(other for other in layer.onward if other is not leg)

    def close(self) -> None:
        """Nothing goes there any more."""
        self._closed = True
        for layer in list(self.legs):
            self._stop(layer)
        self._tracks, self._transport = (), None

    # --- what is said -----------------------------------------------------------------------------------

    def say(self) -> None:
        """Which stream is what; soon once more."""
        self._say()
        if self._transport is not None:
            self._host.later(_SAY_AGAIN_S, self._say)

    def _say(self) -> None:
        transport = self._transport
        if transport is None or not transport.writable or self._closed:
            return
        now = self._host.clock.monotonic()
        for datagram in pipesaid.say(transport.half.ssrc, [self._said(track, now) for track in self._tracks]):
            transport.send_rtcp(datagram)

    def _said(self, track: Track, now: float) -> pipesaid.TrackSaid:
        layers = []
        for key, layer in sorted(track.layers.items()):
            leg = self.legs.get(layer)
            if leg is None and not layer.alive(now) and len(track.layers) > 1:
                continue
            run, ssrc, repair = (0, 0, 0) if leg is None else (leg.run, leg.ssrc, leg.repair)
            layers.append(
                pipesaid.LayerSaid(
                    key, run, ssrc, repair, min(self._width(layer), pipesaid.WIDTH_MAX) if track.video else 0,
                    min(layer.bps // 1000, 1_000_000), min(layer.temporal, 7),
                )
            )  # fmt: skip
        return pipesaid.TrackSaid(track.seat, track.source, track.codec, tuple(layers))

    def tick(self) -> None:
        """Each second."""
        self._resends_left = limits.RESENDS_PER_S
        self._arrange()
        self._say()

    # --- what the other node answers --------------------------------------------------------------------

    def feedback(self, item: rtcp.Item, now: float) -> None:
        """An item about a stream of ours."""
        match item:
            case rtcp.Nack(ssrc, seqs):
                leg = self._leg(ssrc)
                for seq in seqs if leg is not None else ():
                    if self._resends_left <= 0:
                        self._count("resends")
                        return
                    self._resends_left -= leg is not None and leg.resend(seq, now)
            case rtcp.KeyFrameWanted(ssrc):
                leg = self._leg(ssrc)
                if leg is not None and leg.layer.track.video:
                    leg.layer.ask_key_frame()
            case rtcp.Blocks(blocks):
                self._report(blocks)
            case _:
                pass

    def _leg(self, ssrc: int) -> Onward | None:
        leg = next((leg for leg in self.legs.values() if leg.ssrc == ssrc), None)
        if leg is None:
            self._count("ssrc")
        return leg

    def _report(self, blocks: Sequence[rtcp.Block]) -> None:
        weight = lost = 0.0
        by_ssrc = {leg.ssrc: leg for leg in self.legs.values()}
        for block in blocks:
            leg = by_ssrc.get(block.ssrc)
            if leg is not None:
                leg.loss = block.fraction / 256
                weight += leg.layer.bps
                lost += leg.loss * leg.layer.bps
        self.loss = lost / weight if weight else 0.0

    def _count(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    @property
    def bps(self) -> int:
        """What goes there."""
        return sum(leg.layer.bps for leg in self.legs.values())
