"""The router of one call on this node: its seats, what they send, who gets what. Driven by the worker, on its loop; nothing waits here.

Every track of a seat has a leg to every other seat, made when its first packet came and offered to the device with what else changed. Whether
a leg is given anything is decided by `Place.plan`, whenever something of it changed and each second: voices of all, or of the loudest in a large
call; cameras of who is pinned or spoke last, as far as they were asked for and fit.

`Room` raises Rejected like `services.relay.CallRelay`, whose methods it has, and tells `RelayEvents`. Whatever ends, ends completely: `unseat` and
`end` close transports, timers, legs and layers in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.base import limits
from node.base.errors import Code, Rejected
from node.media.downlink import Downlink
from node.media.fanout import Fanout
from node.media.host import Host, Timer
from node.media.layer import Layer, Track
from node.media.pipes import Pipes
from node.media.place import Place, width_of
from node.media.proto import sdp
from node.media.proto.speaker import Speakers
from node.media.uplink import Uplink
from node.services import relay
from node.services.relay import CallReport, RelayEvents, Wanted


class Room:
    """One call. `call` is its id, `events` is told what happens, `host` is the worker, `fanout` its loop."""

    def __init__(self, call: bytes, *, host: Host, events: RelayEvents, fanout: Fanout) -> None:
        self.call = call
        self._host = host
        self._events = events
        self._fanout = fanout
        self._seats: dict[bytes, Place] = {}
        self._speakers = Speakers()
        self._voices: set[bytes] = set()
        self._replan: set[bytes] = set()
        self._plan_timer: Timer | None = None
        self._session = int.from_bytes(host.entropy.token_bytes(8), "big") >> 2
        self.pipes = Pipes(
            call, host=host, fanout=fanout, events=events, listener=self, width=width_of, tracks=self._own_tracks
        )  # fmt: skip
        self._ticks = 0
        self._tick_timer: Timer = host.later(limits.SPEAKERS_EVERY_S, self._tick)

    # --- seats ------------------------------------------------------------------------------------------

    def seat(self, seat: bytes, *, up_kbps: int = limits.CALL_UP_KBPS) -> None:
        """Makes the two transports of a seat, whose device is told to send at most `up_kbps` of video. Done again it is harmless.
        Raises Rejected(limit_reached)."""
        if seat in self._seats:
            return
        if len(self._seats) >= limits.SEATS_PER_CALL_MAX:
            raise Rejected(Code.LIMIT_REACHED, f"A call has at most {limits.SEATS_PER_CALL_MAX} devices.")
        uplink = Uplink(seat, host=self._host, fanout=self._fanout, listener=self, ssrc=self._number(4))
        uplink.bound(1000 * up_kbps)
        downlink = Downlink(
            seat, host=self._host, fanout=self._fanout, listener=self, session=self._session, ssrc=self._number(4)
        )
        uplink.transport = up = self._host.mux.open(uplink)
        try:
            downlink.transport = down = self._host.mux.open(downlink)
        except Rejected:
            up.close()
            raise
        place = self._seats[seat] = Place(seat, up, uplink, down, downlink)
        downlink.open()
        for track in (*self._own_tracks(), *self.pipes.tracks):
            if track.seat != seat:
                self._subscribe(place, track)

    def _own_tracks(self) -> list[Track]:
        return [track for place in self._seats.values() for track in place.uplink.tracks.values()]

    def _number(self, size: int) -> int:
        return int.from_bytes(self._host.entropy.token_bytes(size), "big") or 1

    def _place(self, seat: bytes) -> Place:
        place = self._seats.get(seat)
        if place is None:
            raise Rejected(Code.NOT_FOUND, "There is no such seat in this call.")
        return place

    def offer(self, seat: bytes, text: str, sources: Mapping[str, str]) -> str:
        """The answer to an offer of the up transport; `sources` by mid. Raises Rejected(bad_request, not_found)."""
        place = self._place(seat)
        ufrag = sdp.remote_of(text).ufrag
        if place.ufrag not in {"", ufrag}:  # an ICE restart, which the answer has to join
            place.up.restart()
        place.offers += 1
        offer = sdp.answer(text, sources, place.up.local(), session=self._session, version=place.offers)
        place.up.set_remote(offer.remote)
        place.ufrag = ufrag
        place.uplink.configure(offer.lines)
        return offer.answer

    def answer(self, seat: bytes, version: int, text: str) -> None:
        """The device's answer to `offered`; an older version is ignored. Raises Rejected(bad_request, not_found)."""
        self._place(seat).downlink.answer(version, text)

    def restart(self, seat: bytes) -> None:
        """Offers the down transport anew with new ICE credentials."""
        place = self._seats.get(seat)
        if place is not None:
            place.downlink.restart()

    def want(self, seat: bytes, wishes: Sequence[Wanted]) -> None:
        """How this seat wants the tracks of others; all anew."""
        place = self._seats.get(seat)
        if place is not None:
            place.wishes = {(wish.track.seat, wish.track.source): wish for wish in wishes[: limits.CALL_WISHES_MAX]}
            self.ready(seat)

    def mute(self, seat: bytes, *, on: bool) -> None:
        """Stops (or lets pass) the microphone of a seat."""
        place = self._seats.get(seat)
        if place is not None and place.muted != on:
            place.muted = on
            self._silence(place)

    def _silence(self, place: Place) -> None:
        track = place.uplink.tracks.get("mic")
        if track is not None:
            track.muted = place.muted
            self._speakers.gone(place.seat)
            self._everybody()

    def unseat(self, seat: bytes) -> None:
        """Frees everything of a seat. Unknown ones are ignored."""
        place = self._seats.pop(seat, None)
        if place is None:
            return
        place.close()
        self._replan.discard(seat)
        self._speakers.forget(seat)
        self._everybody()

    def end(self) -> None:
        """Frees everything."""
        for seat in list(self._seats):
            self.unseat(seat)
        self.pipes.end()
        self._tick_timer.cancel()
        if self._plan_timer is not None:
            self._plan_timer.cancel()
            self._plan_timer = None
        self._replan.clear()

    # --- what uplinks tell ------------------------------------------------------------------------------

    def found(self, layer: Layer) -> None:
        """A layer has begun, perhaps the first of its track; of a seat here or of another node's."""
        track = layer.track
        place = self._seats.get(track.seat)
        if len(track.layers) == 1 and not track.legs:
            for other in self._seats.values():
                if other is not place:
                    self._subscribe(other, track)
            if place is not None:
                track.muted = track.source == "mic" and place.muted
                self._published(place)
        else:
            self._everybody()
        if place is not None:
            self.pipes.offer()

    def ended(self, track: Track) -> None:
        """A track is offered no longer."""
        for place in self._seats.values():
            leg = place.legs.pop(track, None)
            if leg is not None:
                place.downlink.unsubscribe(leg)
        sender = self._seats.get(track.seat)
        if sender is not None:
            self._published(sender)
        elif track.source == "mic":
            self._speakers.forget(track.seat)
        self.pipes.offer()

    def heard(self, track: Track, level: int, now: float) -> None:
        """A packet of a microphone said how loud it is."""
        if track.source == "mic" and not track.muted:
            self._speakers.heard(track.seat, level, now)

    def up(self, seat: bytes, *, on: bool) -> None:
        """The up transport of a seat carries media now, or no longer."""
        self._events.connected(self.call, seat, on=on)

    def _published(self, place: Place) -> None:
        self._events.published(self.call, place.seat, tuple(place.uplink.tracks))

    def _subscribe(self, place: Place, track: Track) -> None:
        place.legs[track] = place.downlink.subscribe(track)

    # --- what downlinks tell ----------------------------------------------------------------------------

    def offered(self, seat: bytes, version: int, text: str, legs: Mapping[str, Track]) -> None:
        """An offer for the device."""
        tracks = {mid: relay.Track(track.seat, track.source) for mid, track in legs.items()}
        self._events.offered(self.call, seat, version, text, tracks)

    def ready(self, seat: bytes) -> None:
        """Plans this seat anew, together with what else comes in this turn of the loop."""
        self._replan.add(seat)
        if self._plan_timer is None:
            self._plan_timer = self._host.later(0.0, self._plan_all)

    def squeezed(self, seat: bytes) -> None:
        """Less fits than before."""
        self.ready(seat)

    def _everybody(self) -> None:
        for seat in self._seats:
            self.ready(seat)

    # --- plans ------------------------------------------------------------------------------------------

    def _plan_all(self) -> None:
        self._plan_timer = None
        now = self._host.clock.monotonic()
        seats, self._replan = self._replan, set()
        for seat in seats:
            place = self._seats.get(seat)
            if place is not None:
                place.plan(now, audible=self._audible, recent=self._speakers.recent)
        self._limit_senders()
        self._spare_senders(now)
        self.pipes.planned(now)

    def _limit_senders(self) -> None:
        """A camera with one layer is to send no more than the best of those who get it can take."""
        for place in self._seats.values():
            videos = [track for track in place.uplink.tracks.values() if track.video]
            if videos:
                place.uplink.limit(sum(map(self._ceiling, videos)))

    def _spare_senders(self, now: float) -> None:
        """Layers nobody looks at need not be sent; somebody who looks again is served at once."""
        for place in self._seats.values():
            for track in place.uplink.tracks.values():
                if track.video:
                    before = track.dynacast.said
                    total = place.uplink.layers_of(track)
                    if (
                        track.dynacast.update(self._looked_at(track, total), total, now)
                        and track.dynacast.said > before
                    ):
                        self._events.quality(self.call, place.seat, place.quality())

    def _looked_at(self, track: Track, total: int) -> int:
        """How many layers, lowest first, make the widest window that shows `track`."""
        if self.pipes.nodes:  # what other nodes want is not known here before a layer is there
            return total
        width = max((place.windows.get(track, 0) for place in self._seats.values()), default=0)
        if not width:
            return 0
        fits = [layer.key for layer in track.layers.values() if width_of(layer) >= width]
        return min(fits) + 1 if fits else total

    def _ceiling(self, track: Track) -> int:
        if len(track.layers) != 1 or any(layer.onward for layer in track.layers.values()):
            return limits.REMB_BPS_MAX
        shares = [place.planner.share[track] for place in self._seats.values() if track in place.planner.share]
        return max(shares, default=limits.REMB_BPS_MAX)

    def _audible(self, track: Track) -> bool:
        return track.source != "mic" or not self._crowded or track.seat in self._voices

    @property
    def _crowded(self) -> bool:
        """There are too many voices to forward all of them."""
        others = sum(track.source == "mic" for track in self.pipes.tracks)
        return len(self._seats) + others > limits.VOICES_ALL_MAX

    # --- time -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._tick_timer = self._host.later(limits.SPEAKERS_EVERY_S, self._tick)
        now = self._host.clock.monotonic()
        self._ticks += 1
        speaking = self._speakers.update(now)
        if speaking is not None:
            self._events.speakers(self.call, speaking)
            self._everybody()
        if self._crowded:
            voices = set(self._speakers.loudest(limits.VOICES_MAX))
            if voices != self._voices:
                self._voices = voices
                self._everybody()
        if self._ticks % round(limits.REPORT_S / limits.SPEAKERS_EVERY_S) == 0:
            self._each_second(now)
        if self._ticks % round(limits.QUALITY_EVERY_S / limits.SPEAKERS_EVERY_S) == 0:
            for place in self._seats.values():
                self._events.quality(self.call, place.seat, place.quality())

    def _each_second(self, now: float) -> None:
        for place in self._seats.values():
            place.uplink.report(now)
            place.downlink.tick(now)
            self.ready(place.seat)
        self.pipes.tick(now)
        self._host.mux.flush()

    def report(self) -> CallReport:
        """For the admin's page."""
        piped_in, piped_out = self.pipes.rates
        return CallReport(
            call=self.call,
            seats=tuple(place.report() for place in self._seats.values()),
            pipes=self.pipes.nodes,
            in_kbps=(sum(place.uplink.bps for place in self._seats.values()) + piped_in) // 1000,
            out_kbps=(sum(place.downlink.bps for place in self._seats.values()) + piped_out) // 1000,
        )
