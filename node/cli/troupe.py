"""The processes of ``startalk demo``: several ``startalk run``, each on a folder of its own, that begin and end together.

A signal ends them all in order, with status 0; one that ends by itself ends the others. Nothing of them is left when `run` returns.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import node
from node.base.errors import ExitStatus, Fatal, LocalError, Rejected, RemoteError
from node.cli.welcome import LAST_LINE

LOG: Final = "node.log"
STOP_S: Final = 20.0  # a node that takes longer to stop is killed
START_S: Final = 60.0


class House(Protocol):
    """A node that can be run (`demo.House`)."""

    @property
    def domain(self) -> str:
        """What people call it."""

    @property
    def folder(self) -> Path:
        """Its data, with a startalk.toml."""


async def run(houses: Sequence[House], opening: Callable[[], Awaitable[None]]) -> None:
    """All of them until a signal; `opening` begins when all serve. Raises Fatal if one ends by itself or the opening fails."""
    stop, serving = asyncio.Event(), [asyncio.Event() for _ in houses]
    with _signals(stop.set):
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_serve(house, ready.set)) for house, ready in zip(houses, serving, strict=True)
                ]
                tasks.append(group.create_task(_open(serving, opening)))
                await stop.wait()
                for task in tasks:
                    task.cancel()
        except* Fatal as faults:
            raise _first(faults) from None


async def _open(serving: Sequence[asyncio.Event], opening: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(START_S):
            for ready in serving:
                await ready.wait()
        await opening()
    except Fatal:
        raise
    except (TimeoutError, Rejected, LocalError, RemoteError) as error:
        why = str(error) or "it took too long"
        raise Fatal(ExitStatus.FAILED, f"The nodes did not find each other: {why}") from error


def _first(faults: BaseExceptionGroup[Fatal]) -> Fatal:
    fault = faults.exceptions[0]
    return _first(fault) if isinstance(fault, BaseExceptionGroup) else fault


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """While open, whatever asks us to end calls `stop`, however often."""
    loop = asyncio.get_running_loop()
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in asking:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in asking:
            loop.remove_signal_handler(number)


async def _serve(house: House, ready: Callable[[], None]) -> None:
    """One node, in a session of its own: Ctrl-C reaches us, and we tell it. Raises Fatal when it ends by itself."""
    with (house.folder / LOG).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node", "run", "--data", str(house.folder),
            cwd=Path(node.__file__).parents[1],
            env={name: value for name, value in os.environ.items() if not name.startswith("STARTALK_")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            if line.decode("utf-8", "replace").strip() == LAST_LINE:
                ready()
        status = await process.wait()
    finally:
        await _end(process)
    raise Fatal(ExitStatus.FAILED, f"{house.domain} ended with status {status}. {_last_line(house.folder / LOG)}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Asks it to stop, and waits; kills one that does not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
