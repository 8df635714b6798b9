"""Hours of a mapping, in virtual time: leases are renewed before they end, a router that starts anew or changes its mind is met.

The router is a table of leases that end by the same clock; what the program says to real ones is tested in test_mappers.py and with
miniupnpd in tests/integration/net."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest

from node.base import limits
from node.base.errors import RemoteError
from node.discovery.mappers import Granted
from node.discovery.portmap import PortMap
from node.discovery.reachability import Endpoint
from tests.sim.loop import SimLoop
from tests.sim.net import Network

PORT = 8443
HOUR_S = 3600


class Table:
    """A router: outer port -> when its lease ends. It grants at most `lease_s`, and the next free port."""

    name = "PCP"

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self.leases: dict[int, float] = {}
        self.lease_s = limits.PORTMAP_LEASE_S
        self.ip = "8.8.4.4"
        self.taken: set[int] = set()
        self.up = True
        self.grants = True
        self.asked: list[float] = []

    async def probe(self) -> None:
        await self._answer()

    async def map(self, internal: int, external: int) -> Granted:
        await self._answer()
        self.asked.append(self._loop.time())
        if not self.grants:
            raise RemoteError("no")
        while external in self.taken:
            external += 1
        self.leases[external] = self._loop.time() + self.lease_s if self.lease_s else float("inf")
        return Granted(self.ip, external, self.lease_s)

    async def unmap(self, internal: int, external: int) -> None:
        await self._answer()
        self.leases.pop(external, None)

    async def _answer(self) -> None:
        await asyncio.sleep(0.01)
        if not self.up:
            await asyncio.Event().wait()

    def start_anew(self) -> None:
        """The power comes back; the memory does not."""
        self.up = True
        self.leases.clear()

    def is_open(self, port: int = PORT) -> bool:
        return self.leases.get(port, 0) > self._loop.time()

    async def open_share(self, seconds: float) -> float:
        """The part of the time to come in which the port is open."""
        seen = []
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            seen.append(self.is_open())
        return sum(seen) / len(seen)


class House:
    """A node behind that router."""

    def __init__(self, loop: SimLoop) -> None:
        self.router = Table(loop)
        self.hole = Table(loop)
        self.heard: list[int | None] = []
        self.portmap = PortMap(
            port=lambda: PORT, mappers=lambda: [self.router], pinholes=lambda: [self.hole], changed=self._changed
        )

    def _changed(self, outside: Endpoint | None) -> None:
        self.heard.append(None if outside is None else outside.port)


Story = Callable[[House], Coroutine[None, None, None]]


@pytest.fixture
def live() -> Iterator[Callable[[Story], House]]:
    """Runs a story beside the node, which then ends in order."""
    loop = SimLoop(0, Network(0))
    asyncio.set_event_loop(loop)

    def run(story: Story) -> House:
        house = House(loop)

        async def whole() -> None:
            node = loop.create_task(house.portmap.run())
            await asyncio.sleep(1)
            await story(house)
            node.cancel()
            with suppress(asyncio.CancelledError):
                await node

        loop.run_until_complete(whole())
        assert not loop.faults
        return house

    yield run
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.parametrize("lease_s", [0, 40, 120, HOUR_S, 24 * HOUR_S])
def test_the_port_is_open_all_day_and_closed_at_the_end(live: Callable[[Story], House], lease_s: int) -> None:
    async def story(house: House) -> None:
        house.router.lease_s = lease_s
        house.portmap.moved()
        await asyncio.sleep(1)
        assert await house.router.open_share(6 * HOUR_S) == 1
        gaps = [after - before for before, after in pairwise(house.router.asked)][2:]
        assert min(gaps) >= limits.PORTMAP_RENEW_S_MIN
        assert max(gaps) <= min(limits.PORTMAP_WATCH_S, (lease_s or HOUR_S) / 2) + 1

    house = live(story)
    assert not house.router.leases
    assert not house.hole.leases
    assert house.heard == [PORT, None, PORT, None], "renewing is no news"


def test_a_lease_shorter_than_any_sense_is_not_chased(live: Callable[[Story], House]) -> None:
    async def story(house: House) -> None:
        house.router.lease_s = 1
        house.portmap.moved()
        await asyncio.sleep(HOUR_S)
        assert len(house.router.asked) <= HOUR_S / limits.PORTMAP_RENEW_S_MIN + 2

    live(story)


def test_a_router_that_starts_anew_between_two_renewals_has_it_again(live: Callable[[Story], House]) -> None:
    async def story(house: House) -> None:
        await asyncio.sleep(HOUR_S)
        house.router.start_anew()
        await asyncio.sleep(limits.PORTMAP_WATCH_S + 1)
        assert house.router.is_open()
        house.router.start_anew()
        house.router.ip = "8.8.8.8"  # providers give another address then
        await asyncio.sleep(limits.PORTMAP_WATCH_S + 1)
        assert house.portmap.status.outside == Endpoint("8.8.8.8", PORT)

    assert live(story).heard == [PORT, PORT, None]


def test_a_router_that_is_away_is_looked_for_soon(live: Callable[[Story], House]) -> None:
    async def story(house: House) -> None:
        house.router.up = False
        await asyncio.sleep(limits.PORTMAP_WATCH_S + limits.PORTMAP_ANSWER_S + limits.PORTMAP_GOODBYE_S)
        assert house.portmap.status.problem == "the mapping ended"
        house.router.start_anew()
        await asyncio.sleep(limits.PORTMAP_AGAIN_S + limits.PORTMAP_SEARCH_S + 1)
        assert house.router.is_open()

    house = live(story)
    assert house.heard == [PORT, None, PORT, None]
    assert len(house.hole.asked) == 2, "the pinhole held all the while"


def test_one_that_stays_away_is_asked_ever_more_rarely(live: Callable[[Story], House]) -> None:
    async def story(house: House) -> None:
        house.router.grants = False
        await asyncio.sleep(24 * HOUR_S)
        assert house.portmap.status.problem == "PCP: no"
        asked = house.router.asked
        gaps = [round(after - before) for before, after in pairwise(asked[1:])]
        assert gaps[:5] == [limits.PORTMAP_AGAIN_S * 2**turn for turn in range(5)]
        assert set(gaps[5:]) == {limits.PORTMAP_RETRY_S}
        house.router.grants = True
        await asyncio.sleep(limits.PORTMAP_RETRY_S + 1)
        assert house.router.is_open()

    live(story)


def test_another_port_at_the_renewal_is_the_new_endpoint(live: Callable[[Story], House]) -> None:
    async def story(house: House) -> None:
        house.router.taken = {PORT}
        await asyncio.sleep(limits.PORTMAP_WATCH_S + 1)
        assert house.portmap.status.outside == Endpoint("8.8.4.4", PORT + 1)
        house.router.taken = set()
        assert house.router.is_open(PORT + 1)
        await asyncio.sleep(2 * HOUR_S)
        assert house.router.is_open(PORT + 1), "the port that was granted is the one to keep"

    house = live(story)
    assert house.heard == [PORT, PORT + 1, None]
    assert PORT + 1 not in house.router.leases
