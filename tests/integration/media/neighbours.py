"""Two or three nodes in one call: relays on real ports, pipes between them over wires that lose, stop and forge.

    async with neighbours() as (a, b):
        wire = await joined(a, b)
        alice, bob = a.caller(), b.caller()

`Node` is the worker of a node and what the services of it say to the others: which seats publish what, what is wanted, the halves of pipes.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from node.base.ids import NodeId
from node.media import compat, port, udpmux
from node.media.inflow import Inflow
from node.media.outflow import Outflow
from node.media.pipe import PipeTransport
from node.media.proto import pipe, sdp
from node.runtime.clock import SystemClock
from node.runtime.entropy import SystemEntropy
from node.services.relay import Track, Wanted
from tests.integration.media.callers import Caller, House


class Node(House):
    """`nid` is a letter, 32 times; so is the first byte of its seats."""

    def __init__(self, mux: udpmux.UdpMux, tasks: asyncio.TaskGroup, letter: str) -> None:
        super().__init__(mux, tasks)
        self.nid = NodeId(letter.encode() * 32)
        self.neighbours: dict[NodeId, Node] = {}
        self.wanted: dict[NodeId, Sequence[Wanted]] = {}
        self.deaf = False  # what it wants does not arrive

    def caller(self) -> Caller:
        made = Caller(self, self.nid[:1] * 7 + bytes((len(self.callers),)))
        self.callers.append(made)
        self.room.seat(made.seat)
        return made

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        super().published(call, seat, sources)
        self.tell()

    def tell(self) -> None:
        """The roster: what the seats here publish."""
        tracks = [Track(caller.seat, source) for caller in self.callers for source in caller.published]
        for other in self.neighbours.values():
            other.room.pipes.allow(self.nid, tracks)

    def pipe_wanted(self, call: bytes, node: object, tracks: Sequence[Wanted]) -> None:
        nid = NodeId(bytes(node))  # type: ignore[call-overload]
        self.wanted[nid] = tracks
        if not self.deaf and nid in self.neighbours:
            asyncio.get_running_loop().call_soon(self.neighbours[nid].room.pipes.want, self.nid, tracks)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.005)

    def reaches(self, other: Node) -> bool:
        joint = self.room.pipes._joints.get(other.nid)
        return joint is not None and joint.going is not None and joint.going.writable

    def going(self, other: Node) -> PipeTransport:
        found = self.room.pipes._joints[other.nid].going
        assert found is not None
        return found

    def inflow(self, other: Node) -> Inflow:
        return self.room.pipes._joints[other.nid].inflow

    def outflow(self, other: Node) -> Outflow:
        return self.room.pipes._joints[other.nid].outflow


class Wire:
    """What lies between the ports of two nodes: each reaches the other by a port of the wire."""

    def __init__(self, a: Node, b: Node) -> None:
        self.loss = 0.0
        self.cut = False
        self.passed = 0
        self.lost = 0
        self.seen: list[bytes] = []  # datagrams from a to b
        self.keep = False
        self._dice = random.Random(7)
        self._ends = {True: self._socket(), False: self._socket()}  # True: faces a
        self._nodes = {True: a, False: b}
        for side, sock in self._ends.items():
            asyncio.get_running_loop().add_reader(sock.fileno(), self._readable, side)

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind(("127.0.0.1", 0))
        return made

    def place(self, node: Node) -> sdp.Candidate:
        """Where the other one reaches `node`."""
        facing_a = node is self._nodes[False]
        return sdp.Candidate("127.0.0.1", self._ends[facing_a].getsockname()[1])

    def _readable(self, side: bool) -> None:
        while True:
            try:
                data = self._ends[side].recv(2048)
            except OSError:
                return
            if self.keep and side:
                self.seen.append(data)
            if self.cut or (data[0] >= pipe.LANE_FIRST and self._dice.random() < self.loss):
                self.lost += 1
                continue
            self.passed += 1
            self._ends[not side].sendto(data, ("127.0.0.1", self._nodes[not side].mux.port))

    def inject(self, data: bytes, *, to: Node) -> None:
        """A datagram of nobody, from the address of the other node."""
        side = to is self._nodes[True]
        self._ends[side].sendto(data, ("127.0.0.1", to.mux.port))

    def close(self) -> None:
        for sock in self._ends.values():
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()


def through(half: bytes, place: sdp.Candidate) -> bytes:
    """The half as it would be if its node were at `place`."""
    return pipe.encode(msgspec.structs.replace(pipe.decode(half), candidates=(place,)))


def swap(a: Node, b: Node, wire: Wire) -> None:
    """New halves for both, as the services of the nodes exchange them."""
    from_a, from_b = a.room.pipes.half(b.nid), b.room.pipes.half(a.nid)
    b.room.pipes.joined(a.nid, through(from_a, wire.place(a)))
    a.room.pipes.joined(b.nid, through(from_b, wire.place(b)))


@asynccontextmanager
async def neighbours(letters: str = "ab", *, fast: bool = True, host: str = "127.0.0.1") -> AsyncIterator[list[Node]]:
    async with asyncio.TaskGroup() as tasks:
        nodes = []
        for letter in letters:
            mux = udpmux.UdpMux(
                port.bind(host, 0),
                clock=SystemClock(),
                entropy=SystemEntropy(),
                tasks=tasks,
                certificate=compat.Certificate(),
                mmsg_works=fast,
                direct=fast,
            )
            mux.candidates = (sdp.Candidate(host or "127.0.0.1", mux.port),)
            nodes.append(Node(mux, tasks, letter))
        for node in nodes:
            node.neighbours = {other.nid: other for other in nodes if other is not node}
        try:
            yield nodes
        finally:
            for node in nodes:
                node.room.end()
                assert len(node.mux.lanes) == 0
                node.mux.close()
                for caller in node.callers:
                    caller.close()
            assert not any(node.mux.dropped.get("fault") for node in nodes), [node.mux.dropped for node in nodes]


@asynccontextmanager
async def joined(a: Node, b: Node) -> AsyncIterator[Wire]:
    """A wire, and a pipe over it that goes."""
    wire = Wire(a, b)
    try:
        swap(a, b, wire)
        await a.until(lambda: a.reaches(b) and b.reaches(a))
        yield wire
    finally:
        wire.close()
