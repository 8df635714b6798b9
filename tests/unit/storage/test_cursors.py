"""A cursor moves only from where it is."""

from __future__ import annotations

from pathlib import Path

from node.base.ids import NodeId
from node.runtime.clock import ManualClock
from node.storage.cursors import Cursors, Heard
from node.storage.database import Database
from node.storage.peers import PeerStore


async def test_of_two_writers_one_wins(tmp_path: Path) -> None:
    db, cursors = Database(path=tmp_path / "startalk.db", clock=ManualClock()), Cursors()
    pk = (await db.write(lambda tx: PeerStore().ensure(tx, NodeId(bytes(32)), 1))).pk
    assert db.view(lambda tx: cursors.heard(tx, pk)) == Heard()
    await db.write(lambda tx: cursors.begin(tx, pk, b"run-one.", 5))
    assert await db.write(lambda tx: cursors.advance(tx, pk, b"run-one.", before=0, last=3))
    assert not await db.write(lambda tx: cursors.advance(tx, pk, b"run-one.", before=0, last=3))
    assert not await db.write(lambda tx: cursors.advance(tx, pk, b"run-two.", before=3, last=4))
    assert db.view(lambda tx: cursors.heard(tx, pk)) == Heard(b"run-one.", 3, 5)
    await db.write(lambda tx: cursors.begin(tx, pk, b"run-two.", 6))
    assert db.view(lambda tx: cursors.heard(tx, pk)) == Heard(b"run-two.", 0, 6)
    db.abandon()
