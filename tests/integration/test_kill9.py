"""``kill -9`` under load, twenty times on one directory: what was answered is in the log once, in order, and on every device.

The node is the real program in a process of its own; the devices are `node.client.Client`, which reconnect with their cursor
and post again what was not answered. The moment of each kill comes from a seed: after so many answers (the load sets the
pace, not a clock) and a few milliseconds of jitter, so that it falls before, into and after commits, and sometimes into the
start. ``STARTALK_KILL9_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from node import main
from node.base.errors import Code, Rejected
from node.base.ids import ClientId, RoomId, UserId
from node.client import Client, Connected, Entry
from node.core import content
from node.core.account import NodeRole
from node.core.content import Body, encode_body
from node.runtime.clock import SystemClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy, SystemEntropy
from node.services.accounts import NewPerson
from node.services.actor import Actor
from node.services.post import Post
from node.services.sessions import Origin
from node.services.settings import RATE_MAX, RATES, Change
from node.wire import c2s
from tests import offline

ROOT: Final = Path(__file__).parents[2]
PASSWORD: Final = "a-long-enough-word"
NAMES: Final = ("alice", "bob", "carol", "dave", "erin")
KILLS: Final = 20
ANSWERS_MAX: Final = 120  # between two kills
JITTER_S: Final = 0.03  # longer than a commit
RETRY_S_MAX: Final = 0.15
IN_FLIGHT: Final = 4  # posts of one device that wait for their answer
PATIENCE_S: Final = 60.0


class Village(Struct, frozen=True):
    """Who lives on the node. `rooms` has the members of each, who were all there before the first message."""

    tokens: dict[UserId, tuple[str, ...]]
    rooms: dict[RoomId, tuple[UserId, ...]]


async def found(data: Path) -> Village:
    """A node with five accounts of two devices, a ring of direct chats and one group; not running."""
    config = Config(data=str(data), password_cost="small")
    services = main.open_services(config, clock=SystemClock(), entropy=SystemEntropy())
    try:
        await services.settings.change(Change(rates=dict.fromkeys(RATES, RATE_MAX)), actor="test")
        people: list[Actor] = []
        tokens: dict[UserId, tuple[str, ...]] = {}
        for local in NAMES:
            console = services.accounts.console()
            invite = await services.invites.make_account(console, role=NodeRole.USER, expires_s=0, uses=1)
            person = NewPerson(local=local, password=PASSWORD, token=invite.text)
            first = await services.accounts.register(person, Origin(address="127.0.0.1"))
            second = await services.accounts.login(local, PASSWORD, Origin(address="127.0.0.1"))
            people.append(first.actor)
            tokens[first.actor.user] = first.token, second.token
        rooms: dict[RoomId, tuple[UserId, ...]] = {}
        for one, other in zip(people, people[1:] + people[:1], strict=True):
            rooms[await services.posting.open_direct(one, other.user)] = one.user, other.user
        rooms[await _group(services, people)] = tuple(person.user for person in people)
    finally:
        await services.close()
    return Village(tokens, rooms)


async def _group(services: main.Services, people: list[Actor]) -> RoomId:
    def post(room: bytes, kind: str, body: Body) -> Post:
        return Post(room, ClientId(services.entropy.uuid7(services.clock.now_ms())), kind, encode_body(body))

    owner, *guests = people
    made = await services.posting.post(owner, post(b"", "create", content.Create(name="Everybody")))
    for guest in guests:
        await services.posting.post(owner, post(made.room, "invite", content.Invite(user=guest.user)))
        await services.posting.post(guest, post(made.room, "join", content.Join()))
    return made.room


class Program:
    """``startalk run`` on `data`, always on the same port."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._log = data.parent / "node.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns when it serves."""
        with self._log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_command("run", self._data, "--no-https", "--http-port", str(self.port), "--password-cost", "small"),
                cwd=ROOT,
                env=_environment(),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout
        async with asyncio.timeout(PATIENCE_S):
            while b"Ctrl+C" not in (line := await self._process.stdout.readline()):
                assert line, f"the node did not start: {self.log()}"

    async def kill(self) -> None:
        """No goodbye, no last write; harmless when it is not running."""
        if self._process is not None:
            assert self._process.returncode in {None, -9}, f"the node ended by itself: {self.log()}"
            if self._process.returncode is None:
                self._process.kill()
            await self._process.communicate()
            self._process = None

    def log(self) -> str:
        """What it complained about."""
        return self._log.read_text()

    def examine(self) -> str:
        """``startalk doctor --verify-log`` on the directory of the dead node."""
        done = subprocess.run(
            _command("doctor", self._data, "--verify-log"),
            cwd=ROOT,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _command(verb: str, data: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "node", verb, "--data", str(data), *options]


def _environment() -> dict[str, str]:
    return offline.environment()


class Impatient(SeededEntropy):
    """Predictable, and comes back sooner than a device should: the test shall not wait for politeness."""

    def uniform(self, low: float, high: float) -> float:
        return low + min(super().uniform(low, high) - low, RETRY_S_MAX)


class Talker:
    """A device whose person never stops writing, and that writes down what it said, was answered and heard."""

    def __init__(self, client: Client, name: str, rooms: list[RoomId], seed: int) -> None:
        self.client = client
        self.name = name
        self.rooms = rooms
        self.said: dict[str, RoomId] = {}
        self.answered: dict[str, c2s.PostedItem] = {}
        self.heard: dict[tuple[RoomId, int], Entry] = {}
        self.head_idx = {room: client.rooms[room].head_idx if room in client.rooms else 0 for room in rooms}
        self.connections = 0
        self._random = random.Random(f"{seed} {name}")
        self._last_seq = 0

    async def talk(self, quiet: asyncio.Event, answered: Callable[[], None]) -> None:
        """Until `quiet`; returns when everything is answered."""
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def say(room: RoomId, text: str) -> None:
            self.answered[text] = await self.client.say(room, text)
            slots.release()
            answered()

        async with asyncio.TaskGroup() as group:
            while not quiet.is_set():
                await slots.acquire()
                room, text = self._random.choice(self.rooms), f"{self.name} {len(self.said)}"
                self.said[text] = room
                group.create_task(say(room, text))

    async def listen(self) -> None:
        """For ever. Complains at once about what a device must never see."""
        async for event in self.client.events():
            match event:
                case Connected():
                    assert event.resumed or self.connections == 0, f"{self.name}: its cursor was not taken"
                    self.connections += 1
                case Entry():
                    assert event.room in self.rooms, f"{self.name} hears of a room of others"
                    assert event.seq > self._last_seq, f"{self.name}: {event.seq} after {self._last_seq}"
                    assert (event.room, event.idx) not in self.heard, f"{self.name}: idx {event.idx} came twice"
                    self.heard[event.room, event.idx] = event
                    self._last_seq = event.seq
                case _:
                    pass

    async def back(self, connections: int) -> None:
        """It was welcomed more often than that."""
        await self.client.until(lambda: self.client.connections > connections)

    async def reach(self, seq: int) -> None:
        """Its cursor is there."""
        await self.client.until(lambda: (self.client.cursor or 0) >= seq)

    async def whole(self, room: RoomId) -> list[Entry]:
        """The room's log from its first entry."""
        entries: list[Entry] = []
        more = True
        while more:
            page, more = await self.client.history(room, len(entries) + 1, back=False, limit=200)
            entries += page
        return entries


class Answers:
    """Counts answers, so that kills follow the load."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: tuple[int, asyncio.Future[None]] | None = None

    def one(self) -> None:
        self._count += 1
        if self._waiting is not None and self._count >= self._waiting[0] and not self._waiting[1].done():
            self._waiting[1].set_result(None)

    async def more(self, number: int) -> None:
        """So many more came."""
        if number:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting = self._count + number, future
            async with asyncio.timeout(PATIENCE_S):
                await future


async def _storm(program: Program, talkers: list[Talker], answers: Answers, dice: random.Random) -> None:
    """Kill, start again, and so on. Every third time not all devices have come back before the next kill."""
    for number in range(KILLS):
        before = [talker.client.connections for talker in talkers]
        if number:
            await program.start()
        if number % 3:
            await _all_back(talkers, before)
        await answers.more(dice.randrange(ANSWERS_MAX))
        struck = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(dice.uniform(0, JITTER_S), struck.set_result, None)
        await struck
        await program.kill()
    await program.start()


async def _all_back(talkers: list[Talker], before: list[int]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for talker, count in zip(talkers, before, strict=True):
            await talker.back(count)


async def _settle(talkers: list[Talker], logs: dict[RoomId, list[Entry]]) -> None:
    """Every device heard every entry made since it came."""

    def missing() -> list[str]:
        return [
            f"{talker.name} misses idx {entry.idx}"
            for talker in talkers
            for room in talker.rooms
            for entry in logs[room][talker.head_idx[room] :]
            if (room, entry.idx) not in talker.heard
        ]

    for talker in talkers:
        last = max(logs[room][-1].seq for room in talker.rooms)
        async with asyncio.timeout(PATIENCE_S):
            await talker.reach(last)
    await asyncio.sleep(0)  # the listeners' turn
    assert missing() == []


def _check(talkers: list[Talker], logs: dict[RoomId, list[Entry]]) -> None:
    for room, log in logs.items():
        assert [entry.idx for entry in log] == list(range(1, len(log) + 1))
        assert [entry.seq for entry in log] == sorted({entry.seq for entry in log})
        texts = [entry.text for entry in log if entry.kind == "text"]
        assert [text for text, times in Counter(texts).items() if times > 1] == []
        for talker in talkers:
            said = [text for text, where in talker.said.items() if where == room]
            assert [text for text in texts if text.startswith(f"{talker.name} ")] == said
            for text in said:
                item = talker.answered[text]
                entry = log[item.idx - 1]
                assert (entry.text, entry.seq, entry.event_id) == (text, item.seq, item.event_id)
            for (where, idx), entry in talker.heard.items():
                assert where != room or entry.event_id == log[idx - 1].event_id


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_node_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("STARTALK_KILL9_SEED") or SystemEntropy().uniform(0, 1_000_000))
    print(f"STARTALK_KILL9_SEED={seed}")
    dice = random.Random(seed)
    village = await found(tmp_path / "node")
    program, answers, quiet = Program(tmp_path / "node"), Answers(), asyncio.Event()
    await program.start()
    try:
        async with AsyncExitStack() as open_clients:
            talkers = []
            for user, tokens in village.tokens.items():
                rooms = sorted(room for room, members in village.rooms.items() if user in members)
                for number, token in enumerate(tokens):
                    name = f"{user.partition('@')[0]}-{number}"
                    coming = Client.connect(program.url, token=token, entropy=Impatient(f"{seed} {name}"))
                    client = await open_clients.enter_async_context(coming)
                    talkers.append(Talker(client, name, rooms, seed))
            async with asyncio.TaskGroup() as listening:
                ears = [listening.create_task(talker.listen()) for talker in talkers]
                async with asyncio.TaskGroup() as talking:
                    for talker in talkers:
                        talking.create_task(talker.talk(quiet, answers.one))
                    await _storm(program, talkers, answers, dice)
                    quiet.set()
                logs = {
                    room: await next(talker for talker in talkers if room in talker.rooms).whole(room)
                    for room in village.rooms
                }
                await _settle(talkers, logs)
                for ear in ears:
                    ear.cancel()
            _check(talkers, logs)
            await _strangers_learn_nothing(talkers, list(village.rooms))
            await program.kill()
    finally:
        await program.kill()
    assert "FAIL" not in program.examine()
    assert "Traceback" not in program.log()
    heard, said = sum(len(talker.heard) for talker in talkers), sum(len(talker.said) for talker in talkers)
    print(
        f"{KILLS} kills, {said} posts, {heard} deliveries, {sum(talker.connections for talker in talkers)} connections"
    )


async def _strangers_learn_nothing(talkers: list[Talker], rooms: list[RoomId]) -> None:
    for talker in talkers:
        for room in rooms:
            if room not in talker.rooms:
                with pytest.raises(Rejected) as refusal:
                    await talker.client.history(room)
                assert refusal.value.code == Code.NOT_FOUND
