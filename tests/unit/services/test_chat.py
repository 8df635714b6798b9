"""Posting, feed, sync, receipts, access and presence together, on a real database, without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import ClientId, RoomId, make_user
from node.core import content
from node.runtime.net import ws_frame
from node.services.access import RoomAccess, access_room
from node.services.feed import Chunk
from node.services.post import Post
from node.services.settings import RATES, Change
from node.wire import c2s
from tests.unit.services.witness import Witness
from tests.unit.storage.ledger import Ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    made = await Ledger.open(tmp_path)
    yield made
    await made.close()


async def garden(ledger: Ledger, *guests: str) -> RoomId:
    room = (await ledger.post("alice", b"", content.Create(name="Garden"), guests=guests)).room
    for guest in guests:
        await ledger.post(guest, room, content.Join())
    return room


def witness(ledger: Ledger, name: str) -> Witness:
    """A device of `name` that is online."""
    made = Witness(ledger.actors[name])
    ledger.services.feed.attach(made, [pk for pk, _ in ledger.services.sync.rooms_of(made.actor)])
    return made


def access(ledger: Ledger, name: str, room: RoomId) -> RoomAccess:
    services = ledger.services
    return services.db.view(lambda tx: access_room(tx, services.rooms, ledger.actors[name], room))


async def refusal(ledger: Ledger, name: str, post: Post) -> Code:
    with pytest.raises(Rejected) as refused:
        await ledger.services.posting.post(ledger.actors[name], post)
    return refused.value.code


# --- posting --------------------------------------------------------------------------------------------------


async def test_who_is_outside_does_not_learn_that_a_room_exists(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    hello = content.Text(text="hello")
    assert await refusal(ledger, "carol", ledger.command(room, hello)) is Code.NOT_FOUND
    assert await refusal(ledger, "carol", ledger.command(bytes(32), hello)) is Code.NOT_FOUND
    assert await refusal(ledger, "carol", ledger.command(room, content.Join(via="link"))) is Code.INVITE_INVALID
    await ledger.post("alice", room, content.Kick(user=ledger.user("bob")))
    assert await refusal(ledger, "bob", ledger.command(room, hello)) is Code.NOT_MEMBER


async def test_who_does_not_exist_on_this_node_is_not_invited(ledger: Ledger) -> None:
    room = await garden(ledger)
    stranger = make_user("zoe", ledger.services.identity.nid)
    for body in (content.Invite(user=stranger), content.Ban(user=stranger)):
        assert await refusal(ledger, "alice", ledger.command(room, body)) is Code.NOT_FOUND
    post = Post(b"", ClientId(bytes(16)), "create", content.encode_body(content.Create(name="x")), (stranger,))
    assert await refusal(ledger, "alice", post) is Code.NOT_FOUND
    odd = Post(b"", ClientId(bytes(16)), "create", content.encode_body(content.Create(name="x")), ("nobody",))
    assert await refusal(ledger, "alice", odd) is Code.BAD_REQUEST


async def test_a_room_is_created_without_an_id(ledger: Ledger) -> None:
    room = await garden(ledger)
    assert await refusal(ledger, "alice", ledger.command(room, content.Create(name="x"))) is Code.BAD_REQUEST


async def test_too_many_rooms(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await garden(ledger)
    monkeypatch.setattr(limits, "ROOMS_PER_USER_MAX", 1)
    assert await refusal(ledger, "alice", ledger.command(b"", content.Create(name="x"))) is Code.LIMIT_REACHED


async def test_a_bad_body_is_refused_at_the_door(ledger: Ledger) -> None:
    room = await garden(ledger)
    assert await refusal(ledger, "alice", Post(room, ClientId(bytes(16)), "text", b"\xc1")) is Code.BAD_REQUEST


async def test_rates_are_live_settings(ledger: Ledger) -> None:
    room = await garden(ledger)
    await ledger.services.settings.change(
        Change(rates={"posts_per_room_per_s": 1, "posts_per_room_burst": 2}), actor="test"
    )
    for _ in range(2):
        await ledger.post("alice", room, content.Text(text="x"))
    assert await refusal(ledger, "alice", ledger.command(room, content.Text(text="x"))) is Code.RATE_LIMITED
    ledger.clock.advance(seconds=1)
    await ledger.post("alice", room, content.Text(text="x"))
    await ledger.services.settings.change(
        Change(rates={"rooms_created_per_h": RATES["rooms_created_per_h"]}), actor="test"
    )
    for _ in range(RATES["rooms_created_per_h"]):
        await ledger.post("bob", b"", content.Create(name="x"))
    assert await refusal(ledger, "bob", ledger.command(b"", content.Create(name="x"))) is Code.RATE_LIMITED


# --- feed -----------------------------------------------------------------------------------------------------


async def test_an_entry_reaches_the_followers_of_its_room_and_nobody_else(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    alice, bob, carol = (witness(ledger, name) for name in ("alice", "bob", "carol"))
    await ledger.post("alice", room, content.Text(text="x"))
    assert alice.entries == bob.entries == [4]
    assert carol.heard == []


async def test_joining_and_leaving_make_a_device_read_for_itself(ledger: Ledger) -> None:
    room = await garden(ledger)
    bob = witness(ledger, "bob")
    await ledger.post("alice", room, content.Invite(user=ledger.user("bob")))
    assert bob.heard == ["card"]
    await ledger.post("bob", room, content.Join())
    assert bob.heard[1:3] == ["card", "catch up"]
    bob.heard.clear()
    await ledger.post("alice", room, content.Kick(user=ledger.user("bob")))
    assert bob.heard == ["card", "catch up"]
    await ledger.post("alice", room, content.Text(text="he is gone"))
    assert bob.heard == ["card", "catch up"]


async def test_the_same_bytes_go_to_every_socket(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    seen: list[bytes] = []

    class Listener(Witness):
        def deliver(self, chunks: list[Chunk]) -> None:
            seen.append(chunks[0].frame(ws_frame))

    for name in ("alice", "bob"):
        ledger.services.feed.attach(Listener(ledger.actors[name]), [1])
    await ledger.post("alice", room, content.Text(text="x"))
    assert seen[0] is seen[1]


# --- sync -----------------------------------------------------------------------------------------------------


async def test_pages_and_live_are_the_same_entries(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    for number in range(10):
        await ledger.post("alice", room, content.Text(text=f"{number}"))
    sync, bob = ledger.services.sync, ledger.actors["bob"]
    cursor, found = 0, []
    while True:
        page = sync.page(bob, cursor, 3)
        found += [c2s.decode_entry(bytes(raw)).idx for raw in page.entries]
        cursor = page.end
        if page.complete:
            break
        assert len(page.entries) <= 3
    assert found == list(range(3, 14)), "from joining on"
    assert cursor == sync.head()


async def test_a_page_fits_into_a_frame(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    for _ in range(6):
        await ledger.post("alice", room, content.Text(text="字" * 20_000))
    page = ledger.services.sync.page(ledger.actors["bob"], 0, 60)
    assert 1 < len(page.entries) < 6
    assert not page.complete
    assert len(c2s.encode_frame(c2s.Entries(page.entries))) <= limits.FRAME_BYTES_MAX
    history = ledger.services.sync.history(access(ledger, "bob", room), 0, 60, back=True)
    assert len(c2s.encode_frame(c2s.Entries(history.entries))) <= limits.FRAME_BYTES_MAX
    assert history.more


async def test_an_invited_person_sees_the_card_and_no_word(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    await ledger.post("alice", room, content.Text(text="secret"))
    await ledger.post("bob", room, content.Invite(user=ledger.user("carol")))
    sync, carol = ledger.services.sync, ledger.actors["carol"]
    card = sync.card(carol, room)
    assert card is not None
    assert (card.state, card.invited_by, card.members) == ("invited", ledger.user("bob"), 2)
    assert b"secret" not in c2s.encode_frame(c2s.RoomChanged(card))
    assert sync.page(carol, 0, 60).entries == ()
    with pytest.raises(Rejected):
        access(ledger, "carol", room)
    stranger = sync.card(ledger.actors["dave"], room)
    assert stranger is not None
    assert (stranger.state, stranger.name, stranger.topic, stranger.members) == ("left", "", "", 0)
    assert sync.card(carol, RoomId(bytes(32))) is None


# --- receipts -------------------------------------------------------------------------------------------------


async def test_marks_only_grow_and_reach_the_others(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    said = await ledger.post("alice", room, content.Text(text="x"))
    alice, receipts = witness(ledger, "alice"), ledger.services.receipts
    await receipts.read_now(access(ledger, "bob", room), 999)
    (frame,) = (frame for frame in alice.frames if isinstance(frame, c2s.Receipts))
    (receipt,) = frame.receipts
    assert (receipt.user, receipt.read_idx, receipt.delivered_idx) == (ledger.user("bob"), said.idx, said.idx)
    head = ledger.services.sync.head()
    await receipts.read_now(access(ledger, "bob", room), 1)
    assert ledger.services.sync.head() == head, "a mark that does not move is no news"
    card = ledger.services.sync.card(ledger.actors["bob"], room)
    assert card is not None
    assert (card.read_idx, card.unread) == (said.idx, 0)


async def test_receipts_that_were_missed_come_with_the_next_page(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    cursor = ledger.services.sync.head()
    await ledger.post("alice", room, content.Text(text="x"))
    await ledger.services.receipts.read_now(access(ledger, "bob", room), 4)
    page = ledger.services.sync.page(ledger.actors["alice"], cursor, 60)
    assert [(receipt.user, receipt.read_idx) for receipt in page.receipts] == [(ledger.user("bob"), 4)]


async def test_a_refused_write_is_told_to_who_waits(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    ledger.services.db._final, ledger.services.db.trouble = True, "The disk is gone."
    with pytest.raises(Rejected) as refused:
        await ledger.services.receipts.read_now(access(ledger, "bob", room), 3)
    assert refused.value.code is Code.READ_ONLY
    ledger.services.db._final, ledger.services.db.trouble = False, ""


# --- presence -------------------------------------------------------------------------------------------------


def states(made: Witness) -> list[tuple[str, str]]:
    found = [
        (frame.user.partition("@")[0], frame.state) for frame in made.frames if isinstance(frame, c2s.PresenceSignal)
    ]
    made.frames.clear()
    return found


async def test_who_is_there(ledger: Ledger) -> None:
    await garden(ledger, "bob")
    presence, feed = ledger.services.presence, ledger.services.feed
    alice, phone, laptop = (witness(ledger, name) for name in ("alice", "bob", "bob"))
    presence.came(phone, [1], first=True)
    assert (states(alice), states(phone)) == ([("bob", "online")], [("alice", "online")])
    presence.came(laptop, [1], first=False)
    presence.say(phone, [1], "away")
    assert states(alice) == [], "one device is still there"
    presence.say(laptop, [1], "away")
    assert states(alice) == [("bob", "away")]
    assert not feed.detach(phone, [1])
    presence.went(phone, [1], last=False)
    assert feed.detach(laptop, [1])
    presence.went(laptop, [1], last=True)
    assert states(alice) == [("bob", "offline")]
    assert not feed.online(ledger.user("bob"))


async def test_large_rooms_have_no_presence(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    await garden(ledger, "bob")
    monkeypatch.setattr(limits, "PRESENCE_ROOM_MEMBERS_MAX", 1)
    alice, bob = witness(ledger, "alice"), witness(ledger, "bob")
    ledger.services.presence.came(bob, [1], first=True)
    assert states(alice) == states(bob) == []


async def test_typing_is_passed_on_and_never_stored(ledger: Ledger) -> None:
    room = await garden(ledger, "bob")
    alice, bob = witness(ledger, "alice"), witness(ledger, "bob")
    before = ledger.services.db.commits
    ledger.services.presence.typing(bob, 1, c2s.Typing(room))
    await asyncio.sleep(0)
    assert alice.heard == ["typingsignal"]
    assert bob.heard == []
    assert ledger.services.db.commits == before
