"""What is done to a message after it was written: everybody shows the same, now and when they page it later."""

from __future__ import annotations

import pytest_asyncio

from node.base import limits
from node.base.errors import Code
from node.base.ids import EventId, RoomId
from node.client import Client
from tests.cast import Node, group, hears, refuses, sees


@pytest_asyncio.fixture
async def walk(alice: Client, bob: Client, carol: Client) -> RoomId:
    """A group of three; Alice is its owner."""
    return await group(alice, bob, carol)


async def paged(node: Node, person: Client, room: RoomId) -> list[str]:
    """What a device that was not there shows."""
    fresh = await node.device(person, "fresh")
    await fresh.history(room)
    return fresh.rooms[room].texts()


async def test_an_edit_replaces_the_text_everywhere(node: Node, alice: Client, bob: Client, walk: RoomId) -> None:
    said = await bob.say(walk, "at the mil")
    await bob.edit(walk, said.event_id, "at the mill")
    for device in (alice, bob):
        await hears(device, walk, "at the mill")
    assert alice.rooms[walk].messages[EventId(said.event_id)].edits == 1
    assert await paged(node, alice, walk) == ["at the mill"]


async def test_only_the_author_edits_and_recalls(alice: Client, bob: Client, walk: RoomId) -> None:
    said = await bob.say(walk, "mine")
    await refuses(Code.ROLE_TOO_LOW, alice.edit(walk, said.event_id, "not yours"))
    await refuses(Code.ROLE_TOO_LOW, alice.recall(walk, said.event_id))
    await hears(alice, walk, "mine")


async def test_a_recall_erases_it_on_every_device_and_on_disk(
    node: Node, alice: Client, bob: Client, walk: RoomId
) -> None:
    said = await bob.say(walk, "wrong chat")
    await bob.edit(walk, said.event_id, "wrong chat, sorry")
    await hears(alice, walk, "wrong chat, sorry")
    await bob.recall(walk, said.event_id)
    for device in (alice, bob):
        await hears(device, walk, "")
    assert await paged(node, alice, walk) == [""]
    rows = node.services.db.view(
        lambda tx: tx.all("SELECT kind, body, salt FROM entries WHERE kind IN ('text', 'edit')")
    )
    assert rows == [("text", None, None), ("edit", None, None)]
    await refuses(Code.GONE, bob.edit(walk, said.event_id, "again"))
    await refuses(Code.GONE, bob.recall(walk, said.event_id))


async def test_windows_close(node: Node, bob: Client, walk: RoomId) -> None:
    said = await bob.say(walk, "early")
    node.clock.advance(seconds=limits.IDLE_S - 5)
    await bob.say(walk, "still here")  # the clock went on; so that nobody counts as silent
    await bob.drop()
    node.clock.advance(seconds=limits.RECALL_WINDOW_S_DEFAULT)
    await refuses(Code.WINDOW_CLOSED, bob.recall(walk, said.event_id))
    await bob.edit(walk, said.event_id, "editing takes longer to close")
    await bob.drop()
    node.clock.advance(seconds=limits.EDIT_WINDOW_S_DEFAULT)
    await refuses(Code.WINDOW_CLOSED, bob.edit(walk, said.event_id, "too late"))


async def test_an_admin_removes_and_says_why(
    node: Node, alice: Client, bob: Client, carol: Client, walk: RoomId
) -> None:
    said = await bob.say(walk, "spam")
    await refuses(Code.ROLE_TOO_LOW, carol.redact(walk, said.event_id))
    await alice.redact(walk, said.event_id, "off topic")
    await hears(carol, walk, "")
    message = carol.rooms[walk].messages[EventId(said.event_id)]
    assert (message.erased, message.erased_by, message.reason) == ("redact", alice.user, "off topic")
    await refuses(Code.ALREADY_DONE, alice.redact(walk, said.event_id))
    fresh = await node.device(carol, "fresh")
    await fresh.history(walk)
    assert fresh.rooms[walk].messages[EventId(said.event_id)].reason == "off topic"


async def test_reactions_are_counted_by_person(
    node: Node, alice: Client, bob: Client, carol: Client, walk: RoomId
) -> None:
    said = await alice.say(walk, "at ten?")
    event = EventId(said.event_id)
    await bob.react(walk, event, "👍")
    await carol.react(walk, event, "👍")
    await carol.react(walk, event, "🌧")
    await carol.react(walk, event, "🌧", on=False)
    await sees(alice, lambda: alice.rooms[walk].messages[event].reactions == {"👍": (bob.user, carol.user)})
    await refuses(Code.ALREADY_DONE, bob.react(walk, event, "👍"))
    await refuses(Code.ALREADY_DONE, bob.react(walk, event, "🌧", on=False))
    fresh = await node.device(bob, "fresh")
    await fresh.history(walk)
    assert fresh.rooms[walk].messages[event].reactions == {"👍": (bob.user, carol.user)}


async def test_a_reply_quotes_a_message_of_this_chat(alice: Client, bob: Client, carol: Client, walk: RoomId) -> None:
    from msgspec.structs import replace

    await alice.say(walk, "who brings water?")
    await hears(bob, walk, "who brings water?")
    question = next(entry for entry in bob.rooms[walk].entries.values() if entry.kind == "text")
    await bob.reply(question, "me")
    await hears(carol, walk, "who brings water?", "me")
    await refuses(Code.BAD_REQUEST, bob.reply(replace(question, author=carol.user), "she said that"))
    direct = await bob.open_direct(alice.user)
    await refuses(Code.BAD_REQUEST, bob.reply(replace(question, room=direct), "from elsewhere"))


async def test_what_cannot_be_found_cannot_be_changed(alice: Client, walk: RoomId) -> None:
    await refuses(Code.NOT_FOUND, alice.edit(walk, bytes(32), "x"))
    await refuses(Code.NOT_FOUND, alice.react(walk, bytes(32), "👍"))


async def test_a_kind_of_the_future_is_shown_as_its_fallback(alice: Client, bob: Client, walk: RoomId) -> None:
    from node.core import content

    await alice.post(walk, content.Unknown(fallback="Poll: mill or bridge?"), kind="x.poll")
    await hears(bob, walk, "Poll: mill or bridge?")
    assert bob.rooms[walk].unread == 1
