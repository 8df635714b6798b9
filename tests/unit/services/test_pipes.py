"""Pipes between two homes: who begins, what is said when, and what happens after a loss. Both ends are real, the link is a function call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.services.errands import Errands
from node.services.pipes import Pipes
from node.services.relay import Track, Wanted
from node.wire import focus
from node.wire.address import Place
from tests.polling import until
from tests.tape import Tape

A, B = NodeId(b"a" * 32), NodeId(b"b" * 32)
CALL, OTHER = b"c" * 16, b"d" * 16
MIC = Track(b"seatof-b", "mic")


class Wire:
    """Links of one node to the other. Implements `services.ports.PeerLinks`."""

    def __init__(self, own: NodeId) -> None:
        self.own = own
        self.far: End | None = None
        self.up = True
        self.said: list[str] = []
        self.answer: Callable[[str], None] = lambda method: None  # raises, to refuse

    def wake(self, nid: NodeId) -> None:
        """Nothing waits."""

    def whisper(self, nid: NodeId, topic: str, body: bytes) -> bool:
        return self.up

    def linked(self, nid: NodeId) -> bool:
        return self.up

    async def reach(
        self, nid: NodeId | None, *, domain: str = "", places: Sequence[Place] = (), admit: bool = False
    ) -> NodeId:
        if not self.up or nid is None:
            raise Rejected(Code.PEER_UNREACHABLE, "No way.")
        return nid

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        assert self.far is not None
        if not self.up:
            raise Rejected(Code.PEER_OFFLINE, "No link.")
        self.answer(method)
        self.said.append(method)
        return await self.far.serve(self.own, method, args)


class End:
    """One home."""

    def __init__(self, node: NodeId, name: str) -> None:
        self.node = node
        self.errands = Errands()
        self.pipes = Pipes(node=node, errands=self.errands)
        self.tape = Tape(name=name)
        self.wire = Wire(node)
        self.pipes.relay, self.pipes.links = self.tape, self.wire

    async def serve(self, node: NodeId, method: str, args: bytes) -> bytes:
        if method == focus.PIPE:
            asked = focus.decode_half(args)
            return focus.encode_said(focus.PipeHalf(asked.call, await self.pipes.serve(asked.call, node, asked.half)))
        wanted = focus.decode_want(args)
        self.tape.pipe_want(
            wanted.call, node, [Wanted(Track(w.seat, w.source), w.width, w.pinned) for w in wanted.tracks]
        )
        return b""


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    one, other = End(A, "a"), End(B, "b")
    one.wire.far, other.wire.far = other, one
    async with AsyncExitStack() as stack:
        for end in (one, other):
            await stack.enter_async_context(end.errands.running())
        yield one, other
        for end in (one, other):
            end.pipes.end(CALL)
            end.pipes.end(OTHER)


async def test_the_smaller_node_begins_and_both_have_the_other_half(ends: tuple[End, End]) -> None:
    a, b = ends
    b.pipes.sync(CALL, {A: []})
    a.pipes.sync(CALL, {B: [MIC]})
    await until(lambda: bool(a.tape.halves and b.tape.halves))
    assert a.tape.halves == [(B, b"half 1 of b")]
    assert b.tape.halves == [(A, b"half 1 of a")]
    assert a.tape.remote == {B: (MIC,)}
    assert b.wire.said == []
    a.pipes.sync(CALL, {B: []})
    assert a.tape.made == 1, "what is known does not make it anew"


async def test_a_home_that_lost_its_relay_asks_for_a_new_pipe(ends: tuple[End, End]) -> None:
    a, b = ends
    b.pipes.sync(CALL, {A: []})
    a.pipes.sync(CALL, {B: []})
    await until(lambda: len(b.tape.halves) == 1)
    b.pipes.end(CALL)
    b.pipes.sync(CALL, {A: []})
    await until(lambda: len(b.tape.halves) == 2)
    assert [half for _, half in b.tape.halves] == [b"half 1 of a", b"half 2 of a"]


async def test_a_new_link_makes_new_keys(ends: tuple[End, End]) -> None:
    a, b = ends
    for end, far in ((b, A), (a, B)):
        end.pipes.sync(CALL, {far: []})
    await until(lambda: len(b.tape.halves) == 1)
    for end, far in ((b, A), (a, B)):
        end.pipes.linked(far)
    await until(lambda: len(b.tape.halves) >= 2)
    assert len({half for _, half in b.tape.halves}) == len(b.tape.halves)


async def test_it_is_tried_until_the_other_home_knows_of_the_call(ends: tuple[End, End]) -> None:
    a, b = ends
    refusals = [1, 1]

    def refuse(method: str) -> None:
        if refusals:
            refusals.pop()
            raise Rejected(Code.NOT_FOUND, "Not yet.")

    a.wire.answer = refuse
    a.pipes.sync(CALL, {B: []})
    await until(lambda: len(b.tape.halves) == 1)
    assert not refusals


async def test_the_larger_node_does_not_begin(ends: tuple[End, End]) -> None:
    a, _ = ends
    with pytest.raises(Rejected) as refusal:
        await a.pipes.serve(CALL, B, b"half of b")
    assert refusal.value.code is Code.CONFLICT
    assert not a.tape.halves


async def test_wishes_are_said_until_they_are_heard_and_only_the_newest(ends: tuple[End, End]) -> None:
    a, b = ends
    a.pipes.want(CALL, B, [Wanted(MIC, 0)])
    assert not a.wire.said, "there is no pipe"
    a.pipes.sync(CALL, {B: [MIC]})
    await until(lambda: len(b.tape.halves) == 1)
    a.wire.up = False
    for width in (640, 320, 160):
        a.pipes.want(CALL, B, [Wanted(MIC, width)])
    await asyncio.sleep(0)
    a.wire.up = True
    await until(lambda: b.tape.wanted_of.get(A) == (Wanted(MIC, 160),))
    assert a.wire.said.count(focus.WANT) == 1


async def test_who_is_gone_is_closed(ends: tuple[End, End]) -> None:
    a, _ = ends
    a.pipes.sync(CALL, {B: []})
    a.pipes.sync(OTHER, {B: []})
    a.pipes.sync(CALL, {})
    assert a.tape.closed == [B]
    a.pipes.end(OTHER)
    assert a.tape.closed == [B], "the relay ends a call as a whole"


class Slow(Tape):
    """A relay that takes its time to make a half, or to take the other's."""

    def __init__(self, step: str) -> None:
        super().__init__(name="b")
        self.step = step
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    async def pipe(self, call: bytes, node: NodeId) -> bytes:
        if self.step == "make":
            await self._wait()
        return await super().pipe(call, node)

    async def pipe_joined(self, call: bytes, node: NodeId, half: bytes) -> None:
        if self.step == "join":
            await self._wait()
        await super().pipe_joined(call, node, half)

    async def _wait(self) -> None:
        self.reached.set()
        await self.go.wait()


@pytest.mark.parametrize("step", ["make", "join"])
@pytest.mark.parametrize("how", ["the last seat went", "the call is over"])
async def test_a_pipe_that_is_closed_while_it_is_made_is_not_left_open(
    ends: tuple[End, End], step: str, how: str
) -> None:
    """Else the relay would keep one that nobody closes any more, and send into it."""
    _, b = ends
    slow = b.pipes.relay = Slow(step)
    b.pipes.sync(CALL, {A: []})
    serving = asyncio.ensure_future(b.pipes.serve(CALL, A, b"half of a"))
    await slow.reached.wait()
    if how == "the last seat went":
        b.pipes.sync(CALL, {})
    else:
        b.pipes.end(CALL)
    before = len(slow.closed)
    slow.go.set()
    with pytest.raises(Rejected) as refusal:
        await serving
    assert refusal.value.code is Code.NOT_FOUND
    assert slow.closed[before:] == [A]
    assert not b.pipes._made


async def test_another_pipe_that_is_closed_meanwhile_changes_nothing(ends: tuple[End, End]) -> None:
    _, b = ends
    slow = b.pipes.relay = Slow("make")
    for call in (CALL, OTHER):
        b.pipes.sync(call, {A: []})
    serving = asyncio.ensure_future(b.pipes.serve(CALL, A, b"half of a"))
    await slow.reached.wait()
    b.pipes.end(OTHER)
    slow.go.set()
    assert await serving == b"half 1 of b"
    assert b.pipes._made == {(CALL, A)}
