"""Invitations in the database: what is live, and that only hashes are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from node.core.account import NodeRole
from node.runtime.clock import ManualClock
from node.storage.database import Database, Tx
from node.storage.invites import ACCOUNT, RESET, ROOM, InviteStore, NewInvite

STORE = InviteStore()


@pytest_asyncio.fixture
async def db(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    opened = Database(path=tmp_path / "startalk.db", clock=clock)
    yield opened
    await opened.close()


def new(name: str, kind: str = ACCOUNT, **more: int) -> NewInvite:
    return NewInvite(kind=kind, token_hash=name.encode(), **more)  # type: ignore[arg-type]  # numbers only in these tests


async def test_what_is_live(db: Database) -> None:
    def write(tx: Tx) -> list[int]:
        ever = STORE.insert(tx, new("ever"), 0)
        later = STORE.insert(tx, new("later", expires_ms=1_001), 0)
        STORE.insert(tx, new("past", expires_ms=1_000), 0)
        spent = STORE.insert(tx, new("spent", uses_max=2), 0)
        STORE.spend(tx, spent.id)
        STORE.spend(tx, spent.id)
        revoked = STORE.insert(tx, new("revoked"), 0)
        STORE.revoke(tx, revoked.id, 500)
        STORE.insert(tx, new("other kind", ROOM, room=3), 0)
        return [later.id, ever.id]

    expected = await db.write(write)
    assert [row.id for row in db.view(lambda tx: STORE.live(tx, ACCOUNT, 1_000))] == expected
    assert db.view(lambda tx: STORE.count_live(tx, ACCOUNT, 1_000)) == 2
    assert [row.room for row in db.view(lambda tx: STORE.live(tx, ROOM, 1_000, room=3))] == [3]
    assert db.view(lambda tx: STORE.live(tx, ROOM, 1_000, room=4)) == []


async def test_revoking_by_role_and_by_account(db: Database) -> None:
    def write(tx: Tx) -> None:
        STORE.insert(tx, NewInvite(kind=ACCOUNT, token_hash=b"owner", role=NodeRole.OWNER), 0)
        STORE.insert(tx, new("user"), 0)
        STORE.insert(tx, new("reset 1", RESET, account=1), 0)
        STORE.insert(tx, new("reset 2", RESET, account=2), 0)
        STORE.revoke_role(tx, NodeRole.OWNER, 5)
        STORE.revoke_resets(tx, 1, 5)

    await db.write(write)
    found = db.view(lambda tx: [STORE.find(tx, name) for name in (b"owner", b"user", b"reset 1", b"reset 2")])
    assert [row.revoked_ms for row in found if row is not None] == [5, 0, 5, 0]


async def test_a_second_revocation_keeps_the_first_time(db: Database) -> None:
    def write(tx: Tx) -> int:
        row = STORE.insert(tx, new("twice"), 0)
        STORE.revoke(tx, row.id, 5)
        STORE.revoke(tx, row.id, 9)
        return row.id

    number = await db.write(write)
    found = db.view(lambda tx: STORE.by_id(tx, number))
    assert found is not None
    assert found.revoked_ms == 5
