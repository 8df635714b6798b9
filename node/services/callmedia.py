"""What the relay tells of the seats here, for their devices and for the focus. Implements `services.relay.RelayEvents`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from node.base.ids import NodeId
from node.services.home import Home, over
from node.services.relay import Quality, Track, Wanted
from node.services.seats import Mine, There
from node.wire import calling

GOOD: Final = (
    20,
    300,
)  # loss in per mille and round trip in ms of a talk in which nobody notices the network (ITU-T G.114)
FAIR: Final = (50, 600)  # now and then a word is lost, and people begin to speak at the same time
POOR: Final = 150  # per mille: still understood


class CallMedia:
    """Events of the relay."""

    def __init__(self, *, home: Home) -> None:
        self._home = home

    def _find(self, call: bytes, seat: bytes) -> tuple[There, Mine] | None:
        there = self._home.table.calls.get(call)
        mine = None if there is None else there.mine.get(seat)
        return None if there is None or mine is None else (there, mine)

    def offered(self, call: bytes, seat: bytes, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        """The down transport of a seat is offered; kept for a socket that takes its place."""
        named = {mid: (track.seat, track.source) for mid, track in tracks.items()}
        offer = calling.CallOffer(call, seat, version, sdp, named)
        if (found := self._find(call, seat)) is None:
            self._home.table.keep_offer(offer)
            return
        _, mine = found
        mine.offer = offer
        if mine.taken:
            mine.tell_offer()

    def connected(self, call: bytes, seat: bytes, *, on: bool) -> None:
        """Media goes, or not any more."""
        if (found := self._find(call, seat)) is not None:
            there, mine = found
            mine.connected = on
            mine.was_live |= on
            self._home.report(there)

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        """What a seat sends."""
        if (found := self._find(call, seat)) is not None and found[1].sources != tuple(sources):
            there, mine = found
            mine.sources = tuple(sources)
            self._home.report(there)

    def speakers(self, call: bytes, seats: Sequence[bytes]) -> None:
        """Who speaks."""
        there = self._home.table.calls.get(call)
        frame = calling.CallSpeakers(call, tuple(seats))
        for mine in () if there is None else there.mine.values():
            if mine.device is not None:
                mine.device.send(frame)

    def quality(self, call: bytes, seat: bytes, quality: Quality) -> None:
        """How the media of a seat goes."""
        found = self._find(call, seat)
        if found is not None and found[1].device is not None:
            found[1].device.send(
                calling.CallQuality(
                    call, seat, level(quality), quality.up_loss, quality.up_kbps, quality.down_loss, quality.down_kbps,
                    quality.rtt_ms, quality.audio_only, dict(quality.layers),
                )
            )  # fmt: skip

    def failed(self, call: bytes) -> None:
        """The relay lost the call: its devices come again, in the place of their old seats."""
        there = self._home.table.calls.get(call)
        if there is None:
            return
        self._home.pipes.end(call)
        for mine in there.mine.values():
            mine.connected, mine.offer = False, None
            over(mine.device, there, "restarting")
        self._home.report(there)

    def pipe_wanted(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """What the seats here want of another node."""
        self._home.pipes.want(call, node, tracks)


def level(quality: Quality) -> int:
    """0 (bad) to 3 (good), by the worse direction; without video it is at most 1."""
    loss = max(quality.up_loss, quality.down_loss)
    if quality.audio_only:
        return 1 if loss < POOR else 0
    for value, (loss_max, rtt_max) in ((3, GOOD), (2, FAIR)):
        if loss < loss_max and quality.rtt_ms < rtt_max:
            return value
    return 1 if loss < POOR else 0
