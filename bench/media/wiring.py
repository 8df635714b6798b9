"""The relay as the composition root makes it, without a node around it."""
# ruff: noqa: SLF001 - asks the service for the process ids of its workers, which nobody else needs

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from node.media.proto.sdp import Candidate
from node.media.service import Relay, Setting
from node.runtime.clock import SystemClock
from node.services.relay import CallRelay

Opened = tuple[CallRelay, Callable[[], Awaitable[None]], Callable[[], list[int]]]


def own_address() -> str:
    """This machine's address in its network (aiortc never uses loopback); sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: only the route is looked up
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def open_relay(folder: Path) -> Opened:
    """A relay that runs, how to close it, and the process ids of its workers."""
    del folder  # it keeps nothing
    address = own_address()
    relay = Relay(
        setting=Setting(host=address, port=0, log_level="warning"),
        clock=SystemClock(),
        reachable=lambda: (Candidate(address, 0),),
    )
    ready = asyncio.Event()
    running = asyncio.get_running_loop().create_task(relay.run(ready.set))
    await ready.wait()

    async def close() -> None:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    return relay, close, lambda: [child.pid for child in relay._children.values()]
