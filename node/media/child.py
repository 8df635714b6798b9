"""One worker process as the node sees it: started, asked, heard, watched, ended. The other end is worker.py."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

import node
from node.base import limits
from node.base.errors import Code, LocalError, Rejected
from node.media import control
from node.runtime.log import Log

_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT")  # of the environment; nothing of the node's settings
_log: Final = Log("media.child")


class Child:
    """A worker that runs. `level` and `port` are what it said of itself."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        began: control.Began,
        outlet: socket.socket,
        *,
        number: int,
    ) -> None:
        """Made by `start`; sockets go through `outlet`."""
        self._outlet = outlet
        self.number = number
        self.level = began.level
        self.port = began.port
        self.calls: set[bytes] = set()
        self.cpu_s = 0.0  # at the last report
        self.gone = False
        self._process = process
        self._reader = reader
        self._writer = writer
        self._asked: dict[int, asyncio.Future[control.Answered]] = {}
        self._count = 0

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def say(self, frame: control.ToWorker) -> None:
        """Sends what has no answer."""
        if not self.gone:
            self._writer.write(control.encode(frame))

    def hand(self, sock: socket.socket, first: bytes) -> bool:
        """Gives it a connection and what was read of it. False: it takes none."""
        try:
            socket.send_fds(self._outlet, [first], [sock.fileno()])
        except OSError:
            return False
        return True

    async def ask(self, make: Callable[[int], control.ToWorker]) -> control.Answered:
        """Sends `make(n)` and waits for its answer. Raises Rejected: the worker's, or `unavailable` when it is gone or hangs."""
        if self.gone:
            raise _unavailable()
        self._count += 1
        n = self._count
        waiting: asyncio.Future[control.Answered] = asyncio.get_running_loop().create_future()
        self._asked[n] = waiting
        try:
            self.say(make(n))
            async with asyncio.timeout(limits.MEDIA_ANSWER_S):
                return await waiting
        except TimeoutError as error:
            _log.error("a worker does not answer and is ended", pid=self.pid)
            self.kill()
            raise _unavailable() from error
        finally:
            self._asked.pop(n, None)

    async def listen(self, heard: Callable[[control.ToNode], None]) -> None:
        """Hands on what it tells, until it ends; then it is `gone` and nothing waits for it any more."""
        try:
            async for body in control.frames(self._reader):
                frame = control.to_node.decode(body)
                match frame:
                    case control.Done() | control.Half() | control.Report():
                        self._settle(frame.n, frame)
                    case control.Refused(n=n, code=code, text=text):
                        self._settle(n, Rejected(Code(code), text))
                    case _:
                        heard(frame)
        except (ValueError, msgspec.DecodeError) as error:
            _log.error("a worker talks nonsense and is ended", error, pid=self.pid)
        finally:
            self.gone = True
            self._outlet.close()
            self._writer.close()
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(_unavailable())
            await _reap(self._process)

    def kill(self) -> None:
        """At once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def _settle(self, n: int, outcome: control.Answered | Rejected) -> None:
        waiting = self._asked.get(n)
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, Rejected):
            waiting.set_exception(outcome)
        else:
            waiting.set_result(outcome)


async def start(begin: control.Begin) -> Child:
    """Starts a worker and waits until it serves. Raises LocalError with the reason when it cannot."""
    ours, theirs = socket.socketpair()
    outlet, inlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, inlet:
        ours.setblocking(False)
        outlet.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "node.media.worker",
            str(theirs.fileno()),
            str(inlet.fileno()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), inlet.fileno()),
            env=_environment(),
        )
    try:
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(control.encode(begin))
        async with asyncio.timeout(limits.MEDIA_START_S):
            body = await anext(control.frames(reader))
        began = control.to_node.decode(body)
        if not isinstance(began, control.Began) or not began.level:
            writer.close()
            raise LocalError(began.reason if isinstance(began, control.Began) else "the worker talks nonsense")
    except (TimeoutError, StopAsyncIteration, ValueError, msgspec.DecodeError) as error:
        outlet.close()
        await _reap(process)
        raise LocalError(f"the worker of calls did not start ({error!r})") from error
    except BaseException:
        outlet.close()
        await _reap(process)
        raise
    return Child(process, reader, writer, began, outlet, number=begin.number)


async def _reap(process: asyncio.subprocess.Process) -> None:
    """It was told to end by the end of its socket, and has a moment for that."""
    try:
        async with asyncio.timeout(limits.DRAIN_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        raise


def _environment() -> dict[str, str]:
    root = Path(node.__file__).parent.parent
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {"PYTHONPATH": str(root)}


def _unavailable() -> Rejected:
    return Rejected(Code.UNAVAILABLE, "The relay of calls has ended; join the call again.")
