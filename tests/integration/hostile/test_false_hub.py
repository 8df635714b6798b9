"""A hub that lies to its followers: somebody here accepted its invitation, so its entries are taken, one by one, as if it lied. What the
signatures forbid is refused by a name; what the chain or the rules forbid is proof, and nothing more is taken from it in that room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import DeviceId, RoomId, make_user
from node.core import content, hub
from node.services.replicas import FORKED, INVALID
from node.wire import envelope, exchange
from node.wire.exchange import Entry, RangePage, SignerCert
from tests.cast import hears, offered, sees
from tests.integration.hostile.villain import SALT, FalseRoom, Scene, event_id_of
from tests.links import identity

pytestmark = pytest.mark.slow
TEXT: Final = content.Text(text="believe me")


async def lured(s: Scene) -> FalseRoom:
    """Alice is in a room of the liar, in which it said one true thing."""
    room = FalseRoom(s.villain)
    await room.lure(s.alice)
    assert await s.villain.gives(room.say(s.villain.user(), TEXT, "text")) == []
    await hears(s.alice, room.room, "believe me")
    s.remember()
    return room


def trouble(s: Scene, room: RoomId) -> str:
    row = s.a.services.db.view(lambda tx: s.a.services.rooms.peek(tx, room))
    assert row is not None
    return row.trouble


def _signed_by_the_liar(s: Scene, room: FalseRoom) -> Entry:
    event = s.villain.event(room.room, s.bob.user, TEXT, "text", seq=9)
    return room.seal(event, TEXT, signature=envelope.sign_event(s.villain.home.who.op_key, event))


def _of_bobs_node_signed_by_the_liar(s: Scene, room: FalseRoom) -> Entry:
    event = s.villain.event(room.room, s.bob.user, TEXT, "text", nid=s.b.nid, seq=9)
    return room.seal(event, TEXT, signature=envelope.sign_event(s.villain.home.who.op_key, event))


def _of_alice(s: Scene, room: FalseRoom) -> Entry:
    event = s.villain.event(room.room, s.alice.user, TEXT, "text", nid=s.a.nid, seq=9)
    return room.seal(event, TEXT, signature=envelope.sign_event(s.villain.home.who.op_key, event))


def _unsigned(s: Scene, room: FalseRoom) -> Entry:
    return room.seal(s.villain.event(room.room, s.bob.user, TEXT, "text", nid=s.b.nid, seq=9), TEXT)


def _unknown_node(s: Scene, room: FalseRoom) -> Entry:
    who = identity("nobody", now_s=s.a.clock.now_ms() // 1000)
    event = s.villain.event(room.room, make_user("x", who.nid), TEXT, "text", nid=who.nid, seq=9)
    return room.seal(event, TEXT, signature=envelope.sign_event(who.op_key, event))


def _broken_identity(s: Scene, room: FalseRoom) -> Entry:
    event = s.villain.event(room.room, s.villain.user(), TEXT, "text", seq=9)
    return room.seal(event, TEXT, signers=(SignerCert(b"\x90", b"\x90"),))


def _another_op_key_of_bobs_node(s: Scene, room: FalseRoom) -> Entry:
    """An identity of Bob's node under a certificate that its root never signed."""
    true, own = s.b.services.identity, s.villain.home.who
    cert = exchange.SignerCert(encode_chain(true.chain), s.villain.keys.cert.cert)
    event = s.villain.event(room.room, s.bob.user, TEXT, "text", nid=s.b.nid, seq=9)
    return room.seal(event, TEXT, signature=envelope.sign_event(own.op_key, event), signers=(cert,))


def encode_chain(chain: object) -> bytes:
    return exchange.encode_item(chain)  # type: ignore[arg-type]


def _wrong_head(s: Scene, room: FalseRoom) -> Entry:
    event = s.villain.event(room.room, s.villain.user(), TEXT, "text", seq=9)
    return room.seal(event, TEXT, head=bytes(64))


def _head_of_another_place(s: Scene, room: FalseRoom) -> Entry:
    old = s.villain.keys.sign_head(room.room, room.head)
    return room.seal(s.villain.event(room.room, s.villain.user(), TEXT, "text", seq=9), TEXT, head=old)


def _another_body(s: Scene, room: FalseRoom) -> Entry:
    event = s.villain.event(room.room, s.villain.user(), TEXT, "text", seq=9)
    return room.seal(event, content.Text(text="something else"))


def _erased_kick(s: Scene, room: FalseRoom) -> Entry:
    event = s.villain.event(room.room, s.villain.user(), content.Kick(user=s.alice.user), "kick", seq=9)
    return replace(room.seal(event, TEXT), body=None, salt=None)


def _second_first_event(s: Scene, room: FalseRoom) -> Entry:
    other = FalseRoom(s.villain, "Other")
    return room.seal(other.created, content.Create(name="Other"))


def _too_deep(s: Scene, room: FalseRoom) -> Entry:
    raw = b"\x81\xa1x" * 200 + b"\x01"
    return _raw_body(s, room, "new.kind", raw)


def _no_such_body(s: Scene, room: FalseRoom) -> Entry:
    return _raw_body(s, room, "text", b"\x81\xa4text\x01")


def _raw_body(s: Scene, room: FalseRoom, kind: str, raw: bytes) -> Entry:
    event = envelope.make_event(
        room=room.room, author=s.villain.user(), device=DeviceId(bytes(16)), nid=s.villain.nid, incarnation=1, author_seq=9,
        kind=kind, body_hash=hub.body_hash(SALT, raw),
    )  # fmt: skip
    return room.seal(event, None, raw=raw)


POISON: Final[dict[str, tuple[Callable[[Scene, FalseRoom], Entry], str]]] = {
    "an author of another node, signed by the hub": (_signed_by_the_liar, "bad_signature"),
    "another node's event, signed by the hub": (_of_bobs_node_signed_by_the_liar, "bad_signature"),
    "words of a user of the victim": (_of_alice, "bad_signature"),
    "words of another node's user without a signature": (_unsigned, "bad_signature"),
    "words of a node that nobody knows": (_unknown_node, "bad_signature"),
    "an identity that does not hold": (_broken_identity, "bad_signature"),
    "an identity of another node with the own key": (_another_op_key_of_bobs_node, "bad_signature"),
    "a head that is not signed": (_wrong_head, "bad_signature"),
    "the signature of another head": (_head_of_another_place, "bad_signature"),
    "a body that was not signed": (_another_body, "bad_request"),
    "an erased change of the room": (_erased_kick, "bad_request"),
    "the first event of another room": (_second_first_event, "bad_signature"),
    "a body that is too deep": (_too_deep, "bad_request"),
    "a body that is none": (_no_such_body, "bad_request"),
}


@pytest.mark.parametrize("name", POISON)
async def test_a_forged_entry_is_poison_and_the_queue_goes_on(stage_set: Scene, name: str) -> None:
    s = stage_set
    room = await lured(s)
    made, code = POISON[name]
    place = room.head
    forged = made(s, room)
    room.head = place  # the chain goes on as if it had not been
    honest = room.say(s.villain.user(), content.Text(text="and on"), "text")
    assert await s.villain.gives(forged, honest) == [code]
    await hears(s.alice, room.room, "believe me", "and on")
    assert s.count("SELECT count(*) FROM quarantine WHERE code = ?", code) == 1
    assert trouble(s, room.room) == ""
    await s.goes_on()


def _skips_the_chain(s: Scene, room: FalseRoom) -> Entry:
    entry = room.say(s.villain.user(), TEXT, "text")
    head = hub.Head(1, entry.idx, bytes(32))
    return replace(entry, log_hash=bytes(32), head=s.villain.keys.sign_head(room.room, head))


def _another_epoch(s: Scene, room: FalseRoom) -> Entry:
    entry = room.say(s.villain.user(), TEXT, "text")
    head = hub.Head(2, entry.idx, entry.log_hash)
    return replace(entry, epoch=2, head=s.villain.keys.sign_head(room.room, head))


def _another_past(s: Scene, room: FalseRoom) -> Entry:
    room.head = hub.Head(1, 1, room.log[0].log_hash)
    return room.say(s.villain.user(), content.Text(text="rewritten"), "text")


def _not_a_member(s: Scene, room: FalseRoom) -> Entry:
    return room.say(s.villain.user("ghost"), TEXT, "text")


def _joins_uninvited(s: Scene, room: FalseRoom) -> Entry:
    return room.say(s.villain.user("ghost"), content.Join(via="invite"), "join")


def _kicks_without_right(s: Scene, room: FalseRoom) -> Entry:
    return room.say(s.villain.user("ghost"), content.Kick(user=s.alice.user), "kick")


def _second_creation(s: Scene, room: FalseRoom) -> Entry:
    return room.say(s.villain.user(), content.Create(name="Again"), "create")


BREACHES: Final[dict[str, tuple[Callable[[Scene, FalseRoom], Entry], str]]] = {
    "an entry that does not lie on the chain": (_skips_the_chain, FORKED),
    "another epoch": (_another_epoch, FORKED),
    "another past": (_another_past, FORKED),
    "words of somebody who is not in the room": (_not_a_member, INVALID),
    "somebody who enters uninvited": (_joins_uninvited, INVALID),
    "a kick by somebody who is not in the room": (_kicks_without_right, INVALID),
    "a second creation": (_second_creation, INVALID),
}


@pytest.mark.parametrize("name", BREACHES)
async def test_a_breach_of_chain_or_rules_ends_the_trust_in_that_room(stage_set: Scene, name: str) -> None:
    s = stage_set
    room = await lured(s)
    made, why = BREACHES[name]
    s.remember()
    assert await s.villain.gives(made(s, room)) == []
    assert trouble(s, room.room) == why
    await sees(s.alice, lambda: s.alice.rooms[room.room].card.trouble == why)
    later = room.say(s.villain.user(), content.Text(text="later"), "text")
    assert await s.villain.gives(later) == ["conflict"]
    await s.quiet()


async def accepting(s: Scene, room: FalseRoom, room_id: RoomId) -> None:
    """Alice said yes to the invitation into a room with this id."""
    assert await s.villain.gives(replace(room.offer(s.alice.user), room=room_id)) == []
    await offered(s.alice, room_id)
    await s.alice.accept(room_id)
    await s.villain.home.until(s.villain.home.noted)


async def test_a_room_is_named_by_its_first_event(stage_set: Scene) -> None:
    """The first event carries another id than the room: once it is not of that room at all, once it says that it is."""
    s = stage_set
    room, wanted = FalseRoom(s.villain), RoomId(bytes(range(32)))
    await accepting(s, room, wanted)
    s.remember()
    assert await s.villain.gives(replace(room.log[0], room=wanted)) == ["bad_signature"]
    assert changed_entries(s) == 0
    claims = s.villain.event(wanted, s.villain.user(), content.Create(name="Trap"), "create", seq=5)
    room.room, room.head = wanted, hub.Head()
    assert await s.villain.gives(room.seal(claims, content.Create(name="Trap"))) == []
    assert changed_entries(s) == 0
    assert trouble(s, wanted) == INVALID
    await s.goes_on()


async def test_a_room_is_ordered_by_the_node_of_who_made_it(stage_set: Scene) -> None:
    """The liar offers a true room of Bob's node, whose first event it knows, and begins to order it."""
    s = stage_set
    theirs = await s.bob.create_group("Theirs", [])
    log = s.b.services.db.view(lambda tx: list(s.b.services.log.links(tx, pk_of(s, theirs), 1, 1)))
    room = FalseRoom(s.villain)
    await accepting(s, room, theirs)
    s.remember()
    room.room, room.head = theirs, hub.Head()
    signature = s.b.services.identity.op_key.sign(hub.CONTEXT + log[0].event)  # as if the liar had seen it signed
    cert = SignerCert(encode_chain(s.b.services.identity.chain), encode_chain(s.b.services.identity.cert))
    entry = room.seal(
        log[0].event, None, signature=signature, salt=log[0].salt or b"", raw=log[0].body or b"", signers=(cert,)
    )
    assert await s.villain.gives(entry) == []
    assert changed_entries(s) == 0
    assert trouble(s, theirs) == INVALID
    await s.goes_on()


def pk_of(s: Scene, room: RoomId) -> int:
    row = s.b.services.db.view(lambda tx: s.b.services.rooms.peek(tx, room))
    assert row is not None
    return row.pk


def changed_entries(s: Scene) -> int:
    return s.count("SELECT count(*) FROM entries") - s.before["entries"]


async def test_the_same_words_have_one_place(stage_set: Scene) -> None:
    """The hub orders an event twice, and an event of another room of its own once more: no second copy, and the node goes on."""
    s = stage_set
    room = await lured(s)
    said = room.say(s.villain.user(), content.Text(text="once"), "text")
    assert await s.villain.gives(said) == []
    again = room.seal(said.event, content.Text(text="once"))
    codes = await s.villain.gives(again)
    assert codes == ["conflict"] or (codes == [] and trouble(s, room.room) == INVALID), codes
    assert s.count("SELECT count(*) FROM entries WHERE event_id = ?", event_id_of(said)) == 1
    await hears(s.alice, room.room, "believe me", "once")
    await s.goes_on()


async def test_a_page_of_lies_does_not_stop_the_other_rooms(stage_set: Scene) -> None:
    """What is pulled is checked like what is sent: a hub that announces more and answers with nonsense holds up nobody."""
    s = stage_set
    room = await lured(s)
    forged = _signed_by_the_liar(s, room)
    twice = room.seal(room.log[0].event, content.Create(name=room.name))
    answers: list[bytes] = [
        exchange.encode_item(RangePage((forged,), 99)),
        b"\xc1",
        exchange.encode_item(RangePage((twice,), 99)),
        exchange.encode_item(RangePage((replace(forged, room=bytes(32)),), 99)),
        exchange.encode_item(RangePage((), 99)),
    ]
    served: list[int] = []

    def serve(args: bytes) -> bytes:
        served.append(1)
        return answers[(len(served) - 1) % len(answers)]

    s.villain.answers[exchange.LOG_RANGE] = serve
    for n in range(len(answers)):
        await s.villain.gives(exchange.News(room.room, 90 + n))
        await s.villain.home.until(lambda n=n: len(served) > n, patience_s=60)  # type: ignore[misc]
        await s.goes_on()
    assert s.count("SELECT count(*) FROM entries e JOIN rooms r ON r.id = e.room WHERE r.room = ?", room.room) == 4


async def test_a_hub_that_answers_no_question_holds_up_nobody(stage_set: Scene) -> None:
    s = stage_set

    def refuse(args: bytes) -> bytes:
        raise Rejected(Code.FORBIDDEN, "No.")

    for method in (exchange.HEADS, exchange.PEOPLE, exchange.LOG_RANGE, exchange.ACKS, exchange.MARKS):
        s.villain.answers[method] = refuse
    room = await lured(s)
    await s.villain.gives(exchange.News(room.room, 2**53 - 1))
    await asyncio.sleep(2 * limits.ACK_DELAY_S)
    await s.goes_on()
    assert trouble(s, room.room) == ""


async def test_names_that_are_no_users_do_not_get_into_a_room(stage_set: Scene) -> None:
    """An invitation of somebody whose name is no user id is against the rules, at every replica."""
    s = stage_set
    room = await lured(s)
    codes = await s.villain.gives(room.say(s.villain.user(), content.Invite(user="x" * 60), "invite"))
    assert codes in (["bad_request"], []), codes
    assert s.count("SELECT count(*) FROM users WHERE user = ?", "x" * 60) == 0
    await s.goes_on()
