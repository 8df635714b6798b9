"""People have one number each."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.base.ids import NodeId, make_user
from node.runtime.clock import ManualClock
from node.storage import users as users_module
from node.storage.database import Database, Tx
from node.storage.users import Users

ALICE, BOB = (make_user(name, NodeId(bytes(32))) for name in ("alice", "bob"))


async def test_a_number_is_given_once_and_kept(tmp_path: Path) -> None:
    db = Database(path=tmp_path / "startalk.db", clock=ManualClock())
    users = Users(db)
    first = await db.write(lambda tx: (users.pk(tx, ALICE), users.pk(tx, BOB), users.pk(tx, ALICE)))
    assert first[0] == first[2] != first[1]
    again = Users(db)
    assert await db.write(lambda tx: again.pk(tx, BOB)) == first[1]
    assert db.view(lambda tx: users.find(tx, BOB)) == first[1]
    assert db.view(lambda tx: users.names(tx, {ALICE})) == {}
    await db.close()


async def test_a_number_that_was_undone_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users_module, "CACHE_MAX", 1)
    db = Database(path=tmp_path / "startalk.db", clock=ManualClock())
    users = Users(db)

    def fail(tx: Tx) -> None:
        users.pk(tx, ALICE)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.write(fail)
    assert db.view(lambda tx: users.find(tx, ALICE)) is None
    numbers = await db.write(lambda tx: [users.pk(tx, user) for user in (BOB, ALICE, BOB)])
    assert numbers == [1, 2, 1]
    await db.close()
