"""How much fits: believed rates of both directions of one device. Rates are bit/s, loss is 0 to 1, time is seconds.

*Up*: a browser that sends gets our REMB, which follows loss alone: it begins at 600 kb/s, grows 8 % a second while less than 2 % is lost, and
falls by half the loss above 10 % (the loss-based half of draft-ietf-rmcat-gcc). *Down*: the browser that receives measures delay itself and
tells it as REMB; without one we follow its loss reports by the same rule. Browsers count video alone in it (libwebrtc leaves audio without
transport-wide sequence numbers out of its receive side estimate), so voices are taken off our own rate only. A receiver that is sent little
can never report much, so an estimate well above what is sent is no ceiling (`roomy`).
"""

from __future__ import annotations

from typing import Final

from node.base import limits

GROWTH: Final = 1.08  # a second
LITTLE_LOSS: Final = 0.02
MUCH_LOSS: Final = 0.10
REMB_LIFE_S: Final = 10.0  # browsers repeat theirs each second or so while something flows
ROOMY: Final = 1.2
VOICE_BPS: Final = 40_000


class LossBased:
    """A rate that follows loss alone."""

    __slots__ = ("_at", "bps")

    def __init__(self, now: float) -> None:
        self.bps = float(limits.REMB_BPS_START)
        self._at = now

    def update(self, loss: float, now: float) -> int:
        """The rate after an interval with this loss."""
        passed, self._at = max(now - self._at, 0.0), now
        if loss > MUCH_LOSS:
            self.bps *= 1 - loss / 2
        elif loss < LITTLE_LOSS:
            self.bps *= float(GROWTH ** min(passed, 5.0))
        self.bps = min(max(self.bps, limits.REMB_BPS_MIN), limits.REMB_BPS_MAX)
        return int(self.bps)


class Downlink:
    """What fits on the way to one device."""

    __slots__ = ("_loss", "_own", "_remb", "_remb_at")

    def __init__(self, now: float) -> None:
        self._own = LossBased(now)
        self._own.bps = float(limits.REMB_BPS_START * 2)
        self._remb = 0
        self._remb_at = float("-inf")
        self._loss = 0.0

    def remb(self, bps: int, now: float) -> None:
        """The device's own estimate came."""
        self._remb, self._remb_at = bps, now

    def reports(self, loss: float, now: float) -> None:
        """Its receiver reports of one interval, all legs together."""
        self._loss = loss
        self._own.update(loss, now)

    def bps(self, now: float, *, voices: int = 0) -> int:
        """What is believed to fit of video now, beside so many voices."""
        if now - self._remb_at > REMB_LIFE_S:
            return max(int(self._own.bps) - voices * VOICE_BPS, 0)
        return int(self._remb * (1 - self._loss / 2 if self._loss > MUCH_LOSS else 1))

    @property
    def calm(self) -> bool:
        """Whether next to nothing is lost."""
        return self._loss < LITTLE_LOSS

    def roomy(self, sent_bps: int, now: float, *, voices: int = 0) -> bool:
        """Whether more than the video that is sent seems to fit, so that more may be tried."""
        return self.calm and self.bps(now, voices=voices) > ROOMY * sent_bps
