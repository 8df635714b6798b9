"""An event loop whose time is a number: waiting is a jump of the clock, threads are calls, sockets are pipes.

Everything a node does is decided by one seed. Unmodified asyncio and aiohttp run on it, because it is a `BaseEventLoop`
with three parts replaced: the selector (advances the clock instead of sleeping), `run_in_executor` (runs the function
here, after a seeded delay, so that the loop goes on meanwhile as it does with a real thread) and the network (net.py).

Task steps that are ready together run in a random order; plain callbacks keep theirs, because streams rely on it.

Many machines may share the loop. `HOST` says on which of them a task runs: its connections come from there, and its threads die
when that machine does.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Callable
from contextvars import Context, ContextVar
from pathlib import Path
from random import Random
from typing import Any, Final
from weakref import WeakKeyDictionary

from tests.sim.net import Listening, Network

HOST: Final[ContextVar[str]] = ContextVar("host", default="127.0.0.1")

COMMIT_S = (0.0002, 0.004)  # a disk of our days
SLOW_COMMIT_S = 0.8
RESOLUTION_S = 1e-9


class Instant(selectors.BaseSelector):
    """Nothing to wait for but time."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Jumps to the next timer."""
        if timeout is None:
            raise RuntimeError("deadlock: nothing is ready and nothing is scheduled")
        self._loop.now += max(timeout, 0.0)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        """There are no files."""

    def unregister(self, fileobj: Any) -> Any:
        """There are no files."""

    def get_map(self) -> Any:
        """There are no files."""
        return {}


class Call:
    """A function on its way to a thread."""

    def __init__(self, future: asyncio.Future[Any], fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.future, self.fn, self.args = future, fn, args
        self.host = HOST.get()

    def run(self) -> None:
        """Runs it, unless the machine it was to run on is gone."""
        if self.future.done():
            return
        try:
            self.future.set_result(self.fn(*self.args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for it
            self.future.set_exception(error)


class SimTask(asyncio.Task[Any]):
    """Its hash is its number: sets of tasks have the same order in every run."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.BaseEventLoop):
    """The loop of one simulated world."""

    def __init__(self, seed: int, network: Network) -> None:
        self.now = 0.0
        super().__init__()
        self.network = network
        self.threads: list[Call] = []  # what has not run yet
        self.faults: list[str] = []  # exceptions nobody caught
        self.slow_disk: dict[str, float] = {}  # by host, the chance that a commit takes long
        self.commit_begun: dict[str, asyncio.Event] = {}  # by host, set when the next COMMIT is on its way to the disk
        self._ports = itertools.count(32_768)
        self._tasks_made = 0
        self._tasks: WeakKeyDictionary[asyncio.Task[Any], str] = WeakKeyDictionary()  # where each runs
        self._order = Random(f"order {seed}")
        self._disk = Random(f"disk {seed}")
        self._selector = Instant(self)
        self._clock_resolution = RESOLUTION_S
        self.set_exception_handler(self._note_fault)
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Seconds since the world began."""
        return self.now

    def _note_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r} {context.get('task', '')!r}")

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        handles = list(ready)
        steps = [
            n
            for n, handle in enumerate(handles)
            if isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)
        ]
        if len(steps) > 1:
            for place, handle in zip(steps, self._order.sample([handles[n] for n in steps], len(steps)), strict=True):
                handles[place] = handle
            ready.clear()
            ready.extend(handles)
        super()._run_once()  # type: ignore[misc]

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """The function runs on the loop, a little later."""
        call = Call(self.create_future(), func, args)
        self.threads.append(call)
        if args == ("COMMIT",) and (begun := self.commit_begun.get(call.host)) is not None:
            begun.set()
        slow = self._disk.random() < self.slow_disk.get(call.host, 0.0)
        self.call_later(SLOW_COMMIT_S if slow else self._disk.uniform(*COMMIT_S), self._run_call, call)
        return call.future

    def _run_call(self, call: Call) -> None:
        if call in self.threads:  # a crash takes the threads along
            self.threads.remove(call)
            call.run()

    def _make_task(self, loop: Any, coro: Any, context: Context | None = None, **more: Any) -> asyncio.Task[Any]:
        task = SimTask(coro, loop=self, context=context, **more)
        self._tasks_made += 1
        task.number = self._tasks_made
        self._tasks[task] = HOST.get() if context is None else context.get(HOST, HOST.get())
        return task

    async def end_tasks(self, host: str) -> None:
        """The machine `host` is gone, and so is whatever its programs were doing."""
        for task in (left := [task for task, where in self._tasks.items() if where == host and not task.done()]):
            task.cancel()
        if left:
            await asyncio.wait(left)

    def lose_threads(self, host: str) -> Call | None:
        """The machine `host` loses power: its threads never end. The COMMIT that was under way, if one was."""
        lost = [call for call in self.threads if call.host == host]
        self.threads = [call for call in self.threads if call.host != host]
        return next((call for call in lost if call.args == ("COMMIT",)), None)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Connects over the simulated network, from the machine that the task runs on."""
        protocol = protocol_factory()
        pipe = await self.network.dial(protocol, (HOST.get(), next(self._ports)), (host, port))
        return pipe, protocol

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Listens on the simulated network."""
        return Listening(self.network, protocol_factory, (host, port))

    async def create_unix_server(self, protocol_factory: Any, path: Any = None, **_: Any) -> Any:
        """The admin socket: a file that nobody uses here."""
        Path(path).touch()
        return Listening(self.network, protocol_factory, (str(path), 0))
