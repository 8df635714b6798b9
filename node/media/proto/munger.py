"""The numbers of one leg: a stream that goes on without a gap, made of the packets of changing layers with some left out.

Sequence numbers of a leg are continuous as long as it lives: a jump over 2^15 makes SRTP refuse, a gap makes the subscriber ask for what
never was. So the mapping is a list of *steps*. A step says: from the input index `begin` of `layer` (its SSRC) on, the output index is the input
index plus a constant, until the next step begins. Going over to another layer and leaving out packets begin new steps. A packet that comes
late is mapped by the step it belongs to, and a NACK is mapped back by the same list, so no packet leaves a record of its own.

Timestamps and VP8 counters are shifted by constants of the step. Indices never wrap here; the first output index lies in the lower half
of the first cycle, so that both ends agree on the roll-over count.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from node.media.proto.loss import ONE_CYCLE

STEPS_KEPT: Final = (
    64  # half of all pictures left out for two seconds, which is as long as the ring of a layer remembers
)


class Step(NamedTuple):
    """From input index `begin` of `layer` (its SSRC) on, the output index is `out` and so on. The rest is added, modulo its width."""

    layer: int
    begin: int
    out: int
    timestamp: int = 0
    pid: int = 0
    tl0: int = 0


class Munger:
    """The steps of one leg. `start` is a random number below 2^15."""

    __slots__ = ("_start", "_steps", "step")

    def __init__(self, start: int) -> None:
        assert 0 <= start < 0x8000
        self._start = start + ONE_CYCLE
        self._steps: deque[Step] = deque(maxlen=STEPS_KEPT)
        self.step: Step | None = None  # the newest

    def end(self, highest: int) -> int:
        """The output index after the packet `highest` of the newest step's layer, which was forwarded or is still missing."""
        if self.step is None:
            return self._start
        return self.step.out + max(highest + 1 - self.step.begin, 0)

    def switch(self, layer: int, begin: int, out: int, *, timestamp: int = 0, pid: int = 0, tl0: int = 0) -> Step:
        """From the output index `out` (see `end`) on, packets of `layer` beginning with the input index `begin`."""
        step = Step(layer, begin, out, timestamp & 0xFFFFFFFF, pid, tl0)
        while self._steps and self._steps[-1].out >= out:  # an empty step
            self._steps.pop()
        self._steps.append(step)
        self.step = step
        return step

    def skip(self, index: int, *, picture: bool) -> Step:
        """Leaves out the packet `index`, the newest of its layer; `picture`: it is the first one of a picture that is left out."""
        step = self.step
        assert step is not None
        return self.switch(
            step.layer,
            index + 1,
            self.end(index - 1),
            timestamp=step.timestamp,
            pid=step.pid - picture,
            tl0=step.tl0,
        )

    def find(self, layer: int, index: int) -> Step | None:
        """The step of an input packet, or None if it is not part of this leg."""
        following: Step | None = None
        for step in reversed(self._steps):
            if step.layer == layer and index >= step.begin:
                if following is not None and step.out + index - step.begin >= following.out:
                    return None  # left out
                return step
            following = step
        return None

    def origin(self, out: int) -> tuple[int, int, Step] | None:
        """(layer, input index, step) of the output packet `out`, if it is remembered."""
        for step in reversed(self._steps):
            if out >= step.out:
                return step.layer, step.begin + out - step.out, step
        return None
