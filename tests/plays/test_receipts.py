"""Who got what, who read what, and how many are still unread: the same numbers on every device."""

from __future__ import annotations

from node.base.errors import Code
from node.base.ids import RoomId, UserId
from node.client import Client
from node.core import content
from tests.cast import PASSWORD, Node, group, hears, refuses, sees


def mark(client: Client, room: RoomId, user: UserId) -> tuple[int, int]:
    """(delivered, read) of `user` as `client` knows it."""
    receipt = client.rooms[room].receipts.get(user)
    return (0, 0) if receipt is None else (receipt.delivered_idx, receipt.read_idx)


async def test_alice_learns_when_it_arrived_and_when_it_was_read(alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    said = await alice.say(room, "hello")
    await hears(bob, room, "hello")
    await sees(alice, lambda: mark(alice, room, bob.user) == (said.idx, 0))
    await bob.read(room, said.idx)
    await sees(alice, lambda: mark(alice, room, bob.user) == (said.idx, said.idx))
    members = {member.user: member for member in (await alice.api.members(room)).members}
    assert members[bob.user].read_idx == said.idx
    assert members[bob.user].read_ms > 0


async def test_nothing_arrives_at_somebody_who_is_away(node: Node, alice: Client) -> None:
    async with Client.register(node.url, invite=await node.invite(), local="dave", password=PASSWORD) as dave:
        user, token, cursor = dave.user, dave.token, dave.cursor
    room = await alice.open_direct(user)
    said = await alice.say(room, "when you are back")
    members = {member.user: member for member in (await alice.api.members(room)).members}
    assert (members[user].delivered_idx, members[user].online) == (0, False)
    async with Client.connect(node.url, token=token, cursor=cursor) as dave:
        await hears(dave, room, "when you are back")
        await sees(alice, lambda: mark(alice, room, user) == (said.idx, 0))


async def test_reading_on_one_device_reads_on_the_other(alice: Client, bob: Client, bob_phone: Client) -> None:
    room = await alice.open_direct(bob.user)
    for n in range(3):
        await alice.say(room, str(n))
    for device in (bob, bob_phone):
        await sees(device, lambda device=device: room in device.rooms and device.rooms[room].unread == 3)  # type: ignore[misc]
    await bob.read(room, 2)
    await sees(bob_phone, lambda: bob_phone.rooms[room].unread == 1)
    await bob_phone.read(room, 3)
    await sees(bob, lambda: bob.rooms[room].unread == 0)


async def test_a_mark_never_goes_back_and_never_ahead(alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    for n in range(3):
        await alice.say(room, str(n))
    await hears(bob, room, "0", "1", "2")
    await bob.read(room, 3)
    await bob.read(room, 1)
    await bob.read(room, 1_000_000)
    await sees(alice, lambda: mark(alice, room, bob.user) == (3, 3))


async def test_who_answers_has_read(alice: Client, bob: Client, bob_phone: Client) -> None:
    room = await alice.open_direct(bob.user)
    await alice.say(room, "are you there?")
    await sees(bob_phone, lambda: room in bob_phone.rooms and bob_phone.rooms[room].unread == 1)
    await bob.say(room, "yes")
    await hears(bob_phone, room, "are you there?", "yes")
    assert (bob.rooms[room].unread, bob_phone.rooms[room].unread) == (0, 0)


async def test_a_new_device_counts_what_the_others_count(node: Node, alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    for n in range(4):
        await alice.say(room, str(n))
    await hears(bob, room, "0", "1", "2", "3")
    await bob.read(room, 1)
    fresh = await node.device(bob, "fresh")
    assert fresh.rooms[room].unread == bob.rooms[room].unread == 3
    await alice.say(room, "4")
    await sees(fresh, lambda: fresh.rooms[room].unread == 4)


async def test_what_is_resumed_is_not_counted_twice(node: Node, alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    await alice.say(room, "one")
    await hears(bob, room, "one")
    cursor = bob.cursor
    await alice.say(room, "two")
    await alice.say(room, "three")
    again = await node.again(bob, cursor=cursor)
    await hears(again, room, "two", "three")
    assert again.rooms[room].unread == 3


async def test_mentions_are_counted_apart(alice: Client, bob: Client, carol: Client) -> None:
    room = await group(alice, bob, carol)
    named = content.Mention(user=bob.user, start=0, len=4)
    await carol.say(room, "@bob look", mentions=[named])
    await carol.say(room, "nothing for Bob")
    everybody = content.Mention(user=content.MENTION_ALL, start=0, len=4)
    await refuses(Code.ROLE_TOO_LOW, carol.say(room, "@all look", mentions=[everybody]))
    await alice.say(room, "@all at ten", mentions=[everybody])
    await sees(bob, lambda: (bob.rooms[room].unread, bob.rooms[room].mentions) == (3, 2))
    await sees(carol, lambda: (carol.rooms[room].unread, carol.rooms[room].mentions) == (1, 1))


async def test_a_recalled_message_has_not_to_be_read(node: Node, alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    await alice.say(room, "one")
    slip = await alice.say(room, "slip")
    await sees(bob, lambda: room in bob.rooms and bob.rooms[room].unread == 2)
    await alice.recall(room, slip.event_id)
    await hears(bob, room, "one", "")
    assert bob.rooms[room].unread == 1
    assert (await node.device(bob, "fresh")).rooms[room].unread == 1
