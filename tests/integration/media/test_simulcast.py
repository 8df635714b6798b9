"""Simulcast, temporal layers and last-N between real transports: who gets which layer, and that a stream never shows the change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from node.base import limits
from node.media.proto import rtcp, vp8
from node.services.relay import Track, Wanted
from tests.integration.media.callers import PATIENCE_S, Caller, House, Stream, by_seq, house, payload_of

pytestmark = pytest.mark.slow
RIDS = ("q", "h", "f")
WIDTHS = {"q": 320, "h": 640, "f": 1280}


class Camera:
    """Three layers, each with its own counters, sent a picture at a time."""

    def __init__(self, caller: Caller) -> None:
        self.layers = {rid: caller.stream("camera", ssrc=1000 * (at + 1), rid=rid) for at, rid in enumerate(RIDS)}
        self.pid = {"q": 10, "h": 20_000, "f": 32_760}
        self.base = {"q": 0, "h": 1 << 31, "f": (1 << 32) - 20_000}
        self.number = 0

    def picture(self, rid: str, *, key: bool = False, tid: int = 0, packets: int = 2, sync: bool = False) -> None:
        pid = self.pid[rid] = self.pid[rid] + 1 & 0x7FFF
        width = WIDTHS[rid].to_bytes(2, "little")
        for part in range(packets):
            head = bytes(
                (0x90 if part == 0 else 0x80, 0xE0, 0x80 | pid >> 8, pid & 255, self.number & 255, tid << 6 | sync << 5)
            )
            if part == 0 and key:
                head += b"\x10\x02\x00\x9d\x01\x2a" + width + b"\x68\x01"
            self.layers[rid].send(
                head + b"\x01" + rid.encode() * 150,
                timestamp=self.base[rid] + 3000 * self.number,
                mark=part == packets - 1,
            )

    def frame(self, *, keys: str = "", rids: str = "qhf", tid: int = 0, sync: bool = False) -> None:
        """One picture of each layer."""
        self.number += 1
        for rid in rids:
            self.picture(rid, key=rid in keys, tid=tid, sync=sync)


def rid_of(data: bytes) -> str:
    return chr(payload_of(data)[-1])


class Asked:
    """Which layers were asked for a key frame since the last look."""

    def __init__(self, alice: Caller) -> None:
        self.alice = alice
        self.seen = 0

    def __call__(self) -> str:
        items = self.alice.items(rtcp.KeyFrameWanted)
        new, self.seen = items[self.seen :], len(items)
        return "".join(RIDS[item.ssrc // 1000 - 1] for item in new)


async def run(camera: Camera, asked: Asked, frames: int, **more: object) -> None:
    for _ in range(frames):
        camera.frame(keys=asked(), **more)  # type: ignore[arg-type]
        await asyncio.sleep(0.01)


async def run_until(camera: Camera, asked: Asked, condition: Callable[[], bool], **more: object) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await run(camera, asked, 1, **more)


async def stage(home: House) -> tuple[Caller, Caller, Camera, Asked, int]:
    alice, bob = home.caller(), home.caller()
    await alice.publish("camera", rids=RIDS)
    camera, asked = Camera(alice), Asked(alice)
    camera.frame(keys="qhf")
    ssrc, _ = bob.ssrcs(await bob.sees(alice.seat, "camera"))
    await bob.until(lambda: all(leg.layer or leg.target for leg in home.room._seats[bob.seat].legs.values()))
    home.room._seats[bob.seat].downlink.rate.remb(9_000_000, home.clock.monotonic())
    return alice, bob, camera, asked, ssrc


def want(home: House, who: Caller, whom: Caller, width: int) -> None:
    home.room.want(who.seat, [Wanted(Track(whom.seat, "camera"), width)])


def check(packets: list[bytes]) -> list[str]:
    """That a stream has no gap anywhere; returns the layers it was made of."""
    ordered = list(packets)
    seqs = [int.from_bytes(data[2:4], "big") for data in ordered]
    assert all(len(same) == 1 for same in by_seq(ordered).values()), "a number was used twice"
    assert seqs == [seqs[0] + number & 0xFFFF for number in range(len(seqs))]
    rids: list[str] = []
    last_pid, last_time = None, None
    for data in ordered:
        found = vp8.read(payload_of(data))
        assert found is not None
        timestamp = int.from_bytes(data[4:8], "big")
        if last_pid is not None and last_time is not None:
            assert (found.pid - last_pid) & 0x7FFF in {0, 1}
            assert (timestamp - last_time) & 0xFFFFFFFF < 0x80000000
            assert (found.pid == last_pid) == (timestamp == last_time)
        if not rids or rid_of(data) != rids[-1]:
            assert found.key or found.tid, "a layer is entered at a key frame"
            rids.append(rid_of(data))
        last_pid, last_time = found.pid, timestamp
    return rids


@pytest.mark.parametrize("fast", [True, False])
async def test_a_wider_window_gets_a_higher_layer_at_its_key_frame(fast: bool) -> None:
    async with house(fast=fast) as home:
        alice, bob, camera, asked, ssrc = await stage(home)
        want(home, bob, alice, 320)
        await run_until(camera, asked, lambda: bool(bob.packets(ssrc)) and rid_of(bob.packets(ssrc)[-1]) == "q")
        want(home, bob, alice, 1280)
        await run_until(camera, asked, lambda: bool(bob.packets(ssrc)) and rid_of(bob.packets(ssrc)[-1]) == "f")
        want(home, bob, alice, 100)
        await run_until(camera, asked, lambda: bool(bob.packets(ssrc)) and rid_of(bob.packets(ssrc)[-1]) == "q")
        rids = check(bob.packets(ssrc))
        assert rids[-3:] == ["q", "f", "q"]


async def test_a_repair_after_a_change_of_layer_is_of_the_right_layer() -> None:
    async with house() as home:
        alice, bob, camera, asked, ssrc = await stage(home)
        want(home, bob, alice, 640)
        await run_until(camera, asked, lambda: bool(bob.packets(ssrc)) and rid_of(bob.packets(ssrc)[-1]) == "h")
        want(home, bob, alice, 100)
        await run_until(camera, asked, lambda: bool(bob.packets(ssrc)) and rid_of(bob.packets(ssrc)[-1]) == "q")
        packets = by_seq(bob.packets(ssrc))
        assert bob.down is not None
        lost = sorted(packets)[3::7][:16]
        bob.down.send_rtcp(rtcp.nack(1, ssrc, lost))
        _, repair = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        await bob.until(lambda: len(bob.packets(repair)) == len(lost))
        for again in bob.packets(repair):
            payload = payload_of(again)
            (first,) = packets[int.from_bytes(payload[:2], "big")]
            assert payload[2:] == payload_of(first), "the same picture, the same counters"
            assert again[4:8] == first[4:8]


async def test_upper_temporal_layers_are_left_out_without_a_trace_and_come_back() -> None:
    async with house() as home:
        alice, bob, camera, asked, ssrc = await stage(home)
        want(home, bob, alice, 320)
        await run_until(camera, asked, lambda: len(bob.packets(ssrc)) > 30, rids="q")
        leg = next(iter(home.room._seats[bob.seat].legs.values()))
        pattern = [(0, False), (2, True), (1, True), (2, False)]

        async def play(rounds: int) -> None:
            for _ in range(rounds):
                for tid, sync in pattern:
                    keys = asked()
                    camera.frame(keys=keys, rids="q", tid=0 if keys else tid, sync=sync)
                    await asyncio.sleep(0.002)

        await play(4)
        await bob.until(lambda: len(bob.packets(ssrc)) >= 2 * 30)
        layer = leg.layer
        assert layer is not None
        assert layer.temporal == 2
        rate = home.room._seats[bob.seat].downlink.rate
        async with asyncio.timeout(PATIENCE_S):
            while leg.cap:  # less fits than the whole layer
                rate.remb(max(layer.bps * 2 // 3, 2 * limits.AUDIO_ONLY_BPS), home.clock.monotonic())
                home.room.ready(bob.seat)
                await play(4)
        before = len(bob.packets(ssrc))
        await play(8)
        thin = bob.packets(ssrc)[before:]
        assert {found.tid for data in thin[4:] if (found := vp8.read(payload_of(data)))} == {0}
        async with asyncio.timeout(PATIENCE_S):
            while {found.tid for data in bob.packets(ssrc)[-16:] if (found := vp8.read(payload_of(data)))} != {0, 1, 2}:
                rate.remb(9_000_000, home.clock.monotonic())
                await play(8)
        assert check(bob.packets(ssrc)) == ["q"]


async def test_a_layer_that_stops_is_replaced_by_one_that_lives() -> None:
    async with house() as home:
        alice, bob, camera, asked, ssrc = await stage(home)
        want(home, bob, alice, 640)
        await run_until(camera, asked, lambda: bool(bob.packets(ssrc)) and rid_of(bob.packets(ssrc)[-1]) == "h")
        async with asyncio.timeout(limits.LAYER_LOST_S + 8):
            while rid_of(bob.packets(ssrc)[-1]) != "q":
                await run(camera, asked, 5, rids="q")
        check(bob.packets(ssrc))


async def test_a_stream_that_comes_under_another_ssrc_goes_on() -> None:
    async with house() as home:
        alice, bob = home.caller(), home.caller()
        await alice.publish("camera")
        first = alice.stream("camera", ssrc=1000)
        camera = Camera.__new__(Camera)
        camera.layers, camera.pid, camera.base, camera.number = {"q": first}, {"q": 5}, {"q": 7}, 0
        asked = Asked(alice)
        camera.frame(keys="q", rids="q")
        ssrc, _ = bob.ssrcs(await bob.sees(alice.seat, "camera"))
        await bob.until(lambda: all(leg.layer or leg.target for leg in home.room._seats[bob.seat].legs.values()))
        await run_until(camera, asked, lambda: len(bob.packets(ssrc)) > 10, rids="q")
        second: Stream = alice.stream("camera", ssrc=1500)
        camera.layers["q"], camera.pid["q"], camera.base["q"] = second, 900, 55_555
        await run(camera, asked, 10, rids="q")
        camera.frame(keys="q", rids="q")
        count = len(bob.packets(ssrc))
        await run_until(camera, asked, lambda: len(bob.packets(ssrc)) > count + 10, rids="q")
        check(bob.packets(ssrc))
        uplink = home.room._seats[alice.seat].uplink
        assert set(uplink._layers) == {1500}


def said(caller: Caller) -> dict[str, int]:
    """What the caller need not send, as it was told last."""
    return {} if caller.quality is None else dict(caller.quality.layers)


async def test_layers_nobody_looks_at_need_not_be_sent_until_somebody_does() -> None:
    async with house() as home:
        alice, bob, camera, asked, ssrc = await stage(home)
        want(home, bob, alice, 320)
        await run_until(camera, asked, lambda: said(alice) == {"camera": 1})
        count = len(bob.packets(ssrc))
        await run(camera, asked, 250, rids="q")  # alice sends one layer only; the others are taken for gone
        assert {rid_of(data) for data in bob.packets(ssrc)[count:]} == {"q"}
        want(home, bob, alice, 1280)
        await run_until(camera, asked, lambda: not said(alice), rids="q")
        asked()
        camera.frame(keys="qhf")
        await run_until(camera, asked, lambda: rid_of(bob.packets(ssrc)[-1]) == "f")
        want(home, bob, alice, 0)
        await run_until(camera, asked, lambda: said(alice) == {"camera": 0})
        count = len(bob.packets(ssrc))
        await run(camera, asked, 10)
        assert len(bob.packets(ssrc)) == count
        check(bob.packets(ssrc))
