"""A hub from an old backup waits for a majority of its other nodes, and adopts only what leads to a head of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from node import main
from node.base.errors import Code, Rejected
from node.base.ids import DeviceId, NodeId, RoomId, make_user
from node.core import content, hub
from node.core import room as rules
from node.core.hub import Head
from node.core.roles import Role
from node.core.room import Member, Room
from node.main.inside import Services
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.restoring import Restoring
from node.storage import database
from node.storage.peers import Peer
from node.storage.rooms import RoomRow
from node.wire import envelope, exchange
from node.wire.exchange import Entry, RangePage, RoomHead

SALT = bytes(16)
OTHERS = [NodeId(bytes([n]) * 32) for n in (1, 2, 3)]


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Services]:
    services = main.open_services(
        Config(data=str(tmp_path / "node"), password_cost="small"),
        clock=ManualClock(),
        entropy=SeededEntropy("restored"),
    )
    yield services
    await services.close()


class Follower:
    """Answers ``log.range`` with what it kept. Implements what `Restoring` needs of `PeerLinks`."""

    def __init__(self, *pages: RangePage) -> None:
        self.pages = list(pages)

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        assert method == exchange.LOG_RANGE
        return exchange.encode_item(self.pages.pop(0) if self.pages else RangePage((), 0))


async def room_with_others(node: Services, number: int = 3) -> RoomRow:
    """A chat of this hub with a member on each of `number` other nodes; a direct one, which needs no first entry."""
    own = make_user("alice", node.identity.nid)
    members = {own: Member(Role.OWNER, 1, 0)} | {
        make_user("bob", nid): Member(Role.MEMBER, 1, 0) for nid in OTHERS[:number]
    }
    room_id = RoomId(bytes(range(32)))
    return await node.db.write(
        lambda tx: node.rooms.insert(tx, room_id, node.identity.nid, Room(kind=rules.DIRECT, members=members))
    )


def restoring(node: Services) -> Restoring:
    return Restoring(
        db=node.db, marker=marker(node), rooms=node.rooms, replicas=node.exchange.steps.replicas, own=node.identity
    )


def marker(node: Services) -> Path:
    return node.config.folder / database.RESTORED


def peer(nid: NodeId) -> Peer:
    return Peer(1, nid, b"", 1, 0)


def said(node: Services, row: RoomRow, number: int) -> tuple[list[Entry], Head]:
    """`number` entries of Alice after the head of the room, and the head they lead to."""
    head, entries = row.head, []
    for n in range(number):
        body = content.encode_body(content.Text(text=f"{n}"))
        event = envelope.make_event(
            room=row.room, author=make_user("alice", node.identity.nid), device=DeviceId(bytes(16)), nid=node.identity.nid,
            incarnation=1, author_seq=n + 1, kind="text", body_hash=hub.body_hash(SALT, body),
        )  # fmt: skip
        head = hub.append(row.room, head, envelope.event_id(event), 5)
        entries.append(Entry(row.room, head.epoch, head.idx, 5, head.hash, event, None, SALT, body))
    return entries, head


async def test_an_ordinary_node_waits_for_nobody(node: Services) -> None:
    row = await room_with_others(node)
    made = restoring(node)
    made.check(row)
    assert made.waiting == 0


async def test_a_room_opens_once_a_majority_has_no_more(node: Services) -> None:
    row = await room_with_others(node)
    marker(node).touch()
    made = restoring(node)
    head = RoomHead(row.room, 1, 0, bytes(32))
    for nid in (OTHERS[0], OTHERS[0], NodeId(b"x" * 32)):  # one of them, twice, and somebody else
        made.compared(peer(nid), [head])
        with pytest.raises(Rejected) as refused:
            made.check(row)
        assert refused.value.code is Code.READ_ONLY
    made.compared(peer(OTHERS[1]), [RoomHead(row.room, 1, 7, bytes(32))])  # this one has more
    assert made.waiting == 1
    assert marker(node).exists()
    made.compared(peer(OTHERS[2]), [head])
    made.check(row)
    assert not marker(node).exists()


async def test_a_room_without_others_goes_on_at_once(node: Services) -> None:
    row = await room_with_others(node, 0)
    marker(node).touch()
    restoring(node).check(row)
    assert not marker(node).exists()


async def test_what_leads_to_an_own_head_is_adopted(node: Services) -> None:
    row = await room_with_others(node, 1)
    marker(node).touch()
    made = restoring(node)
    entries, head = said(node, row, 5)
    made.links = Follower(RangePage(tuple(entries[:2]), 5), RangePage(tuple(entries[2:]), 5))  # type: ignore[assignment]
    made.shown(peer(OTHERS[0]), row.room, head)
    await made.adopt(peer(OTHERS[0]))
    assert row.head == head
    made.check(row)


@pytest.mark.parametrize("lie", ["another head", "a gap", "nothing", "less", "another room"])
async def test_what_does_not_lead_there_is_left(node: Services, lie: str) -> None:
    row = await room_with_others(node, 1)
    entries, head = said(node, row, 5)
    pages = {
        "another head": entries,
        "a gap": entries[1:],
        "nothing": [],
        "less": entries[:3],
        "another room": [exchange.decode_room_item(exchange.encode_item(one)) for one in entries],
    }[lie]
    room = RoomId(b"y" * 32) if lie == "another room" else row.room
    made = restoring(node)
    made.links = Follower(RangePage(tuple(pages), 5))  # type: ignore[arg-type, assignment]
    made.shown(peer(OTHERS[0]), room, Head(1, 5, bytes(32)) if lie == "another head" else head)
    await made.adopt(peer(OTHERS[0]))
    assert row.head.idx == 0


async def test_a_copy_that_was_shown_a_later_state_will_ask(node: Services) -> None:
    restoring(node).suspect("old")
    assert marker(node).exists()
