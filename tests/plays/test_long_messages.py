"""The longest messages there may be: no frame grows with how many there are."""

from __future__ import annotations

import asyncio

import pytest

from node.base import limits
from node.client import Client
from node.client import connection as wire
from node.core import content
from node.wire import c2s
from node.wire.codec import Decoder
from tests.cast import Node, hears

LONG = "好" * limits.TEXT_CHARS_MAX  # 60,000 bytes
SLACK = 70 * 1024  # one more entry than fits, and names


@pytest.mark.slow
async def test_lists_and_pages_of_the_longest_messages_come_in_frames_a_device_accepts(
    node: Node, alice: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict: Decoder[c2s.NodeFrame] = Decoder(c2s.NodeFrame, size_bytes_max=limits.FRAME_BYTES_MAX + SLACK)
    monkeypatch.setattr(wire, "_decode", strict)  # from here on every client in this play is that strict
    groups = [await alice.create_group(f"group {n}") for n in range(8)]
    posted = await asyncio.gather(*(alice.say(room, LONG) for room in groups))
    await asyncio.gather(*(alice.edit(item.room, item.event_id, LONG) for item in posted))  # type: ignore[arg-type]
    phone = await node.device(alice, "phone")
    assert phone.rooms.keys() == set(groups)

    direct = await alice.open_direct(bob.user)
    said = await asyncio.gather(*(alice.say(direct, f"{n}") for n in range(8)))
    await asyncio.gather(*(alice.post(direct, content.Edit(target=item.event_id, text=LONG)) for item in said))
    await hears(bob, direct, *[LONG] * 8)
    fresh = await node.device(bob, "fresh")
    idx, more, pages = 9, True, 0
    while more:  # the messages only, not their edits
        entries, more = await fresh.history(direct, idx, limit=200)
        idx, pages = entries[0].idx, pages + 1
    assert pages > 1
    assert fresh.rooms[direct].texts() == [LONG] * 8
    upwards, more = await fresh.history(direct, 1, back=False, limit=200)
    assert (upwards[0].idx, more) == (1, True)
