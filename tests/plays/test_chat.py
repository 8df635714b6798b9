"""Two people talk: what one says, every device of the other shows, once and in order."""

from __future__ import annotations

import asyncio

from node.base.errors import Code
from node.client import Client, Entry
from tests.cast import Node, hears, joined, refuses, sees


async def test_alice_writes_and_every_device_of_bob_shows_it(alice: Client, bob: Client, bob_phone: Client) -> None:
    room = await alice.open_direct(bob.user)
    await alice.say(room, "Where do we meet?")
    await alice.say(room, "At the mill?")
    for device in (bob, bob_phone, alice):
        await hears(device, room, "Where do we meet?", "At the mill?")
    assert bob.rooms[room].card.peer == alice.user


async def test_both_open_the_same_direct_chat(alice: Client, bob: Client) -> None:
    assert await alice.open_direct(bob.user) == await bob.open_direct(alice.user)


async def test_a_direct_chat_shows_only_with_its_first_message(alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    assert room not in bob.rooms
    await alice.say(room, "hello")
    await joined(bob, room)


async def test_a_hundred_messages_at_once_keep_their_order(alice: Client, bob: Client, bob_phone: Client) -> None:
    room = await alice.open_direct(bob.user)
    texts = [f"message {n}" for n in range(100)]
    posted = await asyncio.gather(*(alice.say(room, text) for text in texts))
    assert [item.idx for item in posted] == list(range(1, 101))
    await hears(bob, room, *texts)
    await hears(bob_phone, room, *texts)


async def test_a_stranger_learns_nothing_of_a_chat(alice: Client, bob: Client, carol: Client) -> None:
    room = await alice.open_direct(bob.user)
    await alice.say(room, "between us")
    await refuses(Code.NOT_FOUND, carol.say(room, "hello"))
    await refuses(Code.NOT_FOUND, carol.history(room))
    await refuses(Code.NOT_FOUND, carol.read(room, 1))


async def test_a_repeat_with_the_same_client_id_is_one_message(node: Node, alice: Client, bob: Client) -> None:
    from node.base.ids import ClientId
    from node.core import content

    room = await alice.open_direct(bob.user)
    same = ClientId(bytes(range(16)))
    first = await alice.post(room, content.Text(text="once"), client_id=same)
    again = await alice.post(room, content.Text(text="once"), client_id=same)
    assert (first.idx, first.seq, first.event_id) == (again.idx, again.seq, again.event_id)
    await hears(bob, room, "once")


async def test_alice_loses_her_connection_and_misses_nothing(alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    await bob.say(room, "before")
    await hears(alice, room, "before")
    await alice.drop()
    await bob.say(room, "meanwhile")
    await sees(alice, lambda: alice.connections >= 2)
    await bob.say(room, "after")
    await hears(alice, room, "before", "meanwhile", "after")
    assert alice.welcome.resumed


async def test_what_is_written_without_connection_is_posted_once(alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    for n in range(5):
        dropped = asyncio.gather(alice.drop(), *(alice.say(room, f"{n}.{m}") for m in range(4)))
        await dropped
    await hears(bob, room, *(f"{n}.{m}" for n in range(5) for m in range(4)))


async def test_a_device_goes_on_where_it_stopped(node: Node, alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    await bob.say(room, "one")
    await hears(alice, room, "one")
    cursor = alice.cursor
    await bob.say(room, "two")
    await bob.say(room, "three")
    later = await node.again(alice, cursor=cursor)
    assert later.welcome.resumed
    await hears(later, room, "two", "three")


async def test_a_new_device_starts_with_the_list_and_pages_the_rest(node: Node, alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    for n in range(5):
        await bob.say(room, f"{n}")
    phone = await node.device(alice, "phone")
    assert phone.rooms[room].card.head_idx == 5
    assert phone.rooms[room].texts() == []
    entries, more = await phone.history(room)
    assert [entry.text for entry in entries] == ["0", "1", "2", "3", "4"]
    assert not more


async def test_history_pages_in_both_directions(alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    await asyncio.gather(*(bob.say(room, str(n)) for n in range(1, 26)))
    newest, more = await alice.history(room, limit=10)
    assert [entry.idx for entry in newest] == list(range(16, 26))
    assert more
    older, more = await alice.history(room, newest[0].idx, limit=10)
    assert ([entry.idx for entry in older], more) == (list(range(6, 16)), True)
    oldest, more = await alice.history(room, older[0].idx, limit=10)
    assert ([entry.idx for entry in oldest], more) == (list(range(1, 6)), False)
    upwards, more = await alice.history(room, 20, back=False, limit=3)
    assert ([entry.idx for entry in upwards], more) == ([20, 21, 22], True)
    end, more = await alice.history(room, 23, back=False, limit=10)
    assert ([entry.idx for entry in end], more) == ([23, 24, 25], False)
    assert await alice.history(room, 26, back=False) == ([], False)


async def test_events_tell_what_happens(alice: Client, bob: Client) -> None:
    room = await alice.open_direct(bob.user)
    heard = bob.events()
    await alice.say(room, "ping")
    async for event in heard:
        if isinstance(event, Entry):
            assert (event.text, event.author, event.room) == ("ping", alice.user, room)
            await bob.reply(event, "pong")
            break
    await hears(alice, room, "ping", "pong")


async def test_typing_reaches_the_other_and_not_oneself(alice: Client, bob: Client, bob_phone: Client) -> None:
    from node.client import TypingShown

    room = await alice.open_direct(bob.user)
    await alice.say(room, "hi")
    await hears(bob, room, "hi")
    heard, own = alice.events(), bob_phone.events()
    await bob.typing(room)
    async with asyncio.timeout(5):
        async for event in heard:
            if isinstance(event, TypingShown):
                assert event == TypingShown(room, bob.user, True)
                break
    await alice.say(room, "I see it")
    async with asyncio.timeout(5):
        async for event in own:
            assert not isinstance(event, TypingShown)
            if isinstance(event, Entry) and event.text == "I see it":
                break
