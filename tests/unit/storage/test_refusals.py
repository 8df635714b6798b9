"""A no is remembered: for its own post only, within bounds, and not for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from node.base import limits
from node.base.ids import NodeId, UserId, make_user
from node.runtime.clock import ManualClock
from node.storage import refusals
from node.storage.database import Database
from node.storage.peers import PeerStore
from node.storage.refusals import Refusal

FAR, OTHER = NodeId(b"f" * 32), NodeId(b"o" * 32)
BOB, EVE = make_user("bob", FAR), make_user("eve", FAR)
NO = Refusal("muted", "Not now.")


class Book:
    def __init__(self, db: Database) -> None:
        self.db = db

    async def peer(self, nid: NodeId) -> int:
        return (await self.db.write(lambda tx: PeerStore().ensure(tx, nid, 1))).pk

    async def put(self, pk: int, seq: int, no: Refusal = NO, at_ms: int = 1, author: UserId = BOB) -> None:
        await self.db.write(lambda tx: refusals.put(tx, pk, author, seq, no, at_ms))

    def find(self, pk: int, seq: int, author: UserId = BOB) -> Refusal | None:
        return self.db.view(lambda tx: refusals.find(tx, pk, author, seq))


@pytest_asyncio.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    db = Database(path=tmp_path / "startalk.db", clock=ManualClock())
    yield Book(db)
    await db.close()


async def test_the_first_answer_to_a_post_stays(book: Book) -> None:
    pk, other = await book.peer(FAR), await book.peer(OTHER)
    assert book.find(pk, 7) is None
    assert not book.db.view(lambda tx: refusals.has_any(tx, pk))
    await book.put(pk, 7)
    assert [book.db.view(lambda tx, one=one: refusals.has_any(tx, one)) for one in (pk, other)] == [True, False]  # type: ignore[misc]
    await book.put(pk, 7, Refusal("not_member", "Later."))
    assert book.find(pk, 7) == NO
    assert book.find(pk, 8) is book.find(other, 7) is book.find(pk, 7, EVE) is None


async def test_the_newest_of_each_peer_are_kept(book: Book) -> None:
    pk, other = await book.peer(FAR), await book.peer(OTHER)
    await book.put(other, 1)
    for seq in range(limits.REFUSALS_PER_PEER_MAX + 1):
        book.db.submit(lambda tx, seq=seq: refusals.put(tx, pk, BOB, seq, NO, 1), lambda *_: None)  # type: ignore[misc]
    await book.put(pk, 10**6)
    assert book.find(pk, 1) is None
    assert book.find(pk, 2) == book.find(pk, 10**6) == book.find(other, 1) == NO


async def test_a_no_is_forgotten_when_nobody_can_send_it_again(book: Book) -> None:
    pk, other = await book.peer(FAR), await book.peer(OTHER)
    await book.put(pk, 1)
    await book.put(other, 1, at_ms=limits.REFUSAL_LIFE_S * 1000 + 1)
    assert book.find(pk, 1) == NO
    await book.put(other, 2, at_ms=limits.REFUSAL_LIFE_S * 1000 + 2)
    assert book.find(pk, 1) is None
    assert limits.REFUSAL_LIFE_S >= limits.OUTBOX_AGE_S_MAX


async def test_a_stranger_that_leaves_takes_it_along(book: Book) -> None:
    pk = (await book.db.write(lambda tx: PeerStore().ensure(tx, FAR, 1, known=False))).pk
    await book.put(pk, 1)
    await book.db.write(lambda tx: PeerStore().forget_stranger(tx, pk))
    assert book.db.view(lambda tx: tx.all("SELECT * FROM refusals")) == []
