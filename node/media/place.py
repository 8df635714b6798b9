"""One device's place in a call: both its transports, what it wants, and the plan of what it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from node.media.downlink import Downlink
from node.media.layer import Layer, Track
from node.media.leg import Leg
from node.media.proto import forward
from node.media.seam import Transport
from node.media.uplink import Uplink
from node.services import relay
from node.services.relay import SeatReport, Wanted

DEFAULT_WIDTH: Final = 640  # pixels of a camera nobody said anything about
SCREEN_WIDTH: Final = 1920
LAYER_WIDTHS: Final = (320, 640, 1280)  # until a key frame says better


class Place:
    """Of `seat`. `legs` has one for each track of others."""

    def __init__(self, seat: bytes, up: Transport, uplink: Uplink, down: Transport, downlink: Downlink) -> None:
        self.seat = seat
        self.up = up
        self.uplink = uplink
        self.down = down
        self.downlink = downlink
        self.wishes: dict[tuple[bytes, str], Wanted] = {}
        self.planner = forward.Planner()
        self.windows: dict[Track, int] = {}  # pixels of each video it is shown
        self.legs: dict[Track, Leg] = {}
        self.muted = False
        self.offers = 0  # of the device
        self.ufrag = ""  # the device's, of its newest offer

    def close(self) -> None:
        """Frees everything."""
        self.uplink.close()
        self.downlink.close()
        self.up.close()
        self.down.close()
        self.legs.clear()

    def plan(self, now: float, *, audible: Callable[[Track], bool], recent: Sequence[bytes]) -> None:
        """Decides what each leg gets. `audible` says which voices are forwarded, `recent` who spoke last."""
        if not self.downlink.on:
            return
        voices = 0
        for track, leg in self.legs.items():
            if not track.video:
                gets = leg.ready and not track.muted and audible(track)
                voices += gets
                leg.aim(track.layers[min(track.layers)] if gets and track.layers else None)
        rate = self.downlink.rate
        choices = self.planner.make(
            self._demands(now, recent),
            bps=rate.bps(now, voices=voices),
            now=now,
            roomy=rate.roomy(self.downlink.video_bps, now, voices=voices),
            calm=rate.calm,
        )
        for track, leg in self.legs.items():
            if track.video:
                choice = choices.get(track)
                layer = track.best(now, choice.layer) if choice is not None else None
                if layer is None or choice is None:
                    leg.aim(None)
                else:
                    leg.aim(layer, choice.cap)

    def _demands(self, now: float, recent: Sequence[bytes]) -> list[forward.Demand]:
        """The videos this seat is to see, most important first: shared screens, then cameras."""
        wanted: dict[Track, Wanted | None] = {}
        for track, leg in self.legs.items():
            wish = self.wishes.get((track.seat, track.source))
            if track.video and leg.ready and (wish is None or wish.width > 0):
                wanted[track] = wish
        cameras = {track.seat: track for track in wanted if track.source == "camera"}
        pinned = [seat for seat, track in cameras.items() if (wish := wanted[track]) is not None and wish.pinned]
        order = [track for track in wanted if track.source != "camera"]
        order += [cameras[seat] for seat in forward.shown(cameras, pinned, recent)]
        self.windows = {}
        for track in order:
            wish = wanted[track]
            default = DEFAULT_WIDTH if track.source == "camera" else SCREEN_WIDTH
            self.windows[track] = wish.width if wish is not None else default
        return [forward.Demand(track, self.windows[track], _rates(track, now)) for track in order]

    def quality(self) -> relay.Quality:
        """How the media of this seat goes."""
        rtt = self.down.rtt_s
        return relay.Quality(
            up_loss=round(self.uplink.loss * 1000),
            up_kbps=self.uplink.bps // 1000,
            down_loss=round(self.downlink.loss * 1000),
            down_kbps=self.downlink.bps // 1000,
            rtt_ms=-1 if rtt is None else round(rtt * 1000),
            audio_only=self.planner.audio_only,
            layers={
                track.source: track.dynacast.said
                for track in self.uplink.tracks.values()
                if track.video and 0 <= track.dynacast.said < self.uplink.layers_of(track)
            },
        )

    def report(self) -> SeatReport:
        """For the admin's page."""
        return SeatReport(
            seat=self.seat,
            tracks=tuple(relay.Track(self.seat, source) for source in self.uplink.tracks),
            legs=sum(leg.layer is not None for leg in self.legs.values()),
            quality=self.quality(),
            path=self.up.way or self.down.way,
        )


def _rates(track: Track, now: float) -> tuple[forward.Rate, ...]:
    alive = sorted((layer for layer in track.layers.values() if layer.alive(now)), key=lambda layer: layer.key)
    if not alive and track.layers:  # paused: whoever wants it wakes it
        lowest = track.layers[min(track.layers)]
        return (forward.Rate(lowest.key, width_of(lowest), lowest.usual_bps),)
    return tuple(forward.Rate(layer.key, width_of(layer), layer.bps, layer.temporal) for layer in alive)


def width_of(layer: Layer) -> int:
    """What a layer is wide, or is likely to be: the highest of a camera is whole."""
    if layer.width:
        return layer.width
    if layer.track.source != "camera":
        return SCREEN_WIDTH
    above = len(layer.track.layers) - 1 - layer.key
    return LAYER_WIDTHS[max(len(LAYER_WIDTHS) - 1 - above, 0)]
