"""A room between real transports: who gets what, in which numbers, and what becomes of it when somebody goes."""

from __future__ import annotations

import pytest

from node.media.proto import canonical, rtcp, rtp
from tests.integration.media.callers import by_seq, house, payload_of

KEY = b"\x90\xe0\x81\x00\x07\x20\x10\x02\x00\x9d\x01\x2a\x80\x02\x68\x01"
DELTA = b"\x90\xe0\x81\x01\x07\x20\x11\x02\x00"


@pytest.mark.parametrize("fast", [True, False])
async def test_voice_and_picture_reach_the_other_in_canonical_numbers(fast: bool) -> None:
    async with house(fast=fast) as home:
        alice, bob = home.caller(), home.caller()
        await alice.publish("mic", "camera")
        mic, camera = alice.stream("mic", ssrc=100), alice.stream("camera", ssrc=200)
        mic.send(b"a0", level=30)
        camera.send(KEY + b"0", mark=True)
        voice, picture = await bob.sees(alice.seat, "mic"), await bob.sees(alice.seat, "camera")
        ssrc, (vssrc, _) = bob.ssrcs(voice)[0], bob.ssrcs(picture)
        await bob.until(lambda: all(leg.ready for leg in home.room._seats[bob.seat].legs.values()))
        assert alice.published == ("mic", "camera")
        sent = []
        for number in range(40):
            mic.send(b"a%d" % number, timestamp=960 * number, level=30)
            sent.append((KEY if number == 0 else DELTA) + b"%d" % number)
            camera.send(sent[-1], timestamp=3000 * number, mark=True, extra=bytes((13 << 4, 3)))
        await bob.until(lambda: len(bob.packets(ssrc)) >= 40 and len(bob.packets(vssrc)) >= 40)
        packets = bob.packets(vssrc)
        assert [payload_of(data) for data in packets] == sent
        seqs = [int.from_bytes(data[2:4], "big") for data in packets]
        assert seqs == [seqs[0] + number & 0xFFFF for number in range(40)]
        assert {data[1] for data in packets} == {0x80 | canonical.VP8}
        assert {data[1] for data in bob.packets(ssrc)} == {canonical.OPUS}
        where = rtp.layout(packets[0], len(packets[0]))
        assert where is not None
        ids = {number: number for number in range(1, 15)}
        found = rtp.scan(packets[0], where, ids)
        assert (found.mid, found.copied) == (picture.encode(), bytes((canonical.ORIENTATION << 4, 3, 0, 0)))
        assert [number for number, _, _ in rtp.elements(packets[0], where)] == [4, 3, canonical.ORIENTATION]
        assert alice.packets(ssrc) == [], "nobody gets his own"


async def test_a_lost_packet_is_sent_again_on_its_own_stream() -> None:
    async with house() as home:
        alice, bob = home.caller(), home.caller()
        await alice.publish("camera")
        camera = alice.stream("camera", ssrc=200)
        camera.send(KEY)
        ssrc, repair = bob.ssrcs(await bob.sees(alice.seat, "camera"))
        await bob.until(lambda: home.room._seats[bob.seat].downlink.on)
        await bob.until(lambda: all(leg.ready for leg in home.room._seats[bob.seat].legs.values()))
        for number in range(10):
            camera.send((DELTA if number else KEY) + b"%d" % number, timestamp=number * 3000)
        await bob.until(lambda: len(bob.packets(ssrc)) == 10)
        lost = int.from_bytes(bob.packets(ssrc)[4][2:4], "big")
        assert bob.down is not None
        bob.down.send_rtcp(rtcp.nack(1, ssrc, [lost]))
        await bob.until(lambda: bool(bob.packets(repair)))
        again = bob.packets(repair)[0]
        assert again[1] & 0x7F == canonical.RTX[canonical.VP8]
        assert payload_of(again) == lost.to_bytes(2, "big") + DELTA + b"4"
        assert again[4:8] == by_seq(bob.packets(ssrc))[lost][0][4:8]


async def test_what_is_lost_on_the_way_to_the_node_is_asked_for_and_comes_late() -> None:
    async with house() as home:
        alice, bob = home.caller(), home.caller()
        await alice.publish("camera")
        camera = alice.stream("camera", ssrc=200)
        camera.send(KEY)
        ssrc, _ = bob.ssrcs(await bob.sees(alice.seat, "camera"))
        await bob.until(lambda: all(leg.ready for leg in home.room._seats[bob.seat].legs.values()))
        camera.send(KEY)
        lost = camera.seq
        camera.packet(DELTA + b"lost")
        camera.send(DELTA + b"after")
        await alice.until(lambda: rtcp.Nack(200, (lost,)) in alice.items(rtcp.Nack))
        camera.repeat(lost)
        await bob.until(lambda: len(bob.packets(ssrc)) == 3)
        payloads = [payload_of(data) for seq, (data,) in sorted(by_seq(bob.packets(ssrc)).items())]
        assert payloads == [KEY, DELTA + b"lost", DELTA + b"after"]
        camera.repeat(lost)
        camera.send(DELTA)
        await bob.until(lambda: len(bob.packets(ssrc)) == 4)
