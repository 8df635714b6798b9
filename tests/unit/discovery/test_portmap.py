"""The port stays open while the node runs: which way is taken, when it is renewed, what happens at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from node.base import limits
from node.base.errors import RemoteError
from node.discovery.mappers import Granted, Mapper
from node.discovery.portmap import PortMap, mappers_here, pinholes_here
from node.discovery.reachability import Endpoint
from node.runtime.entropy import SeededEntropy
from node.runtime.outgoing import Outgoing
from node.runtime.targets import Targets
from tests.polling import until


class Way:
    """A mapper that does as it is told and notes what it was asked."""

    def __init__(self, name: str, *, speaks: bool = True, grants: bool = True, patient: bool = False) -> None:
        self.name = name
        self.speaks = speaks
        self.grants = grants
        self.patient = patient
        self.story: list[str] = []

    async def probe(self) -> None:
        self.story.append("probe")
        if self.patient:
            await asyncio.Event().wait()
        if not self.speaks:
            raise RemoteError("not here")

    async def map(self, internal: int, external: int) -> Granted:
        self.story.append(f"map {internal} {external}")
        if not self.grants:
            raise RemoteError("no")
        return Granted("8.8.4.4", 9000, 3600)

    async def unmap(self, internal: int, external: int) -> None:
        self.story.append(f"unmap {internal} {external}")
        if self.patient:
            raise RemoteError("no")


class Desk:
    def __init__(self, *ways: Way, port: int = 8443, pinholes: Sequence[Mapper] = ()) -> None:
        self.heard: list[Endpoint | None] = []
        self.portmap = PortMap(
            port=lambda: port, mappers=lambda: ways, changed=self.heard.append, pinholes=lambda: pinholes
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[PortMap]:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.portmap.run())
            try:
                yield self.portmap
            finally:
                running.cancel()


async def test_the_preferred_way_is_taken_and_the_end_is_clean() -> None:
    pcp, pmp = Way("PCP"), Way("NAT-PMP")
    desk = Desk(pcp, pmp)
    async with desk.open() as portmap:
        await until(lambda: desk.heard)
        assert (portmap.status.method, portmap.status.outside) == ("PCP", Endpoint("8.8.4.4", 9000))
    assert pcp.story == ["probe", "map 8443 8443", "unmap 8443 9000"]
    assert pmp.story == ["probe"]
    assert desk.heard == [Endpoint("8.8.4.4", 9000), None]


async def test_a_way_that_nobody_speaks_or_that_refuses_is_passed() -> None:
    ways = Way("PCP", speaks=False), Way("NAT-PMP", grants=False), Way("UPnP")
    desk = Desk(*ways)
    async with desk.open() as portmap:
        await until(lambda: desk.heard)
        assert portmap.status.method == "UPnP"
    assert ways[1].story[-1] == "map 8443 8443"


async def test_without_a_way_the_reason_is_told() -> None:
    desk = Desk(Way("PCP", speaks=False))
    async with desk.open() as portmap:
        await until(lambda: "no router" in portmap.status.problem)
    desk = Desk(Way("PCP", grants=False))
    async with desk.open() as portmap:
        await until(lambda: portmap.status.problem == "PCP: no")
    assert desk.heard == []


async def test_another_network_is_asked_anew() -> None:
    way = Way("PCP")
    desk = Desk(way)
    async with desk.open() as portmap:
        await until(lambda: len(desk.heard) == 1)
        portmap.moved()
        await until(lambda: len(desk.heard) == 3)
        portmap.moved()
        await until(lambda: len(desk.heard) == 5)
    assert way.story.count("probe") == 3


async def test_a_pinhole_is_opened_beside_it_and_not_shown() -> None:
    way, hole = Way("PCP"), Way("PCP 6")
    desk = Desk(way, pinholes=[hole])
    async with desk.open() as portmap:
        await until(lambda: desk.heard and len(hole.story) == 2)
        assert portmap.status.method == "PCP"
    assert hole.story == ["probe", "map 8443 8443", "unmap 8443 9000"]


async def test_without_a_port_nothing_is_asked() -> None:
    way = Way("PCP")
    desk = Desk(way, port=0)
    async with desk.open():
        for _ in range(10):
            await asyncio.sleep(0)
    assert way.story == []


def test_the_ways_of_this_machine_are_in_order() -> None:
    found = [way.name for way in mappers_here(fetcher=Outgoing(targets=Targets()), entropy=SeededEntropy(1))]
    assert found in (["PCP", "NAT-PMP", "UPnP"], ["UPnP"])
    assert len(pinholes_here(["192.168.1.5", "fd00::1"], entropy=SeededEntropy(1))) == 0


@pytest.mark.parametrize("name", ["PORTMAP_SEARCH_S", "PORTMAP_ANSWER_S", "PORTMAP_GOODBYE_S", "PORTMAP_RETRY_S"])
def test_waits_are_bounded(name: str) -> None:
    assert 0 < getattr(limits, name) <= 600
