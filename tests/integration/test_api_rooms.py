"""Alice makes a group, Bert and Cora come in; everything the socket can do works over HTTP as well."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.base import limits
from node.base.ids import format_id
from tests.integration.house import PASSWORD, Caller, House

NO_ROOM = format_id(bytes(32))


async def group(home: House, owner: Caller, *guests: Caller) -> str:
    """A group whose guests have accepted."""
    body = {"name": "Garden", "guests": [guest.me["user"] for guest in guests], "client_id": home.fresh_id()}
    room = str((await owner.ok("POST", "/rooms", body))["room"])
    for guest in guests:
        await post(home, guest, room, "join", {"via": "invite"})
    return room


async def post(home: House, caller: Caller, room: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    sent = {"client_id": home.fresh_id(), "kind": kind, "body": body}
    found: dict[str, Any] = await caller.ok("POST", f"/rooms/{room}/events", sent)
    return found


async def refuse(home: House, caller: Caller, room: str, kind: str, body: dict[str, Any]) -> str:
    return await caller.refused(
        "POST", f"/rooms/{room}/events", {"client_id": home.fresh_id(), "kind": kind, "body": body}
    )


async def test_a_group_from_invitation_to_leaving(home: House) -> None:
    alice, bert = await home.bot("alice"), await home.bot("bert")
    room = await group(home, alice)
    await post(home, alice, room, "invite", {"user": bert.me["user"]})
    (card,) = (await bert.ok("GET", "/rooms"))["rooms"]
    assert (card["state"], card["name"], card["can"]) == ("invited", "Garden", [])
    assert (await bert.ok("GET", f"/rooms/{room}"))["state"] == "invited"
    assert await bert.refused("GET", f"/rooms/{room}/history") == "not_found"
    members = await alice.ok("GET", f"/rooms/{room}/members")
    assert [guest["local"] for guest in members["invited"]] == ["bert"]
    await post(home, bert, room, "join", {})
    said = await post(home, alice, room, "text", {"text": "hello"})
    card = await bert.ok("GET", f"/rooms/{room}")
    assert (card["state"], card["role"], card["unread"], card["members"]) == ("member", "member", 1, 2)
    await bert.ok("POST", f"/rooms/{room}/read", {"idx": said["idx"]})
    assert (await bert.ok("GET", f"/rooms/{room}"))["unread"] == 0
    members = await alice.ok("GET", f"/rooms/{room}/members")
    assert {m["local"]: m["read_idx"] for m in members["members"]} == {"alice": said["idx"], "bert": said["idx"]}
    await post(home, bert, room, "leave", {})
    assert (await bert.ok("GET", f"/rooms/{room}"))["state"] == "left"
    assert len((await bert.ok("GET", f"/rooms/{room}/history"))["entries"]) > 0
    assert await bert.refused("GET", f"/rooms/{room}/members") == "not_member"
    assert await refuse(home, bert, room, "text", {"text": "?"}) == "not_member"


async def test_what_was_done_to_a_message_shows_in_history(home: House) -> None:
    alice, bert = await home.bot("alice"), await home.bot("bert")
    room = await group(home, alice, bert)
    first = await post(home, alice, room, "text", {"text": "frist"})
    second = await post(home, bert, room, "text", {"text": "secret"})
    await post(home, alice, room, "edit", {"target": first["event_id"], "text": "first"})
    await post(home, bert, room, "reaction", {"target": first["event_id"], "value": "👍"})
    quote = {"event": first["event_id"], "author": alice.me["user"], "quote": "first"}
    await post(home, bert, room, "text", {"text": "yes", "reply_to": quote})
    await post(home, alice, room, "redact", {"target": second["event_id"], "reason": "too loud"})
    entries = {entry["idx"]: entry for entry in (await alice.ok("GET", f"/rooms/{room}/history"))["entries"]}
    shown = entries[first["idx"]]
    assert (shown["edits"], shown["edited"]["text"], shown["reactions"]) == (1, "first", {"👍": [bert.me["user"]]})
    assert shown["author"] == alice.me["user"]
    gone = entries[second["idx"]]
    assert (gone["body"], gone["erased"], gone["erased_by"], gone["reason"]) == (
        None,
        "redact",
        alice.me["user"],
        "too loud",
    )
    reply = next(
        entry for entry in entries.values() if entry["kind"] == "text" and entry["body"] and "reply_to" in entry["body"]
    )
    assert reply["body"]["reply_to"] == quote


async def test_history_in_pages(home: House) -> None:
    alice = await home.bot("alice")
    room = await group(home, alice)
    for number in range(10):
        await post(home, alice, room, "text", {"text": str(number)})
    path = f"/rooms/{room}/history"
    last = await alice.ok("GET", f"{path}?limit=4")
    assert ([entry["idx"] for entry in last["entries"]], last["more"]) == ([8, 9, 10, 11], True)
    before = await alice.ok("GET", f"{path}?limit=7&idx=8")
    assert ([entry["idx"] for entry in before["entries"]], before["more"]) == ([1, 2, 3, 4, 5, 6, 7], False)
    ahead = await alice.ok("GET", f"{path}?limit=3&idx=2&back=false")
    assert [entry["idx"] for entry in ahead["entries"]] == [2, 3, 4]
    for bad in ("limit=0", f"limit={limits.PAGE_ENTRIES_MAX + 1}", "idx=-1", "back=maybe", "what=1"):
        assert await alice.refused("GET", f"{path}?{bad}") == "bad_request"


async def test_a_repeat_is_answered_and_not_done_again(home: House) -> None:
    alice = await home.bot("alice")
    room = await group(home, alice)
    body = {"client_id": home.fresh_id(), "kind": "text", "body": {"text": "once"}}
    answers = [await alice.ok("POST", f"/rooms/{room}/events", body) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    made = {"name": "Twice", "client_id": home.fresh_id()}
    rooms = {(await alice.ok("POST", "/rooms", made))["room"] for _ in range(3)}
    assert len(rooms) == 1


async def test_strangers_see_no_difference_between_absent_and_secret(home: House) -> None:
    alice, mallory = await home.bot("alice"), await home.bot("mallory")
    room = await group(home, alice)
    for path in ("", "/members", "/history", "/links"):
        secret = await mallory.ask("GET", f"/rooms/{room}{path}")
        absent = await mallory.ask("GET", f"/rooms/{NO_ROOM}{path}")
        misspelt = await mallory.ask("GET", f"/rooms/nonsense{path}")
        for found in (secret, absent, misspelt):
            found.body["error"].pop("id")
        assert secret.status == absent.status == misspelt.status == 404
        assert secret.body == absent.body == misspelt.body
    for body, path in (
        ({"idx": 1}, "/read"),
        ({"client_id": home.fresh_id(), "kind": "text", "body": {"text": "x"}}, "/events"),
        ({}, "/links"),
    ):
        assert await mallory.refused("POST", f"/rooms/{room}{path}", body) == "not_found"
    assert await refuse(home, mallory, room, "join", {"via": "invite"}) == "not_found"
    assert await refuse(home, mallory, room, "join", {"via": "link"}) == "invite_invalid"


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("text", {}, "bad_request"),
        ("text", {"text": ""}, "bad_request"),
        ("text", {"text": "x" * 20_001}, "bad_request"),
        ("text", {"text": 7}, "bad_request"),
        ("recall", {"target": "short"}, "bad_request"),
        ("recall", {"target": NO_ROOM}, "not_found"),
        ("Nonsense!", {"fallback": "x"}, "bad_request"),
        ("poll", {}, "bad_request"),
        ("create", {"name": "again"}, "bad_request"),
        ("ban", {"user": "nobody"}, "bad_request"),
        ("invite", {"user": "nobody@" + "a" * 52}, "not_found"),
    ],
)
async def test_bad_events(home: House, kind: str, body: dict[str, Any], code: str) -> None:
    alice = await home.bot("alice")
    room = await group(home, alice)
    assert await refuse(home, alice, room, kind, body) == code


async def test_an_unknown_kind_with_a_fallback_is_content(home: House) -> None:
    alice = await home.bot("alice")
    room = await group(home, alice)
    await post(home, alice, room, "poll.v2", {"fallback": "A poll", "options": ["a", "b"]})
    entry = (await alice.ok("GET", f"/rooms/{room}/history"))["entries"][-1]
    assert (entry["kind"], entry["body"]) == ("poll.v2", {"fallback": "A poll", "options": ["a", "b"]})


async def test_moderation_shows_in_members(home: House) -> None:
    alice, bert, cora = await home.bot("alice"), await home.bot("bert"), await home.bot("cora")
    room = await group(home, alice, bert, cora)
    await post(home, alice, room, "role", {"user": bert.me["user"], "role": "admin"})
    await post(home, bert, room, "ban", {"user": cora.me["user"], "reason": "spam"})
    assert await refuse(home, bert, room, "kick", {"user": alice.me["user"]}) == "role_too_low"
    found = await bert.ok("GET", f"/rooms/{room}/members")
    assert {member["local"]: member["role"] for member in found["members"]} == {"alice": "owner", "bert": "admin"}
    assert [(banned["local"], banned["reason"], banned["by"]) for banned in found["banned"]] == [
        ("cora", "spam", bert.me["user"])
    ]
    await post(home, alice, room, "mute", {"user": bert.me["user"]})
    assert (await bert.ok("GET", f"/rooms/{room}"))["role"] == "muted"
    assert await refuse(home, bert, room, "text", {"text": "?"}) == "muted"


async def test_direct_chats(home: House) -> None:
    alice, bert = await home.bot("alice"), await home.bot("bert")
    chat = await alice.ok("POST", "/rooms/direct", {"user": bert.me["user"]})
    assert (chat["kind"], chat["peer"]["local"], chat["peer"]["name"]) == ("direct", "bert", "Bert")
    assert (await bert.ok("POST", "/rooms/direct", {"user": alice.me["user"]}))["room"] == chat["room"]
    await post(home, alice, chat["room"], "text", {"text": "hi"})
    assert (await bert.ok("GET", f"/rooms/{chat['room']}"))["unread"] == 1
    assert await alice.refused("POST", "/rooms/direct", {"user": alice.me["user"]}) == "bad_request"
    assert await alice.refused("POST", "/rooms/direct", {"user": "nobody@" + "a" * 52}) == "not_found"
    assert await alice.refused("POST", "/rooms/direct", {"user": "x" * 60}) == "bad_request"
    assert await alice.refused("POST", f"/rooms/{chat['room']}/links", {}) == "forbidden"


# --- links ----------------------------------------------------------------------------------------------


async def test_a_link_into_a_room(home: House) -> None:
    alice, bert = await home.bot("alice"), await home.bot("bert")
    room = await group(home, alice)
    link = await alice.ok("POST", f"/rooms/{room}/links", {"uses": 2})
    assert link["url"].startswith(home.base + "/i#")
    info = await bert.ok("POST", "/invites/inspect", {"token": link["token"]})
    assert (info["kind"], info["room"]["name"], info["room"]["members"], info["uses_left"]) == ("room", "Garden", 1, 2)
    joined = await bert.ok("POST", "/links/join", {"token": link["token"], "client_id": home.fresh_id()})
    assert joined["room"] == room
    assert (
        await bert.refused("POST", "/links/join", {"token": link["token"], "client_id": home.fresh_id()})
        == "already_done"
    )
    (listed,) = (await alice.ok("GET", f"/rooms/{room}/links"))["links"]
    assert (listed["uses"], listed["uses_max"], listed["token"], listed["url"]) == (1, 2, "", "")
    assert await bert.refused("GET", f"/rooms/{room}/links") == "role_too_low"
    await alice.ok("DELETE", f"/rooms/{room}/links/{link['id']}")
    cora = await home.bot("cora")
    assert (
        await cora.refused("POST", "/links/join", {"token": link["token"], "client_id": home.fresh_id()})
        == "invite_invalid"
    )
    assert await alice.refused("DELETE", f"/rooms/{room}/links/999") == "not_found"
    assert (await alice.ok("GET", f"/rooms/{room}/links"))["links"] == []


async def test_a_link_of_another_room_cannot_be_revoked_here(home: House) -> None:
    alice, bert = await home.bot("alice"), await home.bot("bert")
    hers, his = await group(home, alice), await group(home, bert)
    link = await alice.ok("POST", f"/rooms/{hers}/links", {})
    assert await bert.refused("DELETE", f"/rooms/{his}/links/{link['id']}") == "not_found"


async def test_the_last_use_of_a_link_is_given_once(home: House) -> None:
    alice = await home.bot("alice")
    room = await group(home, alice)
    link = await alice.ok("POST", f"/rooms/{room}/links", {"uses": 1})
    people = [await home.bot(name) for name in ("bert", "cora", "dora")]
    answers = await asyncio.gather(
        *(one.ask("POST", "/links/join", {"token": link["token"], "client_id": home.fresh_id()}) for one in people)
    )
    assert sorted(found.code for found in answers) == ["", "invite_used_up", "invite_used_up"]
    assert (await alice.ok("GET", f"/rooms/{room}"))["members"] == 2


async def test_a_link_expires(home: House) -> None:
    alice, bert = await home.bot("alice"), await home.bot("bert")
    room = await group(home, alice)
    link = await alice.ok("POST", f"/rooms/{room}/links", {"expires_s": 3600})
    home.clock.advance(seconds=3600)
    assert (
        await bert.refused("POST", "/links/join", {"token": link["token"], "client_id": home.fresh_id()}) == "expired"
    )


async def test_a_link_brings_in_somebody_without_an_account(home: House) -> None:
    alice = await home.bot("alice")
    room = await group(home, alice)
    link = await alice.ok("POST", f"/rooms/{room}/links", {"uses": 1})
    closed = await alice.ok("POST", f"/rooms/{room}/links", {"onboards": False})
    newcomer = home.stranger()
    body = {"local": "nina", "password": PASSWORD, "mode": "token"}
    assert await newcomer.refused("POST", "/register", {**body, "token": closed["token"]}) == "invite_invalid"
    session = await newcomer.ok("POST", "/register", {**body, "token": link["token"]})
    assert (
        await home.stranger().refused("POST", "/register", {**body, "local": "otto", "token": link["token"]})
        == "invite_used_up"
    )
    newcomer.headers = {"Authorization": f"Bearer {session['token']}"}
    await newcomer.ok("POST", "/links/join", {"token": link["token"], "client_id": home.fresh_id()})
    assert (await newcomer.ok("GET", "/rooms"))["rooms"][0]["name"] == "Garden"


async def test_live_links_of_a_room_are_bounded(home: House) -> None:
    alice = await home.bot("alice")
    room = await group(home, alice)
    for _ in range(limits.ROOM_LINKS_MAX):
        await alice.ok("POST", f"/rooms/{room}/links", {})
    assert await alice.refused("POST", f"/rooms/{room}/links", {}) == "limit_reached"


async def test_live_invitations_of_the_node_are_bounded(home: House) -> None:
    console = home.console()
    for _ in range(limits.INVITES_LIVE_MAX):
        await console.ok("POST", "/admin/invites", {})
    assert await console.refused("POST", "/admin/invites", {}) == "limit_reached"


@pytest.mark.parametrize(
    "terms",
    [
        {"uses": 0},
        {"uses": limits.INVITE_USES_MAX + 1},
        {"expires_s": limits.INVITE_EXPIRY_S_MAX + 1},
        {"expires_s": -1},
    ],
)
async def test_terms_of_invitations_are_bounded(home: House, terms: dict[str, int]) -> None:
    alice = await home.bot("alice")
    room = await group(home, alice)
    assert await alice.refused("POST", f"/rooms/{room}/links", terms) == "bad_request"
    assert await home.console().refused("POST", "/admin/invites", terms) == "bad_request"
    await home.console().ok(
        "POST", "/admin/invites", {"uses": limits.INVITE_USES_MAX, "expires_s": limits.INVITE_EXPIRY_S_MAX}
    )
