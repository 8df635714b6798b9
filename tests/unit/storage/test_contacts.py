"""How people here and elsewhere stand with each other."""

from __future__ import annotations

from pathlib import Path

from node.base.ids import NodeId, make_user
from node.runtime.clock import ManualClock
from node.storage import contacts
from node.storage.contacts import ContactState
from node.storage.database import Database, Tx

BOB = make_user("bob", NodeId(bytes(32)))


async def test_how_two_stand_is_one_row(tmp_path: Path) -> None:
    db = Database(path=tmp_path / "startalk.db", clock=ManualClock())

    def write(tx: Tx) -> None:
        tx.execute("INSERT INTO users (id, user) VALUES (7, 'alice'), (8, ?)", (BOB,))
        tx.execute(
            "INSERT INTO accounts (id, local, skeleton, role, password, created_ms) VALUES (7, 'a', 'a', 'user', '', 1)"
        )
        assert contacts.standing(tx, 7, 8) is None
        for state in ContactState:
            contacts.put(tx, 7, 8, state, at_ms=1)
            found = contacts.find(tx, 7, BOB)
            assert found is not None
            assert contacts.standing(tx, 7, 8) is found.state is state
        contacts.remove(tx, 7, 8)
        assert contacts.standing(tx, 7, 8) is None

    await db.write(write)
    await db.close()
