"""What goes wrong between nodes: partitions in one direction or both, half-open and late connections, crashes that lose what was
not synced, clocks two hours off, full disks, and links dialled from both sides at once."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

from node.storage.database import Tx
from tests.sim.machine import Machine
from tests.sim.nodes.world import Nodes

DOWN_S = (0.1, 6.0)
CRASHES_MAX = 4
PARTITION_S = (1.0, 15.0)
SKEWS_S = (-7200.0, 7200.0, 0.0, -300.0, 300.0, -30.0, 30.0)
HARMS = {
    "split": 4, "one way": 3, "late": 3, "cut": 5, "restart": 5, "clock": 3, "slow disk": 2, "full disk": 2, "both dial": 3,
    "neighbour": 2, "lazy": 1, "sweep": 2,
}  # fmt: skip
Pair = tuple[str, str]


class Nemesis:
    """Does harm until told to stop; `heal` repairs what repairs itself in life."""

    def __init__(self, world: Nodes) -> None:
        self._world = world
        self._random = Random(f"nemesis {world.seed}")
        self._crashes = 0
        self._down: set[str] = set()
        self._always: set[Pair] = set()
        self._restarts: set[asyncio.Task[None]] = set()
        self._harms = {
            "split": self._split, "one way": self._one_way, "late": self._late, "cut": self._cut, "clock": self._clock,
            "slow disk": self._slow_disk, "full disk": self._full_disk, "both dial": self._both_dial,
            "neighbour": self._bad_neighbour, "lazy": self._lazy, "restart": self._restart, "sweep": self._sweep,
        }  # fmt: skip
        if world.plan.apart is not None:
            a, b = (world.machines[number].host for number in world.plan.apart)
            self._always = {(a, b), (b, a)}
            world.network.blocked |= self._always
            world.note(f"{a} and {b} never reach each other")

    async def run(self, until_s: float) -> None:
        """One harm after the other."""
        world, random = self._world, self._random
        await asyncio.sleep(random.uniform(1.0, 4.0))
        while world.loop.time() < until_s:
            self._harms[random.choices(list(HARMS), list(HARMS.values()))[0]]()
            await asyncio.sleep(random.expovariate(1.0))
        if self._restarts:
            await asyncio.wait(self._restarts)
        for task in self._restarts:
            task.result()

    def heal(self) -> None:
        """Ways are open again, disks have room and are fast."""
        world = self._world
        world.network.blocked = set(self._always)
        world.loop.slow_disk.clear()
        for machine in world.machines:
            _limit_pages(machine, 0)
            for device in machine.devices:
                device.ack_delay_s = 0.0

    # --- the network ------------------------------------------------------------------------------------

    def _split(self) -> None:
        hosts = [machine.host for machine in self._world.machines]
        self._random.shuffle(hosts)
        size = self._random.randint(1, len(hosts) - 1)
        here, there = hosts[:size], hosts[size:]
        self._world.note(f"split {sorted(here)} from {sorted(there)}")
        self._block({(a, b) for a in here for b in there} | {(b, a) for a in here for b in there})
        for a in here:
            for b in there:
                for pipe in self._world.network.between(a, b):
                    notices = self._random.choice(((True, True), (True, False), (False, True), (False, False)))
                    pipe.cut(ours=notices[0], theirs=notices[1])

    def _one_way(self) -> None:
        a, b = (machine.host for machine in self._random.sample(self._world.machines, 2))
        self._world.note(f"nothing gets from {a} to {b}")
        self._block({(a, b)})
        for pipe in self._world.network.between(a, b):
            (pipe if pipe.local[0] == a else pipe.peer).lose()

    def _block(self, ways: set[Pair]) -> None:
        network = self._world.network
        network.blocked |= ways

        def open_again() -> None:
            network.blocked = (network.blocked - ways) | self._always

        self._world.loop.call_later(self._random.uniform(*PARTITION_S), open_again)

    def _late(self) -> None:
        a, b = (machine.host for machine in self._random.sample(self._world.machines, 2))
        until_s = self._world.loop.time() + self._random.uniform(0.5, 12.0)
        self._world.note(f"what {a} and {b} send is late")
        for pipe in self._world.network.between(a, b):
            pipe.delay(until_s)

    def _cut(self) -> None:
        pipes = self._world.network.pipes
        if pipes:
            ours, theirs = self._random.choice(((True, True), (True, False), (False, True), (False, False)))
            pipe = self._random.choice(pipes)
            self._world.note(f"cut {pipe.local[0]}-{pipe.remote[0]}, notice {ours} {theirs}")
            pipe.cut(ours=ours, theirs=theirs)

    def _both_dial(self) -> None:
        """Each makes its link with the next one anew, at the same time."""
        running = [machine for machine in self._world.machines if machine.node is not None]
        self._random.shuffle(running)
        for a, b in pairwise(running[:4]):
            for one, other in ((a, b), (b, a)):
                assert one.node is not None
                nid = other.services.identity.nid
                if one.node.federation._group is not None:
                    self._world.spawn(self._world.loop.create_task(self._dial(one, nid)))
        self._world.note("all dial at once")

    async def _dial(self, machine: Machine, nid: bytes) -> None:
        async def begin() -> None:
            assert machine.node is not None
            machine.node.federation._campaign(nid, renew=True)  # type: ignore[arg-type]

        if machine.node is not None:
            await machine.within(begin())

    # --- machines ---------------------------------------------------------------------------------------

    def _machine(self) -> Machine | None:
        """One that is on."""
        return self._random.choice(
            [machine for machine in self._world.machines if machine.name not in self._down] or [None]
        )

    def _restart(self) -> None:
        machine = self._machine()
        if machine is not None and machine.node is not None and self._crashes < CRASHES_MAX:
            self._crashes += 1
            self._down.add(machine.name)
            self._restarts.add(self._world.loop.create_task(self._off_and_on(machine)))

    async def _off_and_on(self, machine: Machine) -> None:
        random = self._random
        if random.random() < 0.8:
            if random.random() < 0.8:
                await machine.meet_commit(random)
            await machine.crash()
        else:
            machine.note("restart")
            await machine.stop()
        await asyncio.sleep(random.uniform(*DOWN_S))
        machine.open()
        await machine.start()
        self._down.discard(machine.name)

    def _clock(self) -> None:
        machine = self._random.choice(self._world.machines)
        machine.clock.offset_s = self._random.choice(SKEWS_S)
        machine.note(f"the clock is off by {machine.clock.offset_s} s")

    def _slow_disk(self) -> None:
        machine = self._random.choice(self._world.machines)
        self._world.loop.slow_disk[machine.host] = self._random.choice((0.0, 0.1, 0.5))
        machine.note("slow commits")

    def _full_disk(self) -> None:
        machine = self._machine()
        if machine is not None and machine.node is not None:
            machine.note("the disk is full")
            _limit_pages(machine, 1)
            self._world.loop.call_later(self._random.uniform(1.0, 10.0), _limit_pages, machine, 0)

    def _bad_neighbour(self) -> None:
        """A transaction that fails after a change: its whole batch is undone and runs again."""

        def fail(tx: Tx) -> None:
            tx.execute("INSERT INTO meta (key, value) VALUES ('half', 1)")
            raise ZeroDivisionError

        machine = self._machine()
        if machine is not None and machine.node is not None and not machine.services.db.trouble:
            machine.note("a bad neighbour in the batch")
            machine.services.db.submit(fail, lambda result, error: None)

    def _sweep(self) -> None:
        """Outboxes that are over their bounds are collapsed now and not in ten minutes."""
        machine = self._machine()
        if machine is not None and machine.node is not None:
            machine.note("outboxes are swept")
            machine.node.federation.notes.sweep()

    def _lazy(self) -> None:
        device = self._random.choice(self._world.devices)
        device.ack_delay_s = self._random.choice((0.0, 0.5, 3.0))


def _limit_pages(machine: Machine, limit: int) -> None:
    """SQLite takes a limit below the present size as that size: nothing more fits. 0: no limit."""
    if machine.node is not None:
        machine.services.db._conn.execute(f"PRAGMA max_page_count = {limit or 1 << 30}")
