"""Transports on a real UDP port: handshake, media both ways, moves, restarts, strangers, floods; on the fast path and on the portable one."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from node.base import limits
from node.base.errors import Rejected
from node.media import compat, port, udpmux
from node.media.proto import sdp, sdpread, stun
from node.media.transport import PeerTransport
from node.runtime.clock import ManualClock
from node.runtime.entropy import SystemEntropy
from tests.integration.media.device import Device, Sink

REPORT = bytes.fromhex("80c9000100000001")


class Stage:
    """A mux on loopback, a task group, the clock."""

    def __init__(self, mux: udpmux.UdpMux, tasks: asyncio.TaskGroup, clock: ManualClock, host: str) -> None:
        self.mux = mux
        self.tasks = tasks
        self.clock = clock
        self.host = host
        self.devices: list[Device] = []

    def pair(self, *, server: bool = False) -> tuple[PeerTransport, Sink, Device]:
        sink = Sink()
        transport = self.mux.open(sink)
        device = Device(transport.local(), self.tasks, host=self.host, server=server)
        self.devices.append(device)
        return transport, sink, device

    async def connected(self, *, server: bool = False) -> tuple[PeerTransport, Sink, Device]:
        transport, sink, device = self.pair(server=server)
        transport.set_remote(device.remote)
        await device.connect()
        await device.until(lambda: transport.writable)
        return transport, sink, device


@asynccontextmanager
async def stage(*, fast: bool, host: str = "127.0.0.1") -> AsyncIterator[Stage]:
    clock = ManualClock()
    async with asyncio.TaskGroup() as tasks:
        mux = udpmux.UdpMux(
            port.bind("" if host == "any" else host, 0),
            clock=clock,
            entropy=SystemEntropy(),
            tasks=tasks,
            certificate=compat.Certificate(),
            mmsg_works=fast,
            direct=fast,
        )
        host = "127.0.0.1" if host == "any" else host
        mux.candidates = (sdp.Candidate(host, mux.port),)
        made = Stage(mux, tasks, clock, host)
        try:
            yield made
        finally:
            mux.close()
            for device in made.devices:
                device.close()


@pytest.fixture(params=["fast", "portable"])
async def set_(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with stage(fast=request.param == "fast") as made:
        yield made


def packet(number: int, size: int = 100, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x80, 96, number, 90 * number, ssrc) + bytes(size)


def push(stage: Stage, transport: PeerTransport, data: bytes) -> bool:
    stage.mux.slot()[: len(data)] = data
    return stage.mux.push(transport, len(data))


@pytest.mark.parametrize("server", [False, True])
async def test_media_passes_both_ways(set_: Stage, server: bool) -> None:
    transport, sink, device = await set_.connected(server=server)
    assert sink.states == [True]
    sent = [packet(number, size) for number, size in enumerate((0, 1, 160, 1100, 1340))]
    for each in sent:
        device.send_rtp(each)
    device.send_rtcp(REPORT)
    await device.until(lambda: len(sink.packets) == len(sent) and sink.reports == [REPORT])
    assert sink.packets == sent
    for each in sent:
        assert push(set_, transport, each)
    set_.mux.flush()
    transport.send_rtcp(REPORT)
    await device.until(lambda: len(device.rtp) == len(sent) and device.rtcp == [REPORT])
    assert device.rtp == sent
    assert not set_.mux.dropped


async def test_more_than_a_batch_is_sent_whole(set_: Stage) -> None:
    transport, _, device = await set_.connected()
    sent = [packet(number) for number in range(3 * limits.MEDIA_BATCH + 5)]
    for each in sent:
        assert push(set_, transport, each)
    set_.mux.flush()
    await device.until(lambda: len(device.rtp) == len(sent))
    assert device.rtp == sent


async def test_the_inlined_loop_does_what_push_does() -> None:
    async with stage(fast=True) as made:
        mux = made.mux
        pairs = [await made.connected() for _ in range(3)]
        batch = mux.batch
        assert batch is not None
        for number in range(100):
            for transport, _, _ in pairs:
                at, data = batch.queued, packet(number)
                batch.views[at][: len(data)] = data
                batch.size[0] = len(data)
                assert batch.protect(transport.tx, batch.pointers[at], batch.size) == 0
                batch.iovs[at].iov_len = batch.size[0]
                batch.headers[at].msg_name = transport.sockaddr
                batch.queued = at + 1
                if batch.queued == batch.capacity:
                    mux.flush()
        mux.flush()
        for _, _, device in pairs:
            await device.until(lambda device=device: len(device.rtp) == 100)  # type: ignore[misc]


async def test_strangers_get_nothing_and_are_counted(set_: Stage) -> None:
    _, sink, device = await set_.connected()
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.bind((set_.host, 0))
    stranger.setblocking(False)
    there = (set_.host, set_.mux.port)
    good = device.protected(packet(1), "protect")
    for data in (
        good,
        REPORT + bytes(20),
        b"\x16\xfe\xff" + bytes(50),
        b"\x50" * 9,
        b"\x01",
        b"",
        bytes(1600),
        b"\x00" * 40,
    ):
        stranger.sendto(data, there)
    stranger.sendto(
        stun.request(os.urandom(12), username=b"nobody:me", password=b"x", priority=1, controlling=1, nominate=True),
        there,
    )
    device.check(pwd="wrong")
    device.check()
    await device.until(lambda: sum(set_.mux.dropped.values()) >= 9 and len(device.answers) == 2)
    dropped = set_.mux.dropped
    assert dropped["stranger"] == 4
    assert dropped["size"] == 3  # of 0, 1 and 1,600 bytes
    assert dropped["malformed"] == 1
    assert dropped["unknown"] == 1
    assert dropped["forged"] == 1
    assert not sink.packets
    with pytest.raises(BlockingIOError):
        stranger.recv(100)
    stranger.close()


async def test_who_asks_plainly_learns_its_address(set_: Stage) -> None:
    _, _, device = set_.pair()
    device.send(stun.build(stun.REQUEST, os.urandom(12), ()))
    await device.until(lambda: len(device.answers) == 1)
    host, port = device.sock.getsockname()
    assert stun.mapped_address(device.answers[0]) == (socket.inet_aton(host), port)
    device.send(stun.build(stun.REQUEST, os.urandom(12), (), b"password without a name"))
    device.send(stun.build(stun.REQUEST, os.urandom(12), ((0x7001, b""),)))
    await device.until(lambda: len(device.answers) == 3)
    assert [stun.error_code(answer) for answer in device.answers[1:]] == [400, 420]


async def test_a_stranger_that_asks_too_often_is_not_computed_for(set_: Stage) -> None:
    _, _, device = set_.pair()
    for _ in range(limits.MEDIA_STRANGERS_PER_S + 10):
        device.check(pwd="wrong")
    await device.until(lambda: sum(set_.mux.dropped.values()) == limits.MEDIA_STRANGERS_PER_S + 10)
    assert set_.mux.dropped == {"forged": limits.MEDIA_STRANGERS_PER_S, "rate": 10}
    set_.clock.advance(seconds=1)
    device.check()
    await device.until(lambda: len(device.answers) == 1)


async def test_media_moves_to_a_new_address_once_it_answers(set_: Stage) -> None:
    transport, sink, device = await set_.connected()
    first = transport.path
    device.mute = True
    device.rebind()
    device.check()
    await device.until(lambda: device.asked == 1)
    assert transport.path == first  # an address that does not answer may be somebody else's
    device.mute = False
    device.check()
    await device.until(lambda: transport.path != first)
    push(set_, transport, packet(1))
    set_.mux.flush()
    device.send_rtp(packet(2))
    await device.until(lambda: len(device.rtp) == 1 and len(sink.packets) == 1)
    assert sink.states == [True]  # nobody noticed


async def test_a_recorded_check_from_elsewhere_moves_nothing(set_: Stage) -> None:
    transport, _, device = await set_.connected()
    first = transport.path
    recorded = device.check()
    await device.until(lambda: len(device.answers) == 2)
    device.rebind()
    device.send(recorded)
    await device.until(lambda: set_.mux.dropped.get("forged") == 1)
    assert transport.path == first
    assert not device.asked


async def test_consent_that_ends_stops_media_until_the_next_check(set_: Stage) -> None:
    transport, sink, device = await set_.connected()
    set_.clock.advance(seconds=limits.MEDIA_CONSENT_S - 1)
    transport.tick(set_.clock.monotonic())
    assert sink.states == [True]
    set_.clock.advance(seconds=1)
    transport.tick(set_.clock.monotonic())
    assert sink.states == [True, False]
    assert not push(set_, transport, packet(1))
    device.send_rtp(packet(1))
    await device.until(lambda: set_.mux.dropped.get("stranger") == 1)
    device.check()
    await device.until(lambda: transport.writable)
    device.send_rtp(packet(2))
    await device.until(lambda: len(sink.packets) == 1)
    assert sink.states == [True, False, True]


async def test_an_ice_restart_keeps_the_keys(set_: Stage) -> None:
    transport, sink, device = await set_.connected()
    old = device.local
    transport.restart()
    device.local = transport.local()
    assert device.local.ufrag != old.ufrag
    assert device.local.fingerprint == old.fingerprint
    device.ufrag, device.pwd = "new1", "n" * 22
    transport.set_remote(device.remote)
    device.rebind()
    device.check(pwd=old.pwd, ufrag=old.ufrag)  # the old generation lives on, but moves no more
    device.check()
    await device.until(lambda: len(device.answers) == 3)
    push(set_, transport, packet(1))
    set_.mux.flush()
    device.send_rtp(packet(2))
    await device.until(lambda: len(device.rtp) == 1 and len(sink.packets) == 1)
    device.check(pwd=old.pwd, ufrag=old.ufrag)
    await device.until(lambda: set_.mux.dropped.get("unknown") == 1)


async def test_another_certificate_than_the_announced_one_is_refused(set_: Stage) -> None:
    transport, sink, device = set_.pair()
    wrong = sdpread.Fingerprint("sha-256", ":".join(["AB"] * 32))
    transport.set_remote(sdp.Remote(ufrag=device.ufrag, pwd=device.pwd, fingerprints=(wrong,), setup="active"))
    await device.connect()
    await asyncio.sleep(0.1)
    assert not transport.writable
    assert not sink.states
    with pytest.raises(Rejected, match="certificate"):
        transport.set_remote(device.remote)


async def test_closing_frees_everything_and_tells_the_peer(set_: Stage) -> None:
    transport, sink, device = await set_.connected()
    transport.close()
    transport.close()
    await device.until(lambda: device.ended)
    assert set_.mux.transports == 0
    device.send_rtp(packet(1))
    await device.until(lambda: set_.mux.dropped.get("stranger", 0) >= 1)
    assert sink.states == [True]
    assert not sink.packets
    transport.send_rtcp(REPORT)


async def test_a_peer_that_closes_is_told_of(set_: Stage) -> None:
    transport, sink, device = await set_.connected()
    await device.dtls.close()
    await device.until(lambda: not transport.writable)
    assert sink.states == [True, False]


async def test_a_flood_of_one_peer_is_cut(set_: Stage) -> None:
    transport, sink, device = await set_.connected()
    transport.packets_left = 3
    for number in range(5):
        device.send_rtp(packet(number))
    await device.until(lambda: set_.mux.dropped.get("flood") == 2)
    assert len(sink.packets) == 3
    transport.rtcp_left = 0
    device.send_rtcp(REPORT)
    await device.until(lambda: set_.mux.dropped.get("flood") == 3)
    transport.checks_left = 0
    device.check()
    await device.until(lambda: set_.mux.dropped.get("flood") == 4)
    transport.tick(set_.clock.monotonic())
    assert (transport.packets_left, transport.bytes_left) == (limits.MEDIA_PACKETS_PER_S, limits.MEDIA_BYTES_PER_S)
    assert (transport.rtcp_left, transport.checks_left) == (limits.MEDIA_RTCP_PER_S, limits.MEDIA_CHECKS_PER_S)


async def test_a_replayed_packet_is_dropped(set_: Stage) -> None:
    _, sink, device = await set_.connected()
    data = device.protected(packet(1), "protect")
    device.send(data)
    device.send(data)
    await device.until(lambda: set_.mux.dropped.get("unauthentic") == 1)
    assert len(sink.packets) == 1


async def test_a_fault_in_the_sink_harms_no_other_packet(set_: Stage) -> None:
    _, sink, device = await set_.connected()
    taken = sink.rtp

    def failing(data: memoryview, size: int, now: float) -> None:
        taken(data, size, now)
        if len(sink.packets) == 1:
            raise ValueError("a bug")

    sink.rtp = failing  # type: ignore[assignment,method-assign]
    device.send_rtp(packet(1))
    device.send_rtp(packet(2))
    await device.until(lambda: len(sink.packets) == 2)
    assert set_.mux.dropped == {"fault": 1}


async def test_half_open_handshakes_are_limited(set_: Stage) -> None:
    started = []
    for _ in range(limits.MEDIA_HANDSHAKES_PER_S + 2):
        transport, _, device = set_.pair()
        transport.set_remote(device.remote)
        device.check()
        await device.until(lambda device=device: bool(device.answers))  # type: ignore[misc]
        started.append(transport)
    assert set_.mux.dropped == {"handshakes": 2}
    set_.clock.advance(seconds=1)
    await device.shake()  # its first words are enough
    await device.until(lambda: transport.writable)
    for each in started:
        each.close()


async def test_one_port_serves_both_families() -> None:
    async with stage(fast=True, host="any") as made:
        _, sink, device = await made.connected()
        device.send_rtp(packet(1))
        await device.until(lambda: len(sink.packets) == 1)
        made.host = "::1"
        transport, sink, device = await made.connected()
        device.send_rtp(packet(1))
        push(made, transport, packet(1))
        made.mux.flush()
        await device.until(lambda: len(sink.packets) == 1 and len(device.rtp) == 1)


async def test_a_certificate_is_made_anew_before_it_ends(set_: Stage) -> None:
    transport, _, device = set_.pair()
    transport.set_remote(device.remote)
    set_.clock.jump(seconds=(set_.mux.certificate.expires_ms - udpmux.RENEW_MS) / 1000 - set_.clock.now_ms() / 1000 + 1)
    later, _, _ = set_.pair()
    assert later.local().fingerprint != transport.local().fingerprint
    await device.connect()  # who came before keeps the old one
    await device.until(lambda: transport.way == "udp")
    assert later.way == ""


async def test_there_are_only_so_many_transports(set_: Stage) -> None:
    for _ in range(2 * limits.MEDIA_PEERS_MAX):
        set_.mux.open(Sink())
    with pytest.raises(Rejected) as refused:
        set_.mux.open(Sink())
    assert refused.value.code == "limit_reached"


async def test_any_datagrams_harm_nobody(set_: Stage) -> None:
    """Noise and torn packets of every kind, from strangers and from a peer: nothing raises, and the next good packet passes."""
    noise = random.Random(5)
    transport, sink, device = await set_.connected()
    stranger = ("192.0.2.9", 9) if set_.mux.batch is None else (2).to_bytes(2, "little") + bytes(6)
    path = transport.path
    assert path is not None
    good = [
        device.protected(packet(1), "protect"),
        device.protected(REPORT, "protect_rtcp"),
        device.check(nominate=False),
        b"\x16\xfe\xfd" + bytes(10) + b"\x00\x20" + bytes(32),
    ]
    await device.until(lambda: len(device.answers) == 2)
    taken = 0
    for at in range(8_000):
        data = bytearray(noise.choice(good)) if at % 2 else bytearray(noise.randbytes(noise.randrange(80)))
        for _ in range(noise.randrange(1, 4)):
            if data:
                data[noise.randrange(len(data))] = noise.randrange(256)
        del data[noise.randrange(len(data) + 1) + noise.randrange(60) :]
        transport.tick(set_.clock.monotonic())
        set_.mux.receive(bytes(data), path if at % 3 else stranger)
        taken += 1
        if at % 500 == 0:
            await asyncio.sleep(0)
            set_.clock.advance(seconds=1)
            device.check()
    dropped = dict(set_.mux.dropped)
    assert "fault" not in dropped
    assert sum(dropped.values()) > taken // 2
    assert transport.writable
    before = len(sink.packets)
    device.check()
    device.send_rtp(packet(500))
    await device.until(lambda: len(sink.packets) == before + 1)


async def test_a_broken_handshake_is_the_end_of_its_transport_only(set_: Stage) -> None:
    victim, sink, device = set_.pair()
    victim.set_remote(device.remote)
    device.check()
    await device.until(lambda: bool(device.answers))
    for at in range(200):
        device.send(bytes((20 + at % 44, 0xFE, 0xFD)) + os.urandom(at))
    await asyncio.sleep(0.1)
    assert not sink.states
    _, other, good = await set_.connected()
    good.send_rtp(packet(1))
    await good.until(lambda: len(other.packets) == 1)
    victim.close()
