"""A room between real transports: who gets what, in which numbers, and what becomes of it when somebody goes."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from node.base import limits
from node.base.errors import Rejected
from node.media.proto import canonical, rtcp, rtp
from tests.integration.media.callers import MID, PATIENCE_S, Caller, House, Stream, by_seq, house, payload_of

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
        await ready(home, bob)
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
        await ready(home, bob)
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
        await ready(home, bob)
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


async def both(home: House, *sources: str) -> tuple[Caller, Caller]:
    """Two callers, of whom the first sends `sources` and the second gets them."""
    alice, bob = home.caller(), home.caller()
    await alice.publish(*sources)
    for number, source in enumerate(sources):
        stream = alice.stream(source, ssrc=100 * (number + 1))
        stream.send(KEY if stream.video else b"a")
        await bob.sees(alice.seat, source)
    await ready(home, bob)
    return alice, bob


async def ready(home: House, *callers: Caller) -> None:
    places = [home.room._seats[caller.seat] for caller in callers]
    await callers[0].until(
        lambda: all(
            place.downlink.on and all(leg.layer or leg.target for leg in place.legs.values()) for place in places
        )
    )


def following(alice: Caller, source: str, number: int) -> Stream:
    stream = alice.stream(source, ssrc=100 * number)
    stream.seq = 65_501
    return stream


async def test_a_muted_microphone_is_silent_and_its_numbers_go_on() -> None:
    async with house() as home:
        alice, bob = await both(home, "mic")
        mic = following(alice, "mic", 1)
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "mic"))
        for number in range(5):
            mic.send(b"a%d" % number, level=30)
        await bob.until(lambda: len(bob.packets(ssrc)) == 5)
        home.room.mute(alice.seat, on=True)
        for _ in range(300):
            mic.send(b"never", level=30)
        await asyncio.sleep(0.05)
        home.room.mute(alice.seat, on=False)
        await asyncio.sleep(0.05)
        for number in range(5, 10):
            mic.send(b"a%d" % number, level=30)
        await bob.until(lambda: len(bob.packets(ssrc)) >= 10)
        assert [payload_of(data) for data in bob.packets(ssrc)] == [b"a%d" % number for number in range(10)]
        seqs = [int.from_bytes(data[2:4], "big") for data in bob.packets(ssrc)]
        assert seqs == [seqs[0] + number & 0xFFFF for number in range(10)]


async def test_eight_viewers_who_all_ask_make_one_request() -> None:
    async with house() as home:
        alice = home.caller()
        await alice.publish("camera")
        camera = alice.stream("camera", ssrc=200)
        viewers = [home.caller() for _ in range(8)]
        camera.send(KEY)
        for viewer in viewers:
            await viewer.sees(alice.seat, "camera")
        await ready(home, *viewers)
        camera.send(KEY)
        begun = home.clock.monotonic()
        asked = len(alice.items(rtcp.KeyFrameWanted))
        for _ in range(20):
            for viewer in viewers:
                assert viewer.down is not None
                ssrc, _ = viewer.ssrcs(viewer.mid_of(alice.seat, "camera"))
                viewer.down.send_rtcp(rtcp.pli(1, ssrc))
            await asyncio.sleep(0.05)
        sent = len(alice.items(rtcp.KeyFrameWanted)) - asked
        assert 1 <= sent <= (home.clock.monotonic() - begun) / limits.KEY_FRAME_GAP_S + 1
        assert {item.ssrc for item in alice.items(rtcp.KeyFrameWanted)} == {200}


async def test_sender_reports_are_told_in_the_numbers_of_the_leg() -> None:
    async with house() as home:
        alice, bob = await both(home, "mic", "camera")
        mic, camera = following(alice, "mic", 1), following(alice, "camera", 2)
        assert alice.up is not None
        for number in range(4):
            mic.send(b"voice", timestamp=960 * number)
            camera.send(KEY, timestamp=3000 * number)
        voice, picture = (bob.ssrcs(bob.mid_of(alice.seat, source))[0] for source in ("mic", "camera"))
        await bob.until(lambda: len(bob.packets(voice)) == 4 and len(bob.packets(picture)) == 4)
        ntp = 0xE900_0000_1234_5678
        reports = [rtcp.SenderReport(100, ntp, 2880, 5, 99), rtcp.SenderReport(200, ntp, 9000, 5, 99)]
        for report in reports:
            alice.up.send_rtcp(rtcp.sender_report(report))
        await bob.until(lambda: len(bob.items(rtcp.SenderReport)) >= 2)
        assert rtcp.SenderReport(voice, ntp, 2880, 4, 20) in bob.items(rtcp.SenderReport)
        assert rtcp.SenderReport(picture, ntp, 9000, 4, 4 * len(KEY)) in bob.items(rtcp.SenderReport)
        assert bob.down is not None
        block = rtcp.Block(picture, 25, 1, 0, 9, ntp >> 16 & 0xFFFFFFFF, 0)
        bob.down.send_rtcp(rtcp.receiver_report(1, [block]))
        leg = home.room._seats[bob.seat].downlink.legs[picture]
        await bob.until(lambda: leg.loss > 0.09)
        rtt = home.room._seats[bob.seat].down.rtt_s
        assert rtt is not None
        assert 0 <= rtt < 5


async def test_the_sender_is_told_what_came_and_what_would_fit() -> None:
    async with house() as home:
        alice, _ = await both(home, "camera")
        camera = following(alice, "camera", 1)
        for number in range(100):
            camera.packet(DELTA) if number % 10 == 5 else camera.send(DELTA + bytes(500), timestamp=900 * number)
            await asyncio.sleep(0.002)
        await alice.until(lambda: any(block.lost for item in alice.items(rtcp.Blocks) for block in item.blocks))
        await alice.until(lambda: bool(alice.items(rtcp.Remb)))
        (block,) = alice.items(rtcp.Blocks)[-1].blocks
        assert block.ssrc == 100
        assert limits.REMB_BPS_MIN <= alice.items(rtcp.Remb)[-1].bitrate <= limits.REMB_BPS_MAX


async def test_the_sender_is_told_to_send_no_more_than_the_admin_allows() -> None:
    async with house() as home:
        alice, _ = await both(home, "camera")
        home.room._seats[alice.seat].uplink.bound(100_000)
        camera = following(alice, "camera", 1)
        for _ in range(2):
            seen = len(alice.items(rtcp.Remb))
            for number in range(20):
                camera.send(DELTA + bytes(500), timestamp=900 * number)
                await asyncio.sleep(0.002)
            await alice.until(lambda seen=seen: len(alice.items(rtcp.Remb)) > seen)  # type: ignore[misc]
        assert alice.items(rtcp.Remb)[-1].bitrate <= 100_000


async def test_who_leaves_is_gone_everywhere_and_his_line_is_used_again() -> None:
    async with house() as home:
        alice, bob = await both(home, "camera")
        carol = home.caller()
        mid = bob.mid_of(alice.seat, "camera")
        before = bob.ssrcs(mid)
        home.room.unseat(alice.seat)
        assert not home.room._seats[bob.seat].legs
        await bob.until(lambda: not bob.tracks)
        await carol.publish("camera")
        carol.stream("camera", ssrc=900).send(KEY)
        assert await bob.sees(carol.seat, "camera") == mid
        assert bob.ssrcs(mid) != before
        await ready(home, bob)
        carol.stream("camera", ssrc=900)
        stream = following(carol, "camera", 9)
        for _ in range(3):
            stream.send(KEY)
        await bob.until(lambda: len(bob.packets(bob.ssrcs(mid)[0])) >= 2)


async def test_a_track_that_is_offered_no_longer_ends() -> None:
    async with house() as home:
        alice, bob = await both(home, "mic", "camera")
        alice.sources = {"0": "mic"}
        await alice.publish("mic")
        assert alice.published == ("mic",)
        await bob.until(lambda: {track.source for track in bob.tracks.values()} == {"mic"})
        alice.stream("mic", ssrc=100)
        mic = following(alice, "mic", 1)
        mic.send(b"still here")
        await bob.until(lambda: bool(bob.packets(bob.ssrcs(bob.mid_of(alice.seat, "mic"))[0])))


async def test_sixteen_streams_of_one_device_are_known_and_no_more() -> None:
    async with house() as home:
        alice = home.caller()
        await alice.publish("mic")
        for number in range(40):
            alice.stream("mic", ssrc=1 + number).send(b"x")
        uplink = home.room._seats[alice.seat].uplink
        await alice.until(lambda: uplink.dropped.get("ssrc", 0) == 40 - limits.MEDIA_SSRCS_MAX)
        assert len(uplink._layers) <= limits.MEDIA_SSRCS_MAX
        assert len(uplink.tracks) == 1


@pytest.mark.parametrize("fast", [True, False])
async def test_anything_an_authenticated_device_says_is_survived(fast: bool) -> None:
    """Random RTP and RTCP, and valid packets with flipped bytes, through real SRTP; the call goes on."""
    async with house(fast=fast) as home:
        alice, bob = await both(home, "mic", "camera")
        camera = following(alice, "camera", 2)
        dice = random.Random(7)
        assert alice.up is not None
        assert bob.down is not None
        good = camera.packet(KEY, extra=bytes((13 << 4, 3)))
        report = (
            rtcp.sender_report(rtcp.SenderReport(200, 1, 2, 3, 4)) + rtcp.remb(1, 99_999, [1, 2]) + rtcp.fir(1, 200, 3)
        )
        for number in range(1200):
            broken = bytearray(good)
            for _ in range(dice.randrange(1, 6)):
                broken[dice.randrange(12, len(broken))] = dice.randrange(256)
            broken[0] = 0x80 | dice.randrange(64)
            broken[1] = dice.choice((120, 124, 109, dice.randrange(64)))
            broken[2:4] = dice.randbytes(2)
            broken[8:12] = dice.choice((b"\0\0\0\xc8", b"\0\0\0\xc9", b"\0\0\0\x64", dice.randbytes(4)))
            cut = dice.randrange(12, len(broken) + 1)
            # libsrtp itself refuses headers that leave the packet
            with suppress(AssertionError):
                alice.up.send_rtp(bytes(broken[:cut]))
            noise = bytearray(dice.choice((report, dice.randbytes(40))))
            noise[dice.randrange(len(noise))] = dice.randrange(256)
            noise[1] = 200 + dice.randrange(8)
            with suppress(AssertionError):
                dice.choice((alice.up, bob.down)).send_rtcp(bytes(noise))
            if number % 100 == 0:
                await asyncio.sleep(0.03)
        await asyncio.sleep(1.1)  # the allowance of packets is renewed
        assert not home.mux.dropped.get("fault")
        uplink = home.room._seats[alice.seat].uplink
        assert len(uplink._layers) + len(uplink._repairs) <= limits.MEDIA_SSRCS_MAX
        carol = home.caller()
        await carol.publish("mic")
        mic = carol.stream("mic", ssrc=5)
        mic.send(b"hello")
        ssrc, _ = bob.ssrcs(await bob.sees(carol.seat, "mic"))
        await ready(home, bob)
        mic.send(b"still here")
        await bob.until(lambda: b"still here" in map(payload_of, bob.packets(ssrc)))


async def test_a_payload_that_nobody_here_can_read_passes_untouched() -> None:
    """Whatever a sealed frame looks like: it comes byte for byte, also again after a loss."""
    async with house() as home:
        alice, bob = await both(home, "camera")
        camera = following(alice, "camera", 1)
        dice = random.Random(3)
        sent = [KEY, *(b"\x50" + dice.randbytes(dice.randrange(0, 1180)) for _ in range(60)), b"", b"\x90"]
        for number, payload in enumerate(sent):
            camera.send(payload, timestamp=3000 * number)
        ssrc, repair = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        await bob.until(lambda: len(bob.packets(ssrc)) == len(sent))
        assert [payload_of(data) for data in bob.packets(ssrc)] == sent
        seqs = [int.from_bytes(data[2:4], "big") for data in bob.packets(ssrc)]
        assert bob.down is not None
        bob.down.send_rtcp(rtcp.nack(1, ssrc, seqs[10:20]))
        await bob.until(lambda: len(bob.packets(repair)) == 10)
        assert sorted(payload_of(data)[2:] for data in bob.packets(repair)) == sorted(sent[10:20])


async def test_an_extension_longer_than_a_short_element_comes_in_the_long_form() -> None:
    """A dependency descriptor that carries its structure: such a packet takes two-byte elements (RFC 8285 section 4.3)."""
    async with house() as home:
        alice, bob = home.caller(), home.caller()
        await alice.publish("camera")
        line = home.room._seats[alice.seat].uplink.lines["0"]
        line.ids[12] = canonical.DEPENDENCY_DESCRIPTOR
        camera = alice.stream("camera", ssrc=100)
        camera.send(KEY)
        await bob.sees(alice.seat, "camera")
        await ready(home, bob)
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        camera.send(KEY)
        structure = bytes(range(40))
        block = bytes((MID, 1)) + b"0" + bytes((12, len(structure))) + structure
        head = bytes((0x90, 120)) + camera.seq.to_bytes(2, "big") + bytes(4) + (100).to_bytes(4, "big")
        block += bytes(-len(block) % 4)
        assert alice.up is not None
        alice.up.send_rtp(head + b"\x10\x00" + (len(block) // 4).to_bytes(2, "big") + block + KEY)
        camera.seq = camera.seq + 1 & 0xFFFF
        camera.send(DELTA)
        await bob.until(lambda: len(bob.packets(ssrc)) == 3)
        first, long, last = bob.packets(ssrc)
        seqs = [int.from_bytes(data[2:4], "big") for data in (first, long, last)]
        assert seqs == [seqs[0] + number & 0xFFFF for number in range(3)]
        where = rtp.layout(long, len(long))
        assert where is not None
        assert where.profile == rtp.TWO_BYTE
        found = rtp.scan(long, where, {number: number for number in range(1, 15)})
        assert found.mid == bob.mid_of(alice.seat, "camera").encode()
        assert found.copied == bytes((canonical.DEPENDENCY_DESCRIPTOR, 40)) + structure + bytes(2)
        assert payload_of(long) == KEY


async def test_who_loses_his_connection_is_sent_nothing_and_goes_on_where_he_was() -> None:
    async with house() as home:
        alice, bob = await both(home, "mic")
        mic = following(alice, "mic", 1)
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "mic"))
        mic.send(b"one")
        await bob.until(lambda: len(bob.packets(ssrc)) == 1)
        place = home.room._seats[bob.seat]
        place.downlink.connected(False)
        for _ in range(100):
            mic.send(b"never")
        await alice.until(lambda: place.legs[next(iter(place.legs))].layer is None)
        await asyncio.sleep(0.05)
        place.downlink.connected(True)
        await ready(home, bob)
        mic.send(b"two")
        await bob.until(lambda: len(bob.packets(ssrc)) == 2)
        seqs = [int.from_bytes(data[2:4], "big") for data in bob.packets(ssrc)]
        assert seqs[1] == seqs[0] + 1 & 0xFFFF


async def test_an_answer_to_an_older_offer_is_ignored() -> None:
    async with house() as home:
        alice, bob = home.caller(), home.caller()
        bob.answers = False
        await alice.publish("camera")
        await bob.until(lambda: bob.version == 1)
        first = bob.offers[-1]
        alice.stream("camera", ssrc=100).send(KEY)
        place = home.room._seats[bob.seat]
        bob.answer(1, first)
        await bob.until(lambda: bob.version == 2)
        bob.answer(1, first)
        assert not any(leg.ready for leg in place.legs.values())
        bob.answer(2, bob.offers[-1])
        assert all(leg.ready for leg in place.legs.values())
        home.room.answer(bob.seat, 2, "v=0\r\n")
        assert all(leg.ready for leg in place.legs.values())


async def test_what_is_asked_of_a_seat_that_is_not_there_is_refused_or_ignored() -> None:
    async with house() as home:
        for ask in (
            lambda: home.room.offer(b"nobody..", "", {}),
            lambda: home.room.answer(b"nobody..", 1, ""),
        ):
            with pytest.raises(Rejected, match="no such seat"):
                ask()
        home.room.restart(b"nobody..")
        home.room.want(b"nobody..", [])
        home.room.mute(b"nobody..", on=True)
        home.room.unseat(b"nobody..")
        assert home.room.report().seats == ()


async def test_a_camera_that_comes_back_is_asked_for_a_key_frame_until_it_has_one() -> None:
    async with house() as home:
        alice, bob = await both(home, "camera")
        camera = following(alice, "camera", 1)
        await asyncio.sleep(1.2)  # nothing comes: what was asked for in vain is forgotten
        before = len(alice.items(rtcp.KeyFrameWanted))
        assert before <= 3
        async with asyncio.timeout(PATIENCE_S):
            while len(alice.items(rtcp.KeyFrameWanted)) < before + 4:
                camera.send(DELTA)
                await asyncio.sleep(0.01)
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        assert bob.packets(ssrc) == []
        camera.send(KEY)
        await bob.until(lambda: len(bob.packets(ssrc)) == 1)


async def test_repairs_are_rationed() -> None:
    """Once a round trip for a packet, RESENDS_PER_S for a device: who asks for everything again and again gets no flood."""
    async with house() as home:
        alice, bob = await both(home, "camera")
        camera = following(alice, "camera", 1)
        for number in range(limits.NACK_SEQS_MAX):
            camera.send(KEY if number == 0 else DELTA, timestamp=3000 * number)
            if number % 50 == 0:
                await asyncio.sleep(0.01)
        ssrc, _ = bob.ssrcs(bob.mid_of(alice.seat, "camera"))
        await bob.until(lambda: len(bob.packets(ssrc)) == limits.NACK_SEQS_MAX)
        place = home.room._seats[bob.seat]
        leg = place.downlink.legs[ssrc]
        begun = leg.repair_seq
        assert bob.down is not None
        first = int.from_bytes(bob.packets(ssrc)[0][2:4], "big")
        everything = rtcp.nack(1, ssrc, [first + number & 0xFFFF for number in range(limits.NACK_SEQS_MAX)])
        place.down.rtt_s = 100.0
        bob.down.send_rtcp(everything)
        bob.down.send_rtcp(everything)
        await bob.until(lambda: leg.repair_seq - begun & 0xFFFF == limits.NACK_SEQS_MAX)
        place.down.rtt_s = 0.0
        for _ in range(2 * limits.RESENDS_PER_S // limits.NACK_SEQS_MAX + 1):
            bob.down.send_rtcp(everything)
            await asyncio.sleep(0.01)
        await bob.until(lambda: bool(place.downlink.dropped.get("resends")))
        assert leg.repair_seq - begun & 0xFFFF <= 2 * limits.RESENDS_PER_S + limits.NACK_SEQS_MAX
        again = rtcp.nack(1, ssrc, [first - 1 & 0xFFFF, first + 5000 & 0xFFFF])
        bob.down.send_rtcp(again + rtcp.nack(1, 0xDEAD, [1]) + rtcp.pli(1, 0xDEAD))
        await bob.until(lambda: place.downlink.dropped.get("ssrc") == 2)
