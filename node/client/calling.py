"""Calls of a client: `Client.calls` knows every call that goes on in its rooms, starts, answers and declines them; a `Call` is a seat.

    async with me.calls.join(ring.call, say={"mic": player.audio}) as call:
        recorder.addTrack(await call.hear(*call.others("mic")[0]))
        await call.ended()

A `Call` holds two transports to the own node, up and down (node/client/media.py), and keeps its place: when the device socket or the
media is lost it joins again with its old seat, for as long as the node keeps that. Tracks are aiortc's, so its players and recorders
fit. aiortc is loaded with the first call only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from msgspec.structs import replace

from node.base.errors import Code, Rejected
from node.base.ids import RoomId, UserId
from node.client.errors import Lost
from node.client.news import CallEnded, Event, QualityHeard, Rang, RosterChanged, SpeakersChanged
from node.client.outbox import Answer, Request
from node.wire import calling
from node.wire.calling import CallOffer, CallRoster, Participant
from node.wire.frame import Frame

if TYPE_CHECKING:
    from aiortc import MediaStreamTrack

    from node.client.media import Down, Key, Up
    from node.client.rtc import Transport

GOODBYE_S: Final = 5.0  # to say that one leaves
ROSTERS_KEPT: Final = 1_024  # calls of all rooms of an account at one time
# Refusals of a return that asking again does not change.
FINAL: Final = frozenset({
    Code.ALREADY_DONE, Code.BUSY, Code.FORBIDDEN, Code.GONE, Code.MUTED, Code.NOT_FOUND, Code.NOT_MEMBER, Code.ROLE_TOO_LOW,
})  # fmt: skip

T = TypeVar("T")
Ask = Callable[[Request], Awaitable[Answer]]
Send = Callable[[Frame], Awaitable[None]]


class Calls:
    """The calls of one client. Made by it."""

    def __init__(
        self, *, ask: Ask, number: Callable[[], int], send: Send, tell: Callable[[Event], Awaitable[None]]
    ) -> None:
        self.rosters: dict[bytes, CallRoster] = {}  # calls that go on, by id
        self.rings: dict[bytes, calling.Ring] = {}  # calls that ring here now, by id
        self._ask = ask
        self._number = number
        self._send = send
        self._tell = tell
        self._open: dict[bytes, Call] = {}
        self._early: dict[bytes, CallOffer] = {}  # offers that came before their seat was known here
        self._sitting = 0

    # --- doing ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def start(
        self,
        room: RoomId,
        *,
        media: Literal["audio", "video"] = "audio",
        targets: Sequence[UserId] = (),
        say: Mapping[str, MediaStreamTrack] | None = None,
    ) -> AsyncIterator[Call]:
        """Calls people of `room` and is in the call while the block runs; `say` are the own tracks by source, stopped at its end.
        Raises Rejected."""
        async with self._sit(calling.CallStart(self._number(), room, media, tuple(targets)), say or {}) as call:
            yield call

    @asynccontextmanager
    async def join(self, call: bytes, *, say: Mapping[str, MediaStreamTrack] | None = None) -> AsyncIterator[Call]:
        """Accepts a ringing call or enters a live one, and is in it while the block runs. Raises Rejected."""
        async with self._sit(calling.CallJoin(self._number(), call), say or {}) as seated:
            yield seated

    async def ringing(self, call: bytes) -> None:
        """Tells the caller that it rings here."""
        await self._send(calling.CallRinging(call))

    async def decline(self, call: bytes, *, busy: bool = False) -> None:
        """No, on every device of this user. Raises Rejected."""
        await self._ask(calling.CallDecline(self._number(), call, busy))

    def of(self, room: RoomId) -> CallRoster | None:
        """The call that goes on in a room."""
        return next((roster for roster in self.rosters.values() if roster.room == room), None)

    @asynccontextmanager
    async def _sit(
        self, request: calling.CallStart | calling.CallJoin, say: Mapping[str, MediaStreamTrack]
    ) -> AsyncIterator[Call]:
        self._sitting += 1
        try:
            answer = await self._ask(request)
            assert isinstance(answer, calling.CallSeat)
            call = Call(answer, ask=self._ask, number=self._number, send=self._send)
            self.rings.pop(call.id, None)
            self._open[call.id] = call
        finally:
            self._sitting -= 1
        call.take_roster(self.rosters.get(call.id))
        early = self._early.pop(call.id, None)
        if early is not None:
            call.take_offer(early)
        try:
            async with call.running(say):
                yield call
        finally:
            self._open.pop(call.id, None)

    # --- hearing ----------------------------------------------------------------------------------------

    async def take(self, frame: calling.NodeCallFrame) -> None:
        """What one frame of the node means."""
        match frame:
            case calling.Ring():
                _keep(self.rings, frame.call, frame)
                await self._tell(Rang(frame))
            case calling.CallRoster():
                await self._roster(frame)
            case calling.CallOver(reason="restarting") if frame.call in self._open:
                self._open[frame.call].resume()  # the relay begins anew: come again with the old seat
            case calling.CallOver():
                self.rings.pop(frame.call, None)
                self.rosters.pop(frame.call, None)
                if frame.call in self._open:
                    self._open[frame.call].finish(frame.reason)
                await self._tell(CallEnded(frame))
            case calling.CallOffer():
                if frame.call in self._open:
                    self._open[frame.call].take_offer(frame)
                elif self._sitting:
                    self._early[frame.call] = frame
            case calling.CallSpeakers():
                await self._tell(SpeakersChanged(frame))
            case calling.CallQuality():
                await self._tell(QualityHeard(frame))
            case calling.CallSeat() | calling.CallSdp():
                pass  # answers; the outbox has them

    async def unwanted(self, seat: calling.CallSeat) -> None:
        """Whoever asked for this seat does not wait for it any more: it is left, or it would be held as long as the socket is open."""
        taken = self._open.get(seat.call)
        if taken is None or taken.seat != seat.seat:
            await self._send(calling.CallLeave(self._number(), seat.call, seat.seat))

    async def _roster(self, frame: CallRoster) -> None:
        known = self.rosters.get(frame.call)
        if known is not None and known.version > frame.version:
            return
        _keep(self.rosters, frame.call, frame)
        if frame.call in self._open:
            self._open[frame.call].take_roster(frame)
        await self._tell(RosterChanged(frame))

    def reconnected(self) -> None:
        """The device socket was lost and is there again: the node may have taken the seats for left."""
        for call in self._open.values():
            call.resume()

    def end(self) -> None:
        """The client gave up."""
        for call in self._open.values():
            call.finish("signed_out")


def _keep(known: dict[bytes, T], call: bytes, item: T) -> None:
    known[call] = item
    while len(known) > ROSTERS_KEPT:
        known.pop(next(iter(known)))


class Call:
    """One seat. Made by `Calls.start` and `Calls.join`."""

    def __init__(self, seat: calling.CallSeat, *, ask: Ask, number: Callable[[], int], send: Send) -> None:
        self.id = seat.call
        self.room = RoomId(seat.room)
        self.roster: CallRoster | None = None
        self.over = ""  # why it ended, in the words of `CallOver`
        self.joins = 1  # grows with each return to the call
        self._seat = seat
        self._ask = ask
        self._number = number
        self._send = send
        self._say: dict[str, MediaStreamTrack] = {}
        self._state = calling.CallState(seat.call, seat.seat)
        self._taken: set[Key] = set()
        self._offer: CallOffer | None = None
        self._changed = asyncio.Condition()
        self._wake = asyncio.Event()
        self._resume = False
        self._up: Up | None = None
        self._down: Down | None = None
        self._group: asyncio.TaskGroup | None = None

    # --- who and what -----------------------------------------------------------------------------------

    @property
    def seat(self) -> bytes:
        """The own seat; a new one after each return."""
        return self._seat.seat

    @property
    def connected(self) -> bool:
        """Whether the own media reaches the node."""
        return self._up is not None and self._up.transport.connected

    @property
    def receiving(self) -> bool:
        """Whether the node's media reaches this device."""
        return self._down is not None and self._down.transport.connected

    @property
    def transports(self) -> tuple[Transport, Transport] | None:
        """Up and down, for who looks deeper; None between two seats."""
        return None if self._up is None or self._down is None else (self._up.transport, self._down.transport)

    @property
    def tracks(self) -> dict[Key, MediaStreamTrack]:
        """What can be heard and seen, by seat and source."""
        return {} if self._down is None else self._down.tracks

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Everybody else in the call."""
        seats = () if self.roster is None else self.roster.participants
        return tuple(seat for seat in seats if seat.seat != self.seat)

    def others(self, source: str) -> list[Key]:
        """Whose `source` can be heard or seen now."""
        return [key for key in self.tracks if key[1] == source]

    async def until(self, met: Callable[[], bool]) -> None:
        """Waits until `met()` is true of what is known of this call, or it is over (then `over` says why)."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self.over) or met())

    async def ended(self) -> str:
        """Waits for the end and returns why."""
        await self.until(lambda: False)
        return self.over

    async def hear(self, seat: bytes, source: str) -> MediaStreamTrack:
        """The track of somebody, once it is offered; from then on it is received. Raises Rejected (`not_found`) when the call ends
        before."""
        key = (seat, source)
        self._taken.add(key)
        await self.until(lambda: key in self.tracks)
        if key not in self.tracks:
            raise Rejected(Code.NOT_FOUND, "The call ended before that track was there.")
        assert self._down is not None
        await self._down.take(key)
        return self.tracks[key]

    async def received(self, seat: bytes, source: str) -> int:
        """Packets of a track so far."""
        return 0 if self._down is None else await self._down.received((seat, source))

    # --- doing ------------------------------------------------------------------------------------------

    async def say(self, source: str, track: MediaStreamTrack | None) -> None:
        """Sends `track` as `source` (``mic``, ``camera``, ``screen``, ``sound``); None: nothing any more. Raises Rejected."""
        if track is None:
            self._say.pop(source, None)
        else:
            self._say[source] = track
        if self._up is None:  # between two seats: the next one begins with it
            return
        if self._up.put(source, track):
            await self._offer_up()
        await self._show()

    async def raise_hand(self, *, up: bool) -> None:
        """Shows a raised hand."""
        self._state = replace(self._state, hand=up)
        await self._show()

    async def want(self, *wishes: calling.Wish) -> None:
        """How the tracks of others are wanted, all of them anew."""
        await self._send(calling.CallWant(self.id, self.seat, wishes))

    async def restart(self) -> None:
        """Sets up the paths of the media anew, keeping keys and tracks: ICE restart in both directions."""
        if self._up is None:  # between two seats: all of it is made anew anyway
            return
        await self._offer_up(restart=True)
        await self._send(calling.CallRestart(self.id, self.seat))

    async def remove(self, seat: bytes, *, mute: bool = False) -> None:
        """Takes somebody out of the call, or mutes their microphone. Raises Rejected."""
        await self._ask(calling.CallRemove(self._number(), self.id, seat, mute))

    async def leave(self, *, everybody: bool = False) -> None:
        """Leaves, or ends the call for all. Raises Rejected. The end of the block does the same."""
        if not self.over:
            self.finish("left")
            await self._ask(calling.CallLeave(self._number(), self.id, self.seat, everybody))

    # --- hearing ----------------------------------------------------------------------------------------

    def take_roster(self, roster: CallRoster | None) -> None:
        """The roster anew."""
        if roster is not None:
            self.roster = roster
            self._notify()

    def take_offer(self, offer: CallOffer) -> None:
        """An offer of the down transport; only the latest counts."""
        if self._offer is None or offer.seat != self._offer.seat or offer.version > self._offer.version:
            self._offer = offer
            self._wake.set()

    def resume(self) -> None:
        """The seat may be gone: join again."""
        self._resume = True
        self._wake.set()

    def finish(self, reason: str) -> None:
        """It is over."""
        self.over = self.over or reason
        self._wake.set()
        self._notify()

    def _notify(self) -> None:
        if self._group is not None:
            self._group.create_task(self._tell())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # --- the seat ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, say: Mapping[str, MediaStreamTrack]) -> AsyncIterator[Call]:
        """Media flows while the block runs; then the seat is left."""
        self._say.update(say)
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await self._open()
                serving = group.create_task(self._serve())
                try:
                    yield self
                finally:
                    serving.cancel()
            except Exception as error:  # noqa: BLE001 - handed on below, without the group's wrapping
                failure = error
            finally:
                await self._goodbye()
        if failure is not None:
            raise failure

    async def _goodbye(self) -> None:
        with suppress(Rejected, Lost, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self.leave()
        await self._close_media()
        for track in self._say.values():
            track.stop()
        self._group = None

    async def _open(self) -> None:
        """Fresh transports of the seat, and the own tracks offered."""
        from node.client.media import Down, Up  # aiortc takes half a second to load

        self._up, self._down = Up(), Down(self._notify)
        for key in self._taken:
            await self._down.take(key)
        for source, track in self._say.items():
            self._up.put(source, track)
        if self._say:
            await self._offer_up()
        await self._show()

    async def _close_media(self) -> None:
        up, down, self._up, self._down = self._up, self._down, None, None
        if up is not None:
            await up.close()
        if down is not None:
            await down.close()

    async def _serve(self) -> None:
        """Answers offers and comes back after a loss, until the call is over."""
        while await self._more():
            try:
                if self._resume:
                    await self._come_back()
                elif self._offer is not None and self._offer.seat == self.seat:
                    offer, self._offer = self._offer, None
                    await self._answer_down(offer)
            except Lost:
                self._resume = True  # the outbox waits for the next connection
            except Rejected as error:
                if error.code in FINAL:
                    self.finish("failed")
                else:
                    self._resume = True
                    await asyncio.sleep(1)

    async def _more(self) -> bool:
        """Waits until there is something to do: an offer, a loss; false at the end."""
        if self.over or self._resume or (self._offer is not None and self._offer.seat == self.seat):
            return not self.over
        assert self._group is not None
        assert self._up is not None
        assert self._down is not None
        self._wake.clear()
        waits = [
            self._group.create_task(event.wait())
            for event in (self._wake, self._up.transport.lost, self._down.transport.lost)
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        self._resume |= self._up.transport.lost.is_set() or self._down.transport.lost.is_set()
        return not self.over

    async def _come_back(self) -> None:
        self._resume = False
        await self._close_media()
        answer = await self._ask(calling.CallJoin(self._number(), self.id, self.seat))
        assert isinstance(answer, calling.CallSeat)
        self._seat, self._state = answer, replace(self._state, seat=answer.seat)
        self.joins += 1
        await self._open()
        self._notify()

    async def _offer_up(self, *, restart: bool = False) -> None:
        up, group = self._up, self._group
        assert up is not None
        assert group is not None
        offer = await up.offer(restart=restart)
        answer = await self._ask(calling.CallUp(self._number(), self.id, self.seat, offer, up.sources))
        assert isinstance(answer, calling.CallSdp)
        group.create_task(self._connect_up(up, answer.sdp))

    async def _connect_up(self, up: Up, sdp: str) -> None:
        await up.answered(sdp)
        await self._tell()

    async def _answer_down(self, offer: CallOffer) -> None:
        down, group = self._down, self._group
        assert down is not None
        assert group is not None
        tracks = {mid: (bytes(seat), source) for mid, (seat, source) in offer.tracks.items()}
        sdp = await down.answer(offer.sdp, tracks)
        await self._ask(calling.CallDown(self._number(), self.id, self.seat, offer.version, sdp))
        group.create_task(self._connect_down(down))

    async def _connect_down(self, down: Down) -> None:
        await down.connect()
        await self._tell()

    async def _show(self) -> None:
        """Says what is sent and shown."""
        self._state = replace(
            self._state, mic="mic" in self._say, camera="camera" in self._say, screen="screen" in self._say
        )
        await self._send(self._state)
