"""The network in memory: connections with a delay, a window, and several ways to end.

A `Pipe` is one end of a connection. What is written arrives in order after the delay of this connection; an end that
does not read lets the other end's buffer grow, as TCP does. A connection may be cut so that both ends notice, one
does, or neither: then only heartbeats find out.

Between two hosts the way may be *blocked*, in one direction or both: nobody gets through, and what is on its way is lost (the
connection is dead and may not know) or, when the fault is short, only late, as TCP sends again.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

Address = tuple[str, int]
WINDOW_BYTES = 64 * 1024  # taken by the kernels of both sides before a writer's buffer grows
HIGH_WATER_BYTES = 64 * 1024
TICK_S = 1e-6  # timers at the same instant have no order; bytes have


class Network:
    """Listeners by address, and every open connection. Delays follow from the seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.listeners: dict[Address, tuple[Callable[[], Any], contextvars.Context]] = {}
        self.pipes: list[Pipe] = []  # the connecting ends
        self.blocked: set[tuple[str, str]] = set()  # (from host, to host): nothing gets through
        self._count = 0

    def connect(self, protocol: asyncio.Protocol, here: Address, there: Address) -> Pipe:
        """A new connection; its first bytes can be written at once. Raises ConnectionRefusedError."""
        found = self.listeners.get(there)
        if found is None:
            raise ConnectionRefusedError(there)
        factory, context = found[0], found[1].copy()
        self._count += 1
        random = Random(f"connection {self.seed} {self._count}")  # of its own: order elsewhere does not matter
        loop = asyncio.get_running_loop()
        ours, theirs = Pipe(self, loop, random, here, there), Pipe(self, loop, random, there, here)
        ours.peer, theirs.peer = theirs, ours
        self.pipes.append(ours)
        theirs.attach(context.run(factory), context)
        ours.attach(protocol, contextvars.copy_context())
        return ours

    async def dial(self, protocol: asyncio.Protocol, here: Address, there: Address) -> Pipe:
        """`connect` as it takes its time: one round trip, or for ever when the way is blocked."""
        self._count += 1
        await asyncio.sleep(Random(f"dial {self.seed} {self._count}").choice((0.001, 0.02, 0.1)))
        if {(here[0], there[0]), (there[0], here[0])} & self.blocked:
            await asyncio.Event().wait()
        return self.connect(protocol, here, there)

    def between(self, a: str, b: str) -> list[Pipe]:
        """Open connections of two hosts."""
        return [pipe for pipe in self.pipes if {pipe.local[0], pipe.remote[0]} == {a, b}]

    def drop_host(self, address: Address) -> None:
        """A machine is gone: it listens no more, and the other ends notice at once."""
        self.listeners = {at: factory for at, factory in self.listeners.items() if at[0] != address[0]}
        for pipe in list(self.pipes):
            if address[0] in {pipe.remote[0], pipe.local[0]}:
                pipe.cut(ours=True, theirs=True)


class Listening:
    """What `create_server` gives back."""

    def __init__(self, network: Network, factory: Callable[[], Any], address: Address) -> None:
        self._network, self._address = network, address
        network.listeners[address] = factory, contextvars.copy_context()
        self.sockets = [self]

    def getsockname(self) -> Address:
        """Where it listens."""
        return self._address

    def close(self) -> None:
        """Takes no new connections."""
        self._network.listeners.pop(self._address, None)

    async def wait_closed(self) -> None:
        """Nothing to wait for."""


class Pipe(asyncio.Transport):
    """One end of a connection."""

    peer: Pipe
    _context: contextvars.Context

    def __init__(
        self, network: Network, loop: asyncio.AbstractEventLoop, random: Random, local: Address, remote: Address
    ) -> None:
        super().__init__({"sockname": local, "peername": remote})
        self.network, self._loop, self._random = network, loop, random
        self.local, self.remote = local, remote
        self._delay_s = random.choice((0.0005, 0.01, 0.05, 0.2))
        self._last = 0.0
        self._protocol: Any = None
        self._closing = self._paused = self._writer_paused = False
        self._held: deque[bytes | None] = deque()  # arrived and not read; None is the end
        self._unread = 0  # bytes written by us that the peer has not read
        self.lost = False  # bytes vanish on the way: nobody tells
        self.deaf = False  # the same, only for what this end writes

    def attach(self, protocol: Any, context: contextvars.Context) -> None:
        """The protocol of this end, which runs in `context`."""
        self._protocol, self._context = protocol, context
        context.run(protocol.connection_made, self)

    # --- asyncio.Transport ------------------------------------------------------------------------------

    def get_protocol(self) -> Any:
        """The protocol of this end."""
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """Another protocol takes over."""
        self._protocol = protocol

    def write(self, data: Any) -> None:
        """On its way."""
        if not self._closing:
            self._unread += len(data)
            self._send(bytes(data))
            if self.get_write_buffer_size() > HIGH_WATER_BYTES and not self._writer_paused:
                self._writer_paused = True
                self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        """On their way."""
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        """What the kernels have not taken."""
        return max(0, self._unread - WINDOW_BYTES)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high water."""
        return 0, HIGH_WATER_BYTES

    def can_write_eof(self) -> bool:
        """Not needed."""
        return False

    def is_closing(self) -> bool:
        """Whether this end is over."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether this end reads."""
        return not self._paused

    def pause_reading(self) -> None:
        """What arrives waits."""
        self._paused = True

    def resume_reading(self) -> None:
        """What waits is read."""
        self._paused = False
        self._read()

    def close(self) -> None:
        """After what was written, the end."""
        if not self._closing:
            self._send(None)
            self._finish(None)

    def abort(self, error: Exception | None = None) -> None:
        """The end, at once; the other side sees a reset."""
        if not self._closing:
            if not self.lost:
                reset = ConnectionResetError("reset by peer")
                self._loop.call_later(self._delay_s, self.peer._reset, reset, context=self.peer._context)
            self._finish(error)

    # --- faults -----------------------------------------------------------------------------------------

    def cut(self, *, ours: bool, theirs: bool) -> None:
        """From now on nothing passes; the ends named here notice, the others do not."""
        self.lost = self.peer.lost = True
        for notices, end in ((ours, self), (theirs, self.peer)):
            if notices:
                end._finish(ConnectionResetError("connection lost"))

    def lose(self) -> None:
        """From now on what this end writes vanishes; nobody notices, and the other direction works."""
        self.deaf = True

    def delay(self, until_s: float) -> None:
        """What is written before `until_s` arrives after it, in both directions."""
        for end in (self, self.peer):
            end._last = max(end._last, until_s)

    # --- inside -----------------------------------------------------------------------------------------

    def _reset(self, error: Exception) -> None:
        if not self.lost and not self.peer.deaf:
            self._finish(error)

    def _send(self, data: bytes | None) -> None:
        self._last = max(self._last + TICK_S, self._loop.time() + self._delay_s * self._random.uniform(0.5, 1.5))
        self._loop.call_at(self._last, self.peer._arrive, data, context=self.peer._context)

    def _arrive(self, data: bytes | None) -> None:
        if not self._closing and not self.lost and not self.peer.deaf:
            self._held.append(data)
            if not self._paused:
                self._read()

    def _read(self) -> None:
        while self._held and not self._paused and not self._closing:
            data = self._held.popleft()
            if data is None:
                if not self._protocol.eof_received():
                    self.close()
                return
            self.peer._was_read(len(data))
            self._protocol.data_received(data)

    def _was_read(self, size: int) -> None:
        self._unread -= size
        if self._writer_paused and not self.get_write_buffer_size():
            self._writer_paused = False
            self._protocol.resume_writing()

    def _finish(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            if self in self.network.pipes:
                self.network.pipes.remove(self)
            self._loop.call_soon(self._protocol.connection_lost, error, context=self._context)
