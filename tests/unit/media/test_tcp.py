"""Streams and the inlet of the node, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.media.inlet import Inlet
from node.media.proto import icelite, stun
from node.media.tcp import Frames

packets = st.lists(st.binary(min_size=1, max_size=200), max_size=10)


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


def check(ufrag: str) -> bytes:
    return stun.request(
        bytes(12), username=f"{ufrag}:them".encode(), password=b"p", priority=1, controlling=1, nominate=True
    )


@given(packets, st.lists(st.integers(0, 400), max_size=20))
def test_packets_come_out_however_the_stream_is_cut(sent: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(framed, sent))
    frames, got, start = Frames(), [], 0
    for end in [*sorted(cuts), len(data)]:
        got += frames.feed(data[start:end])
        start = max(start, end)
    assert got == sent


@pytest.mark.parametrize("size", [0, limits.MEDIA_DATAGRAM_BYTES_MAX + 1, 0x1603])
def test_an_impossible_length_ends_the_stream(size: int) -> None:
    with pytest.raises(ValueError, match="length"):
        Frames().feed(size.to_bytes(2, "big"))


@given(st.binary(max_size=4000))
def test_any_bytes_are_packets_or_an_end(data: bytes) -> None:
    try:
        for packet in Frames().feed(data):
            assert 0 < len(packet) <= limits.MEDIA_DATAGRAM_BYTES_MAX
    except ValueError:
        assert data


def test_the_number_of_a_worker_is_in_its_ufrag() -> None:
    for number in range(limits.MEDIA_WORKERS_MAX):
        assert icelite.marked(icelite.mark(number, "abc").encode()) == number
    assert [icelite.marked(ufrag) for ufrag in (b"", b"z", b"\xff")] == [-1, -1, -1]


class Stage:
    """An inlet and both ends of connections to it."""

    def __init__(self, patience_s: float) -> None:
        self.given: list[tuple[int, bytes]] = []
        self.inlet = Inlet(self.forward, patience_s=patience_s)
        self.ends: list[socket.socket] = []

    def forward(self, number: int, sock: socket.socket, first: bytes) -> bool:
        self.given.append((number, first))
        return number == 0

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.ends.append(theirs)
        self.inlet.adopt(ours)
        return theirs

    async def closed(self, sock: socket.socket) -> bool:
        async with asyncio.timeout(5):
            return not await asyncio.get_running_loop().sock_recv(sock, 10)


@pytest.fixture
async def stage() -> Iterator[Stage]:  # type: ignore[misc]
    made = Stage(0.2)
    yield made
    made.inlet.close()
    for sock in made.ends:
        sock.close()


async def test_a_connection_goes_to_its_worker_with_what_was_read(stage: Stage) -> None:
    sock, first = stage.connect(), framed(check("Aours"))
    for at in range(0, len(first), 20):
        sock.send(first[at : at + 20])
        await asyncio.sleep(0.005)
    assert await stage.closed(sock)  # nobody keeps a copy
    assert stage.given == [(0, first)]
    assert stage.inlet.closed == 0


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00",
        b"\x00\x13" + bytes(19),
        framed(bytes(40)),
        framed(check("zours")),
        framed(stun.build(stun.REQUEST, bytes(12), ())),
    ],
)
async def test_whoever_says_something_else_is_closed(stage: Stage, said: bytes) -> None:
    sock = stage.connect()
    sock.send(said)
    assert await stage.closed(sock)
    assert stage.given == []
    assert stage.inlet.closed == 1


async def test_a_worker_that_is_not_there_takes_nothing(stage: Stage) -> None:
    sock = stage.connect()
    sock.send(framed(check("Bours")))
    assert await stage.closed(sock)
    assert stage.inlet.closed == 1


async def test_whoever_says_nothing_or_half_of_it_is_closed(stage: Stage) -> None:
    silent, half = stage.connect(), stage.connect()
    half.send(framed(check("Aours"))[:30])
    assert await stage.closed(silent)
    assert await stage.closed(half)
    assert stage.inlet.closed == 2


async def test_only_so_many_wait() -> None:
    stage = Stage(60)
    socks = [stage.connect() for _ in range(limits.MEDIA_STREAMS_WAITING_MAX + 1)]
    assert await stage.closed(socks[-1])
    assert stage.inlet.closed == 1
    stage.inlet.close()
    assert await stage.closed(socks[0])
    for sock in stage.ends:
        sock.close()
