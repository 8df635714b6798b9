"""Many simulated nodes in one world: machines that know where the others are, their people, and what the seed plans for them.

Links are real: the production dialer (`node.federation.dialer.Connector`, `runtime/dial.py`) connects over the simulated network to
the production web server, and Noise, framing and everything above run unchanged.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

from msgspec import Struct

from node.base.errors import Rejected
from node.base.ids import NodeId, UserId
from node.storage.database import Tx
from tests.sim.device import Device
from tests.sim.helpers import Helpers
from tests.sim.loop import SimLoop
from tests.sim.machine import PORT, Machine
from tests.sim.nodes.villains import villain

NAMES: Final = "abcdefghijkl"
SIZES: Final = {3: 60, 4: 24, 5: 10, 6: 3, 8: 2, 12: 1}
THEMES: Final = {"": 66, "liar": 14, "two-faced": 10, "old copy": 6, "clone": 4}
LIVE_S: Final = (8.0, 20.0)
LAST_WORDS_S: Final = 2.0  # from one node's disk to another one's devices
SHRUNK: Final[dict[str, tuple[int, ...]]] = {
    "WINDOW_ENTRIES": (1024, 1024, 5),
    "SYNC_PAGE_ENTRIES": (60, 60, 3),
    "BATCH_WRITES_MAX": (512, 512, 2),
    "ROOM_CACHE_MAX": (4096, 4096, 4),
    "SOCKET_BUFFER_BYTES_MAX": (256 * 1024, 256 * 1024, 4096),
    "ENTRIES_FRAME_BYTES_MAX": (255 * 1024, 255 * 1024, 12_000),  # a page of a range is 8 KiB shorter
    "LINK_CREDIT": (256, 256, 4),
    "LINK_BATCH": (64, 64, 2),
    "LINK_WAITING_MAX": (1000, 1000, 3),
    "HEADS_AT_ONCE": (500, 500, 7),
    "MARKS_AT_ONCE": (500, 500, 2),
    "PENDING_MAX": (1000, 1000, 8),
    "OUTBOX_ROWS_MAX": (50_000, 50_000, 10),
}


class Plan(Struct, frozen=True, kw_only=True):
    """What a seed has in store. The first node is the villain of a theme."""

    size: int
    theme: str
    people: tuple[int, ...]  # accounts of each node
    live_s: float
    apart: tuple[int, int] | None  # these two never reach each other


def plan(seed: int) -> Plan:
    """Follows from the seed alone."""
    random = Random(f"plan {seed}")
    size = random.choices(list(SIZES), list(SIZES.values()))[0]
    theme = random.choices(list(THEMES), list(THEMES.values()))[0]
    people = tuple(1 if size > 4 else random.choice((1, 1, 2)) for _ in range(size))
    live_s = random.uniform(*LIVE_S) * (0.6 if size > 5 else 1.0)
    apart = (1, 2) if not theme and random.random() < 0.1 else None
    return Plan(size=size, theme=theme, people=people, live_s=live_s, apart=apart)


class Nodes:
    """Machines, people, and what happened."""

    def __init__(self, seed: int, folder: Path, loop: SimLoop, planned: Plan) -> None:
        self.seed, self.loop, self.network, self.plan = seed, loop, loop.network, planned
        self.random = Random(f"nodes {seed}")
        self.story: list[str] = []
        self.faults: list[str] = []
        self.machines = [self._machine(folder, name, number) for number, name in enumerate(NAMES[: planned.size], 1)]
        self.extra: list[Machine] = []  # copies of machines
        self._helpers = Helpers()
        self.bad = villain(planned.theme, seed, self.machines[0].note)
        if self.bad is not None:
            self.machines[0].tampering, self.machines[0].faults = self.bad.tamper, []

    def _machine(self, folder: Path, name: str, number: int) -> Machine:
        return Machine(
            seed=self.seed, name=name, folder=folder / name, loop=self.loop, host=f"10.1.0.{number}", story=self.story,
            faults=self.faults,
        )  # fmt: skip

    @property
    def devices(self) -> list[Device]:
        """Everybody's."""
        return [device for machine in self.machines for device in machine.devices]

    @property
    def users(self) -> list[UserId]:
        """Everybody."""
        return list(dict.fromkeys(device.user for device in self.devices))

    def machine_of(self, device: Device) -> Machine:
        """Where the account of this device lives."""
        return next(machine for machine in self.machines if device in machine.devices)

    def note(self, text: str) -> None:
        """Something happened."""
        self.story.append(f"{self.loop.time():9.3f} {text}")

    def spawn(self, task: asyncio.Task[None]) -> None:
        """Something that goes on until the world ends."""
        self._helpers.add(task)

    # --- beginning and end ------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Keys, accounts, addresses; then all nodes serve."""
        first = 0
        for machine, people in zip(self.machines, self.plan.people, strict=True):
            machine.open()
            names = [f"{machine.name}{number}" for number in range(people)]
            if self.random.random() < 0.25:
                names.append(names[0])  # a second device
            await machine.settle(names, first=first)
            first += len(names)
        for machine in self.machines:
            await machine.services.db.write(lambda tx, machine=machine: self._acquaint(tx, machine))  # type: ignore[misc]
        for machine in self.machines:
            await machine.start()

    def connect_devices(self) -> None:
        """Everybody's devices come, and come again."""
        for machine in self.machines:
            for device in machine.devices:
                self.spawn(self.loop.create_task(device.run()))

    def _acquaint(self, tx: Tx, machine: Machine) -> None:
        """As after a first contact by address."""
        peers, now_ms = machine.services.peers, machine.clock.now_ms()
        for other in self.machines:
            if other is not machine:
                row = peers.ensure(tx, other.services.identity.nid, now_ms)
                peers.address_ok(tx, row.pk, f"ws://{other.host}:{PORT}/s2s", "typed", now_ms, tls=False)

    async def end(self) -> None:
        """Whoever nobody waited for goes first, so that what it said last is read; then devices and helpers, then the nodes."""
        if self.has_villain and self.machines[0].node is not None:
            await self.machines[0].stop()
            await asyncio.sleep(LAST_WORDS_S)
        await self._helpers.end()
        for machine in (*self.machines, *self.extra):
            if machine.node is not None:
                await machine.stop()

    # --- who can reach whom -----------------------------------------------------------------------------

    @property
    def honest(self) -> list[Machine]:
        """All but the villain's, or the one with a double."""
        return self.machines[1:] if self.has_villain else self.machines

    @property
    def has_villain(self) -> bool:
        """Whether the first node cannot be trusted."""
        return self.bad is not None or self.plan.theme == "clone"

    async def meet(self) -> None:
        """Honest nodes open links with each other."""
        for machine in self.honest:
            for other in self.honest:
                if machine is not other and machine.node is not None:
                    with suppress(Rejected):
                        await machine.within(machine.node.federation.reach(other.services.identity.nid))

    @property
    def villain(self) -> NodeId | None:
        """The node that lies, if one does."""
        return self.machines[0].services.identity.nid if self.has_villain else None

    def unreachable(self, machine: Machine) -> set[NodeId]:
        """Nodes whose items need never arrive: they lie, or no way leads there."""
        pair = () if self.plan.apart is None else [self.machines[number] for number in self.plan.apart]
        found = {other.services.identity.nid for other in pair if machine in pair and other is not machine}
        return found if self.villain is None else found | {self.villain}
