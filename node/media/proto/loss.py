"""What is missing of one stream, when to ask for it, and what to report about it.

`Gaps` turns 16-bit sequence numbers into indices that never wrap, says which packets are new, and when the missing ones are asked for
(RFC 4585 NACK): after a reorder wait, then once a round trip, a few times. What it gives up on, and gaps too long to ask for, set
`broken`: the decoder at the far end needs a key frame. `KeyFrameGate` keeps a hundred viewers from asking a hundred times. `Reception`
counts what a receiver report says (RFC 3550 appendix A). Time is seconds of one steady clock.
"""

from __future__ import annotations

from typing import Final

from node.base import limits
from node.media.proto import rtcp

ONE_CYCLE: Final = 0x10000  # indices begin here, so that the ones before the first packet are not negative


class _Missing:
    __slots__ = ("asked", "since", "tries")

    def __init__(self) -> None:
        self.since = 0.0  # of the first look
        self.asked = 0.0
        self.tries = 0


class Gaps:
    """The sequence numbers of one stream. `asks` false: late packets are still let in, but nothing is asked for (audio)."""

    __slots__ = ("_asks", "_missing", "broken", "highest", "recovered")

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks
        self._missing: dict[int, _Missing] = {}
        self.highest = -1
        self.broken = False  # a key frame is needed; whoever asked for one resets it
        self.recovered = 0

    @property
    def open(self) -> bool:
        """Whether anything is missing that may still be asked for."""
        return self._asks and bool(self._missing)

    def received(self, seq: int) -> int:
        """The index of a packet that is new, in order (then it is `highest`) or not; -1 for one that was seen or given up."""
        highest = self.highest
        if highest < 0:
            self.highest = seq + ONE_CYCLE
            return self.highest
        index = highest + ((seq - highest + 0x8000) & 0xFFFF) - 0x8000
        if index == highest + 1:
            self.highest = index
            return index
        if index > highest:
            self._skipped(highest + 1, index)
            self.highest = index
            return index
        if self._missing.pop(index, None) is None:
            return -1
        self.recovered += 1
        return index

    def _skipped(self, first: int, index: int) -> None:
        missing = self._missing
        if index - first + len(missing) > limits.NACK_MISSING_MAX:
            missing.clear()
            self.broken = self._asks
            if index - first > limits.NACK_MISSING_MAX:
                return
        for lost in range(first, index):
            missing[lost] = _Missing()

    def due(self, now: float, rtt_s: float) -> list[int]:
        """The sequence numbers to ask for now, ascending. Call it every few milliseconds while `open`."""
        seqs: list[int] = []
        gone: list[int] = []
        gap = max(rtt_s, limits.NACK_GAP_S_MIN)
        for index, lost in self._missing.items():
            if not lost.tries:
                lost.since = lost.since or now
                if now - lost.since < limits.NACK_WAIT_S:
                    continue
            elif now - lost.asked < gap:
                continue
            elif lost.tries >= limits.NACK_TRIES_MAX:
                gone.append(index)
                continue
            lost.tries += 1
            lost.asked = now
            seqs.append(index & 0xFFFF)
        for index in gone:
            del self._missing[index]
            self.broken = True
        return seqs

    def asked(self, index: int) -> float:
        """When `index` was last asked for, 0 if it was not: the answer tells the round trip."""
        lost = self._missing.get(index)
        return lost.asked if lost is not None and lost.tries == 1 else 0.0


class KeyFrameGate:
    """Key frame requests for one layer: one outstanding, at least 500 ms apart, repeated once if nothing came."""

    __slots__ = ("_sent_at", "_tries", "_wanted")

    def __init__(self) -> None:
        self._sent_at = float("-inf")
        self._tries = 0  # since the last key frame or wish
        self._wanted = False

    def ask(self) -> None:
        """Somebody needs a key frame. `due` says when to ask the sender for it."""
        if not self._wanted:
            self._wanted = True
            self._tries = 0

    def due(self, now: float) -> bool:
        """Whether a request is to be sent now; counts as sent then."""
        if not self._wanted or now - self._sent_at < limits.KEY_FRAME_GAP_S:
            return False
        if self._tries > 1:  # asked and repeated: whoever still needs one will say so
            self._wanted = False
            return False
        self._tries += 1
        self._sent_at = now
        return True

    @property
    def waiting(self) -> bool:
        """Whether a key frame is wanted and did not come yet."""
        return self._wanted

    def arrived(self) -> None:
        """A key frame began."""
        self._wanted = False


class Reception:
    """What is said about one received stream. `hz`: of its timestamps."""

    __slots__ = (
        "_expected", "_first", "_jitter", "_received", "_report", "_report_at", "_transit", "hz", "loss", "octets", "packets", "repaired",
    )  # fmt: skip

    def __init__(self, hz: int) -> None:
        self.hz = hz
        self._first = -1
        self._expected = 0
        self._received = 0
        self._jitter = 0.0
        self._transit: int | None = None
        self._report = 0
        self._report_at = 0.0
        self.packets = 0
        self.octets = 0
        self.repaired = 0  # of these packets, those that came as RTX: lost on the way all the same
        self.loss = 0.0  # of the last interval, 0 to 1

    def received(self, index: int, timestamp: int, size: int, now: float) -> None:
        """A packet that is in order."""
        if self._first < 0:
            self._first = index
        self.packets += 1
        self.octets += size
        transit = (int(now * self.hz) - timestamp) & 0xFFFFFFFF
        if self._transit is not None:
            step = (transit - self._transit + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            self._jitter += (abs(step) - self._jitter) / 16
        self._transit = transit

    def late(self, size: int) -> None:
        """A packet that came late or again; no measure of jitter."""
        self.packets += 1
        self.octets += size

    def reported(self, ntp: int, now: float) -> None:
        """A sender report came."""
        self._report = ntp >> 16 & 0xFFFFFFFF
        self._report_at = now

    def block(self, ssrc: int, highest: int, now: float) -> rtcp.Block:
        """The block of the next receiver report; begins a new interval. `highest` is `Gaps.highest`."""
        expected = highest - self._first + 1 if self._first >= 0 else 0
        due = expected - self._expected
        received = self.packets - self.repaired
        lost = max(due - (received - self._received), 0)
        self._expected, self._received = expected, received
        self.loss = lost / due if due > 0 else 0.0
        delay = int((now - self._report_at) * 65_536) & 0xFFFFFFFF if self._report else 0
        return rtcp.Block(
            ssrc=ssrc,
            fraction=min(int(self.loss * 256), 255),
            lost=expected - received,
            highest=(highest - ONE_CYCLE) & 0xFFFFFFFF,
            jitter=int(self._jitter),
            last=self._report,
            delay=delay,
        )
