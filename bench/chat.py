"""Chat under load, printed as a table and written to ``build/bench/chat.json``.

The node runs on one core, this generator on the other; both talk plain WebSocket over loopback, as behind a proxy. Every message
is durable: its answer comes after the fsync. No figure passes or fails.

======================================  ==========================================================================
direct_msgs_per_s                       100 pairs, each with 10 messages in flight, posted, on disk and delivered
direct_p50_ms_1pair direct_p99_ms       one pair, one in flight: time from post to its answer
group100_ … group500_deliveries_per_s   the best of 1 and 5 senders, each with 2 in flight, until everybody has all
token_logins_per_s                      connect, upgrade, hello, welcome, snapshot, close
password_logins_per_s                   POST /login with Argon2id at the standard cost
rss_kib_per_connection                  idle device sockets: growth of memory from 0 to 5,000, for each
history_msgs_per_s                      10,000 messages in pages of 200
cold_start_s idle_rss_mib               process start to the first session; memory before anybody connects
fsyncs_per_message cpu_ms_per_message   during direct_msgs_per_s
======================================  ==========================================================================
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from bench.seed import DEVICES_EACH, HISTORY, PASSWORD, PEOPLE, Seed, seed
from bench.server import GENERATOR_CORE, Server
from bench.wire import LoadSocket, connect
from node.wire import c2s
from node.wire.codec import encode

OUT: Final = Path("build/bench/chat.json")
DIRECT_MESSAGES: Final = 40_000
ONE_PAIR_MESSAGES: Final = 2_000
LOGINS: Final = 3_000
PASSWORD_LOGINS: Final = 20
_decode = msgspec.msgpack.Decoder(list).decode
Frame = list[Any]


class Load:
    """Sockets on one server."""

    def __init__(self, server: Server, data: Seed) -> None:
        self.server = server
        self.seed = data

    async def open(self, token: str, on_frame: Callable[[LoadSocket, Frame], None]) -> LoadSocket:
        """A device that said hello and was welcomed."""
        welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def first(payload: bytes) -> None:
            frame = _decode(payload)
            if frame[0] == "welcome":
                welcome.set_result(None)
                device.on_frame = lambda data: on_frame(device, _decode(data))
            elif frame[0] == "error":
                welcome.set_exception(ConnectionError(str(frame)))

        device = await connect("127.0.0.1", self.server.port, token, first)
        device.send(c2s.Hello(c2s.VERSION, None, "bench"))
        await welcome
        return device

    async def direct(self, pairs: int, in_flight: int, total: int) -> dict[str, float]:
        """`total` messages from the first to the second of each pair."""
        body = encode({"text": "hello world, this is a message"})
        sent_at: dict[int, float] = {}
        latencies: list[float] = []
        devices: list[LoadSocket] = []
        delivered, number = 0, 0
        finished = asyncio.get_running_loop().create_future()

        def post(pair: int) -> None:
            nonlocal number
            number += 1
            sent_at[number] = time.perf_counter()
            devices[2 * pair].send(c2s.Post(number, self.seed.direct[pair], os.urandom(16), "text", body))

        def on_frame(pair: int, device: LoadSocket, frame: Frame) -> None:
            nonlocal delivered
            if frame[0] == "posted":
                for item in frame[1]:
                    latencies.append(time.perf_counter() - sent_at.pop(item[0]))
                    if number < total:
                        post(pair)
            elif frame[0] == "entries":
                mine = device is devices[2 * pair + 1]
                delivered += len(frame[1]) if mine else 0
                device.acknowledge(frame[1][-1][0])
            elif frame[0] in {"refused", "error"}:
                raise RuntimeError(str(frame))
            if delivered >= total and len(latencies) >= total and not finished.done():
                finished.set_result(None)

        for k in range(2 * pairs):
            device = await self.open(self.seed.tokens[k][0], functools.partial(on_frame, k // 2))
            devices.append(device)
        await asyncio.sleep(1.5)
        cpu, began, commits = self.server.cpu_s, time.perf_counter(), self.server.metric("startalk_commits_total")
        for pair in range(pairs):
            for _ in range(in_flight):
                post(pair)
        await finished
        took = time.perf_counter() - began
        commits = self.server.metric("startalk_commits_total") - commits
        cpu = self.server.cpu_s - cpu
        _hang_up(devices)
        latencies.sort()
        return {
            "per_s": total / took,
            "p50_ms": 1e3 * statistics.median(latencies),
            "p99_ms": 1e3 * latencies[len(latencies) * 99 // 100],
            "fsyncs": commits / total,
            "cpu_ms": 1e3 * cpu / total,
        }

    async def group(self, size: int, senders: int, total: int) -> float:
        """Deliveries per second of `total` messages to `size` members."""
        body, room = encode({"text": "hello group"}), self.seed.groups[size]
        number, got, want = 0, 0, total * size
        devices: list[LoadSocket] = []
        finished = asyncio.get_running_loop().create_future()

        def post(sender: int) -> None:
            nonlocal number
            number += 1
            devices[sender].send(c2s.Post(number, room, os.urandom(16), "text", body))

        def on_frame(member: int, device: LoadSocket, frame: Frame) -> None:
            nonlocal got
            if frame[0] == "entries":
                got += len(frame[1])
                device.acknowledge(frame[1][-1][0])
                if got >= want and not finished.done():
                    finished.set_result(None)
            elif frame[0] == "posted":
                for _ in frame[1]:
                    if number < total:
                        post(member)
            elif frame[0] in {"refused", "error"}:
                raise RuntimeError(str(frame))

        for k in range(size):
            device = await self.open(self.seed.tokens[k][0], functools.partial(on_frame, k))
            devices.append(device)
        await asyncio.sleep(1.5)
        got, began = 0, time.perf_counter()
        for sender in range(senders):
            post(sender)
            post(sender)
        await finished
        took = time.perf_counter() - began
        _hang_up(devices)
        return want / took

    async def token_logins(self) -> float:
        """Whole sessions per second, 20 at a time."""
        gate = asyncio.Semaphore(20)

        async def one(number: int) -> None:
            async with gate:
                token = self.seed.tokens[number % PEOPLE][number // PEOPLE % DEVICES_EACH]
                _hang_up([await self.open(token, _ignore)])

        began = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(LOGINS)))
        return LOGINS / (time.perf_counter() - began)

    async def password_logins(self) -> float:
        """POST /login per second, as many at a time as the node hashes."""
        url = f"http://127.0.0.1:{self.server.port}/api/v1/login"
        gate = asyncio.Semaphore(4)
        async with aiohttp.ClientSession() as http:

            async def one(number: int) -> None:
                body = {"local": f"person{500 + number:04}", "password": PASSWORD, "mode": "token"}
                async with gate, http.post(url, json=body) as answer:
                    if answer.status != 200:
                        raise RuntimeError(await answer.text())

            began = time.perf_counter()
            await asyncio.gather(*(one(number) for number in range(PASSWORD_LOGINS)))
            return PASSWORD_LOGINS / (time.perf_counter() - began)

    async def idle(self, *counts: int) -> list[float]:
        """KiB of memory for each idle connection, at each of `counts`."""
        devices: list[LoadSocket] = []
        before, figures = self.server.rss_kib, []
        for count in counts:
            while len(devices) < count:
                number = len(devices)
                devices.append(await self.open(self.seed.tokens[number % PEOPLE][number // PEOPLE], _ignore))
            await asyncio.sleep(2)
            figures.append((self.server.rss_kib - before) / count)
        _hang_up(devices)
        return figures

    async def history(self) -> float:
        """Messages per second, page after page backwards through one room."""
        page: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()

        def on_frame(_: LoadSocket, frame: Frame) -> None:
            if frame[0] == "page":
                page.set_result(frame)

        device = await self.open(self.seed.tokens[-1][0], on_frame)
        got, idx, began = 0, 0, time.perf_counter()
        while got < HISTORY:
            page = asyncio.get_running_loop().create_future()
            device.send(c2s.History(1, self.seed.history, idx, True, 200))
            frame = await page
            got, idx = got + len(frame[3]), frame[3][0][3]
        took = time.perf_counter() - began
        _hang_up([device])
        return got / took


def _ignore(_: LoadSocket, __: Frame) -> None:
    pass


def _hang_up(devices: list[LoadSocket]) -> None:
    for device in devices:
        device.close()


async def _measure(data: Path, made: Seed) -> dict[str, float]:
    figures: dict[str, float] = {}
    with Server(data) as server:
        load = Load(server, made)
        began = time.perf_counter()
        _hang_up([await load.open(made.tokens[0][0], _ignore)])
        figures["cold_start_s"] = server.started_s + time.perf_counter() - began
    with Server(data) as server:
        load = Load(server, made)
        figures["idle_rss_mib"] = server.rss_kib / 1024
        idle = await load.idle(1_000, 5_000)
        figures["rss_kib_per_connection_1000"], figures["rss_kib_per_connection"] = idle
    with Server(data) as server:
        load = Load(server, made)
        many = await load.direct(100, 10, DIRECT_MESSAGES)
        one = await load.direct(1, 1, ONE_PAIR_MESSAGES)
        figures["direct_msgs_per_s"] = many["per_s"]
        figures["fsyncs_per_message"], figures["cpu_ms_per_message"] = many["fsyncs"], many["cpu_ms"]
        figures["direct_p50_ms_1pair"], figures["direct_p99_ms"] = one["p50_ms"], one["p99_ms"]
        for size, total in ((100, 1_000), (500, 400)):
            alone, five = await load.group(size, 1, total), await load.group(size, 5, total)
            figures[f"group{size}_deliveries_per_s_1_sender"], figures[f"group{size}_deliveries_per_s"] = (
                alone,
                max(alone, five),
            )
        figures["history_msgs_per_s"] = await load.history()
    with Server(data) as server:
        load = Load(server, made)
        figures["token_logins_per_s"] = await load.token_logins()
        figures["password_logins_per_s"] = await load.password_logins()
    return figures


def measure() -> dict[str, Any]:
    """All figures, with the rates that were raised for them."""
    os.sched_setaffinity(0, {GENERATOR_CORE})
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="build") as folder:
        data = Path(folder) / "data"
        made = seed(data)
        if sys.platform != "win32":
            import uvloop

            figures = uvloop.run(_measure(data, made))
        else:
            figures = asyncio.run(_measure(data, made))
    return {**figures, "rates": made.rates}


def run() -> dict[str, Any]:
    """Measures, writes, prints."""
    result = measure()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    for name, value in sorted(result.items()):
        print(f"{name:40} {value if isinstance(value, dict) else round(value, 3)}")
    return result


if __name__ == "__main__":
    run()
