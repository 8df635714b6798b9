"""A node speaks for its own users and for the rooms that it orders, and for nothing else. Each lie is refused by a name, stores nothing,
and leaves the room of two honest nodes as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import Struct
from msgspec.structs import replace

from node.base.ids import EventId, RoomId, make_user
from node.client.news import Entry, PresenceChanged, TypingShown
from node.core import content
from node.core.hub import Head
from node.storage import acks
from node.wire import envelope, exchange
from node.wire.exchange import Ack, Acks, Answer, Ask, Mark, Marks, News, Profile, Range, Reject, Withdraw
from tests.cast import sees
from tests.integration.hostile.villain import FalseRoom, Scene

pytestmark = pytest.mark.slow
TEXT = content.Text(text="believe me")


def submission(s: Scene, author: str = "", **more: int) -> exchange.Submit:
    return s.villain.submit(s.room, author or s.villain.user(), TEXT, "text", **more)  # type: ignore[arg-type]


def _creation(s: Scene) -> exchange.Submit:
    event = s.villain.event(None, s.villain.user(), content.Create(name="Trap"), "create")
    made = s.villain.submit(s.room, s.villain.user(), content.Create(name="Trap"), "create")
    signature = envelope.sign_event(s.villain.home.who.op_key, event)
    return replace(made, room=bytes(envelope.event_id(event)), event=event, signature=signature)


def _named(s: Scene, user: str, profile: Profile) -> Profile:
    return replace(profile, user=user)


LIES: dict[str, tuple[Callable[[Scene], Struct], str]] = {
    "asks in the name of a user of another node": (
        lambda s: Ask(s.bob.user, "Bob", "alice", "It is me, Bob", 1),
        "forbidden",
    ),
    "answers in the name of a user of another node": (lambda s: Answer(s.bob.user, "Bob", s.alice.user), "forbidden"),
    "submits for a user of the victim": (lambda s: submission(s, s.alice.user), "bad_signature"),
    "submits for a user of a third node": (lambda s: submission(s, s.bob.user), "bad_signature"),
    "submits in the name of another node": (
        lambda s: s.villain.submit(s.room, s.bob.user, TEXT, "text", nid=s.b.nid),  # type: ignore[arg-type]
        "bad_signature",
    ),
    "submits at an incarnation that it does not have": (lambda s: submission(s, incarnation=2), "bad_signature"),
    "submits with another signature": (
        lambda s: replace(submission(s), signature=bytes(64)),
        "bad_signature",
    ),
    "submits an event of another room": (
        lambda s: replace(submission(s), room=bytes(32)),
        "bad_signature",
    ),
    "submits another body than the signed one": (
        lambda s: replace(submission(s), body=content.encode_body(content.Text(text="no"))),
        "bad_request",
    ),
    "submits the first event of a room": (
        _creation,
        "bad_request",
    ),
    "orders a room of the victim": (
        lambda s: replace(FalseRoom(s.villain).log[0], room=s.room),
        "bad_signature",
    ),
    "orders a room that nobody asked for": (lambda s: FalseRoom(s.villain).log[0], "forbidden"),
    "announces entries in a room of the victim": (lambda s: News(s.room, 99), "not_hub"),
    "announces entries in a room that nobody asked for": (lambda s: News(bytes(32), 99), "forbidden"),
    "names somebody of another node": (
        lambda s: _named(s, s.bob.user, s.villain.keys.profile(s.villain.user(), "Not Bob", 1)),
        "bad_signature",
    ),
    "names somebody with a signature over another name": (
        lambda s: replace(s.villain.keys.profile(s.villain.user(), "Mallory", 1), name="The Bank"),
        "bad_signature",
    ),
    "refuses an event without a signature": (
        lambda s: Reject(s.room, bytes(32), "forbidden", "No.", bytes(64)),
        "bad_signature",
    ),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_about_others_is_refused(stage_set: Scene, name: str) -> None:
    made, code = LIES[name]
    assert await stage_set.villain.gives(made(stage_set)) == [code]
    await stage_set.quiet()


async def test_a_submission_into_a_room_of_others_is_refused_and_signed(stage_set: Scene) -> None:
    """It is well made, so it counts as received, and its author gets the signed refusal: the same for a room that does not exist."""
    s = stage_set
    for room in (s.room, RoomId(bytes(range(32)))):
        sent = s.villain.submit(room, s.villain.user(), TEXT, "text")
        assert await s.villain.gives(sent) == []
        await s.villain.home.until(lambda sent=sent: refusal(s, sent) == "not_member")  # type: ignore[misc]
    await s.quiet()


async def test_what_was_refused_stays_refused(stage_set: Scene) -> None:
    """Mallory writes, is told no, becomes a member, and sends the very same post again, and the same in other words; then a new one."""
    s = stage_set
    mallory, own = s.villain.user(), s.villain.home

    def placed(sent: exchange.Submit) -> int:
        return s.count("SELECT count(*) FROM entries WHERE event_id = ?", envelope.event_id(sent.event))

    def refused() -> list[str]:
        return [exchange.decode_direct_item(raw).code for raw in own.noted() if b"reject" in raw[:9]]  # type: ignore[union-attr]

    early = s.villain.submit(s.room, mallory, TEXT, "text", seq=1)
    assert await s.villain.gives(early) == []
    await own.until(lambda: refusal(s, early) == "not_member")
    await s.alice.invite(s.room, mallory)
    join = s.villain.submit(s.room, mallory, content.Join(via="invite"), "join", seq=2)
    assert await s.villain.gives(join) == []
    await own.until(lambda: placed(join))
    again = s.villain.submit(s.room, mallory, content.Text(text="another event id"), "text", seq=1)
    assert await s.villain.gives(early, again) == []
    await own.until(lambda: refusal(s, again))
    assert refused() == ["not_member"] * 3
    fresh = s.villain.submit(s.room, mallory, TEXT, "text", seq=3)
    assert await s.villain.gives(fresh) == []
    await own.until(lambda: placed(fresh))
    assert placed(early) == placed(again) == 0


async def test_a_submission_into_a_room_that_another_node_orders(stage_set: Scene) -> None:
    """Bob's node orders this one; Alice's only follows it."""
    s = stage_set
    theirs = await s.bob.create_group("Theirs", [s.alice.user])
    await sees(s.alice, lambda: theirs in s.alice.rooms)
    await s.alice.accept(theirs)
    await sees(s.alice, lambda: s.alice.rooms[theirs].card.state == "member")
    s.remember()
    sent = s.villain.submit(theirs, s.villain.user(), TEXT, "text")
    assert await s.villain.gives(sent) == []
    await s.villain.home.until(lambda: refusal(s, sent) == "not_hub")
    assert await s.villain.gives(News(theirs, 99)) == ["not_hub"]
    assert await s.villain.gives(replace(FalseRoom(s.villain).log[0], room=theirs)) == ["bad_signature"]
    await s.quiet()


def refusal(s: Scene, sent: exchange.Submit) -> str:
    """The code of the reject for `sent`, whose signature holds."""
    for raw in s.villain.home.noted():
        item = exchange.decode_direct_item(raw) if b"reject" in raw[:9] else None
        if isinstance(item, Reject) and item.event_id == envelope.event_id(sent.event):
            identity = s.a.services.identity
            key = envelope.Key(identity.nid, identity.incarnation, identity.op_key.public_key().public_bytes_raw())
            said = envelope.reject_bytes(
                RoomId(item.room), envelope.event_id(sent.event), item.code, identity.nid, identity.incarnation
            )
            envelope.check(key, said, item.signature)
            return item.code
    return ""


async def test_nobody_withdraws_the_invitation_of_another_hub(stage_set: Scene) -> None:
    s = stage_set
    theirs = await s.bob.create_group("Theirs", [s.alice.user])
    await sees(s.alice, lambda: theirs in s.alice.rooms)
    s.remember()
    assert await s.villain.gives(Withdraw(theirs, s.alice.user)) == []
    await s.quiet()
    assert s.alice.rooms[theirs].card.state == "invited"


async def test_nobody_takes_an_invitation_over(stage_set: Scene) -> None:
    """An invitation into the room of another hub does not move there: Alice's yes goes to the node that asked first."""
    s = stage_set
    theirs = await s.bob.create_group("Theirs", [s.alice.user])
    await sees(s.alice, lambda: theirs in s.alice.rooms)
    s.remember()
    trap = exchange.Offer(theirs, "Theirs", 2, s.bob.user, "Bob", s.alice.user, 2)
    assert await s.villain.gives(trap) == []
    await s.quiet()
    await s.alice.accept(theirs)
    await sees(s.alice, lambda: s.alice.rooms[theirs].card.state == "member")
    assert not s.villain.home.noted(), "nothing was submitted to the liar"


async def test_a_yes_that_nobody_asked_for_changes_nothing(stage_set: Scene) -> None:
    s = stage_set
    assert await s.villain.gives(Answer(s.villain.user(), "Mallory", s.alice.user)) == []
    assert await s.villain.gives(Answer(s.villain.user(), "Mallory", make_user("nobody", s.a.nid))) == []
    await s.quiet()


async def test_a_refusal_by_somebody_else_than_the_hub_changes_nothing(stage_set: Scene) -> None:
    """A signed reject of the liar about an event that waits for another hub."""
    s = stage_set
    theirs = await s.bob.create_group("Theirs", [s.alice.user])
    await sees(s.alice, lambda: theirs in s.alice.rooms)
    await s.alice.accept(theirs)
    await sees(s.alice, lambda: s.alice.rooms[theirs].card.state == "member")
    async with s.a.cut(s.b):
        waiting = await s.alice.say(theirs, "on my way")
        event = EventId(waiting.event_id)
        signature = s.villain.keys.sign_reject(theirs, event, "forbidden")
        assert await s.villain.gives(Reject(theirs, event, "forbidden", "No.", signature)) == []
        assert s.count("SELECT count(*) FROM pending WHERE event_id = ? AND code = ''", event) == 1
    await s.alice.ordered(waiting)


async def test_names_of_people_nobody_knows_are_not_kept(stage_set: Scene) -> None:
    s = stage_set
    made = [s.villain.keys.profile(s.villain.user(f"m{n}"), f"M {n}", 1) for n in range(64)]
    assert await s.villain.gives(*made) == []
    await s.quiet()


async def test_forged_acknowledgements_move_nothing(stage_set: Scene) -> None:
    s = stage_set
    row = s.a.services.db.view(lambda tx: s.a.services.rooms.peek(tx, s.room))
    assert row is not None
    head, keys, lie = row.head, s.villain.keys, Head(1, row.head.idx, bytes(32))
    before = s.a.services.db.view(lambda tx: acks.of_room(tx, row.pk, row.room))
    forged = [
        keys.ack(s.room, head),  # its own, though it is not in this room
        replace(keys.ack(s.room, head), nid=s.b.nid),  # in the name of a follower
        replace(keys.ack(s.room, lie), nid=s.b.nid),
        Ack(s.room, 1, 2**53, bytes(32), s.villain.nid, 1, bytes(64)),
        keys.ack(RoomId(bytes(32)), head),
    ]
    assert await s.villain.code_of(exchange.ACKS, Acks(tuple(forged), (keys.cert,))) == ""
    assert s.a.services.db.view(lambda tx: acks.of_room(tx, row.pk, row.room)) == before
    await s.quiet()


async def test_forged_receipts_move_nothing(stage_set: Scene) -> None:
    s = stage_set
    sql = "SELECT coalesce(sum(read_idx * 1000 + delivered_idx), 0) FROM members"
    before = s.count(sql)
    forged = [Mark(s.room, user, 2**53, 2**53, 1) for user in (s.alice.user, s.bob.user, s.villain.user())]
    forged.append(Mark(bytes(32), s.villain.user(), 1, 1, 1))
    assert await s.villain.code_of(exchange.MARKS, Marks(tuple(forged))) == ""
    assert s.count(sql) == before
    await s.quiet()


async def test_a_room_that_the_asker_is_not_in_does_not_exist_for_it(stage_set: Scene) -> None:
    s = stage_set
    for room in (s.room, RoomId(bytes(range(32)))):
        assert await s.villain.code_of(exchange.LOG_RANGE, Range(room, 1)) == "not_found"
        heads = exchange.Heads((exchange.RoomHead(room, 1, 0, bytes(32)),))
        assert exchange.decode_heads(await s.villain.asks(exchange.HEADS, heads)).heads == ()
    people = exchange.People((s.alice.user, s.bob.user))
    assert exchange.decode_profiles(await s.villain.asks(exchange.PEOPLE, people)).profiles == ()
    assert await s.villain.code_of("who", bytes(s.b.nid)) == "not_found"
    await s.quiet()


async def test_whispers_about_others_reach_nobody(stage_set: Scene) -> None:
    s = stage_set
    news, whisper = s.alice.events(), s.villain.home.federation.whisper
    for user in (s.bob.user, s.alice.user, s.villain.user()):
        typing = exchange.encode_item(exchange.TypingNow(s.room, user, on=True))
        presence = exchange.encode_item(exchange.PresenceNow(s.room, user, "away"))
        assert whisper(s.a.nid, exchange.TYPING, typing)
        assert whisper(s.a.nid, exchange.PRESENCE, presence)
    assert whisper(s.a.nid, exchange.TYPING, b"\xc1")
    assert whisper(s.a.nid, "unheard of", b"")
    await s.villain.asks("ping", b"after the whispers")
    await s.quiet()
    async for event in news:
        assert not isinstance(event, TypingShown | PresenceChanged)
        if isinstance(event, Entry):
            break
