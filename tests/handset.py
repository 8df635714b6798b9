"""A device in a call, without media: a real device socket on which a test says call frames and remembers what the node said.

async with handset(alice) as phone:
    seat = await phone.start(room)
    await phone.until(lambda: phone.roster(seat.call).state == "live")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from node.base.errors import Code, Rejected
from node.base.ids import RoomId, UserId
from node.client import Client
from node.client.connection import Connection
from node.client.errors import Lost, SignedOut
from node.runtime.clock import SystemClock
from node.wire import c2s, calling

PATIENCE_S = 20.0


class Handset:
    """One socket of a device."""

    def __init__(self, client: Client, connection: Connection) -> None:
        self.client = client
        self.rosters: dict[bytes, calling.CallRoster] = {}
        self.rosters_heard = 0
        self.rings: list[calling.Ring] = []
        self.overs: list[calling.CallOver] = []
        self.offers: list[calling.CallOffer] = []
        self.speakers: list[calling.CallSpeakers] = []
        self.qualities: list[calling.CallQuality] = []
        self.seat: calling.CallSeat | None = None
        self.lost = False
        self._connection = connection
        self._n = 0
        self._answers: dict[int, asyncio.Future[c2s.Frame]] = {}
        self._news = asyncio.Condition()

    @property
    def user(self) -> UserId:
        return self.client.user

    # --- saying -----------------------------------------------------------------------------------------

    async def say(self, frame: c2s.Frame) -> None:
        """A frame without an answer."""
        await self._connection.send(frame)

    async def ask(self, make: Callable[[int], c2s.Frame]) -> c2s.Frame:
        """A request and its answer. Raises Rejected."""
        self._n += 1
        answer = self._answers[self._n] = asyncio.get_running_loop().create_future()
        await self.say(make(self._n))
        async with asyncio.timeout(PATIENCE_S):
            got: c2s.Frame = await answer
        if isinstance(got, c2s.Refused):
            raise Rejected(Code(got.code), got.text, **got.detail)
        return got

    async def start(self, room: RoomId, *targets: UserId, media: str = "audio") -> calling.CallSeat:
        """Calls."""
        return self._seated(await self.ask(lambda n: calling.CallStart(n, room, media, targets)))

    async def join(self, call: bytes, old: bytes = b"") -> calling.CallSeat:
        """Accepts, enters, comes back."""
        return self._seated(await self.ask(lambda n: calling.CallJoin(n, call, old)))

    def _seated(self, got: c2s.Frame) -> calling.CallSeat:
        assert isinstance(got, calling.CallSeat)
        self.seat = got
        return got

    async def decline(self, call: bytes, *, busy: bool = False) -> None:
        await self.ask(lambda n: calling.CallDecline(n, call, busy))

    async def leave(self, *, everybody: bool = False) -> None:
        seat = self._own
        await self.ask(lambda n: calling.CallLeave(n, seat.call, seat.seat, everybody))

    async def remove(self, seat: bytes, *, mute: bool = False) -> None:
        call = self._own.call
        await self.ask(lambda n: calling.CallRemove(n, call, seat, mute))

    async def up(self, sdp: str, **sources: str) -> str:
        seat = self._own
        named = {mid.removeprefix("m"): source for mid, source in sources.items()}
        got = await self.ask(lambda n: calling.CallUp(n, seat.call, seat.seat, sdp, named))
        assert isinstance(got, calling.CallSdp)
        return got.sdp

    async def down(self, version: int, sdp: str) -> None:
        seat = self._own
        await self.ask(lambda n: calling.CallDown(n, seat.call, seat.seat, version, sdp))

    async def show(self, *, mic: bool = False, camera: bool = False, hand: bool = False) -> None:
        seat = self._own
        await self.say(calling.CallState(seat.call, seat.seat, mic, camera, False, hand))

    @property
    def _own(self) -> calling.CallSeat:
        assert self.seat is not None
        return self.seat

    # --- hearing ----------------------------------------------------------------------------------------

    def roster(self, call: bytes) -> calling.CallRoster:
        return self.rosters[call]

    def users(self, call: bytes) -> list[str]:
        """Who is in, in the order of the roster."""
        return [] if call not in self.rosters else [one.user for one in self.rosters[call].participants]

    def states(self, call: bytes) -> dict[str, str]:
        """Of the seats, by user."""
        return {} if call not in self.rosters else {one.user: one.state for one in self.rosters[call].participants}

    def invited(self, call: bytes) -> dict[str, str]:
        """State of who was called and is not in."""
        return {} if call not in self.rosters else {one.user: one.state for one in self.rosters[call].invited}

    def why(self, call: bytes) -> str:
        """How it ended for this device; empty while it goes on."""
        return next((over.reason for over in self.overs if over.call == call), "")

    async def until(self, met: Callable[[], object]) -> None:
        """Waits until something is true of what was heard."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: bool(met()))

    async def ring(self) -> calling.Ring:
        """Waits for the next ring."""
        await self.until(lambda: self.rings)
        return self.rings.pop(0)

    async def over(self, call: bytes) -> str:
        """Waits for the end and says why."""
        await self.until(lambda: self.why(call))
        return self.why(call)

    async def hang_up(self) -> None:
        """The socket is gone."""
        await self._connection.close()

    async def listen(self) -> None:
        with suppress(Lost, SignedOut):
            while True:
                self._take(await self._connection.receive())
                async with self._news:
                    self._news.notify_all()
        self.lost = True

    def _take(self, frame: c2s.NodeFrame) -> None:
        match frame:
            case c2s.Refused() | c2s.Done() | calling.CallSeat() | calling.CallSdp():
                if (answer := self._answers.pop(frame.n, None)) is not None and not answer.done():
                    answer.set_result(frame)
            case calling.CallRoster():
                self.rosters_heard += 1
                known = self.rosters.get(frame.call)
                if known is None or known.version <= frame.version:
                    self.rosters[frame.call] = frame
            case calling.Ring():
                self.rings.append(frame)
            case calling.CallOver():
                self.overs.append(frame)
            case calling.CallOffer():
                self.offers.append(frame)
            case calling.CallSpeakers():
                self.speakers.append(frame)
            case calling.CallQuality():
                self.qualities.append(frame)
            case _:
                pass


@asynccontextmanager
async def handset(client: Client) -> AsyncIterator[Handset]:
    """A socket of the device of `client`, open meanwhile."""
    connection = await Connection.open(client.api, cursor=client.cursor, program="handset", clock=SystemClock())
    made = Handset(client, connection)
    listening = asyncio.get_running_loop().create_task(made.listen())
    try:
        yield made
    finally:
        await connection.close()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
