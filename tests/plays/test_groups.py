"""The life of a group: who comes in, who may do what, who sees which part of it, how it changes hands."""

from __future__ import annotations

from node.base.errors import Code
from node.base.ids import UserId
from node.client import Client
from node.core import content
from node.core.roles import Role
from tests.cast import Node, group, hears, joined, left, offered, refuses, sees


async def test_an_invitation_is_a_question(alice: Client, bob: Client, carol: Client) -> None:
    room = await alice.create_group("Walk", [bob.user], topic="Bring water")
    await offered(bob, room)
    card = bob.rooms[room].card
    assert (card.name, card.topic, card.invited_by) == ("Walk", "Bring water", alice.user)
    await refuses(Code.NOT_FOUND, bob.history(room))
    await refuses(Code.NOT_MEMBER, bob.say(room, "hello"))
    await refuses(Code.NOT_FOUND, carol.accept(room))
    await bob.accept(room)
    await joined(bob, room)
    await bob.say(room, "hello")
    await hears(alice, room, "hello")


async def test_who_declines_is_asked_again_or_not(alice: Client, bob: Client, bob_phone: Client) -> None:
    room = await alice.create_group("Walk", [bob.user])
    await offered(bob, room)
    await bob.decline(room)
    await left(bob, room)
    await left(bob_phone, room)
    await refuses(Code.NOT_FOUND, bob.accept(room))
    await alice.invite(room, bob.user)
    await offered(bob_phone, room)


async def test_who_joins_sees_nothing_from_before(alice: Client, bob: Client, carol: Client) -> None:
    room = await group(alice, bob)
    await alice.say(room, "a secret about Carol")
    await alice.invite(room, carol.user)
    await offered(carol, room)
    await carol.accept(room)
    await joined(carol, room)
    await alice.say(room, "welcome, Carol")
    await hears(carol, room, "welcome, Carol")
    entries, more = await carol.history(room, limit=200)
    assert not more
    assert [entry.kind for entry in entries] == ["join", "text"]
    assert await carol.history(room, 1, back=False, limit=200) == (entries, False)


async def test_who_was_kicked_sees_nothing_after(node: Node, alice: Client, bob: Client, carol: Client) -> None:
    room = await group(alice, bob, carol)
    await alice.say(room, "before")
    await hears(bob, room, "before")
    await alice.post(room, content.Kick(user=bob.user, reason="rude"))
    await left(bob, room)
    await alice.say(room, "after")
    await hears(carol, room, "before", "after")
    await refuses(Code.NOT_MEMBER, bob.say(room, "let me in"))
    await refuses(Code.NOT_MEMBER, bob.read(room, 1))
    entries, _ = await bob.history(room, limit=200)
    assert [entry.kind for entry in entries][-2:] == ["text", "kick"]
    assert "after" not in [entry.text for entry in entries]
    later = await node.again(bob, cursor=bob.cursor)
    await alice.say(room, "and later")
    await carol.say(room, "yes")
    direct = await alice.open_direct(bob.user)
    await alice.say(direct, "sorry")
    await hears(later, direct, "sorry")
    assert later.rooms.get(room) is None or "after" not in later.rooms[room].texts()


async def test_who_comes_back_reads_from_the_new_join_on(alice: Client, bob: Client) -> None:
    room = await group(alice, bob)
    await bob.leave(room)
    await left(bob, room)
    await alice.say(room, "while he was away")
    await alice.invite(room, bob.user)
    await offered(bob, room)
    await bob.accept(room)
    await joined(bob, room)
    await alice.say(room, "welcome back")
    await sees(bob, lambda: "welcome back" in bob.rooms[room].texts())
    assert "while he was away" not in bob.rooms[room].texts()


async def test_a_ban_keeps_out_until_it_is_lifted(alice: Client, bob: Client) -> None:
    room = await group(alice, bob)
    await alice.post(room, content.Ban(user=bob.user, reason="again"))
    await left(bob, room)
    await refuses(Code.FORBIDDEN, alice.invite(room, bob.user))
    link = await alice.api.make_link(room)
    from node.client.api import invite_token
    from node.wire.address import parse_link

    token = parse_link(link.url)[1].token
    assert invite_token(link.url) == link.token
    await refuses(Code.FORBIDDEN, bob.post(room, content.Join(via="link"), token=token))
    await alice.post(room, content.Unban(user=bob.user))
    await bob.post(room, content.Join(via="link"), token=token)
    await joined(bob, room)


async def test_a_link_lets_in_as_often_as_it_says(alice: Client, bob: Client, carol: Client) -> None:
    from node.wire.address import parse_link

    room = await group(alice)
    token = parse_link((await alice.api.make_link(room, uses=1)).url)[1].token
    await bob.post(room, content.Join(via="link"), token=token)
    await joined(bob, room)
    await refuses(Code.INVITE_USED_UP, carol.post(room, content.Join(via="link"), token=token))
    await refuses(Code.INVITE_INVALID, carol.post(room, content.Join(via="link"), token=bytes(16)))


async def test_muted_people_read_and_are_told_until_when(node: Node, alice: Client, bob: Client) -> None:
    room = await group(alice, bob)
    until_ms = node.clock.now_ms() + 30_000
    await alice.post(room, content.Mute(user=bob.user, until_ms=until_ms))
    refusal = await refuses(Code.MUTED, bob.say(room, "but"))
    assert refusal.detail["until_ms"] == until_ms
    await alice.say(room, "quiet, please")
    await hears(bob, room, "quiet, please")
    node.clock.advance(seconds=31)
    await bob.say(room, "thank you")
    await alice.post(room, content.Mute(user=bob.user))
    await refuses(Code.MUTED, bob.say(room, "but"))
    await alice.post(room, content.Unmute(user=bob.user))
    await bob.say(room, "better")


async def test_while_all_are_muted_only_those_in_charge_write(alice: Client, bob: Client, carol: Client) -> None:
    room = await group(alice, bob, carol)
    await alice.post(room, content.SetRole(user=bob.user, role=Role.ADMIN))
    await alice.post(room, content.MuteAll(on=True))
    await refuses(Code.MUTED, carol.say(room, "hm"))
    await bob.say(room, "announcement")
    await bob.post(room, content.MuteAll(on=False))
    await carol.say(room, "at last")
    await hears(alice, room, "announcement", "at last")


async def test_ranks_protect(alice: Client, bob: Client, carol: Client) -> None:
    room = await group(alice, bob, carol)
    await refuses(Code.ROLE_TOO_LOW, bob.post(room, content.Kick(user=carol.user)))
    await refuses(Code.ROLE_TOO_LOW, bob.post(room, content.SetRole(user=bob.user, role=Role.ADMIN)))
    for person in (bob, carol):
        await alice.post(room, content.SetRole(user=person.user, role=Role.ADMIN))
    await refuses(Code.ROLE_TOO_LOW, bob.post(room, content.Kick(user=carol.user)))
    await refuses(Code.ROLE_TOO_LOW, bob.post(room, content.Ban(user=alice.user)))
    await alice.post(room, content.SetRole(user=carol.user, role=Role.VISITOR))
    await refuses(Code.ROLE_TOO_LOW, carol.say(room, "may I?"))
    await bob.post(room, content.Kick(user=carol.user))
    await left(carol, room)


async def test_the_owner_hands_over_before_leaving(alice: Client, bob: Client) -> None:
    room = await group(alice, bob)
    await refuses(Code.CONFLICT, alice.leave(room))
    await alice.post(room, content.Transfer(user=bob.user))
    await alice.leave(room)
    await left(alice, room)
    members = (await bob.api.members(room)).members
    assert [(member.user, member.role) for member in members] == [(bob.user, Role.OWNER)]
    await bob.leave(room)


async def test_name_and_announcement_change_for_everybody(node: Node, alice: Client, bob: Client) -> None:
    room = await group(alice, bob)
    await refuses(Code.ROLE_TOO_LOW, bob.post(room, content.Rename(name="Mine")))
    await alice.post(room, content.Rename(name="Sunday walk"))
    await alice.post(room, content.Topic(topic="Meet at ten"))
    await refuses(Code.ALREADY_DONE, alice.post(room, content.Rename(name="Sunday walk")))
    await sees(bob, lambda: {e.kind for e in bob.rooms[room].entries.values()} >= {"name", "topic"})
    fresh = await node.device(bob, "fresh")
    assert (fresh.rooms[room].card.name, fresh.rooms[room].card.topic) == ("Sunday walk", "Meet at ten")


async def test_nobody_can_be_invented(alice: Client) -> None:
    room = await group(alice)
    nobody = UserId("nobody@" + alice.user.partition("@")[2])
    await refuses(Code.NOT_FOUND, alice.invite(room, nobody))
    await refuses(Code.BAD_REQUEST, alice.invite(room, UserId("x" * 60)))
    await refuses(Code.NOT_FOUND, alice.create_group("Ghosts", [nobody]))


async def test_who_was_invited_to_two_devices_answers_once(alice: Client, bob: Client, bob_phone: Client) -> None:
    room = await alice.create_group("Walk", [bob.user])
    await offered(bob, room)
    await offered(bob_phone, room)
    await bob_phone.accept(room)
    await joined(bob, room)
    await refuses(Code.ALREADY_DONE, bob.accept(room))
    await alice.say(room, "good")
    await hears(bob, room, "good")
    await hears(bob_phone, room, "good")
