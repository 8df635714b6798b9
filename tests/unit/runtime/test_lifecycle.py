"""Services start in order, stop in reverse, and a fault does what the table says."""

from __future__ import annotations

import asyncio
import os
import signal

from node.base.errors import ExitStatus, Fatal, LocalError
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.runtime.lifecycle import Ready, Supervisor, signals
from node.runtime.metrics import Metrics


class Instant(SeededEntropy):
    """Delays of no length, so that a restart does not make the test wait."""

    def uniform(self, low: float, high: float) -> float:
        return 0.0


class Part:
    """Writes what happens to it into `story`; raises `faults` one after the other."""

    def __init__(self, name: str, story: list[str], *, before_ready: Exception | None = None, faults: int = 0) -> None:
        self.name = name
        self.failed = asyncio.Event()
        self._story = story
        self._before_ready = before_ready
        self._faults = faults

    async def run(self, ready: Ready) -> None:
        self._story.append(f"{self.name} starts")
        if self._before_ready is not None:
            raise self._before_ready
        ready()
        if self._faults:
            self._faults -= 1
            raise LocalError("something broke")
        self.failed.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._story.append(f"{self.name} stops")


def supervisor(*parts: Part, metrics: Metrics | None = None) -> Supervisor:
    return Supervisor(parts, clock=ManualClock(), entropy=Instant(1), metrics=metrics or Metrics())


async def test_services_start_in_order_and_stop_in_reverse() -> None:
    story: list[str] = []
    alone = supervisor(Part("storage", story), Part("web", story))

    def started() -> None:
        story.append("started")
        alone.stop()

    assert await alone.run(started) is ExitStatus.OK
    assert story == ["storage starts", "web starts", "started", "web stops", "storage stops"]


async def test_a_fatal_before_ready_ends_the_process_with_its_status() -> None:
    story: list[str] = []
    taken = Fatal(ExitStatus.PORT_IN_USE, "Port 8443 is taken.")
    two = supervisor(Part("storage", story), Part("web", story, before_ready=taken), Part("never", story))
    assert await two.run() is ExitStatus.PORT_IN_USE
    assert two.fault is taken
    assert story == ["storage starts", "web starts", "storage stops"]


async def test_an_unexpected_fault_before_ready_ends_the_process() -> None:
    failing = supervisor(Part("web", [], before_ready=ValueError("no such thing")))
    assert await failing.run() is ExitStatus.FAILED
    assert failing.fault is not None
    assert "web did not start" in failing.fault.text


async def test_a_later_fault_restarts_the_service() -> None:
    story: list[str] = []
    metrics = Metrics()
    part = Part("feed", story, faults=2)
    shaky = supervisor(part, metrics=metrics)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(shaky.run())
        await part.failed.wait()
        shaky.stop()
        assert await run is ExitStatus.OK
    assert story == ["feed starts", "feed starts", "feed starts", "feed stops"]
    assert metrics.service_restarts.values == {"feed": 2}


async def test_stop_while_a_service_starts() -> None:
    class Slow(Part):
        async def run(self, ready: Ready) -> None:
            stuck.stop()
            await asyncio.Event().wait()

    stuck = supervisor(Slow("slow", []))
    assert await stuck.run() is ExitStatus.OK


async def test_a_signal_asks_once() -> None:
    asked: list[str] = []
    heard = asyncio.Event()

    def stop() -> None:
        asked.append("stop")
        heard.set()

    with signals(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        await heard.wait()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert asked == ["stop"]
