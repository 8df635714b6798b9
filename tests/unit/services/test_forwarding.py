"""Posts to a hub elsewhere: how many may wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, make_user
from node.core import content
from node.storage import contacts, pending
from node.storage.contacts import ContactState
from node.storage.database import Tx
from tests.unit.storage.ledger import Ledger

HUB = NodeId(bytes(32))  # smaller than any other, so it orders every direct chat it takes part in


async def test_so_many_posts_wait_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What got its place makes room again, and a batch that was undone takes none."""
    monkeypatch.setattr(limits, "PENDING_MAX", 3)
    ledger = await Ledger.open(tmp_path)
    services, alice, zoe = ledger.services, ledger.actors["alice"], make_user("zoe", HUB)

    def meet(tx: Tx) -> bytes:
        services.peers.ensure(tx, HUB, 1, known=True)
        contacts.put(tx, alice.user_pk, services.users.pk(tx, zoe), ContactState.CONTACT, at_ms=1)
        return services.rooms.insert_direct(tx, alice.user, zoe).room

    def fail(tx: Tx) -> None:
        posts = [ledger.command(room, content.Text(text="undone")) for _ in range(2)]
        for post in posts:
            services.posting.post_in(tx, alice, post)
        raise ZeroDivisionError

    room = await services.db.write(meet)
    with pytest.raises(ZeroDivisionError):
        await services.db.write(fail)
    for _ in range(3):
        assert (await ledger.post("alice", room, content.Text(text="hello"))).idx == 0
    with pytest.raises(Rejected) as refused:
        await ledger.post("alice", room, content.Text(text="one more"))
    assert refused.value.code is Code.LIMIT_REACHED
    seq = services.db.view(lambda tx: tx.one("SELECT min(author_seq) FROM pending"))
    assert seq is not None
    assert await services.db.write(lambda tx: pending.ordered(tx, alice.user_pk, seq[0])) is not None
    assert (await ledger.post("alice", room, content.Text(text="there is room"))).idx == 0
    await ledger.close()
