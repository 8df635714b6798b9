"""What one seat gets: the sink of its down transport, the m-lines it was offered, and its legs.

*Lines* are never removed, as SDP wants it: a line whose leg is gone is inactive until a new leg of its kind takes it, with a new SSRC. What
changes is gathered and offered at most every 300 ms, one offer at a time; the answer of the device makes legs ready. Each offer has a
version; an answer to another one is stale.

*Feedback* of the device: NACK is answered from the ring, key frame requests go to the gate of the layer, reports and REMB feed the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from node.base import limits
from node.media.fanout import Fanout
from node.media.host import Host, Timer
from node.media.layer import Track
from node.media.leg import Leg
from node.media.proto import bwe, canonical, sdp
from node.media.proto.rtcp import Blocks, KeyFrameWanted, Nack, Remb, parse
from node.media.seam import Transport

UNANSWERED_S: Final = 10.0  # an offer nobody answered is made again with the next change after this
OPENING: Final = (False, True)  # lines of the first offer, audio and video: keys are made before anybody shows himself
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Listener(Protocol):
    """Who is told what a downlink needs (`room.Room`)."""

    def offered(self, seat: bytes, version: int, text: str, legs: Mapping[str, Track]) -> None:
        """An offer for the device; `legs` by mid."""

    def ready(self, seat: bytes) -> None:
        """Legs may begin or have to stop: plan anew."""

    def squeezed(self, seat: bytes) -> None:
        """Less fits than before."""


class _Line:
    __slots__ = ("leg", "mid", "offered", "video")

    def __init__(self, mid: str, *, video: bool) -> None:
        self.mid = mid
        self.video = video
        self.leg: Leg | None = None
        self.offered: Leg | None = None  # in the newest offer


class Downlink:
    """Of `seat`. `transport` is set by who makes both; `session` is a random number of at most 62 bits."""

    transport: Transport

    def __init__(self, seat: bytes, *, host: Host, fanout: Fanout, listener: Listener, session: int, ssrc: int) -> None:
        self.seat = seat
        self.version = 0
        self.legs: dict[int, Leg] = {}  # by SSRC
        self.dropped: dict[str, int] = {}
        self.on = False
        self.rate = bwe.Downlink(host.clock.monotonic())
        self.loss = 0.0
        self._host = host
        self._fanout = fanout
        self._listener = listener
        self._session = session
        self._ssrc = ssrc
        self._lines: list[_Line] = []
        self._timer: Timer | None = None
        self._dirty = False
        self._offered_at = float("-inf")
        self._waiting = False  # for an answer
        self._resends_left = limits.RESENDS_PER_S
        self._closed = False
        self._sent_octets = (0, 0)
        self._measured_at = 0.0
        self.bps = 0
        self.video_bps = 0  # of that

    # --- descriptions -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Offers the opening lines."""
        for video in OPENING:
            self._add_line(video=video)
        self.change()

    def _add_line(self, *, video: bool) -> _Line:
        number = len(self._lines)
        mid = _DIGITS[number % 36] if number < 36 else _DIGITS[number // 36] + _DIGITS[number % 36]
        line = _Line(mid, video=video)
        self._lines.append(line)
        return line

    def subscribe(self, track: Track) -> Leg:
        """A new leg for `track`, which is offered soon."""
        free = (line for line in self._lines if line.video == track.video and line.leg is None and line.offered is None)
        line = next(free, None) or self._add_line(video=track.video)
        leg = Leg(
            track,
            transport=self.transport,
            mux=self._host.mux,
            mid=line.mid,
            ssrc=self._fresh(),
            repair=self._fresh() if track.video else 0,
            seq=int.from_bytes(self._host.entropy.token_bytes(2), "big") & 0x7FFF,
        )
        line.leg = leg
        self.legs[leg.ssrc] = leg
        track.legs.append(leg)
        self.change()
        return leg

    def unsubscribe(self, leg: Leg) -> None:
        """Frees `leg`; its line is offered as inactive."""
        leg.close()
        self.legs.pop(leg.ssrc, None)
        for line in self._lines:
            if line.leg is leg:
                line.leg = None
        self.change()

    def _fresh(self) -> int:
        while True:
            ssrc = int.from_bytes(self._host.entropy.token_bytes(4), "big")
            if ssrc and ssrc not in self.legs and all(leg.repair != ssrc for leg in self.legs.values()):
                return ssrc

    def change(self) -> None:
        """Something has to be offered."""
        self._dirty = True
        now = self._host.clock.monotonic()
        if self._timer is not None or self._closed or (self._waiting and now - self._offered_at < UNANSWERED_S):
            return
        wait = max(self._offered_at + limits.OFFER_EVERY_S - now, 0.0)
        self._timer = self._host.later(wait, self._offer)

    def restart(self) -> None:
        """Offers anew with new ICE credentials, at once as far as the pace allows."""
        self.transport.restart()
        self._waiting = False
        self.change()

    def _offer(self) -> None:
        self._timer = None
        self._dirty = False
        self._waiting = True
        self._offered_at = self._host.clock.monotonic()
        self.version += 1
        for line in self._lines:
            line.offered = line.leg
        lines = self._described()
        text = sdp.offer(lines, self.transport.local(), session=self._session, version=self.version)
        legs = {line.mid: line.offered.track for line in self._lines if line.offered is not None}
        self._listener.offered(self.seat, self.version, text, legs)

    def _described(self) -> list[sdp.DownLine]:
        lines = []
        for line in self._lines:
            leg = line.offered
            if leg is None:
                codec = canonical.VP8 if line.video else canonical.OPUS
                lines.append(sdp.DownLine(mid=line.mid, video=line.video, active=False, codec=codec))
                continue
            lines.append(
                sdp.DownLine(
                    mid=line.mid,
                    video=line.video,
                    active=True,
                    codec=leg.track.codec,
                    ssrc=leg.ssrc,
                    rtx_ssrc=leg.repair,
                    stream=_stream(leg.track),
                )
            )
        return lines

    def answer(self, version: int, text: str) -> None:
        """The device's answer to the offer of `version`. Raises Rejected(bad_request)."""
        if version != self.version or not self._waiting:
            return
        answer = sdp.accept(text, self._described())
        self.transport.set_remote(answer.remote)
        self._waiting = False
        accepted = {egress.mid: egress for egress in answer.egress}
        for line in self._lines:
            leg, egress = line.offered, accepted.get(line.mid)
            if leg is None or leg is not line.leg:
                continue
            leg.ready = egress is not None and egress.active and leg.track.codec in egress.payloads
            if egress is not None and canonical.RTX.get(leg.track.codec) not in egress.payloads:
                leg.repair = 0
        if self._dirty:
            self.change()
        self._listener.ready(self.seat)

    def close(self) -> None:
        """Frees everything."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for leg in list(self.legs.values()):
            leg.close()
        self.legs.clear()
        self._lines.clear()

    # --- packets ----------------------------------------------------------------------------------------

    def rtp(self, packet: memoryview, size: int, now: float) -> None:
        """See `seam.Sink`. Nothing is to come this way."""
        del packet, size, now
        self._count("direction")

    def connected(self, on: bool) -> None:
        """See `seam.Sink`."""
        self.on = on
        if self._closed:
            return
        if not on:
            for leg in self.legs.values():
                leg.aim(None)
        self._listener.ready(self.seat)

    def rtcp(self, packet: bytes, now: float) -> None:
        """See `seam.Sink`."""
        for item in parse(packet):
            match item:
                case Nack():
                    self._resend(item, now)
                case KeyFrameWanted():
                    self._key_frame(item.ssrc)
                case Blocks():
                    self._report(item, now)
                case Remb():
                    before = self.rate.bps(now)
                    self.rate.remb(item.bitrate, now)
                    if self.rate.bps(now) < before:
                        self._listener.squeezed(self.seat)
                case _:
                    pass

    def _count(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _resend(self, nack: Nack, now: float) -> None:
        leg = self.legs.get(nack.ssrc)
        if leg is None:
            self._count("ssrc")
            return
        send_time = self._fanout.send_time(now)
        for seq in nack.seqs:
            if self._resends_left <= 0:
                self._count("resends")
                return
            if leg.resend(seq, now, send_time):
                self._resends_left -= 1
        self._host.mux.flush()

    def _key_frame(self, ssrc: int) -> None:
        leg = self.legs.get(ssrc)
        layer = (leg.target or leg.layer) if leg is not None else None
        if leg is None:
            self._count("ssrc")
        elif layer is not None and leg.track.video:
            layer.ask_key_frame()

    def _report(self, report: Blocks, now: float) -> None:
        for block in report.blocks:
            leg = self.legs.get(block.ssrc)
            if leg is None:
                continue  # of a repair stream, or of a leg that has just gone
            rtt = leg.reported(block, now)
            if rtt is not None:
                before = self.transport.rtt_s
                self.transport.rtt_s = rtt if before is None else before + (rtt - before) / 8

    # --- each second ------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Measures what was sent; renews what may be resent."""
        self._resends_left = limits.RESENDS_PER_S
        octets = sum(leg.counted()[1] for leg in self.legs.values())
        video = sum(leg.counted()[1] for leg in self.legs.values() if leg.track.video)
        passed = now - self._measured_at
        if self._measured_at and passed > 0:
            self.bps = max(int((octets - self._sent_octets[0]) * 8 / passed), 0)
            self.video_bps = max(int((video - self._sent_octets[1]) * 8 / passed), 0)
        self._sent_octets, self._measured_at = (octets, video), now
        active = [leg for leg in self.legs.values() if leg.layer is not None]
        weight = sum(leg.layer.bps for leg in active if leg.layer is not None)
        lost = sum(leg.loss * leg.layer.bps for leg in active if leg.layer is not None)
        self.loss = lost / weight if weight else 0.0
        self.rate.reports(self.loss, now)


def _stream(track: Track) -> str:
    """Camera and microphone are played in sync, and so are a shared screen and its sound."""
    return f"{track.seat.hex()}-{'screen' if track.source in {'screen', 'sound'} else 'main'}"
