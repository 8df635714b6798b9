"""A call between nodes: what their relays say to each other, and what a hostile or broken one does."""

from __future__ import annotations

import pytest

from node.media.proto import canonical
from tests.integration.media.callers import payload_of
from tests.integration.media.neighbours import joined, neighbours

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
