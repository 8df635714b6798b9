"""A node at the other end of a pipe that lies, floods or forges: it harms nobody, and what is dropped is counted."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import cast

import msgspec
import pytest

from node.base import limits
from node.media import lanes, mmsg
from node.media.proto import canonical, pipe, pipesaid, rtcp, stun
from node.media.seam import Transport
from node.media.strangers import Strangers
from node.services.relay import Track, Wanted
from tests.integration.media.neighbours import Node, Wire, joined, neighbours, swap, through
from tests.integration.media.test_pipes import flow, heard, watching

MIC, CAMERA = b"a" * 7 + b"\x09", b"a" * 7 + b"\x08"


def said(seat: bytes, source: str, *ssrcs: int) -> pipesaid.TrackSaid:
    codec = canonical.VP8 if source in pipesaid.VIDEO else canonical.OPUS
    layers = tuple(pipesaid.LayerSaid(key, 1, ssrc, 0, 320, 100, 0) for key, ssrc in enumerate(ssrcs))
    return pipesaid.TrackSaid(seat, source, codec, layers)


def rtp(ssrc: int, seq: int, kind: int = canonical.OPUS, payload: bytes = b"voice") -> bytes:
    return struct.pack("!BBHII", 0x80, kind, seq, 960 * seq, ssrc) + payload


class Liar:
    """Node a, which has the keys of the pipe and says what it likes."""

    def __init__(self, a: Node, b: Node) -> None:
        self.a, self.b = a, b
        self.transport = a.going(b)

    def tell(self, *tracks: pipesaid.TrackSaid) -> None:
        for datagram in pipesaid.say(self.transport.half.ssrc, tracks):
            self.transport.send_rtcp(datagram)
        self.a.mux.flush()

    def rtcp(self, packet: bytes) -> None:
        self.transport.send_rtcp(packet)
        self.a.mux.flush()

    def send(self, data: bytes) -> None:
        view = self.a.mux.slot()
        view[8 : 8 + len(data)] = data
        self.a.mux.push(cast(Transport, self.transport), 8 + len(data))  # libsrtp itself refuses some
        self.a.mux.flush()

    def dropped(self, reason: str) -> int:
        return int(self.b.mux.dropped.get(reason, 0))


async def test_a_node_speaks_for_its_own_seats_only() -> None:
    async with neighbours() as (a, b), joined(a, b):
        bob, liar = b.caller(), Liar(a, b)
        b.room.pipes.allow(a.nid, [Track(MIC, "mic")])
        liar.tell(said(bob.seat, "mic", 5), said(CAMERA, "camera", 6), said(MIC, "camera", 7), said(MIC, "mic", 8))
        inflow = b.inflow(a)
        await b.until(lambda: bool(inflow.tracks))
        assert inflow.dropped["not theirs"] >= 3
        assert set(inflow.tracks) == {(MIC, "mic")}
        for ssrc in (5, 6, 7, 9):
            liar.send(rtp(ssrc, 1))
        liar.send(rtp(8, 1))
        await b.until(lambda: liar.dropped("pipe ssrc") == 4)
        liar.send(rtp(8, 2, kind=canonical.VP8))
        await b.until(lambda: inflow.dropped.get("payload") == 1)
        b.room.pipes.allow(a.nid, [])
        assert not inflow.tracks
        liar.send(rtp(8, 3))
        await b.until(lambda: liar.dropped("pipe ssrc") == 5)


async def test_streams_that_are_said_are_bounded_and_bear_one_name() -> None:
    async with neighbours() as (a, b), joined(a, b):
        liar = Liar(a, b)
        seats = [b"a" * 6 + struct.pack("!H", number) for number in range(500)]
        b.room.pipes.allow(a.nid, [Track(seat, "camera") for seat in seats])
        inflow = b.inflow(a)
        for number, seat in enumerate(seats):
            liar.tell(said(seat, "camera", *(1 + 3 * number + key for key in range(3))))
            if number % 50 == 49:
                b.mux.lanes.tick(b.clock.monotonic())
                await b.until(lambda seat=seat: seat in {one for one, _ in inflow.tracks})  # type: ignore[misc]
        assert len(inflow._layers) + len(inflow._repairs) <= limits.PIPE_SSRCS_MAX
        assert inflow.dropped["ssrc"] > 0
        before = inflow.dropped["ssrc"]
        b.room.pipes.allow(a.nid, [Track(seats[0], "camera"), Track(seats[1], "camera")])
        liar.tell(said(seats[0], "camera", 77), said(seats[1], "camera", 77))
        await b.until(lambda: inflow.dropped["ssrc"] > before)
        assert [layer.track.seat for layer in inflow._layers.values()].count(seats[1]) <= 3


async def test_any_bytes_inside_the_pipe_are_survived() -> None:
    async with neighbours() as (a, b), joined(a, b):
        bob, liar = b.caller(), Liar(a, b)
        b.room.pipes.allow(a.nid, [Track(MIC, "mic"), Track(CAMERA, "camera")])
        liar.tell(said(MIC, "mic", 8), said(CAMERA, "camera", 20, 21))
        await bob.sees(CAMERA, "camera")
        head = rtcp.receiver_report(liar.transport.half.ssrc, ())
        for number in range(200):
            noise = os.urandom(number)
            liar.send(rtp(8, number, payload=noise))
            liar.send(bytes((0x90 | number & 0x2F, canonical.VP8)) + rtp(20, number)[2:] + noise)
            liar.rtcp(head + noise)
            liar.rtcp(head[:1] + bytes((pipesaid.APP,)) + head[2:8] + b"PIPE" + noise)
            await asyncio.sleep(0)  # the wire has small buffers
        liar.rtcp(head + rtcp.nack(1, 99, range(100)) + rtcp.pli(1, 98) + rtcp.fir(1, 97, 3) + rtcp.remb(1, 5, [8]))
        await b.until(lambda: b.outflow(a).dropped.get("ssrc", 0) >= 3)
        assert not b.mux.dropped.get("fault")


async def test_floods_are_cut() -> None:
    async with neighbours() as (a, b), joined(a, b):
        liar = Liar(a, b)
        b.room.pipes.allow(a.nid, [Track(MIC, "mic")])
        liar.tell(said(MIC, "mic", 8))
        await b.until(lambda: bool(b.inflow(a).tracks))
        theirs = b.going(a)
        theirs.packets_left, theirs.rtcp_left, theirs.checks_left = 3, 2, 1
        for number in range(5):
            liar.send(rtp(8, number))
            liar.rtcp(rtcp.receiver_report(liar.transport.half.ssrc, ()))
        await b.until(lambda: liar.dropped("flood") >= 5)
        theirs.bytes_left = 10
        theirs.tick(b.clock.monotonic())
        assert theirs.packets_left == limits.PIPE_PACKETS_PER_S
        assert theirs.bytes_left == limits.PIPE_BYTES_PER_S
        assert theirs.rtcp_left == limits.PIPE_RTCP_PER_S
        assert theirs.writable


async def test_who_asks_again_and_again_gets_so_much_a_second() -> None:
    async with neighbours() as (a, b), joined(a, b):
        _, _, [camera] = await watching(a, b, "camera")
        await flow(camera, 40, per_picture=10, every_s=0)
        await a.until(lambda: next(iter(a.outflow(b).legs)).reception.packets >= 400)
        outflow = a.outflow(b)
        [leg] = outflow.legs.values()
        greedy = b.going(a)
        outflow._resends_left = 50
        a.going(b).rtt_s = 0.0
        for _ in range(3):
            seqs = [leg.layer.gaps.highest - back & 0xFFFF for back in range(100)]
            greedy.send_rtcp(rtcp.receiver_report(greedy.half.ssrc, ()) + rtcp.nack(1, leg.ssrc, sorted(seqs)))
        b.mux.flush()
        await a.until(lambda: outflow.dropped.get("resends", 0) >= 1)
        assert leg.repair_seq == 50
        asked = len(camera.caller.items(rtcp.KeyFrameWanted))
        for _ in range(50):
            greedy.send_rtcp(rtcp.receiver_report(greedy.half.ssrc, ()) + rtcp.pli(1, leg.ssrc))
        await a.until(lambda: len(camera.caller.items(rtcp.KeyFrameWanted)) > asked)
        assert len(camera.caller.items(rtcp.KeyFrameWanted)) <= asked + 2


async def test_what_nobody_has_is_not_wanted_of_us() -> None:
    async with neighbours() as (a, b), joined(a, b):
        alice, _, _ = await watching(a, b, "mic")
        strange = [Wanted(Track(os.urandom(8), "camera"), 640) for _ in range(200)]
        a.room.pipes.want(
            b.nid, [Wanted(Track(alice.seat, "camera"), 8192), Wanted(Track(alice.seat, "mic"), 1), *strange]
        )
        assert {layer.track.source for layer in a.outflow(b).legs} == {"mic"}
        assert len(a.outflow(b)._widths) <= limits.CALL_WISHES_MAX


@pytest.mark.parametrize("secret", ["key", "pwd", "lane"])
async def test_a_half_with_a_wrong_secret_gets_nothing_through(secret: str) -> None:
    async with neighbours() as (a, b):
        wire = Wire(a, b)
        try:
            wrong = {"key": os.urandom(16), "pwd": "w" * 24, "lane": b"\xff" * 8}[secret]
            from_a, from_b = a.room.pipes.half(b.nid), b.room.pipes.half(a.nid)
            spoiled = pipe.encode(
                msgspec.structs.replace(pipe.decode(through(from_a, wire.place(a))), **{secret: wrong})
            )
            b.room.pipes.joined(a.nid, spoiled)
            a.room.pipes.joined(b.nid, through(from_b, wire.place(b)))
            reason = {"key": (b, "unauthentic"), "pwd": (a, "forged"), "lane": (a, "stranger")}[secret]
            if secret != "pwd":
                await a.until(lambda: a.reaches(b) and b.reaches(a))
            node, name = reason
            await a.until(lambda: node.mux.dropped.get(name, 0) >= 1)
            if secret == "pwd":
                assert not b.reaches(a)
            assert not b.inflow(a).tracks or secret == "lane"
        finally:
            wire.close()


async def test_strangers_on_the_way_change_nothing() -> None:
    async with neighbours() as (a, b), joined(a, b) as wire:
        alice, bob, [mic] = await watching(a, b, "mic")
        wire.keep = True
        mic.send(b"one", level=9)
        await b.until(lambda: b"one" in heard(bob, alice, "mic"))
        recorded = [data for data in wire.seen if data[0] >= pipe.LANE_FIRST]
        asked = [data for data in wire.seen if data[0] < 4]
        before = dict(b.mux.dropped)
        for data in recorded:
            wire.inject(data, to=b)  # replayed
            wire.inject(data[:8] + os.urandom(len(data) - 8), to=b)
            wire.inject(bytes((data[0] ^ 1,)) + data[1:], to=b)  # of another lane
            wire.inject(data[:10], to=b)
        for data in asked:
            wire.inject(data, to=b)
        wire.inject(stun.success(os.urandom(12), (b"\x01\x02\x03\x04", 5), b"guess"), to=b)
        mic.send(b"two", level=9)
        await b.until(lambda: b"two" in heard(bob, alice, "mic"))
        after = b.mux.dropped
        assert after.get("unauthentic", 0) + after.get("pipe ssrc", 0) > before.get("unauthentic", 0)
        assert after["stranger"] >= 2 * len(recorded) - 2
        assert after.get("forged", 0) >= 1
        assert heard(bob, alice, "mic").count(b"one") == 1
        assert b.reaches(a)


async def test_a_side_behind_nat_is_reached_where_it_comes_from() -> None:
    """Only one half names an address that leads anywhere."""
    async with neighbours() as (a, b):
        wire = Wire(a, b)
        try:
            from_a, from_b = a.room.pipes.half(b.nid), b.room.pipes.half(a.nid)
            nowhere = msgspec.structs.replace(pipe.decode(from_a), candidates=())
            b.room.pipes.joined(a.nid, pipe.encode(nowhere))
            a.room.pipes.joined(b.nid, through(from_b, wire.place(b)))
            await a.until(lambda: a.reaches(b) and b.reaches(a))
            alice, bob, [mic] = await watching(a, b, "mic")
            mic.send(b"hello", level=9)
            await b.until(lambda: b"hello" in heard(bob, alice, "mic"))
            swap(a, b, wire)
            await a.until(lambda: len(a.mux.lanes) == 1 and len(b.mux.lanes) == 1)
            mic.send(b"again", level=9)
            await b.until(lambda: b"again" in heard(bob, alice, "mic"))
        finally:
            wire.close()


class Full(Strangers):
    """The allowance of strangers as a flood leaves it."""

    def admit(self, ip: bytes, now: float) -> bool:
        return False


async def test_a_flood_of_strangers_does_not_end_a_pipe() -> None:
    async with neighbours() as (a, b), joined(a, b):
        pipe_a = a.going(b)
        [way] = pipe_a._checks._ways.values()
        a.mux._strangers, b.mux._strangers = Full(), Full()
        before = way.answered_at
        way.due_at = 0.0
        pipe_a._look()
        await a.until(lambda: way.answered_at > before)
        b.going(a).checks_left = 0
        dropped = b.mux.dropped.get("rate", 0)
        way.due_at = 0.0
        pipe_a._look()
        await a.until(lambda: b.mux.dropped.get("rate", 0) > dropped)  # but no more than a pipe may ask


def test_paths_are_as_the_port_sees_them() -> None:
    """What a question is sent to has to equal what its answer comes from."""
    four, six = socket.AF_INET, socket.AF_INET6
    assert lanes.path(four, "11.22.33.10", 8443, raw=False) == ("11.22.33.10", 8443)
    assert lanes.path(four, "2001:db8::1", 8443, raw=False) is None
    assert lanes.path(six, "11.22.33.10", 8443, raw=False) == ("::ffff:11.22.33.10", 8443, 0, 0)
    assert lanes.path(six, "2001:0db8::0001", 8443, raw=False) == ("2001:db8::1", 8443, 0, 0)
    for family, ip in ((four, "127.0.0.1"), (six, "127.0.0.1"), (six, "::1")):
        raw = lanes.path(family, ip, 8443, raw=True)
        assert isinstance(raw, bytes)
        assert len(raw) == mmsg.KEY_BYTES[family]
        assert mmsg.shown(raw) == (socket.inet_pton(six if ":" in ip else four, ip), 8443)


@pytest.mark.parametrize("host", ["", "::1"])
async def test_a_pipe_over_a_port_of_both_families(host: str) -> None:
    async with neighbours(host=host) as (a, b):
        ours, theirs = a.room.pipes.half(b.nid), b.room.pipes.half(a.nid)
        a.room.pipes.joined(b.nid, theirs)
        b.room.pipes.joined(a.nid, ours)
        await a.until(lambda: a.reaches(b) and b.reaches(a))
