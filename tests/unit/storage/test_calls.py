"""Calls whose end is not in the log yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from node.base.ids import EventId, RoomId
from node.storage import calls
from node.storage.calls import OpenCall
from node.storage.database import Tx
from tests.unit.storage.ledger import Ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    made = await Ledger.open(tmp_path)
    yield made
    await made.close()


async def test_a_call_is_open_until_its_end_is_posted(ledger: Ledger) -> None:
    actor, db = ledger.actors["alice"], ledger.services.db
    one = OpenCall(
        call=b"a" * 16, room=RoomId(bytes(32)), event=EventId(bytes(32)), account=actor.user_pk, device=actor.device_pk, media="audio"
    )  # fmt: skip
    two = replace(one, call=b"b" * 16, media="video")

    def write(tx: Tx) -> None:
        for call in (two, one, one):
            calls.put(tx, call)

    await db.write(write)
    assert db.view(calls.unfinished) == [one, two]
    assert db.view(lambda tx: calls.find(tx, b"b" * 16)) == two
    await db.write(lambda tx: calls.drop(tx, b"a" * 16))
    assert db.view(calls.unfinished) == [two]
    assert db.view(lambda tx: calls.find(tx, b"a" * 16)) is None
