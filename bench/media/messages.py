"""A node's messages while it carries a call: one pair talks, first on an idle node, then during a call of thirty-two subscribers.

A whole node (``startalk run``) with its worker on one core; the callers are the Python client, one who sends the stream and thirty-two who
count it, on the other core with the pair. What is measured is the time from a post to its arrival at the other's device, one at a time.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.media import stream
from bench.media.peers import Count, sink, speak
from bench.seed import add_person, new_post
from bench.server import GENERATOR_CORE, Server
from bench.wire import LoadSocket, connect
from node.base.ids import RoomId
from node.client import Call, Client
from node.main import open_services
from node.runtime.clock import SystemClock
from node.runtime.config import Config
from node.runtime.entropy import SystemEntropy
from node.services.settings import RATE_MAX, RATES, Change
from node.wire import c2s
from node.wire.codec import encode

SUBSCRIBERS: Final = 32
MESSAGES: Final = 500
PAUSE_S: Final = 0.01
SETTLE_S: Final = 3.0
_decode = msgspec.msgpack.Decoder(list).decode


class Home(msgspec.Struct, frozen=True):
    """A data directory with people: a pair, and the members of one group."""

    pair: tuple[str, str]  # tokens
    direct: bytes
    callers: list[str]
    room: bytes


async def settle(data: Path) -> Home:
    """A data directory with them."""
    data.mkdir(parents=True)
    services = open_services(Config(data=str(data)), clock=SystemClock(), entropy=SystemEntropy())
    try:
        await services.settings.change(
            Change(rates=dict.fromkeys(RATES, RATE_MAX), calls={"participants": SUBSCRIBERS + 1}), actor="bench"
        )
        people = await services.db.write(
            lambda tx: [add_person(services, tx, f"person{k:04}", "", 1) for k in range(SUBSCRIBERS + 3)]
        )
        (first, first_tokens), (second, second_tokens), *callers = people
        direct = await services.posting.open_direct(first, second.user)
        owner = callers[0][0]
        made = await services.posting.post(owner, new_post(services, b"", "create", {"name": "Call"}))
        for member, _ in callers[1:]:
            await services.posting.post(owner, new_post(services, made.room, "invite", {"user": member.user}))
            await services.posting.post(member, new_post(services, made.room, "join", {"via": "invite"}))
        pair = (first_tokens[0], second_tokens[0])
        return Home(pair, bytes(direct), [tokens[0] for _, tokens in callers], bytes(made.room))
    finally:
        await services.close()


class Pair:
    """Two devices, one message at a time."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._number = 0
        self._body = encode({"text": "hello world, this is a message"})

    async def open(self, port: int) -> None:
        """Both say hello."""
        self._author = await self._device(port, self._home.pair[0])
        self._reader = await self._device(port, self._home.pair[1])

    async def _device(self, port: int, token: str) -> LoadSocket:
        welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def take(payload: bytes) -> None:
            frame: list[Any] = _decode(payload)
            if frame[0] == "welcome":
                welcome.set_result(None)
            elif frame[0] == "entries":
                device.acknowledge(frame[1][-1][0])
                if device is self._reader and not self._arrived.done():
                    self._arrived.set_result(time.perf_counter())
            elif frame[0] in {"refused", "error"}:
                raise RuntimeError(str(frame))

        device = await connect("127.0.0.1", port, token, take)
        device.send(c2s.Hello(c2s.VERSION, None, "bench"))
        await welcome
        return device

    def close(self) -> None:
        """Hangs up."""
        self._author.close()
        self._reader.close()

    async def talk(self) -> list[float]:
        """Milliseconds of `MESSAGES` messages."""
        took = []
        for _ in range(MESSAGES):
            self._number += 1
            self._arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            began = time.perf_counter()
            self._author.send(c2s.Post(self._number, self._home.direct, os.urandom(16), "text", self._body))
            took.append(1e3 * (await self._arrived - began))
            await asyncio.sleep(PAUSE_S)
        return took


async def _call(stack: AsyncExitStack, url: str, home: Home) -> list[Count]:
    """Everybody is in a call; what each of them counts."""
    content, counts = stream.load(), []
    people = [await stack.enter_async_context(Client.connect(url, token=token)) for token in home.callers]
    starter, *others = people
    say = {"mic": stream.microphone(content), "camera": stream.camera(content)}
    call = await stack.enter_async_context(starter.calls.start(RoomId(home.room), media="video", say=say))
    await call.until(lambda: call.connected)
    assert call._up is not None  # noqa: SLF001 - aiortc says loudness only of what it encodes itself
    speak(call._up)  # noqa: SLF001
    for other in others:
        seat: Call = await stack.enter_async_context(other.calls.join(call.id))
        await seat.until(lambda seat=seat: seat.receiving and len(seat.tracks) == 2)  # type: ignore[misc]
        assert seat.transports is not None
        counts.append(Count())
        sink(seat.transports[1], counts[-1])
    return counts


async def _measure(folder: Path) -> dict[str, float]:
    home = await settle(folder / "data")
    with Server(folder / "data") as server:
        pair = Pair(home)
        await pair.open(server.port)
        await asyncio.sleep(SETTLE_S)
        idle = await pair.talk()
        async with AsyncExitStack() as stack:
            counts = await _call(stack, f"http://127.0.0.1:{server.port}", home)
            await asyncio.sleep(SETTLE_S)
            before, began = sum(count.packets for count in counts), time.perf_counter()
            busy = await pair.talk()
            pair.close()
            rate = (sum(count.packets for count in counts) - before) / (time.perf_counter() - began)
    return {
        "message_p50_ms_idle": statistics.median(idle),
        "message_p50_ms_in_call": statistics.median(busy),
        "message_p95_ms_idle": sorted(idle)[len(idle) * 95 // 100],
        "message_p95_ms_in_call": sorted(busy)[len(busy) * 95 // 100],
        "message_latency_ratio_in_call": statistics.median(busy) / statistics.median(idle),
        "packets_per_s_in_call": rate,
    }


def run() -> dict[str, float]:
    """The figures."""
    os.sched_setaffinity(0, {GENERATOR_CORE})
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="build") as folder:
        return asyncio.run(_measure(Path(folder).resolve()))


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:40} {round(value, 3)}")
