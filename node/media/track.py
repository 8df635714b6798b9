"""One stream of one seat, as everybody else gets it: its layers and its legs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from node.media.layer import Layer
from node.media.proto.forward import Dynacast

if TYPE_CHECKING:
    from node.media.leg import Leg


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
        self.legs: list[Leg] = []

    def best(self, now: float, key: int) -> Layer | None:
        """The highest living layer that is not above `key`, else the lowest living one, else any."""
        alive = [layer for layer in self.layers.values() if layer.alive(now)]
        below = [layer for layer in alive if layer.key <= key]
        if below:
            return max(below, key=lambda layer: layer.key)
        return min(alive or self.layers.values(), key=lambda layer: layer.key, default=None)
