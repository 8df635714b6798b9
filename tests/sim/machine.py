"""One machine of a simulated world: a node built as in production, its disk, its clock, its people's devices.

The node is made with `node.main.open_services` and `build`, and run by the production supervisor; only clock, entropy, loop,
network and disk are simulated. A machine has a host name in the simulated network; everything its node does runs with that
`HOST`, so that connections come from there and a crash ends only this machine's threads.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

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
from tests.sim.loop import HOST, SLOW_COMMIT_S, SimLoop
from tests.sim.net import Address

T = TypeVar("T")
PORT: Final = 8080
EPOCH_MS: Final = 1_700_000_000_000
COMMIT_WAIT_S: Final = 5.0
Tampering = Callable[[Services], Services]


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


class Machine:
    """A computer with one data directory and, while it is on, one node."""

    def __init__(
        self, *, seed: int | str, name: str, folder: Path, loop: SimLoop, host: str, story: list[str], faults: list[str]
    ) -> None:
        self.seed, self.name, self.loop, self.host = seed, name, loop, host
        self.random = Random(f"world {seed}" if not name else f"machine {seed} {name}")
        self.clock = SimClock(loop)
        self.devices: list[Device] = []
        self.story, self.faults = story, faults
        self.refused: set[tuple[bytes, bytes]] = set()  # (device, client id) that the node refused at least once
        self.restarts = 0
        self.tampering: Tampering | None = None  # makes the node a liar: other collaborators for the edges
        self.rewiring: Callable[[Node], None] | None = None  # the same for what the edges make themselves
        self._folder = folder
        self._life = 0
        self._services: Services | None = None
        self._node: Node | None = None
        self._supervisor: Supervisor | None = None
        self._running: asyncio.Task[ExitStatus] | None = None

    @property
    def address(self) -> Address:
        """Where its node listens."""
        return self.host, PORT

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
        self.story.append(f"{self.loop.time():9.3f} {self.name and self.name + ': '}{text}")

    async def within(self, doing: Coroutine[Any, Any, T]) -> T:
        """Runs `doing` on this machine. Raises ConnectionError when the machine goes away meanwhile."""
        context = contextvars.copy_context()
        context.run(HOST.set, self.host)
        task = self.loop.create_task(doing, context=context)
        try:
            return await task
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is None or me.cancelling():
                raise
            raise ConnectionAbortedError("the machine is gone") from None

    # --- power ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Opens the data directory."""
        config = Config(
            data=str(self.data), https=False, http_host=self.host, http_port=PORT, password_cost="small",
            net_allow=("10.1.0.0/16",), mdns=False, dht=False, portmap=False,
        )  # fmt: skip
        entropy = SeededEntropy(f"entropy {self.seed} {self.restarts}{self.name and ' ' + self.name}")
        self._services = open_services(config, clock=self.clock, entropy=entropy)

    async def start(self) -> None:
        """The node serves."""
        await self.within(self._start())

    async def _start(self) -> None:
        services = self.services
        services.db._conn.execute(f"PRAGMA wal_autocheckpoint = {self.random.choice((4000, 30))}")
        self._witness_refusals()
        if self.tampering is not None:
            services = self._services = self.tampering(services)
        self._node = node = build(services)
        if self.rewiring is not None:
            self.rewiring(node)
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
        await self.within(self._stop())

    async def _stop(self) -> None:
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
        commit = self.loop.lose_threads(self.host)
        old = self.data
        self._life += 1
        stage = disk.crash(old, self.data, commit, self.random)
        self.note(f"crash, commit {stage}")
        self.loop.network.drop_host(self.address)
        db = services.db
        db._final, db.trouble = True, "power is gone"
        db._queue.drain()
        self._node = None
        running.cancel()
        await asyncio.wait([running])
        if self.name:  # a world of one machine is all on that machine
            await self.loop.end_tasks(self.host)
        self._count_mistakes()
        services.abandon()
        self.restarts += 1

    async def meet_commit(self, random: Random) -> None:
        """Waits for the worst moments: a commit has begun and has not ended, for an instant or for so long that an answer given
        too early would have arrived."""
        slow = random.random() < 0.5
        if slow:
            self.loop.slow_disk[self.host] = 1.0
        begun = self.loop.commit_begun[self.host] = asyncio.Event()
        with suppress(TimeoutError):
            await asyncio.wait_for(begun.wait(), COMMIT_WAIT_S)
        self.loop.commit_begun.pop(self.host, None)
        if slow:
            await asyncio.sleep(random.uniform(0.0, SLOW_COMMIT_S))
            self.loop.slow_disk.pop(self.host, None)

    def _count_mistakes(self) -> None:
        count = sum(self.services.metrics.internal_errors.values.values())
        restarts = sum(self.services.metrics.service_restarts.values.values())
        if count or restarts:
            self.faults.append(f"{self.name} {count} internal errors, {restarts} services restarted".strip())

    # --- people -----------------------------------------------------------------------------------------

    async def settle(self, names: Sequence[str], *, first: int = 0) -> None:
        """Accounts and devices, one for each time a name is named; made on the first start."""
        await self.services.settings.change(Change(rates=dict.fromkeys(RATES, RATE_MAX)), actor="sim")
        await self.services.db.write(lambda tx: self._seat(tx, names, first))

    def _seat(self, tx: Tx, names: Sequence[str], first: int) -> None:
        store, now_ms = AccountStore(users=self.services.users), self.clock.now_ms()
        nid = self.services.identity.nid
        numbers: dict[str, int] = {}
        for number, name in enumerate(names, start=first):
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
            Device(
                network=self.loop.network, node=self.address, user=user, device=device, token=format_id(secret), number=number
            )
        )  # fmt: skip
