"""One simulated world: a node built as in production, its machine, its people and their devices.

The node is made with `node.main.open_services` and `build`, and run by the production supervisor; only clock, entropy, loop,
network and disk are simulated. A world follows from its seed alone; `limits` are shrunk in some worlds, so that windows
fill, caches evict and batches split.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from node.base import limits
from node.base.errors import ExitStatus
from node.base.ids import DeviceId, UserId, format_id, make_user
from node.core.account import NodeRole
from node.main import Node, Services, build, open_services
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.runtime.lifecycle import Supervisor
from node.services.actor import Actor
from node.services.post import Post
from node.services.posting import Answer
from node.services.settings import RATE_MAX, RATES, Change
from node.storage.accounts import AccountStore, NewAccount
from node.storage.database import Tx
from node.storage.log import Appended
from tests.sim import disk
from tests.sim.device import Device
from tests.sim.loop import SimLoop
from tests.sim.net import Address, Network

NODE: Final[Address] = ("127.0.0.1", 8080)
EPOCH_MS: Final = 1_700_000_000_000
DEVICES: Final = ("alice", "alice", "bob", "bob", "carol", "dave")
SHRUNK: Final[dict[str, tuple[int, ...]]] = {
    "WINDOW_ENTRIES": (1024, 1024, 5),
    "SYNC_PAGE_ENTRIES": (60, 60, 3),
    "BATCH_WRITES_MAX": (512, 512, 2),
    "ROOM_CACHE_MAX": (4096, 4096, 4),
    "RECEIPT_MEMBERS_MAX": (200, 200, 2),
    "SOCKET_BUFFER_BYTES_MAX": (256 * 1024, 256 * 1024, 4096),
    "ENTRIES_FRAME_BYTES_MAX": (255 * 1024, 255 * 1024, 2000),
}


@contextmanager
def shrunk(random: Random) -> Iterator[None]:
    """Some limits are much lower in this world."""
    before = {name: getattr(limits, name) for name in SHRUNK}
    try:
        for name, choices in SHRUNK.items():
            setattr(limits, name, random.choice(choices))
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)


class SimClock:
    """The calendar may jump; durations do not notice."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self.offset_s = 0.0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return EPOCH_MS + round((self._loop.time() + self.offset_s) * 1000)

    def monotonic(self) -> float:
        """Seconds since the world began."""
        return self._loop.time()


class World:
    """Machine, node, people."""

    def __init__(self, seed: int, folder: Path, loop: SimLoop) -> None:
        self.seed, self.loop = seed, loop
        self.network: Network = loop.network
        self.random = Random(f"world {seed}")
        self.clock = SimClock(loop)
        self.devices: list[Device] = []
        self.story: list[str] = []  # what the nemesis did, for people
        self.faults: list[str] = []
        self.refused: set[tuple[bytes, bytes]] = set()  # (device, client id) that the node refused at least once
        self.restarts = 0
        self._folder = folder
        self._life = 0
        self._services: Services | None = None
        self._node: Node | None = None
        self._supervisor: Supervisor | None = None
        self._running: asyncio.Task[ExitStatus] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # --- the machine ------------------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        """The present data directory."""
        return self._folder / f"life-{self._life}"

    @property
    def services(self) -> Services:
        """The running node's."""
        assert self._services is not None
        return self._services

    @property
    def node(self) -> Node | None:
        """The running node, if one runs."""
        return self._node

    def note(self, text: str) -> None:
        """Something happened."""
        self.story.append(f"{self.loop.time():9.3f} {text}")

    def open(self) -> None:
        """Opens the data directory."""
        config = Config(data=str(self.data), https=False, http_port=NODE[1], password_cost="small")
        entropy = SeededEntropy(f"entropy {self.seed} {self.restarts}")
        self._services = open_services(config, clock=self.clock, entropy=entropy)

    async def start(self) -> None:
        """The node serves."""
        services = self.services
        services.db._conn.execute(f"PRAGMA wal_autocheckpoint = {self.random.choice((4000, 30))}")
        self._witness_refusals()
        self._node = node = build(services)
        parts = node.parts
        self._supervisor = Supervisor(parts, clock=services.clock, entropy=services.entropy, metrics=services.metrics)
        serving = asyncio.Event()
        self._running = self.loop.create_task(self._supervisor.run(serving.set))
        await serving.wait()

    def _witness_refusals(self) -> None:
        """A refusal may be lost on the way; then the post is sent again and may be accepted late."""
        posting = self.services.posting
        submit = posting.submit

        def witnessed(actor: Actor, post: Post, answer: Answer) -> None:
            def noted(entry: Appended | None, error: Exception | None) -> None:
                if error is not None:
                    self.refused.add((actor.device, post.client_id))
                answer(entry, error)

            submit(actor, post, noted)

        posting.submit = witnessed  # type: ignore[method-assign]

    async def stop(self) -> None:
        """An orderly end."""
        assert self._supervisor is not None
        assert self._running is not None
        self._supervisor.stop()
        await self._running
        self._count_mistakes()
        self._node = None
        await self.services.close()
        self.restarts += 1

    async def crash(self) -> None:
        """Power is gone: what was not synced is lost, every connection breaks."""
        services, running = self.services, self._running
        assert running is not None
        commit = next((call for call in self.loop.threads if call.args == ("COMMIT",)), None)
        self.loop.threads.clear()
        old = self.data
        self._life += 1
        stage = disk.crash(old, self.data, commit, self.random)
        self.note(f"crash, commit {stage}")
        self.network.drop_host(NODE)
        db = services.db
        db._final, db.trouble = True, "power is gone"
        db._queue.clear()
        self._node = None
        running.cancel()
        await asyncio.wait([running])
        self._count_mistakes()
        services.abandon()
        self.restarts += 1

    def _count_mistakes(self) -> None:
        count = sum(self.services.metrics.internal_errors.values.values())
        restarts = sum(self.services.metrics.service_restarts.values.values())
        if count or restarts:
            self.faults.append(f"{count} internal errors, {restarts} services restarted")

    # --- people -----------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Accounts and devices, made on the first start."""
        await self.services.settings.change(Change(rates=dict.fromkeys(RATES, RATE_MAX)), actor="sim")
        await self.services.db.write(self._seat)

    def _seat(self, tx: Tx) -> None:
        store, now_ms = AccountStore(users=self.services.users), self.clock.now_ms()
        nid = self.services.identity.nid
        numbers: dict[str, int] = {}
        for number, name in enumerate(DEVICES):
            user = make_user(name, nid)
            if name not in numbers:
                new = NewAccount(
                    user=user, local=name, skeleton=name, name=name, role=NodeRole.USER, password="", pepper=1, lang="", invited_by=0
                )  # fmt: skip
                numbers[name] = store.insert(tx, new, now_ms)
            self._add_device(tx, numbers[name], user, number)

    def _add_device(self, tx: Tx, account: int, user: UserId, number: int) -> None:
        device = DeviceId(bytes([number + 1]) * 16)
        secret = bytes([number + 1]) * 32
        tx.execute(
            "INSERT INTO devices (account, device, token_hash, created_ms, seen_ms) VALUES (?, ?, ?, ?, ?)",
            (account, device, hashlib.sha256(secret).digest(), self.clock.now_ms(), self.clock.now_ms()),
        )
        self.devices.append(
            Device(network=self.network, node=NODE, user=user, device=device, token=format_id(secret), number=number)
        )

    @property
    def users(self) -> list[UserId]:
        """Everybody."""
        return list(dict.fromkeys(device.user for device in self.devices))

    def spawn(self, task: asyncio.Task[None]) -> None:
        """Something that goes on until the world ends."""
        self._tasks.append(task)

    async def end(self) -> None:
        """Devices and helpers stop, then the node."""
        for task in self._tasks:
            task.cancel()
        done, _ = await asyncio.wait(self._tasks)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        await self.stop()
