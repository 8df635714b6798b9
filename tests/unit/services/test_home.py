"""The home's side of calls without sockets: how it asks a focus elsewhere, and whose word it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, make_user
from node.core import content
from node.core.roles import Role
from node.core.room import Member
from node.services.seats import may_tell
from node.services.settings import Change
from node.storage.database import Tx
from node.storage.peers import Peer
from node.storage.rooms import RoomRow
from node.wire import calling, focus
from node.wire.address import Place
from node.wire.focus import CallNow, InvitedNow, SeatNow
from tests.unit.services.witness import Witness
from tests.unit.storage.ledger import Ledger

HUB, LIAR = NodeId(b"h" * 32), NodeId(b"l" * 32)
ZOE, LEN = make_user("zoe", HUB), make_user("len", LIAR)
CALL, SEAT = b"c" * 16, b"s" * 8


class Deaf:
    """Links on which nothing is heard, to the nodes `reached`. Implements `services.ports.PeerLinks`."""

    def __init__(self) -> None:
        self.whispered: list[tuple[NodeId, str]] = []
        self.woken: list[NodeId] = []
        self.reached: set[NodeId] = set()

    def wake(self, nid: NodeId) -> None:
        self.woken.append(nid)

    def whisper(self, nid: NodeId, topic: str, body: bytes) -> bool:
        self.whispered.append((nid, topic))
        return True

    def linked(self, nid: NodeId) -> bool:
        return nid in self.reached

    async def reach(
        self, nid: NodeId | None, *, domain: str = "", places: Sequence[Place] = (), admit: bool = False
    ) -> NodeId:
        never: asyncio.Future[NodeId] = asyncio.get_running_loop().create_future()
        return await never

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        raise AssertionError("there is no link")


class Stage:
    """A group of Alice and Bob here that a node elsewhere orders, and Bob's device."""

    def __init__(self, ledger: Ledger, row: RoomRow) -> None:
        services = ledger.services
        self.ledger, self.row = ledger, row
        self.alice, self.bob = ledger.user("alice"), ledger.user("bob")
        self.phone = Witness(ledger.actors["bob"])
        services.feed.attach(self.phone, [row.pk])
        self.calls = services.calls
        self.links = Deaf()
        self.calls.connect(self.links)

    def told(self, now: CallNow, teller: NodeId = HUB) -> None:
        self.calls._home.heard(teller, now)

    def heard(self, kind: type[calling.Ring | calling.CallRoster | calling.CallOver]) -> list[object]:
        return [frame for frame in self.phone.frames if isinstance(frame, kind)]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    ledger = await Ledger.open(tmp_path)
    room = (await ledger.post("alice", b"", content.Create(name="Garden"), guests=("bob",))).room
    await ledger.post("bob", room, content.Join())

    def move(tx: Tx) -> RoomRow:
        row = ledger.services.rooms.load(tx, RoomId(room))
        assert row is not None
        members = {**row.state.members, ZOE: Member(Role.OWNER, 1, 0), LEN: Member(Role.MEMBER, 1, 0)}
        ledger.services.rooms.set_state(tx, row, replace(row.state, members=members), row.head.idx)
        row.hub = HUB
        return row

    row = await ledger.services.db.write(move)
    yield Stage(ledger, row)
    await ledger.close()


def now(stage: Stage, version: int = 1, *, state: str = "invited", **more: object) -> CallNow:
    invited = (InvitedNow(stage.bob, state, 1_000),)
    call = CallNow(CALL, stage.row.room, version, "audio", ZOE, 1_000, 0, (SeatNow(SEAT, ZOE, "connecting"),), invited)
    return replace(call, **more)


async def test_only_the_hub_tells_of_a_group_and_only_of_members(stage: Stage) -> None:
    row = stage.row
    assert may_tell(row, HUB, now(stage), known=False)
    assert not may_tell(row, LIAR, now(stage), known=False)
    assert not may_tell(row, LIAR, now(stage, by=LEN), known=False), "in a group the starter's node is nobody special"
    assert not may_tell(row, HUB, now(stage, by=make_user("stranger", HUB)), known=False)
    assert not may_tell(row, HUB, now(stage, seats=(SeatNow(SEAT, make_user("stranger", HUB), "live"),)), known=False)
    stage.links.reached.add(HUB)
    stage.told(now(stage, by=LEN), teller=LIAR)
    assert not stage.phone.frames


async def test_a_lost_word_is_healed_by_the_next(stage: Stage) -> None:
    stage.told(now(stage, 5, state="ringing"))
    assert len(stage.heard(calling.Ring)) == 1
    stage.told(now(stage, 4, state="declined"))
    stage.told(now(stage, 5, state="ringing"))
    assert len(stage.heard(calling.Ring)) == 1
    assert not stage.heard(calling.CallOver)
    stage.told(now(stage, 9, invited=(), result="cancelled", seats=()))
    (over,) = stage.heard(calling.CallOver)
    assert isinstance(over, calling.CallOver)
    assert over.reason == "cancelled"
    assert not stage.calls.known
    stage.told(now(stage, 10, result="cancelled"))
    assert not stage.calls.known, "one that is over does not begin"


async def test_a_call_that_nobody_says_anything_of_is_forgotten(stage: Stage) -> None:
    stage.told(now(stage))
    stage.ledger.clock.advance(seconds=limits.CALL_FORGOTTEN_S)
    stage.calls.tick()
    assert len(stage.calls.known) == 1
    stage.ledger.clock.advance(seconds=1)
    stage.calls.tick()
    assert not stage.calls.known


async def test_a_crowd_outside_of_a_call_sees_its_changes_less_often(stage: Stage) -> None:
    crowd = [Witness(stage.ledger.actors["alice"]) for _ in range(2 * limits.CALL_BYSTANDERS)]
    for one in crowd:
        stage.ledger.services.feed.attach(one, [stage.row.pk])
    for version in range(1, 101):
        stage.told(now(stage, version))
        stage.ledger.clock.advance(seconds=limits.CALL_TELL_EVERY_S)
        stage.calls.tick()
    seen = [frame for frame in crowd[0].frames if isinstance(frame, calling.CallRoster)]
    bound_s = (len(crowd) + 1) / limits.CALL_BYSTANDERS_PER_S
    assert len(seen) <= 100 * limits.CALL_TELL_EVERY_S / bound_s + 1
    stage.ledger.clock.advance(seconds=bound_s)
    stage.calls.tick()
    assert [frame for frame in crowd[0].frames if isinstance(frame, calling.CallRoster)][-1].version == 100


@pytest.mark.slow
async def test_a_focus_that_cannot_be_reached_is_not_waited_for_long(stage: Stage) -> None:
    """Five seconds (`CALL_REACH_S`): a person looks at the screen meanwhile."""
    assert limits.CALL_REACH_S < limits.CALL_UNREACHABLE_S
    ask = focus.AskStart(CALL, stage.row.room, stage.bob, SEAT, 1, "audio", ())
    with pytest.raises(TimeoutError):
        await stage.calls._home.ask(HUB, ask)


async def test_another_node_asks_so_often_and_no_more(stage: Stage) -> None:
    await stage.ledger.services.settings.change(Change(rates={"call_asks_per_s": limits.CALL_ASKS_PER_S}), actor="test")
    peer = Peer(1, HUB, b"", 1, 0)
    codes = []
    for _ in range(limits.CALL_ASKS_PER_S + 1):
        with pytest.raises(Rejected) as refusal:
            await stage.calls.serve(peer, focus.PIPE, focus.encode_said(focus.PipeHalf(CALL)))
        codes.append(refusal.value.code)
    assert codes == [Code.NOT_FOUND] * limits.CALL_ASKS_PER_S + [Code.RATE_LIMITED]


def test_a_seat_has_so_many_tracks() -> None:
    sources = ("mic",) * (limits.CALL_TRACKS_MAX + 1)
    seat = SeatNow(SEAT, ZOE, "live", sources=sources)
    said = focus.SeatsNow(CALL, bytes(32), 1, 1, (seat,), (), "audio", ZOE, 1)
    with pytest.raises(Rejected) as refusal:
        focus.decode_seats(focus.encode_said(said))
    assert refusal.value.code is Code.BAD_REQUEST
