"""A ping is one round trip; a trace tells what was asked, in which order, and who answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId, format_node, make_user
from node.runtime.clock import ManualClock
from node.services.ports import Candidate, Place, Word
from node.services.probe import PING_BODY, Probe
from node.wire import address

OWN, BOB = NodeId(bytes([1]) * 32), NodeId(bytes([2]) * 32)
GOOD, LIAR, SLOW, DEAD = (f"wss://{host}.example/s2s" for host in ("good", "liar", "slow", "dead"))


class World:
    """The resolver and the links."""

    def __init__(self, *said: Candidate | Word | NodeId, refusal: Rejected | None = None) -> None:
        self.said = said
        self.refusal = refusal
        self.asked: list[tuple[NodeId | None, str, Sequence[Place]]] = []
        self.clock = ManualClock()
        self.probe = Probe(clock=self.clock, own=OWN, resolver=self, links=self)

    async def explain(
        self, *, nid: NodeId | None, places: Sequence[Place] = (), domain: str = ""
    ) -> AsyncGenerator[Candidate | Word | NodeId]:
        self.asked.append((nid, domain, places))
        for step in self.said:
            yield step
        if self.refusal is not None:
            raise self.refusal

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        assert (nid, method, args) == (BOB, "ping", PING_BODY)
        self.clock.advance(seconds=0.25)
        return args

    async def prove(self, nid: NodeId, candidate: Candidate) -> None:
        assert nid == BOB
        match candidate.url:
            case url if url == LIAR:
                raise RemoteError("another identity answers")
            case url if url == SLOW:
                raise TimeoutError
            case url if url == DEAD:
                raise ConnectionRefusedError
        await asyncio.sleep(0)
        self.clock.advance(seconds=0.1)


def at(url: str) -> Candidate:
    return Candidate(url, "last")


async def test_a_ping() -> None:
    assert await World().probe.ping(BOB) == pytest.approx(250)


async def test_each_address_is_tried() -> None:
    world = World(at(GOOD), Word("mdns", "knows nothing", fine=False), at(LIAR), at(SLOW), at(DEAD))
    trace = await world.probe.trace(format_node(BOB))
    assert trace.nid == BOB
    results = {step.url: (step.fine, step.text) for step in trace.steps}
    assert results == {
        "": (False, "knows nothing"),
        GOOD: (True, "the node answers here"),
        LIAR: (False, "another identity answers"),
        SLOW: (False, "nobody answers in time"),
        DEAD: (False, "ConnectionRefusedError"),
    }
    assert [step.at_ms for step in trace.steps] == sorted(step.at_ms for step in trace.steps)


async def test_a_domain_leads_to_its_node() -> None:
    world = World(Word("well-known", "…", fine=True), BOB, at(GOOD))
    trace = await world.probe.trace(" Bob@Casa.example ".strip())
    assert world.asked == [(None, "casa.example", ())]
    assert trace.nid == BOB
    assert [step.source for step in trace.steps] == ["well-known", "domain", "last"]


async def test_the_own_domain_leads_no_further() -> None:
    trace = await World(Word("well-known", "…", fine=True), OWN, at(GOOD)).probe.trace("casa.example")
    assert (trace.nid, [step.source for step in trace.steps]) == (OWN, ["well-known", "domain"])


async def test_a_domain_that_says_nothing() -> None:
    world = World(refusal=Rejected(Code.PEER_UNREACHABLE, "This domain does not say which node it has."))
    trace = await world.probe.trace("casa.example")
    assert trace.nid is None
    assert [(step.source, step.fine, step.text[:11]) for step in trace.steps] == [("domain", False, "This domain")]


async def test_every_way_to_name_a_node() -> None:
    world = World()
    place = Place(bytes([8, 8, 4, 4]), 8443)
    link = address.format_link(
        "https://casa.example", address.contact_invitation(BOB, bytes(16), local="bob", hint="Bob", addresses=(place,))
    )
    for text in (format_node(BOB), make_user("bob", BOB), f"bob@{format_node(BOB)}.startalk.alt", link):
        assert (await world.probe.trace(text)).nid == BOB, text
    assert world.asked[-1] == (BOB, "casa.example", (place,))


@pytest.mark.parametrize(("text", "code"), [("no name", Code.NAME_INVALID), (format_node(OWN), Code.CONFLICT)])
async def test_nothing_to_trace(text: str, code: Code) -> None:
    with pytest.raises(Rejected) as refused:
        await World().probe.trace(text)
    assert refused.value.code is code
