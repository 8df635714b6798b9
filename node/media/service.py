"""The relay, as the node has it: places calls on workers, starts one when a call needs it, ends it when none does.

Implements `services.relay.CallRelay`; a `runtime.lifecycle.Service`. A worker that dies takes its calls with it: `RelayEvents.failed`
is told, devices come again, and a fresh worker takes them. Nothing here loads the libraries of calls.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, LocalError, Rejected
from node.base.ids import NodeId
from node.media import control
from node.media.child import Child, start
from node.media.inlet import Inlet
from node.media.proto.sdp import Candidate
from node.runtime import log
from node.runtime.clock import Clock
from node.services.relay import CallReport, RelayEvents, RelayReport, Standing, Track, Wanted

WATCH_S: Final = 5.0  # own addresses are compared this often while there are calls
NEXT_PORT: Final = 8_450  # of the second worker, when the first has the usual one
_log: Final = log.Log("media.service")


class Setting(Struct, frozen=True, kw_only=True):
    """What the boot file says of calls. An empty `host` listens everywhere; port 0 takes any; `workers` is how many may run."""

    on: bool = True
    host: str = ""
    port: int = 8443
    workers: int = 1
    log_level: log.Level = "info"
    log_format: Literal["text", "json"] = "text"


class Relay:
    """See above. `reachable` says where devices reach this node now; port 0 there stands for the worker's own."""

    name = "media"

    def __init__(
        self,
        *,
        setting: Setting,
        clock: Clock,
        reachable: Callable[[], Sequence[Candidate]],
        idle_s: float = limits.MEDIA_IDLE_S,
    ) -> None:
        """A worker without calls ends after `idle_s`."""
        self._idle_s = idle_s
        self._setting = setting
        self._clock = clock
        self._reachable = reachable
        self._events: RelayEvents | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._starting: dict[int, asyncio.Task[Child]] = {}
        self._children: dict[int, Child] = {}
        self._calls: dict[bytes, int] = {}  # call -> number of its worker
        self._wanted = asyncio.Event()  # there are workers, or will be
        self._published: dict[tuple[bytes, NodeId], tuple[Track, ...]] = {}  # by other nodes, as far as it was said
        self._trouble = ""
        self._level = 2
        self._ended_at = float("-inf")  # when a worker died by itself
        self._told: dict[int, tuple[Candidate, ...]] = {}
        self._idle: dict[int, asyncio.TimerHandle] = {}
        self._reported_at = clock.monotonic()
        self._inlet = Inlet(self._hand)

    # --- life -------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Serves until cancelled; then every worker ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                ready()
                while True:
                    await self._wanted.wait()
                    await asyncio.sleep(WATCH_S)
                    self._tell_reachable()
                    if not self._children:
                        self._wanted.clear()
        finally:
            self._tasks = None
            self._inlet.close()
            for timer in self._idle.values():
                timer.cancel()
            for child in self._children.values():
                child.kill()
            self._children.clear()
            self._starting.clear()
            self._calls.clear()

    @property
    def standing(self) -> Standing:
        """Before the first call it is what this system should manage; the worker's own test says what it does."""
        if not self._setting.on:
            return Standing(level=0, reason="calls are switched off")
        if self._tasks is None:
            return Standing(level=0, reason="the node is starting or ending")
        first = self._children.get(0)
        if self._trouble:
            return Standing(level=0, reason=self._trouble)
        return Standing(level=self._level, port=first.port if first is not None else 0)

    def adopt(self, sock: socket.socket) -> None:
        """A connection to the HTTPS port that does not speak TLS (`services.relay.StreamDoor`)."""
        if self._tasks is None or not self._children:
            sock.close()
        else:
            self._inlet.adopt(sock)

    def _hand(self, number: int, sock: socket.socket, first: bytes) -> bool:
        child = self._children.get(number)
        return child is not None and child.hand(sock, first)

    def attach(self, events: RelayEvents) -> None:
        """Who is told."""
        self._events = events

    # --- calls ------------------------------------------------------------------------------------------

    async def seat(self, call: bytes, seat: bytes, *, up_kbps: int = limits.CALL_UP_KBPS) -> None:
        """Makes the two transports of a seat."""
        child = await self._placed(call)
        await child.ask(lambda n: control.Seat(n, call, seat, up_kbps))

    async def offer(self, call: bytes, seat: bytes, sdp: str, sources: Mapping[str, str]) -> str:
        """The answer to an offer of the up transport."""
        done = await self._child(call).ask(lambda n: control.Offer(n, call, seat, sdp, dict(sources)))
        assert isinstance(done, control.Done)
        return done.text

    async def answer(self, call: bytes, seat: bytes, version: int, sdp: str) -> None:
        """The device's answer to `offered`."""
        await self._child(call).ask(lambda n: control.Answer(n, call, seat, version, sdp))

    def restart(self, call: bytes, seat: bytes) -> None:
        """Offers the down transport anew."""
        self._say(call, control.Restart(call, seat))

    def want(self, call: bytes, seat: bytes, wishes: Sequence[Wanted]) -> None:
        """How this seat wants the tracks of others."""
        self._say(call, control.Want(call, seat, tuple(wishes)))

    def mute(self, call: bytes, seat: bytes, *, on: bool) -> None:
        """Stops or lets pass a microphone."""
        self._say(call, control.Mute(call, seat, on))

    def unseat(self, call: bytes, seat: bytes) -> None:
        """Frees everything of a seat."""
        self._say(call, control.Unseat(call, seat))

    def end(self, call: bytes) -> None:
        """Frees everything of a call; a worker without calls ends some time later."""
        self._say(call, control.End(call))
        for key in [key for key in self._published if key[0] == call]:
            del self._published[key]
        number = self._calls.pop(call, None)
        child = self._children.get(number) if number is not None else None
        if child is not None:
            child.calls.discard(call)
            self._rest(child)

    async def report(self) -> RelayReport:
        """Of all workers. One that does not answer is left out."""
        calls: list[CallReport] = []
        packets_in = packets_out = 0
        dropped: dict[str, int] = {}
        used = 0.0
        for child in tuple(self._children.values()):
            try:
                report = await child.ask(control.AskReport)
            except Rejected:
                continue
            assert isinstance(report, control.Report)
            calls += report.calls
            packets_in += report.packets_in
            packets_out += report.packets_out
            for reason, count in report.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + count
            used += report.cpu_s - child.cpu_s
            child.cpu_s = report.cpu_s
        now = self._clock.monotonic()
        elapsed, self._reported_at = now - self._reported_at, now
        return RelayReport(
            standing=self.standing,
            calls=tuple(calls),
            packets_in=packets_in,
            packets_out=packets_out,
            dropped=dropped,
            cpu=used / elapsed if elapsed > 0 else 0.0,
        )

    # --- workers ----------------------------------------------------------------------------------------

    def _child(self, call: bytes) -> Child:
        child = self._children.get(self._calls.get(call, -1))
        if child is None:
            raise Rejected(Code.NOT_FOUND, "There is no such call on this node; join it again.")
        return child

    def _say(self, call: bytes, frame: control.ToWorker) -> None:
        child = self._children.get(self._calls.get(call, -1))
        if child is not None:
            child.say(frame)

    async def _placed(self, call: bytes) -> Child:
        """The worker of a call, started if need be. Raises Rejected(unavailable)."""
        if not self._setting.on or self._tasks is None:
            raise Rejected(Code.UNAVAILABLE, f"There can be no calls: {self.standing.reason}.")
        number = self._calls.get(call)
        if number is None:
            number = self._calls[call] = self._emptiest()
        try:
            child = self._children.get(number) or await self._started(number)
        except LocalError as error:
            if self._calls.get(call) == number:
                del self._calls[call]
            raise Rejected(Code.UNAVAILABLE, f"There can be no calls now: {error}.") from error
        child.calls.add(call)
        timer = self._idle.pop(number, None)
        if timer is not None:
            timer.cancel()
        return child

    def _emptiest(self) -> int:
        """A worker without calls, else another one as long as there may be more, else the one with the fewest."""
        load = dict.fromkeys(range(max(self._setting.workers, 1)), 0)
        for number in self._calls.values():
            load[number] = load.get(number, 0) + 1
        return min(load, key=lambda number: (load[number], number))

    async def _started(self, number: int) -> Child:
        assert self._tasks is not None
        task = self._starting.get(number)
        if task is None:
            if self._clock.monotonic() - self._ended_at < limits.RESTART_DELAY_S_MIN:
                raise LocalError("the relay starts again in a moment")
            self._wanted.set()
            task = self._starting[number] = self._tasks.create_task(self._start(number))
        try:
            return await asyncio.shield(task)
        finally:
            if task.done() and self._starting.get(number) is task:
                del self._starting[number]

    async def _start(self, number: int) -> Child:
        setting = self._setting
        port = setting.port if number == 0 or setting.port == 0 else NEXT_PORT + number - 1
        begin = control.Begin(setting.host, port, number, setting.log_level, setting.log_format)
        try:
            child = await start(begin)
        except LocalError as error:
            self._trouble = str(error)
            _log.error("no worker of calls", error, port=port)
            raise
        self._trouble, self._level = "", child.level
        self._children[number] = child
        _log.info("a worker of calls runs", pid=child.pid, port=child.port)
        self._told.pop(number, None)
        self._tell_reachable()
        assert self._tasks is not None
        self._tasks.create_task(self._watch(child))
        return child

    async def _watch(self, child: Child) -> None:
        await child.listen(self._heard)
        if self._children.get(child.number) is not child:
            return  # it was told to end
        del self._children[child.number]
        self._ended_at = self._clock.monotonic()
        _log.error("a worker of calls has died", pid=child.pid)
        for call in child.calls:
            self._calls.pop(call, None)
            if self._events is not None:
                self._events.failed(call)

    def _rest(self, child: Child) -> None:
        if not child.calls and child.number not in self._idle:
            loop = asyncio.get_running_loop()
            self._idle[child.number] = loop.call_later(self._idle_s, self._retire, child)

    def _retire(self, child: Child) -> None:
        self._idle.pop(child.number, None)
        if not child.calls and self._children.get(child.number) is child:
            del self._children[child.number]
            child.kill()

    def _tell_reachable(self) -> None:
        """What devices are told changes with the network of this machine."""
        if not self._children:
            return
        candidates = tuple(self._reachable())
        for number, child in self._children.items():
            # What the router maps is the first worker's port.
            mine = tuple(each for each in candidates if number == 0 or not each.port or each.transport == "tcp")
            if self._told.get(number) != mine:
                self._told[number] = mine
                child.say(control.Reachable(mine))

    def _heard(self, frame: control.ToNode) -> None:
        events = self._events
        if events is None:
            return
        match frame:
            case control.Offered(call=call, seat=seat, version=version, sdp=sdp, tracks=tracks):
                events.offered(call, seat, version, sdp, tracks)
            case control.Connected(call=call, seat=seat, on=on):
                events.connected(call, seat, on=on)
            case control.Published(call=call, seat=seat, sources=sources):
                events.published(call, seat, sources)
            case control.Speakers(call=call, seats=seats):
                events.speakers(call, seats)
            case control.Measured(call=call, seat=seat, quality=quality):
                events.quality(call, seat, quality)
            case control.PipeWanted(call=call, node=node, tracks=wanted):
                events.pipe_wanted(call, node, wanted)

    # --- between nodes ----------------------------------------------------------------------------------

    async def pipe(self, call: bytes, node: NodeId) -> bytes:
        """Our half of a pipe."""
        child = self._child(call)
        answer = await child.ask(lambda n: control.AskHalf(n, call, node))
        assert isinstance(answer, control.Half)
        tracks = self._published.get((call, node))
        if tracks is not None:  # it may have been said before there was a room
            child.say(control.PipeTracks(call, node, tracks))
        return answer.half

    async def pipe_joined(self, call: bytes, node: NodeId, half: bytes) -> None:
        """The other node's half."""
        await self._child(call).ask(lambda n: control.Join(n, call, node, half))

    def pipe_tracks(self, call: bytes, node: NodeId, tracks: Sequence[Track]) -> None:
        """What the seats of that node publish."""
        self._published[call, node] = tuple(tracks)
        self._say(call, control.PipeTracks(call, node, tuple(tracks)))

    def pipe_want(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """What that node wants of the seats here."""
        self._say(call, control.PipeWant(call, node, tuple(tracks)))

    def pipe_closed(self, call: bytes, node: NodeId) -> None:
        """That node has nobody in the call any more."""
        self._published.pop((call, node), None)
        self._say(call, control.PipeClosed(call, node))
