"""Starting, watching and stopping the parts of a node.

A `Service` is one coroutine that runs until it is cancelled. The `Supervisor` starts services in the order given, each
after the one before said it is ready, and stops them in reverse, so that a part may rely on what was listed before it.

What a fault does depends on when and what:

=======================  ===================================================================================
before it was ready      the process ends: an operator is watching, and half a node helps nobody
`Fatal`, at any time     the process ends with its status
any other, later         it is logged and the service starts again, after a delay that doubles up to a minute
=======================  ===================================================================================

An end is always orderly: whoever asks for it (a signal, a command, a Fatal) sets one event, and the supervisor takes
the services down one by one. A second signal has its usual effect, so an impatient operator is not locked out.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from node.base import limits
from node.base.errors import ExitStatus, Fatal
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.log import Log
from node.runtime.metrics import Metrics

Ready = Callable[[], None]
log = Log("lifecycle")


class Service(Protocol):
    """A part of a node that runs beside the others."""

    @property
    def name(self) -> str:
        """Shown in the log."""
        ...

    async def run(self, ready: Ready) -> None:
        """Works until cancelled and calls ``ready()`` once it serves; cleans up in ``finally``."""
        ...


class Supervisor:
    """Runs services until `stop` is called or one of them ends the process."""

    def __init__(self, services: Sequence[Service], *, clock: Clock, entropy: Entropy, metrics: Metrics) -> None:
        self._services = tuple(services)
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._stop = asyncio.Event()
        self._waiting = asyncio.Event()  # the service that starts is ready, or there is no point in waiting for it
        self.status = ExitStatus.OK
        self.fault: Fatal | None = None

    def stop(self) -> None:
        """Asks for an orderly end. May be called at any time, and again."""
        self._stop.set()
        self._waiting.set()

    async def run(self, started: Ready | None = None) -> ExitStatus:
        """Starts everything, calls ``started()``, serves, stops everything. Returns the status to exit with."""
        async with asyncio.TaskGroup() as group:
            running: list[asyncio.Task[None]] = []
            try:
                for service in self._services:
                    if self._stop.is_set():
                        break
                    moved = self._waiting = asyncio.Event()
                    running.append(group.create_task(self._keep(service, moved), name=service.name))
                    await moved.wait()
                if started is not None and not self._stop.is_set():
                    started()
                await self._stop.wait()
            finally:
                for task in reversed(running):
                    await _end(task)
        return self.status

    async def _keep(self, service: Service, moved: asyncio.Event) -> None:
        """Runs one service, again and again if need be; sets `moved` once it is ready or has ended."""
        delay_s = limits.RESTART_DELAY_S_MIN
        while True:
            began = self._clock.monotonic()
            try:
                await service.run(moved.set)
                moved.set()
                return
            except Fatal as fault:
                self._give_up(fault)
                return
            except Exception as error:  # noqa: BLE001 - the one place that decides about faults nobody expected
                log.error("A service failed", error, service=service.name)
                if not moved.is_set():
                    self._give_up(Fatal(ExitStatus.FAILED, f"{service.name} did not start: {error!r}"))
                    return
            if self._clock.monotonic() - began > limits.RESTART_DELAY_S_MAX:
                delay_s = limits.RESTART_DELAY_S_MIN
            self._metrics.service_restarts.inc(of=service.name)
            await asyncio.sleep(delay_s * self._entropy.uniform(0.5, 1.0))
            delay_s = min(2 * delay_s, limits.RESTART_DELAY_S_MAX)

    def _give_up(self, fault: Fatal) -> None:
        if self.fault is None:
            self.fault, self.status = fault, fault.status
        self.stop()


@contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """While open, the first SIGINT or SIGTERM calls `stop`; the next one has its usual effect."""
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)

    def once() -> None:
        release()
        stop()

    def release() -> None:
        for number in caught:
            loop.remove_signal_handler(number)

    try:
        for number in caught:
            loop.add_signal_handler(number, once)
    except NotImplementedError:  # a platform without signal handlers on the loop: Ctrl-C raises KeyboardInterrupt
        yield
        return
    try:
        yield
    finally:
        release()


async def _end(task: asyncio.Task[None]) -> None:
    """Cancels one service and waits until it has cleaned up; says so when that takes long."""
    task.cancel()
    _, late = await asyncio.wait({task}, timeout=limits.SERVICE_STOP_S)
    if late:
        log.warning("A service is slow to stop; stopping the others meanwhile", service=task.get_name())
