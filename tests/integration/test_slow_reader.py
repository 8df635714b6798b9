"""A hundred devices follow one group and five of them stop reading: the other ninety-five notice nothing, the node keeps
little for the five, gives them up after a minute, and they miss nothing when they come back.

There are two ways not to read. The *deaf* take nothing off their TCP connection, so it fills up and then the node's buffer
does. The *hoarders* take everything and acknowledge nothing, so their window fills up. Sockets are real, the clock is not.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from node.base import limits
from node.base.errors import Code
from node.base.ids import ClientId
from node.core import content
from node.core.content import Body, encode_body
from node.runtime.entropy import SystemEntropy
from node.services.accounts import NewPerson
from node.services.actor import Actor
from node.services.post import Post
from node.services.sessions import Origin
from node.web.session import DeviceSession
from node.wire import c2s
from node.wire.codec import Decoder
from tests.cast import PASSWORD, Node, stage

PEOPLE: Final = 10
DEVICES_EACH: Final = 10
DEAF: Final = 3
HOARDERS: Final = 2
POSTS: Final = 3_000
TEXT_CHARS: Final = 2_000
BURST_MAX: Final = 400  # posts at once: more than fit into one frame
KERNEL_BUFFER_BYTES: Final = (
    4_096  # at both ends of a deaf device's connection; by itself the kernel would keep megabytes
)
LARGE_CHARS: Final = limits.BODY_BYTES_MAX // 4 - 64  # of four bytes each
LARGE_POSTS: Final = 200
PATIENCE_S: Final = 30.0
RSS_GROWTH_BYTES_MAX: Final = 128 * 1024 * 1024  # of node and all devices together; they are one process here
_decode: Final[Decoder[c2s.NodeFrame]] = Decoder(c2s.NodeFrame, size_bytes_max=limits.NODE_FRAME_BYTES_MAX)
_decode_seq: Final = msgspec.msgpack.Decoder(tuple[int, Any, Any, int, Any, Any, Any, Any, Any]).decode


class Device:
    """What a device stores (cursor, entries), and its socket of the moment."""

    def __init__(self, *, url: str, token: str, acknowledges: bool) -> None:
        self.cursor: int | None = None
        self.seqs: list[int] = []
        self.said = ""  # the code of the node's last words
        self.close_code: int | None = None
        self.largest = 0  # frame
        self.acknowledges = acknowledges
        self._url = url
        self._token = token
        self._ws: aiohttp.ClientWebSocketResponse
        self._moved = asyncio.Event()

    async def open(self, http: aiohttp.ClientSession) -> None:
        """Connects and says hello; returns after the snapshot."""
        self._ws = await http.ws_connect(
            f"{self._url}/c2s",
            protocols=(c2s.SUBPROTOCOL,),
            headers={"Authorization": f"Bearer {self._token}"},
            max_msg_size=limits.NODE_FRAME_BYTES_MAX,
        )
        first = self.cursor is None
        await self._ws.send_bytes(c2s.encode_frame(c2s.Hello(c2s.VERSION, self.cursor)))
        more = True
        while more:
            frame = _decode(await self._ws.receive_bytes())
            if isinstance(frame, c2s.Welcome):
                assert frame.resumed is not first
                self.cursor = frame.head if first else self.cursor
            more = not isinstance(frame, c2s.Rooms) or frame.more
        assert self.cursor is not None
        await self._ws.send_bytes(c2s.encode_frame(c2s.Ack(self.cursor)))

    async def read(self) -> None:
        """Until the connection is over."""
        while True:
            message = await self._ws.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                self.close_code = message.data if message.type is aiohttp.WSMsgType.CLOSE else None
                await self._ws.close()
                return
            await self._take(message.data)

    async def _take(self, data: bytes) -> None:
        frame = _decode(data)
        if isinstance(frame, c2s.Error):
            self.said = frame.code
        if isinstance(frame, c2s.Receipts):
            self.cursor = max(self.cursor or 0, frame.seq)
        if not isinstance(frame, c2s.Entries):
            return
        self.largest = max(self.largest, len(data))
        for raw in frame.entries:
            seq = _decode_seq(raw)[0]
            assert self.cursor is not None
            assert seq > self.cursor, f"{seq} came although the cursor is {self.cursor}"
            self.cursor = seq
            self.seqs.append(seq)
        self._moved.set()
        if self.acknowledges and not self._ws.closed:
            await self._ws.send_bytes(c2s.encode_frame(c2s.Ack(self.cursor or 0)))

    async def close(self) -> None:
        """Hangs up."""
        await self._ws.close()

    async def reach(self, entries: int) -> None:
        """So many entries are stored."""
        while len(self.seqs) < entries:
            self._moved.clear()
            await self._moved.wait()


class Group:
    """The node's people, all in one group, and a log of what they posted."""

    def __init__(self, node: Node, dice: random.Random) -> None:
        self.node = node
        self.posted: list[int] = []
        self.room = b""
        self._people: list[Actor] = []
        self._dice = dice

    async def gather(self) -> list[str]:
        """Makes accounts, group and sessions; one token for each device."""
        services, origin, tokens = self.node.services, Origin(address="127.0.0.1"), []
        for number in range(PEOPLE):
            new = NewPerson(local=f"person{number}", password=PASSWORD, token=await self.node.invite())
            person = await services.accounts.register(new, origin)
            self._people.append(person.actor)
            tokens.append(person.token)
            more = [
                await services.accounts.login(person.actor.local, PASSWORD, origin) for _ in range(DEVICES_EACH - 1)
            ]
            tokens += [device.token for device in more]
        owner, *guests = self._people
        self.room = await self._post(owner, "create", content.Create(name="Everybody"))
        for guest in guests:
            await self._post(owner, "invite", content.Invite(user=guest.user))
            await self._post(guest, "join", content.Join())
        return tokens

    async def talk(self, number: int) -> None:
        """So many messages, in bursts of all sizes."""
        left = number
        while left:
            burst = min(left, self._dice.randint(1, BURST_MAX))
            await asyncio.gather(*(self.say() for _ in range(burst)))
            left -= burst
        self.posted.sort()

    async def say(self, text: str = "") -> None:
        """One message of somebody."""
        text = text or self._dice.choice("startalk") * TEXT_CHARS
        await self._post(self._dice.choice(self._people), "text", content.Text(text=text))

    async def _post(self, author: Actor, kind: str, body: Body) -> bytes:
        services = self.node.services
        client_id = ClientId(services.entropy.uuid7(services.clock.now_ms()))
        entry = await services.posting.post(author, Post(self.room, client_id, kind, encode_body(body)))
        if kind == "text":
            self.posted.append(entry.seq)
        return entry.room


def _small_socket(address: Any) -> socket.socket:
    """A connection for which the kernel keeps next to nothing."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER_BYTES)
    return made


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _sessions(node: Node) -> list[DeviceSession]:
    return list(node.node.sockets._sessions)


def _narrow(session: DeviceSession) -> None:
    connection = session._socket._transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)


def _behind(node: Node) -> list[DeviceSession]:
    return [session for session in _sessions(node) if session._behind_since is not None]


def _check_bounds(sessions: Iterable[DeviceSession]) -> None:
    """What the node keeps for a device is bounded, however little the device takes."""
    for session in sessions:
        assert session._socket.buffered <= limits.SOCKET_BUFFER_BYTES_MAX + limits.ENTRIES_FRAME_BYTES_MAX + 4_096
        assert session._unacked <= limits.WINDOW_ENTRIES + limits.BATCH_WRITES_MAX
        assert len(session._sent) <= limits.WINDOW_ENTRIES


async def _watch(node: Node, quiet: asyncio.Event) -> None:
    """Looks at the bounds at every turn of the loop while people talk."""
    while not quiet.is_set():
        _check_bounds(_sessions(node))
        await asyncio.sleep(0)


async def _until_full(node: Node, *, deaf: int, hoarders: int) -> None:
    """Every stuck device fills what may be kept for it and no more: its kernel takes a little now and then, and the node, which
    looks once a second, fills it up again."""

    def is_full() -> bool:
        stuck = _behind(node)
        full = sum(session._socket.buffered >= limits.SOCKET_BUFFER_BYTES_MAX for session in stuck)
        unacked = sum(session._unacked >= limits.WINDOW_ENTRIES for session in stuck)
        return (len(stuck), full, unacked) == (deaf + hoarders, deaf, hoarders)

    async with asyncio.timeout(PATIENCE_S):
        while not is_full():
            await asyncio.sleep(0.02)


async def _until_ended(node: Node, number: int) -> None:
    """So many sockets are left; the node looks after them once a second."""
    async with asyncio.timeout(PATIENCE_S):
        while node.node.sockets.count > number:
            await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_five_devices_that_stop_reading_harm_nobody_and_miss_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("STARTALK_SLOW_SEED") or SystemEntropy().uniform(0, 1_000_000))
    print(f"STARTALK_SLOW_SEED={seed}")
    async with stage(tmp_path / "node") as node, AsyncExitStack() as stack:
        group = Group(node, random.Random(seed))
        tokens = await group.gather()
        wide = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        narrow = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, socket_factory=_small_socket))
        )
        devices = [Device(url=node.url, token=token, acknowledges=True) for token in tokens]
        random.Random(seed).shuffle(devices)
        deaf, hoarders, healthy = devices[:DEAF], devices[DEAF : DEAF + HOARDERS], devices[DEAF + HOARDERS :]
        for device in deaf:
            await device.open(narrow)
        for session in _sessions(node):
            _narrow(session)
        for device in [*hoarders, *healthy]:
            await device.open(wide)
        async with asyncio.TaskGroup() as tasks:
            await _play(tasks, node, group, deaf, hoarders, healthy)
            await _come_back(tasks, wide, group, [*deaf, *hoarders])
            for device in devices:
                assert device.seqs == group.posted
                assert device.largest <= limits.ENTRIES_FRAME_BYTES_MAX + 4_096
            tasks.create_task(_hang_up(devices))


@pytest.mark.slow
async def test_a_burst_of_large_messages_comes_in_frames_a_device_can_take(tmp_path: Path) -> None:
    async with stage(tmp_path / "node") as node, aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        group = Group(node, random.Random(0))
        device = Device(url=node.url, token=(await group.gather())[0], acknowledges=True)
        await device.open(http)
        tasks.create_task(device.read())
        await asyncio.gather(*(group.say("\N{MILKY WAY}" * LARGE_CHARS) for _ in range(LARGE_POSTS)))
        async with asyncio.timeout(PATIENCE_S):
            await device.reach(LARGE_POSTS)
        assert device.seqs == sorted(group.posted)
        assert device.largest <= limits.ENTRIES_FRAME_BYTES_MAX + 4_096
        await device.close()


async def _play(
    tasks: asyncio.TaskGroup,
    node: Node,
    group: Group,
    deaf: list[Device],
    hoarders: list[Device],
    healthy: list[Device],
) -> None:
    for hoarder in hoarders:
        hoarder.acknowledges = False
    ends = [tasks.create_task(hoarder.read()) for hoarder in hoarders]
    for device in healthy:
        tasks.create_task(device.read())
    before, quiet = _rss_bytes(), asyncio.Event()
    tasks.create_task(_watch(node, quiet))
    await group.talk(POSTS)
    async with asyncio.timeout(PATIENCE_S):
        for device in healthy:
            await device.reach(POSTS)
    await _until_full(node, deaf=len(deaf), hoarders=len(hoarders))
    quiet.set()
    grown = _rss_bytes() - before
    assert grown < RSS_GROWTH_BYTES_MAX
    stuck = _behind(node)
    assert node.node.sockets.count == len(deaf) + len(hoarders) + len(healthy)
    kept, unacked = max(session._socket.buffered for session in stuck), max(session._unacked for session in stuck)
    print(
        f"rss +{grown >> 20} MiB, at most {kept} bytes and {unacked} entries kept for a slow device, "
        f"frames of at most {max(device.largest for device in healthy)} bytes"
    )
    await _given_up(node, deaf, hoarders, healthy, ends)


async def _given_up(
    node: Node,
    deaf: list[Device],
    hoarders: list[Device],
    healthy: list[Device],
    ends: list[asyncio.Task[None]],
) -> None:
    """A minute later the slow ones are told, and dropped when they do not even take that."""
    node.clock.advance(seconds=limits.SLOW_READER_S + 1)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*ends)
    for hoarder in hoarders:
        assert (hoarder.said, hoarder.close_code) == (Code.SLOW_READER, c2s.CLOSE_TOO_SLOW)
        assert limits.WINDOW_ENTRIES <= len(hoarder.seqs) < POSTS
    await _until_ended(node, len(deaf) + len(healthy))
    node.clock.advance(seconds=limits.LINGER_S + 1)
    await _until_ended(node, len(healthy))
    for device in deaf:  # what was on its way when the node gave up may be read or lost
        device.acknowledges = False
        async with asyncio.timeout(PATIENCE_S):
            await device.read()
        assert len(device.seqs) < POSTS


async def _come_back(tasks: asyncio.TaskGroup, http: aiohttp.ClientSession, group: Group, slow: list[Device]) -> None:
    """With their cursors, as if nothing had happened."""
    for device in slow:
        device.acknowledges = True
        await device.open(http)
        tasks.create_task(device.read())
    await group.talk(1)
    async with asyncio.timeout(PATIENCE_S):
        for device in slow:
            await device.reach(POSTS + 1)


async def _hang_up(devices: list[Device]) -> None:
    for device in devices:
        await device.close()
