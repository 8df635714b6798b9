"""Two nodes that share direct chats, printed as a table and written to ``build/bench/federation.json``.

Both nodes run on one core, this generator on the other; the link is plain WebSocket over loopback with Noise inside. A message counts when
it is on the disks of both nodes and on the receiver's device.

=========================  ================================================================================================
msgs_per_s                 100 pairs across the nodes, each with 10 messages in flight and as many as every other pair, half of the
                           authors on each node: half of the messages go through the other node's hub
cpu_us_per_msg             CPU of both nodes for one of these, and of each: the hub of all chats (the node with the smaller id), the follower
p50_ms_1pair               one pair, one in flight: from the post to the other's device; the room's hub is the author's node
p50_ms_1pair_forwarded     the same when the room's hub is the reader's node
catchup_10000_s            a node that was away comes back: from its start to the last of 10,000 entries on its disk
idle_link_rss_kib          growth of a node's memory from no link to 200 idle ones, for each
idle_links_cpu_percent     of one core, while these 200 idle links are open
=========================  ================================================================================================
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.__main__ import machine, number
from bench.links import Idlers
from bench.seed import add_person, new_post
from bench.server import GENERATOR_CORE, Server
from bench.wire import LoadSocket, connect
from node.base.ids import NodeId, UserId
from node.core import hub
from node.main import Services, open_services
from node.runtime.clock import SystemClock
from node.runtime.config import Config
from node.runtime.entropy import SystemEntropy
from node.services.actor import Actor
from node.services.settings import RATE_MAX, RATES, Change
from node.storage import contacts, database
from node.storage.contacts import ContactState
from node.storage.database import Tx
from node.wire import c2s
from node.wire.codec import encode

OUT: Final = Path("build/bench/federation.json")
PAGE: Final = Path("docs/reference/benchmarks-federation.md")
ROWS: Final = (
    ("msgs_per_s", "/s", "100 pairs across the nodes, 10 messages in flight each, half of the authors on each node", "≥ 3,000"),
    ("cpu_us_per_msg", "µs", "CPU of both nodes together per message in the first row", ""),
    ("cpu_us_per_msg_hub", "µs", "of it, the node that orders the chats", ""),
    ("cpu_us_per_msg_follower", "µs", "of it, the other node", ""),
    ("p50_ms_1pair", "ms", "one pair, one in flight, from the post to the other's device; the author's node is the hub", ""),
    ("p99_ms_1pair", "ms", "the same, p99", ""),
    ("p50_ms_1pair_forwarded", "ms", "the same when the reader's node is the hub", ""),
    ("catchup_10000_s", "s", "from the start of a node that was away to the last of 10,000 entries on its disk", "≤ 3"),
    ("idle_link_rss_kib", "KiB", "memory per idle link, at 200 of them", "≤ 150"),
    ("idle_links_cpu_percent", "%", "of one core, with 200 idle links", "≈ 0"),
)  # fmt: skip
PAIRS: Final = 100
MESSAGES: Final = 20_000
ONE_PAIR_MESSAGES: Final = 1_000
BACKLOG: Final = 10_000
IDLE_LINKS: Final = 200
IDLE_S: Final = 20
_decode = msgspec.msgpack.Decoder(list).decode
Frame = list[Any]


class Home(msgspec.Struct, kw_only=True):
    """One node's data directory and its people; person k is the counterpart of person k on the other node."""

    data: Path
    nid: NodeId
    people: list[tuple[Actor, list[str]]]


def _open(data: Path) -> Services:
    return open_services(Config(data=str(data)), clock=SystemClock(), entropy=SystemEntropy())


async def _settle(data: Path, number: int) -> Home:
    """A node with people who have raised rates."""
    data.mkdir(parents=True)
    (data / "startalk.toml").write_text('net_allow = ["127.0.0.0/8"]\nmdns = false\ndht = false\nportmap = false\n')
    services = _open(data)
    try:
        await services.settings.change(Change(rates=dict.fromkeys(RATES, RATE_MAX)), actor="bench")
        people = await services.db.write(
            lambda tx: [add_person(services, tx, f"person{k:04}", "", 1) for k in range(number)]
        )
        return Home(data=data, nid=services.identity.nid, people=people)
    finally:
        await services.close()


async def _acquaint(home: Home, other: Home, url: str) -> None:
    """Each person of `home` is a contact of their counterpart, and the node knows where the other one is."""
    services = _open(home.data)

    def write(tx: Tx) -> None:
        now_ms = services.clock.now_ms()
        peer = services.peers.ensure(tx, other.nid, now_ms)
        services.peers.address_ok(tx, peer.pk, url, "typed", now_ms, tls=False)
        for (mine, _), (theirs, _) in zip(home.people, other.people, strict=True):
            pk = services.users.pk(tx, theirs.user)
            contacts.put(tx, mine.user_pk, pk, ContactState.CONTACT, at_ms=now_ms)
            services.rooms.insert_direct(tx, mine.user, theirs.user)

    try:
        await services.db.write(write)
    finally:
        await services.close()


class Load:
    """Sockets on two servers."""

    def __init__(self, homes: tuple[Home, Home], servers: tuple[Server, Server]) -> None:
        self.homes = homes
        self.servers = servers

    @property
    def hub_side(self) -> int:
        """The node that orders every direct chat of the two: the one with the smaller id."""
        return 0 if self.homes[0].nid < self.homes[1].nid else 1

    async def open(self, side: int, person: int, on_frame: Any) -> LoadSocket:
        """A device that said hello and was welcomed."""
        welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def first(payload: bytes) -> None:
            frame = _decode(payload)
            if frame[0] == "welcome":
                welcome.set_result(None)
                device.on_frame = lambda data: on_frame(device, _decode(data))

        token = self.homes[side].people[person][1][0]
        device = await connect("127.0.0.1", self.servers[side].port, token, first)
        device.send(c2s.Hello(c2s.VERSION, None, "bench"))
        await welcome
        return device

    def room(self, person: int) -> bytes:
        """The direct chat of the two counterparts."""
        a, b = (UserId(home.people[person][0].user) for home in self.homes)
        return hub.direct_room_id(a, b)

    async def direct(self, persons: list[int], sides: list[int], in_flight: int, total: int) -> dict[str, float]:
        """`total` messages from the person on the given side to the counterpart; a new one for each that arrived."""
        run = Conversations(self, total)
        for person, side in zip(persons, sides, strict=True):
            await run.seat(person, side)
        await asyncio.sleep(2)
        cpu, began = [server.cpu_s for server in self.servers], time.perf_counter()
        await run.talk(in_flight)
        took = time.perf_counter() - began
        spent = [server.cpu_s - before for server, before in zip(self.servers, cpu, strict=True)]
        hub_side = self.hub_side
        run.close()
        latencies = sorted(run.latencies)
        return {
            "per_s": total / took,
            "p50_ms": 1e3 * statistics.median(latencies),
            "p99_ms": 1e3 * latencies[len(latencies) * 99 // 100],
            "cpu_us": 1e6 * sum(spent) / total,
            "cpu_us_hub": 1e6 * spent[hub_side] / total,
            "cpu_us_follower": 1e6 * spent[1 - hub_side] / total,
        }


class Conversations:
    """People who write to their counterparts on the other node, and the times that took."""

    def __init__(self, load: Load, total: int) -> None:
        self._load = load
        self._total = total
        self._number = 0
        self._body = encode({"text": "hello world, this is a message"})
        self._authors: dict[int, LoadSocket] = {}
        self._left: dict[int, int] = {}  # as many for each: or the faster half of the pairs would say nearly everything
        self._readers: list[LoadSocket] = []
        self._began: dict[int, list[float]] = {}
        self._finished = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []

    async def seat(self, person: int, side: int) -> None:
        """Opens the devices of an author and of the counterpart."""
        self._began[person] = []
        self._authors[person] = await self._load.open(side, person, self._on_author)
        self._readers.append(await self._load.open(1 - side, person, functools.partial(self._on_reader, person)))

    async def talk(self, in_flight: int) -> None:
        """Until everything has arrived."""
        self._left = dict.fromkeys(self._authors, self._total // len(self._authors))
        for person in self._authors:
            for _ in range(in_flight):
                self._post(person)
        await self._finished

    def close(self) -> None:
        """Hangs up."""
        for device in (*self._authors.values(), *self._readers):
            device.close()

    def _post(self, person: int) -> None:
        if not self._left[person]:
            return
        self._left[person] -= 1
        self._number += 1
        self._began[person].append(time.perf_counter())
        post = c2s.Post(self._number, self._load.room(person), os.urandom(16), "text", self._body)
        self._authors[person].send(post)

    def _on_author(self, device: LoadSocket, frame: Frame) -> None:
        if frame[0] == "entries":
            device.acknowledge(frame[1][-1][0])
        elif frame[0] in {"refused", "error"}:
            raise RuntimeError(str(frame))

    def _on_reader(self, person: int, device: LoadSocket, frame: Frame) -> None:
        if frame[0] != "entries":
            return
        device.acknowledge(frame[1][-1][0])
        now = time.perf_counter()
        for _ in frame[1]:
            self.latencies.append(now - self._began[person].pop(0))  # a chat is in order
            self._post(person)
        if len(self.latencies) >= self._total and not self._finished.done():
            self._finished.set_result(None)


def _entries(data: Path) -> int:
    with sqlite3.connect(f"file:{data / database.FILE}?mode=ro", uri=True) as db:
        count = int(db.execute("SELECT count(*) FROM entries").fetchone()[0])
    db.close()
    return count


async def _backlog(home: Home, other: Home) -> None:
    """What was said while the other node was away, in a chat that `home` orders."""
    services = _open(home.data)
    try:
        author, theirs = home.people[2][0], other.people[2][0]
        room = hub.direct_room_id(author.user, theirs.user)
        for _ in range(BACKLOG // 500):
            posts = [new_post(services, room, "text", {"text": f"message {k} of a long absence"}) for k in range(500)]
            await asyncio.gather(*(services.posting.post(author, post) for post in posts))
    finally:
        await services.close()


async def _catch_up(homes: tuple[Home, Home], ports: tuple[int, int]) -> float:
    """Seconds from the start of the node that was away to the last entry on its disk."""
    first, second = homes if homes[0].nid < homes[1].nid else homes[::-1]
    port = dict(zip((home.nid for home in homes), ports, strict=True))
    await _backlog(first, second)
    want = _entries(first.data)
    with Server(first.data, port=port[first.nid]):
        began = time.perf_counter()
        with Server(second.data, port=port[second.nid]):
            while _entries(second.data) < want:
                if time.perf_counter() - began > 300:
                    raise RuntimeError(f"{_entries(second.data)} of {want} entries after 300 s")
                await asyncio.sleep(0.02)
            return time.perf_counter() - began


async def measure_links(folder: Path) -> dict[str, float]:
    """Memory and CPU of a node with many idle links."""
    home, idlers = await _settle(folder / "hub", 1), Idlers(folder / "peers", IDLE_LINKS)
    with Server(home.data) as server:
        await asyncio.sleep(3)
        before = server.rss_kib
    async with idlers.listening():
        await _befriend(home, idlers)
        with Server(home.data) as server:
            await _until_linked(idlers)
            await asyncio.sleep(5)
            cpu, began = server.cpu_s, time.perf_counter()
            await asyncio.sleep(IDLE_S)
            busy = 100 * (server.cpu_s - cpu) / (time.perf_counter() - began)
            after = server.rss_kib
    return {"idle_link_rss_kib": (after - before) / IDLE_LINKS, "idle_links_cpu_percent": busy}


async def _befriend(home: Home, idlers: Idlers) -> None:
    """The node had a link with each of them a moment ago, so it dials them when it starts."""
    services = _open(home.data)

    def write(tx: Tx) -> None:
        now_ms = services.clock.now_ms()
        for place, idler in enumerate(idlers.peers):
            peer = services.peers.ensure(tx, idler.who.nid, now_ms)
            url = f"ws://127.0.0.1:{idlers.port}/{place}/s2s"
            services.peers.address_ok(tx, peer.pk, url, "typed", now_ms, tls=False)
            services.peers.seen(tx, peer.pk, now_ms, 0)

    try:
        await services.db.write(write)
    finally:
        await services.close()


async def _until_linked(idlers: Idlers) -> None:
    began = time.perf_counter()
    while idlers.linked < IDLE_LINKS:
        if time.perf_counter() - began > 120:
            raise RuntimeError(f"{idlers.linked} of {IDLE_LINKS} links after 120 s")
        await asyncio.sleep(0.1)


async def _measure(folder: Path) -> dict[str, float]:
    people = (
        PAIRS + 2
    )  # the two lone pairs first: their last acknowledgement may be lost with the socket, so nobody talks twice
    homes = (await _settle(folder / "a", people), await _settle(folder / "b", people))
    servers = (Server(homes[0].data), Server(homes[1].data))
    urls = [f"ws://127.0.0.1:{server.port}/s2s" for server in servers]
    await _acquaint(homes[0], homes[1], urls[1])
    await _acquaint(homes[1], homes[0], urls[0])
    figures: dict[str, float] = {}
    with servers[0], servers[1]:
        load = Load(homes, servers)
        own = await load.direct([PAIRS], [load.hub_side], 1, ONE_PAIR_MESSAGES)
        away = await load.direct([PAIRS + 1], [1 - load.hub_side], 1, ONE_PAIR_MESSAGES)
        many = await load.direct(list(range(PAIRS)), [k % 2 for k in range(PAIRS)], 10, MESSAGES)
        figures["msgs_per_s"], figures["cpu_us_per_msg"] = many["per_s"], many["cpu_us"]
        figures["cpu_us_per_msg_hub"], figures["cpu_us_per_msg_follower"] = many["cpu_us_hub"], many["cpu_us_follower"]
        figures["p50_ms_1pair"], figures["p99_ms_1pair"] = own["p50_ms"], own["p99_ms"]
        figures["p50_ms_1pair_forwarded"] = away["p50_ms"]
    figures["catchup_10000_s"] = await _catch_up(homes, (servers[0].port, servers[1].port))
    return figures | await measure_links(folder)


def page(figures: dict[str, float]) -> str:
    """The Markdown page."""
    lines = [
        "# Benchmarks: two nodes",
        "",
        f"Written by `make bench-federation` on {datetime.now(UTC):%Y-%m-%d}: {machine()}; both nodes on one core, the generator on the other,",
        "plain WebSocket over loopback with Noise inside. A message counts when it is on the disks of both nodes and on the receiver's",
        "device. For scale, measured earlier on the same set-up: Prosody 776 messages/s and 0.65 ms p50 for one pair, ejabberd 499, neither with",
        "a sync of the disk for each message.",
        "",
        "| figure | value | what | aim |",
        "|---|---|---|---|",
    ]
    for name, unit, what, aim in ROWS:
        lines.append(f"| `{name}` | {number(figures[name])} {unit} | {what} | {aim} |".replace("  ", " "))
    return "\n".join([*lines, ""])


def run() -> dict[str, Any]:
    """Measures, writes, prints."""
    os.sched_setaffinity(0, {GENERATOR_CORE})
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="build") as folder:
        figures = asyncio.run(_measure(Path(folder).resolve()))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    PAGE.write_text(page(figures))
    for name, value in sorted(figures.items()):
        print(f"{name:40} {round(value, 3)}")
    return figures


if __name__ == "__main__":
    run()
