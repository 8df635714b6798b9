"""What the admin is told about how the node looks from outside."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from node.base.errors import Code, Rejected
from node.base.ids import NodeId, format_node
from node.discovery.outlook import CALLED_MAX, Outlook
from node.discovery.portmap import PortMap, Status
from node.discovery.reachability import Endpoint, Reachability, Witness
from node.discovery.resolver import Resolver
from node.discovery.service import Discovery
from node.runtime.clock import ManualClock
from node.runtime.targets import Targets
from node.services.peers import PeerLink
from node.services.wellknown import WellKnownPage
from node.wire.codec import encode
from node.wire.record import Verifier
from tests.unit.discovery.records import NOW_MS, nid_of, raw_of
from tests.unit.discovery.test_gossip import link
from tests.unit.discovery.test_service import Maker, Nothing

ALICE = nid_of("alice")
PUBLIC = Endpoint("8.8.4.4", 8443)
SIX = Endpoint("2a00::1", 8443)


class Links:
    """Peers; `mute` does not reach us."""

    def __init__(self, *links: PeerLink) -> None:
        self.links = links
        self.asked: list[NodeId] = []

    def open_links(self) -> Sequence[PeerLink]:
        return self.links

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        assert (method, args) == ("dialback", encode((8443, True)))
        self.asked.append(nid)
        if nid == nid_of("mute"):
            raise Rejected(Code.PEER_UNREACHABLE, "This node does not answer at that address and port.")
        return b""


class World:
    def __init__(self, *, links: Links | None = None, port: int = 8443, domain: str = "", mapped: bool = True) -> None:
        clock, targets = ManualClock(now_ms=NOW_MS), Targets()
        self.reachability = Reachability(targets=targets)
        resolver = Resolver(clock=clock, targets=targets, memory=Nothing(), verify=Verifier())
        self.portmap = PortMap(port=lambda: port, mappers=tuple, changed=self.reachability.mapped)
        self.discovery = Discovery(
            clock=clock,
            resolver=resolver,
            reachability=self.reachability,
            maker=Maker(),
            domain=domain,
            port=lambda: port,
            portmap=self.portmap if mapped else None,
        )
        page = WellKnownPage(
            nid=ALICE, domain=domain, public_url="", record=lambda: raw_of("alice", domain=domain) if domain else None
        )
        self.outlook = Outlook(
            discovery=self.discovery, page=page, domain=domain, port=lambda: port, links=lambda: links or Links()
        )

    def prove(self, endpoint: Endpoint) -> None:
        for name, ip in (("bob", "1.1.1.1"), ("carol", "9.9.9.9")):
            self.reachability.dialled_back(Witness(nid_of(name), ip), endpoint, now_s=0)


def test_from_nothing_to_public() -> None:
    world = World()
    assert world.outlook.report().standing == "private"
    assert world.outlook.report().mapping_problem == "not asked yet"
    world.portmap.status = Status(method="pcp", outside=PUBLIC, problem="")
    world.reachability.mapped(PUBLIC)
    report = world.outlook.report()
    assert (report.standing, report.unproved, report.mapping, report.outside) == (
        "unproved", ["8.8.4.4:8443"], "pcp", "8.8.4.4:8443",
    )  # fmt: skip
    world.prove(PUBLIC)
    report = world.outlook.report()
    assert (report.standing, report.published) == ("public", ["8.8.4.4:8443"])


def test_ipv6_has_brackets() -> None:
    world = World(mapped=False)
    world.reachability.listening([SIX])
    world.prove(SIX)
    report = world.outlook.report()
    assert (report.standing, report.published, report.mapping) == ("public", ["[2a00::1]:8443"], "off")


def test_a_carrier_s_nat_and_no_listener() -> None:
    world = World()
    world.reachability.mapped(Endpoint("100.64.1.2", 8443))
    assert world.outlook.report().standing == "cgnat"
    assert World(port=0).outlook.report().standing == "no_https"


def test_what_the_domain_should_say() -> None:
    assert World().outlook.report().txt == ""
    report = World(domain="casa.example").outlook.report()
    assert report.txt.startswith("_startalk.casa.example. 3600 IN TXT")
    assert json.loads(report.well_known)["id"] == format_node(ALICE)


async def test_peers_call_back() -> None:
    links = Links(link("bob", rtt_ms=9), link("mute", rtt_ms=1))
    calls = (await World(links=links).outlook.call_back()).calls
    assert [(call.node, call.reached, call.code) for call in calls] == [
        (format_node(nid_of("mute")), False, "peer_unreachable"),
        (format_node(nid_of("bob")), True, ""),
    ]


@pytest.mark.parametrize(("port", "count"), [(8443, CALLED_MAX), (0, 0)])
async def test_few_are_asked_and_nobody_without_a_port(port: int, count: int) -> None:
    links = Links(*(link(f"peer {number}") for number in range(CALLED_MAX + 3)))
    await World(links=links, port=port).outlook.call_back()
    assert len(links.asked) == count
