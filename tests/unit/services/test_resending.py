"""What a hub received and never answered is sent again: not at once, not while anything is on its way, and ever more rarely."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from node import main
from node.base import limits
from node.base.ids import ClientId, DeviceId, EventId, NodeId, RoomId, make_user
from node.core import content, hub
from node.main.inside import Services
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.resending import RARE, Resending
from node.storage import pending
from node.storage.database import Tx
from node.storage.peers import Peer
from node.wire import envelope, exchange

HUB, OTHER = NodeId(b"h" * 32), NodeId(b"o" * 32)
SALT = bytes(hub.SALT_BYTES)
ROOM = RoomId(b"r" * 32)


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Services]:
    services = main.open_services(
        Config(data=str(tmp_path / "node"), password_cost="small"), clock=ManualClock(), entropy=SeededEntropy("resent")
    )
    yield services
    await services.close()


class Desk:
    """One node with posts that wait for `HUB`."""

    def __init__(self, node: Services) -> None:
        self.node = node
        steps = node.exchange.steps
        self.made = Resending(
            db=node.db, outbox=node.outbox, followers=steps.followers, signer=steps.forwarding._signer
        )
        self.pk = 0

    async def settle(self, *numbers: int) -> None:
        """Posts that were sent and acknowledged, so they are in no outbox."""

        def write(tx: Tx) -> None:
            self.pk = self.node.peers.ensure(tx, HUB, 1).pk
            user = make_user("alice", self.node.identity.nid)
            author_pk = self.node.users.pk(tx, user)
            for number in numbers:
                body = content.encode_body(content.Text(text=f"{number}"))
                event = envelope.make_event(
                    room=ROOM, author=user, device=DeviceId(bytes(16)), nid=self.node.identity.nid, incarnation=1,
                    author_seq=number, kind="text", body_hash=hub.body_hash(SALT, body),
                )  # fmt: skip
                new = pending.NewPending(
                    event_id=envelope.event_id(event), hub=HUB, room=ROOM, author=user, author_pk=author_pk, author_seq=number,
                    device_pk=1, client_id=ClientId(bytes([number]) * 16), kind="text", event=event, salt=SALT, body=body,
                    token=b"", at_ms=number,
                )  # fmt: skip
                pending.put(tx, new)

        await self.node.db.write(write)

    async def look(self, nid: NodeId = HUB) -> list[str]:
        """Texts that this look sends."""
        peer = Peer(self.pk if nid == HUB else 99, nid, b"", 1, 0)
        before = self.node.db.view(lambda tx: self.node.outbox.waiting(tx, peer.pk))
        await self.made.refresh()
        await self.made.look(peer)
        rows = self.node.db.view(lambda tx: self.node.outbox.page(tx, peer.pk, 0, 100))[before:]
        sent = []
        for row in rows:
            item = exchange.decode_room_item(row.body)
            assert isinstance(item, exchange.Submit)
            body = content.decode_body("text", item.body)
            assert isinstance(body, content.Text)
            sent.append(body.text)
        return sent

    async def acknowledged(self) -> None:
        await self.node.db.write(lambda tx: self.node.outbox.delete(tx, self.pk, 10**9))

    async def answered(self, number: int) -> None:
        def write(tx: Tx) -> None:
            [post] = [post for post in pending.unsent(tx) if envelope.decode_event(post.event).author_seq == number]
            pending.take(tx, EventId(envelope.event_id(post.event)))

        await self.node.db.write(write)


async def test_two_looks_in_a_row(node: Services) -> None:
    desk = Desk(node)
    await desk.settle(1, 2)
    assert await desk.look() == []
    await desk.settle(3)  # it came after the first look and has its time
    assert await desk.look() == ["1", "2"]
    assert await desk.look() == [], "it is on its way"
    assert await desk.look(OTHER) == []


async def test_what_was_answered_is_left(node: Services) -> None:
    desk = Desk(node)
    await desk.settle(1, 2)
    await desk.look()
    await desk.answered(1)
    assert await desk.look() == ["2"]
    await desk.acknowledged()
    await desk.answered(2)
    assert [await desk.look() for _ in range(4)] == [[]] * 4
    assert not desk.made._missing


async def test_ever_more_rarely(node: Services) -> None:
    desk = Desk(node)
    await desk.settle(1)
    sent = []
    for number in range(1, 2 * RARE + 1):
        if await desk.look():
            sent.append(number)
        await desk.acknowledged()
    assert sent == [2, 4, 8, 16, 32, RARE, 2 * RARE]


async def test_so_many_at_once(node: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESENT_AT_ONCE", 2)
    desk = Desk(node)
    await desk.settle(1, 2, 3)
    await desk.look()
    assert await desk.look() == ["1", "2"]
    await desk.acknowledged()
    await desk.answered(1)
    await desk.answered(2)
    await desk.look()
    assert await desk.look() == ["3"]


async def test_what_is_answered_between_the_looks_and_the_write_is_left(node: Services) -> None:
    desk = Desk(node)
    await desk.settle(1, 2)
    await desk.look()
    await desk.made.refresh()
    await desk.answered(1)
    await desk.made.look(Peer(desk.pk, HUB, b"", 1, 0))
    assert node.db.view(lambda tx: node.outbox.waiting(tx, desk.pk)) == 1


async def test_a_new_link_begins_anew(node: Services) -> None:
    desk = Desk(node)
    await desk.settle(1)
    await desk.look()
    desk.made.forget(HUB)
    assert await desk.look() == []
    assert await desk.look() == ["1"]
