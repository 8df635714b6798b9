"""A call between nodes: what their relays say to each other, and what a hostile or broken one does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from node.media.proto import canonical, icelite, pipe, rtcp, sdp
from node.media.room import Room
from node.services.relay import Track, Wanted
from tests.integration.media.callers import Caller, Stream, payload_of
from tests.integration.media.neighbours import Node, joined, neighbours, swap

KEY = b"\x90\xe0\x81\x00\x07\x20\x10\x02\x00\x9d\x01\x2a\x80\x02\x68\x01"
DELTA = b"\x90\xe0\x81\x01\x07\x20\x11\x02\x00"


@pytest.mark.parametrize("fast", [True, False])
async def test_voice_and_picture_cross_to_the_other_node(fast: bool) -> None:
    async with neighbours(fast=fast) as (a, b), joined(a, b):
        alice, bob, carol = a.caller(), b.caller(), b.caller()
        await alice.publish("mic", "camera")
        mic, camera = alice.stream("mic", ssrc=100), alice.stream("camera", ssrc=200)
        mic.send(b"a", level=20)
        camera.send(KEY, mark=True)
        for who in (bob, carol):
            voice, picture = await who.sees(alice.seat, "mic"), await who.sees(alice.seat, "camera")
            assert voice != picture
        await b.until(lambda: all(leg.ready for who in (bob, carol) for leg in b.room._seats[who.seat].legs.values()))
        await a.until(lambda: len(a.outflow(b).legs) == 2)
        sent = [(KEY if number == 0 else DELTA) + b"%d" % number for number in range(60)]
        for number, payload in enumerate(sent):
            mic.send(b"v%d" % number, timestamp=960 * number, level=20)
            camera.send(payload, timestamp=3000 * number, mark=True, extra=bytes((13 << 4, 3)))
            if not number % 10:
                await bob.until(lambda: True)
        for who in (bob, carol):
            vssrc, _ = who.ssrcs(who.mid_of(alice.seat, "camera"))
            assrc = who.ssrcs(who.mid_of(alice.seat, "mic"))[0]
            await who.until(lambda who=who, vssrc=vssrc: len(who.packets(vssrc)) >= 60)  # type: ignore[misc]
            assert [payload_of(data) for data in who.packets(vssrc)][-60:] == sent
            assert {data[1] & 0x7F for data in who.packets(vssrc)} == {canonical.VP8}
            assert len(who.packets(assrc)) >= 59
        assert a.outflow(b).legs.keys() == {layer for track in a.room._own_tracks() for layer in track.layers.values()}
        await b.until(lambda: any(alice.seat in said for said in b.said))
        assert b.room.report().pipes


async def watching(a: Node, b: Node, *sources: str, rids: tuple[str, ...] = ()) -> tuple[Caller, Caller, list[Stream]]:
    """Alice on `a` sends, Bob on `b` has accepted all of it, and it flows."""
    alice, bob = a.caller(), b.caller()
    await alice.publish(*sources, rids=rids)
    streams = []
    for number, source in enumerate(sources):
        names: tuple[str, ...] = rids if source == "camera" and rids else ("",)
        streams += [
            alice.stream(source, ssrc=100 * (10 * number + layer + 1), rid=rid) for layer, rid in enumerate(names)
        ]
    for stream in streams:
        first(stream)
    for source in sources:
        await bob.sees(alice.seat, source)
    await b.until(lambda: len(b.room._seats[bob.seat].legs) == len(sources))
    await b.until(lambda: all(leg.ready for leg in b.room._seats[bob.seat].legs.values()))
    await a.until(lambda: {layer.track.source for layer in a.outflow(b).legs} == set(sources))
    return alice, bob, streams


def first(stream: Stream, width: int = 640, text: bytes = b"") -> None:
    """A key frame, or a voice."""
    if stream.video:
        stream.send(KEY[:-4] + width.to_bytes(2, "little") + b"\x68\x01" + text, timestamp=3000, mark=True)
    else:
        stream.send(b"voice", level=20)


async def flow(stream: Stream, count: int, *, every_s: float = 0.01, per_picture: int = 3, start: int = 0) -> list[bytes]:  # fmt: skip
    """Pictures of some packets each, at a steady pace, a key frame whenever one is asked for."""
    sent = []
    asked = len(stream.caller.items(rtcp.KeyFrameWanted))
    for number in range(start, start + count):
        wanted = len(stream.caller.items(rtcp.KeyFrameWanted))
        head = KEY if number == start or wanted > asked else DELTA
        asked = wanted
        for part in range(per_picture):
            sent.append((head if part == 0 else b"\x80\xe0\x81\x01\x07\x20") + b"%d.%d" % (number, part))
            stream.send(sent[-1], timestamp=3000 * number, mark=part == per_picture - 1)
        await asyncio.sleep(every_s)
    return sent


def heard(bob: Caller, alice: Caller, source: str = "camera") -> list[bytes]:
    ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, source))
    return [payload_of(data) for data in bob.packets(ssrc)]


@pytest.mark.slow
async def test_three_percent_lost_between_the_nodes_are_repaired_between_the_nodes() -> None:
    async with neighbours() as (a, b), joined(a, b) as wire:
        alice, bob, [camera] = await watching(a, b, "camera")
        wire.loss = 0.03
        sent = await flow(camera, 300)
        wire.loss = 0.0
        await flow(camera, 10, start=300)
        await b.until(lambda: set(sent) <= set(heard(bob, alice)))
        assert wire.lost > 10
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        seqs = sorted({int.from_bytes(data[2:4], "big") for data in bob.packets(ssrc)})
        assert len(seqs) == len(bob.packets(ssrc)), "nothing twice"
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "no gap is left"
        assert len(alice.items(rtcp.KeyFrameWanted)) <= 8
        await a.until(lambda: any(leg.loss > 0 for leg in a.outflow(b).legs.values()) or a.outflow(b).loss >= 0)


async def test_the_clock_of_the_publisher_passes_as_it_is() -> None:
    async with neighbours() as (a, b), joined(a, b):
        alice, bob, [mic, camera] = await watching(a, b, "mic", "camera")
        await flow(camera, 5)
        first(mic)
        assert alice.up is not None
        ntp = 0x1234567890ABCDEF
        for stream in (mic, camera):
            alice.up.send_rtcp(rtcp.sender_report(rtcp.SenderReport(stream.ssrc, ntp, 4_000_000, 1, 1)))
        await b.until(lambda: len(bob.items(rtcp.SenderReport)) == 2)
        assert {(one.ntp, one.rtp) for one in bob.items(rtcp.SenderReport)} == {(ntp, 4_000_000)}


@pytest.mark.slow
async def test_each_layer_crosses_once_and_only_as_long_as_it_is_watched() -> None:
    async with neighbours() as (a, b), joined(a, b):
        alice, bob, layers = await watching(a, b, "camera", rids=("q", "h", "f"))
        carol = b.caller()
        widths = (320, 640, 1280)
        for stream, width in zip(layers, widths, strict=True):
            first(stream, width)
        camera = Track(alice.seat, "camera")
        await carol.sees(alice.seat, "camera")
        await b.until(lambda: all(leg.ready for leg in b.room._seats[carol.seat].legs.values()))

        def layers_sent() -> set[int]:
            return {layer.key for layer in a.outflow(b).legs}

        async def paced(condition: Callable[[], bool]) -> None:
            async with asyncio.timeout(20):
                number = 0
                while not condition():
                    number += 1
                    for stream, width in zip(layers, widths, strict=True):
                        first(stream, width, b"%d" % number)
                    await asyncio.sleep(0.02)

        b.room.want(bob.seat, [Wanted(camera, 320)])
        b.room.want(carol.seat, [Wanted(camera, 1280, pinned=True)])
        await paced(lambda: {0, 2} <= layers_sent())
        lanes = [leg.ssrc for leg in a.outflow(b).legs.values()]
        assert len(lanes) == len(set(lanes)) <= 3, "one copy of a layer, however many watch"
        b.room.want(carol.seat, [Wanted(camera, 320)])
        await paced(lambda: layers_sent() == {0})
        b.room.want(bob.seat, [Wanted(camera, 0)])
        b.room.want(carol.seat, [Wanted(camera, 0)])
        await paced(lambda: layers_sent() == set())
        b.room.want(bob.seat, [Wanted(camera, 320)])
        before = len(heard(bob, alice))
        await paced(lambda: len(heard(bob, alice)) > before + 5)
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        seqs = [int.from_bytes(data[2:4], "big") for data in bob.packets(ssrc)]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "the numbers of Bob's stream go on"


@pytest.mark.slow
async def test_new_keys_while_it_flows_cost_nothing() -> None:
    async with neighbours() as (a, b), joined(a, b) as wire:
        alice, bob, [camera] = await watching(a, b, "camera")
        offers = len(bob.offers)
        sent = await flow(camera, 50)
        old = a.room.pipes._joints[b.nid].going
        [leg] = a.outflow(b).legs.values()
        before = leg.ssrc
        swap(a, b, wire)
        sent += await flow(camera, 50, start=50)
        await a.until(lambda: a.room.pipes._joints[b.nid].going is not old)
        sent += await flow(camera, 50, start=100)
        await b.until(lambda: set(sent) <= set(heard(bob, alice)))
        assert leg.ssrc != before
        assert len(bob.offers) == offers, "no browser noticed"
        assert old is not None
        await a.until(lambda: old.closed and len(a.mux.lanes) == 1 and len(b.mux.lanes) == 1)
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        seqs = sorted(int.from_bytes(data[2:4], "big") for data in bob.packets(ssrc))
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


@pytest.mark.slow
async def test_new_halves_that_never_meet_change_nothing() -> None:
    async with neighbours() as (a, b), joined(a, b):
        alice, bob, [camera] = await watching(a, b, "camera")
        for _ in range(5):
            a.room.pipes.half(b.nid)
            b.room.pipes.half(a.nid)
        stray = pipe.encode(
            pipe.make(os.urandom, icelite.Credentials("stray1", "p" * 24), [sdp.Candidate("127.0.0.1", 9)])
        )
        for _ in range(5):
            a.room.pipes.half(b.nid)
            a.room.pipes.joined(b.nid, stray)
        sent = await flow(camera, 30)
        await b.until(lambda: set(sent) <= set(heard(bob, alice)))
        assert len(a.mux.lanes) <= 4


@pytest.mark.slow
async def test_a_pipe_that_is_cut_heals() -> None:
    async with neighbours() as (a, b), joined(a, b) as wire:
        alice, bob, [mic, camera] = await watching(a, b, "mic", "camera")
        offers = len(bob.offers)
        await flow(camera, 20)
        wire.cut = True
        await flow(camera, 100, start=20)
        assert wire.lost > 100
        wire.cut = False
        asked = len(alice.items(rtcp.KeyFrameWanted))
        sent = await flow(camera, 100, start=120)
        await b.until(lambda: set(sent[-30:]) <= set(heard(bob, alice)))
        assert len(alice.items(rtcp.KeyFrameWanted)) - asked <= 3
        assert len(bob.offers) == offers
        first(mic)
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        seqs = [int.from_bytes(data[2:4], "big") for data in bob.packets(ssrc)]
        assert max(seqs) - min(seqs) < 3 * 240, "no jump that SRTP would refuse"


@pytest.mark.slow
async def test_two_calls_of_the_same_nodes_share_ports_and_nothing_else() -> None:
    async with neighbours() as (a, b), joined(a, b) as wire:
        alice, bob, [camera] = await watching(a, b, "camera")
        rooms = (a.room, b.room)
        for node in (a, b):
            node.room = Room(b"d" * 16, host=node, events=node, fanout=node.fanout)
        try:
            swap(a, b, wire)
            await a.until(lambda: a.reaches(b) and b.reaches(a))
            carol, dave, [other] = await watching(a, b, "camera")
            sent = await flow(other, 20)
            await b.until(lambda: set(sent) <= set(heard(dave, carol)))
        finally:
            for node, room in zip((a, b), rooms, strict=True):
                node.room.end()
                node.room = room
        sent = await flow(camera, 20)
        await b.until(lambda: set(sent) <= set(heard(bob, alice)))


async def test_what_came_over_a_pipe_goes_into_none() -> None:
    async with neighbours("abc") as (a, b, c), joined(a, b), joined(b, c):
        alice, bob, [camera] = await watching(a, b, "camera")
        carol = c.caller()
        b.room.pipes.want(c.nid, [Wanted(Track(alice.seat, "camera"), 640)])
        c.room.pipes.allow(b.nid, [Track(alice.seat, "camera")])
        sent = await flow(camera, 20)
        await b.until(lambda: set(sent) <= set(heard(bob, alice)))
        assert not b.outflow(c).legs
        assert not c.room.pipes.tracks
        assert not carol.tracks


async def test_who_leaves_takes_everything_along() -> None:
    async with neighbours() as (a, b), joined(a, b):
        alice, bob, [_, camera] = await watching(a, b, "mic", "camera")
        a.room.unseat(alice.seat)
        alice.published = ()
        a.tell()
        await b.until(lambda: not b.room.pipes.tracks and not b.room._seats[bob.seat].legs)
        assert not a.outflow(b).legs
        assert not camera.caller.items(rtcp.Bye)
        b.room.pipes.close(a.nid)
        a.room.pipes.close(b.nid)
        a.room.pipes.close(b.nid)
        assert len(a.mux.lanes) == len(b.mux.lanes) == 0
        assert b.room.report().pipes == ()
