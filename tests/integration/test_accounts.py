"""Olga owns a node; Bert and Cora get in, sign in, sign out, and lose what they should lose."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import format_id, parse_id
from node.services.sessions import Origin
from node.wire import c2s
from tests.integration.house import PASSWORD, Caller, House, house


def registration(local: str, token: str = "", **more: str) -> dict[str, str]:
    return {"local": local, "password": PASSWORD, "token": token, "mode": "token", **more}


async def invite(owner: Caller, **terms: object) -> str:
    made = await owner.ok("POST", "/admin/invites", terms)
    return str(made["token"])


async def sign_in(home: House, local: str, **more: object) -> Caller:
    caller = home.stranger()
    session = await caller.ok("POST", "/login", {"local": local, "password": PASSWORD, "mode": "token", **more})
    caller.headers = {"Authorization": f"Bearer {session['token']}"}
    caller.me = session["me"]
    return caller


# --- the first run --------------------------------------------------------------------------------------


async def test_the_owner_comes_in_once(home: House) -> None:
    stranger = home.stranger()
    assert (await stranger.ok("GET", "/node"))["setup"] == "owner_needed"
    first = await home.services.invites.owner_invite()
    second = await home.services.invites.owner_invite()
    assert first
    assert second
    assert await stranger.refused("POST", "/register", registration("olga", first)) == "invite_invalid"
    session = await stranger.ok("POST", "/register", registration("olga", second))
    assert session["me"]["role"] == "node_owner"
    assert await stranger.refused("POST", "/register", registration("otto", second)) == "invite_used_up"
    assert await home.services.invites.owner_invite() is None


async def test_two_owners_at_once_one_wins(home: House) -> None:
    token = await home.services.invites.owner_invite() or ""
    answers = await asyncio.gather(
        home.stranger().ask("POST", "/register", registration("olga", token)),
        home.stranger().ask("POST", "/register", registration("otto", token)),
    )
    assert sorted(found.status for found in answers) == [200, 410]


async def test_the_phrase_is_shown_until_three_words_come_back(home: House) -> None:
    owner, bert = await home.owner(), await home.person("bert")
    phrase = await owner.ok("GET", "/setup/phrase")
    assert len(phrase["words"]) == 24
    assert len(phrase["ask"]) == 3
    assert await bert.refused("GET", "/setup/phrase") == "role_too_low"
    wrong = {str(place): "abandon" for place in phrase["ask"]}
    right = {str(place): phrase["words"][place - 1] for place in phrase["ask"]}
    body = {"words": wrong, "node_name": "Casa", "registration": "open"}
    assert await owner.refused("POST", "/setup/confirm", body) == "phrase_mismatch"
    assert (await owner.ok("GET", "/node"))["name"] == "Startalk"
    assert await owner.refused("POST", "/setup/confirm", {**body, "words": {"eins": "x"}}) == "bad_request"
    assert await owner.refused("POST", "/setup/confirm", {**body, "words": right, "node_name": " "}) == "bad_request"
    assert (await owner.ok("GET", "/me"))["setup"] == "phrase"
    await owner.ok("POST", "/setup/confirm", {**body, "words": right})
    info = await owner.ok("GET", "/node")
    assert (info["name"], info["registration"], info["setup"]) == ("Casa", "open", "done")
    assert await owner.refused("GET", "/setup/phrase") == "already_done"


# --- registration ---------------------------------------------------------------------------------------


async def test_who_may_register(home: House) -> None:
    owner, stranger = await home.owner(), home.stranger()
    assert await stranger.refused("POST", "/register", registration("bert")) == "invite_needed"
    token = await invite(owner)
    await owner.ok("PATCH", "/admin/settings", {"registration": "closed"})
    assert await stranger.refused("POST", "/register", registration("bert", token)) == "registration_closed"
    await owner.ok("PATCH", "/admin/settings", {"registration": "open"})
    assert (await stranger.ok("POST", "/register", registration("bert")))["me"]["role"] == "user"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"local": "Bert"}, "name_invalid"),
        ({"local": "b"}, "name_invalid"),
        ({"local": "admin"}, "name_taken"),
        ({"local": "o1ga"}, "name_taken"),
        ({"password": "short"}, "password_too_short"),
        ({"password": "x" * 257}, "password_too_long"),
        ({"password": "Password1"}, "password_too_common"),
        ({"password": "iamcalledbert"}, "password_has_name"),
        ({"name": "two\nlines"}, "bad_request"),
        ({"token": "nonsense"}, "invite_invalid"),
        ({"token": format_id(bytes(16))}, "invite_invalid"),
        ({"lang": "xx"}, "bad_request"),
        ({"unknown": "field"}, "bad_request"),
        ({"local": 7}, "bad_request"),
    ],
)
async def test_bad_registrations_change_nothing(home: House, change: dict[str, object], code: str) -> None:
    owner = await home.owner()
    body = {**registration("bert", await invite(owner)), **change}
    assert await home.stranger().refused("POST", "/register", body) == code
    assert len((await owner.ok("GET", "/admin/users"))["accounts"]) == 1


async def test_an_invitation_is_used_up_by_races_too(home: House) -> None:
    owner = await home.owner()
    token = await invite(owner, uses=2)
    info = await home.stranger().ok("POST", "/invites/inspect", {"token": token})
    assert (info["kind"], info["uses_left"], info["role"]) == ("account", 2, "user")
    names = ["bert", "cora", "dora", "emil"]
    answers = await asyncio.gather(
        *(home.stranger().ask("POST", "/register", registration(name, token)) for name in names)
    )
    assert sorted(found.code for found in answers) == ["", "", "invite_used_up", "invite_used_up"]
    assert await home.stranger().refused("POST", "/invites/inspect", {"token": token}) == "invite_used_up"


async def test_one_name_for_two_people_at_once(home: House) -> None:
    owner = await home.owner()
    token = await invite(owner, uses=2)
    answers = await asyncio.gather(
        home.stranger().ask("POST", "/register", registration("bert", token)),
        home.stranger().ask("POST", "/register", registration("b.ert", token)),
    )
    assert sorted(found.code for found in answers) == ["", "name_taken"]
    assert (await owner.ok("GET", "/admin/invites"))["links"][0]["uses"] == 1


async def test_an_invitation_expires_and_can_be_revoked(home: House) -> None:
    owner = await home.owner()
    short, revoked = await invite(owner, expires_s=60), await owner.ok("POST", "/admin/invites", {})
    home.clock.advance(seconds=61)
    assert await home.stranger().refused("POST", "/register", registration("bert", short)) == "expired"
    await owner.ok("DELETE", f"/admin/invites/{revoked['id']}")
    assert (
        await home.stranger().refused("POST", "/register", registration("bert", revoked["token"])) == "invite_invalid"
    )
    assert await owner.refused("DELETE", "/admin/invites/4711") == "not_found"
    assert await owner.refused("DELETE", "/admin/invites/x") == "not_found"
    assert (await owner.ok("GET", "/admin/invites"))["links"] == []


# --- signing in -----------------------------------------------------------------------------------------


async def test_an_unknown_name_and_a_wrong_password_look_the_same(home: House) -> None:
    await home.person("bert")
    stranger = home.stranger()
    known = await stranger.ask("POST", "/login", {"local": "bert", "password": "wrong-password"})
    unknown = await stranger.ask("POST", "/login", {"local": "nobody-here", "password": "wrong-password"})
    for found in (known, unknown):
        found.body["error"].pop("id")
    assert known.status == unknown.status == 401
    assert known.body == unknown.body


async def test_a_token_is_random_shown_once_and_stored_as_a_hash(home: House) -> None:
    bert = await home.bot("bert")
    token = parse_id(bert.headers["Authorization"].removeprefix("Bearer "), limits.TOKEN_BYTES)
    stored = home.services.db.view(lambda tx: tx.all("SELECT token_hash FROM devices"))
    assert stored == [(hashlib.sha256(token).digest(),)]


async def test_what_opens_nothing(home: House) -> None:
    await home.bot("bert")
    for header in ("Bearer", "Bearer x", "Bearer " + format_id(bytes(32)), "Basic YTpi", "Bearer " + "A" * 500):
        assert await home.stranger(Authorization=header).refused("GET", "/me") == "not_signed_in"
    assert await home.stranger().refused("GET", "/me") == "not_signed_in"


async def test_a_session_dies_of_idleness_and_of_age(home: House) -> None:
    bert = await home.bot("bert")
    for _ in range(6):
        home.clock.advance(seconds=limits.SESSION_IDLE_S - 3600)
        status = (await bert.ask("GET", "/me")).status
        await home.services.db.write(lambda tx: tx.one("SELECT 1"))
        assert status == 200
    home.clock.advance(seconds=limits.SESSION_IDLE_S - 3600)
    assert await bert.refused("GET", "/me") == "not_signed_in"
    again = await sign_in(home, "bert")
    home.clock.advance(seconds=limits.SESSION_IDLE_S + 1)
    assert await again.refused("GET", "/me") == "not_signed_in"


async def test_a_device_was_seen_to_the_minute(home: House) -> None:
    bert = await home.bot("bert")
    first = (await bert.ok("GET", "/devices"))["devices"][0]["seen_ms"]
    home.clock.advance(seconds=59)
    await bert.ok("GET", "/me")
    assert (await bert.ok("GET", "/devices"))["devices"][0]["seen_ms"] == first
    home.clock.advance(seconds=2)
    await bert.ok("GET", "/me")
    await home.services.db.write(lambda tx: tx.one("SELECT 1"))
    assert (await bert.ok("GET", "/devices"))["devices"][0]["seen_ms"] == first + 61_000


async def test_a_token_costs_one_statement(home: House) -> None:
    bert = await home.bot("bert")
    statements: list[str] = []
    home.services.db._view.set_trace_callback(statements.append)
    home.services.sessions.authenticate(bert.headers["Authorization"].removeprefix("Bearer "))
    home.services.db._view.set_trace_callback(None)
    assert sum(statement.startswith("SELECT") for statement in statements) == 1


async def test_logout_ends_this_session_only(home: House) -> None:
    bert = await home.bot("bert")
    other = await sign_in(home, "BERT ")
    await bert.ok("POST", "/logout")
    assert await bert.refused("GET", "/me") == "not_signed_in"
    await other.ok("GET", "/me")


async def test_an_eleventh_device_is_refused_or_takes_the_place_of_the_oldest(home: House) -> None:
    bert = await home.bot("bert")
    for number in range(9):
        home.clock.advance(seconds=1)
        await sign_in(home, "bert", device_name=f"phone {number}")
    body = {"local": "bert", "password": PASSWORD, "mode": "token"}
    found = await home.stranger().ask("POST", "/login", body)
    assert (found.code, found.body["error"]["detail"]["used"]) == ("limit_reached", 10)
    await sign_in(home, "bert", end_oldest=True)
    assert await bert.refused("GET", "/me") == "not_signed_in"


async def test_numbers_of_devices_are_never_given_twice(home: House) -> None:
    bert = await home.bot("bert")
    before = home.services.db.view(lambda tx: tx.one("SELECT max(id) FROM devices"))
    await bert.ok("POST", "/logout")
    await sign_in(home, "bert")
    after = home.services.db.view(lambda tx: tx.one("SELECT max(id) FROM devices"))
    assert before
    assert after
    assert after[0] == before[0] + 1


async def test_a_costlier_hash_replaces_an_old_one_at_login(tmp_path: Path) -> None:
    def stored(home: House) -> str:
        row = home.services.db.view(lambda tx: tx.one("SELECT password FROM accounts"))
        assert row is not None
        return str(row[0])

    async with house(tmp_path / "node") as home:
        await home.bot("bert")
        assert "m=19456,t=2" in stored(home)
    async with house(tmp_path / "node", password_cost="standard") as home:
        await sign_in(home, "bert")
        assert "m=65536,t=3" in stored(home)
        await sign_in(home, "bert")


async def fill_the_pool(home: House, tasks: int) -> list[asyncio.Task[bool]]:
    """Keeps the hashing threads busy, so that what comes next waits its turn."""
    found = [asyncio.create_task(home.services.passwords.waste(str(number))) for number in range(tasks)]
    await asyncio.sleep(0)
    return found


async def test_a_busy_node_refuses_logins_without_counting_them(home: House) -> None:
    await home.bot("bert")
    login = {"local": "bert", "password": PASSWORD, "mode": "token"}
    busy = await fill_the_pool(home, limits.ARGON2_AT_ONCE + limits.ARGON2_WAITING_MAX)
    origin = Origin(address="192.0.2.1")
    for _ in range(10):
        with pytest.raises(Rejected) as caught:
            await home.services.accounts.login("bert", PASSWORD, origin)
        assert (caught.value.code, caught.value.detail) == (Code.RATE_LIMITED, {"retry_after_s": 5})
    await asyncio.gather(*busy)
    await home.stranger().ok("POST", "/login", login)


@pytest.mark.parametrize(("meanwhile", "code"), [("password", Code.BAD_CREDENTIALS), ("frozen", Code.FORBIDDEN)])
async def test_what_changes_while_a_password_is_hashed_counts(home: House, meanwhile: str, code: Code) -> None:
    bert = await home.bot("bert")
    busy = await fill_the_pool(home, limits.ARGON2_AT_ONCE * 2)
    login = asyncio.create_task(home.services.accounts.login("bert", PASSWORD, Origin(address="192.0.2.1")))
    await asyncio.sleep(0)
    if meanwhile == "frozen":
        await home.console().ok("PATCH", f"/admin/users/{bert.me['user']}", {"frozen": True})
    else:
        await home.services.db.write(lambda tx: tx.execute("UPDATE accounts SET password = 'changed'"))
    with pytest.raises(Rejected) as caught:
        await login
    assert caught.value.code is code
    await asyncio.gather(*busy)
    rows = home.services.db.view(lambda tx: tx.all("SELECT id FROM devices"))
    assert len(rows) == 1


async def test_two_changes_of_a_password_at_once(home: House) -> None:
    bert = await home.bot("bert")
    answers = await asyncio.gather(
        *(bert.ask("POST", "/me/password", {"old": PASSWORD, "new": f"new word no {n}"}) for n in range(2))
    )
    assert sorted(found.code for found in answers) == ["", "conflict"]


async def test_who_cannot_be_written_down_can_still_read(home: House) -> None:
    bert = await home.bot("bert")
    home.services.db.trouble, home.services.db._final = "The disk is broken.", True
    home.clock.advance(seconds=120)
    await bert.ok("GET", "/me")
    found = await bert.ask("PATCH", "/me", {"name": "Bertram"})
    assert (found.status, found.code) == (503, "read_only")
    assert "The disk is broken." in found.body["error"]["text"]
    assert await home.stranger().refused("POST", "/login", {"local": "bert", "password": PASSWORD}) == "read_only"
    home.services.db.trouble, home.services.db._final = "", False


# --- devices --------------------------------------------------------------------------------------------


async def test_devices_are_listed_renamed_and_ended(home: House) -> None:
    bert, cora = await home.bot("bert"), await home.bot("cora")
    phone = await sign_in(home, "bert", device_name="Bert's phone")
    devices = {device["id"]: device for device in (await bert.ok("GET", "/devices"))["devices"]}
    assert set(devices) == {bert.me["device"], phone.me["device"]}
    assert devices[bert.me["device"]]["current"]
    assert not devices[phone.me["device"]]["current"]
    assert devices[phone.me["device"]]["name"] == "Bert's phone"
    assert devices[phone.me["device"]]["address"] == "127.0.0.x"
    path = f"/devices/{phone.me['device']}"
    assert (await bert.ok("PATCH", path, {"name": "old phone"}))["name"] == "old phone"
    assert await bert.refused("PATCH", path, {"name": "\n"}) == "bad_request"
    assert await cora.refused("PATCH", path, {"name": "mine"}) == "not_found"
    assert await cora.refused("DELETE", path) == "not_found"
    assert await cora.refused("DELETE", "/devices/x") == "not_found"
    await bert.ok("DELETE", path)
    assert await phone.refused("GET", "/me") == "not_signed_in"
    await bert.ok("GET", "/me")


async def open_socket(home: House, caller: Caller) -> aiohttp.ClientWebSocketResponse:
    url = home.base.replace("http", "ws") + "/c2s"
    ws = await caller.http.ws_connect(url, headers=caller.headers, protocols=(c2s.SUBPROTOCOL,))
    await ws.send_bytes(c2s.encode_frame(c2s.Hello(c2s.VERSION)))
    assert (await ws.receive(timeout=5)).type is WSMsgType.BINARY
    return ws


async def ended(ws: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether the node closes the socket within a second."""
    async with asyncio.timeout(1):
        while (await ws.receive()).type is WSMsgType.BINARY:
            pass
    return ws.closed


@pytest.mark.parametrize("how", ["end one", "end others", "logout", "password", "freeze"])
async def test_ending_a_session_closes_its_open_sockets(home: House, how: str) -> None:
    owner, bert = await home.owner(), await home.bot("bert")
    phone = await sign_in(home, "bert")
    ws = await open_socket(home, phone)
    if how == "end one":
        assert any(device["online"] for device in (await bert.ok("GET", "/devices"))["devices"])
        await bert.ok("DELETE", f"/devices/{phone.me['device']}")
    elif how == "end others":
        await bert.ok("POST", "/devices/end-others")
    elif how == "logout":
        await phone.ok("POST", "/logout")
    elif how == "password":
        await bert.ok("POST", "/me/password", {"old": PASSWORD, "new": "another long word", "end_others": True})
    else:
        await owner.ok("PATCH", f"/admin/users/{bert.me['user']}", {"frozen": True})
    assert await ended(ws)


async def test_a_session_that_ended_before_hello_gets_no_welcome(home: House) -> None:
    bert = await home.bot("bert")
    phone = await sign_in(home, "bert")
    url = home.base.replace("http", "ws") + "/c2s"
    ws = await phone.http.ws_connect(url, headers=phone.headers, protocols=(c2s.SUBPROTOCOL,))
    await bert.ok("DELETE", f"/devices/{phone.me['device']}")
    await ws.send_bytes(c2s.encode_frame(c2s.Hello(c2s.VERSION)))
    said = await ws.receive(timeout=5)
    assert b"not_signed_in" in said.data
    assert await ended(ws)


# --- profile and password -------------------------------------------------------------------------------


async def test_profile(home: House) -> None:
    bert = await home.bot("bert")
    me = await bert.ok("PATCH", "/me", {"name": "  Bert B.  ", "lang": "zh"})
    assert (me["name"], me["lang"]) == ("Bert B.", "zh")
    assert (await bert.ok("PATCH", "/me", {}))["name"] == "Bert B."
    assert await bert.refused("PATCH", "/me", {"name": "   "}) == "bad_request"
    assert await bert.refused("PATCH", "/me", {"lang": "de"}) == "bad_request"


async def test_a_new_name_reaches_open_devices(home: House) -> None:
    bert, cora = await home.bot("bert"), await home.bot("cora")
    ws = await open_socket(home, cora)
    await bert.ok("PATCH", "/me", {"name": "Bertram"})
    async with asyncio.timeout(2):
        while True:
            message = await ws.receive()
            assert message.type is WSMsgType.BINARY
            if b"people" in message.data and b"Bertram" in message.data:
                break


async def test_changing_the_password(home: House) -> None:
    bert = await home.person("bert")
    other = await sign_in(home, "bert")
    cookie = {c.value for c in bert.http.cookie_jar}
    body = {"old": "not the old one", "new": "another long word"}
    assert await bert.refused("POST", "/me/password", body) == "bad_credentials"
    assert await bert.refused("POST", "/me/password", {"old": PASSWORD, "new": "bert-bert"}) == "password_has_name"
    await bert.ok("POST", "/me/password", {"old": PASSWORD, "new": "another long word"})
    assert {c.value for c in bert.http.cookie_jar} != cookie
    await bert.ok("GET", "/me")
    await other.ok("GET", "/me")
    login = {"local": "bert", "password": PASSWORD}
    assert await home.stranger().refused("POST", "/login", login) == "bad_credentials"
    await home.stranger().ok("POST", "/login", {**login, "password": "another long word", "mode": "token"})


async def test_a_password_link_works_once_and_ends_all_sessions(home: House) -> None:
    owner, bert = await home.owner(), await home.bot("bert")
    first = await owner.ok("POST", f"/admin/users/{bert.me['user']}/reset-password")
    link = await owner.ok("POST", f"/admin/users/{bert.me['user']}/reset-password")
    stranger = home.stranger()
    info = await stranger.ok("POST", "/invites/inspect", {"token": link["token"]})
    assert (info["kind"], info["local"]) == ("reset", "bert")
    body = {"token": link["token"], "password": "a-new-secret-word"}
    assert await stranger.refused("POST", "/password-reset", {**body, "token": first["token"]}) == "invite_invalid"
    assert await stranger.refused("POST", "/password-reset", {**body, "password": "12345678"}) == "password_too_common"
    assert await stranger.refused("POST", "/register", registration("cora", link["token"])) == "invite_invalid"
    await stranger.ok("POST", "/password-reset", body)
    assert await stranger.refused("POST", "/password-reset", body) in {"invite_used_up", "invite_invalid"}
    assert await bert.refused("GET", "/me") == "not_signed_in"
    await stranger.ok("POST", "/login", {"local": "bert", "password": "a-new-secret-word"}, headers={})


async def test_a_password_link_lasts_half_an_hour(home: House) -> None:
    owner, bert = await home.owner(), await home.bot("bert")
    link = await owner.ok("POST", f"/admin/users/{bert.me['user']}/reset-password")
    home.clock.advance(seconds=1801)
    body = {"token": link["token"], "password": "a-new-secret-word"}
    assert await home.stranger().refused("POST", "/password-reset", body) == "expired"


# --- admins ---------------------------------------------------------------------------------------------


async def test_freezing(home: House) -> None:
    owner, bert = await home.owner(), await home.bot("bert")
    path = f"/admin/users/{bert.me['user']}"
    assert (await owner.ok("PATCH", path, {"frozen": True}))["frozen"] is True
    assert await bert.refused("GET", "/me") == "not_signed_in"
    login = {"local": "bert", "password": PASSWORD}
    assert await home.stranger().refused("POST", "/login", login) == "forbidden"
    assert await home.stranger().refused("POST", "/login", {**login, "password": "wrong-word"}) == "bad_credentials"
    assert await owner.refused("POST", "/rooms/direct", {"user": bert.me["user"]}) == "not_found"
    assert (await owner.ok("PATCH", path, {"frozen": False}))["frozen"] is False
    await bert.ok("GET", "/me")


async def test_who_may_do_what_to_whom(home: House) -> None:
    owner, bert, cora = await home.owner(), await home.bot("bert"), await home.bot("cora")
    bert_path, cora_path, owner_path = (f"/admin/users/{one.me['user']}" for one in (bert, cora, owner))
    assert await bert.refused("GET", "/admin/users") == "role_too_low"
    assert await bert.refused("PATCH", cora_path, {"frozen": True}) == "role_too_low"
    await owner.ok("PATCH", bert_path, {"role": "node_admin"})
    await owner.ok("PATCH", cora_path, {"role": "node_admin"})
    assert len((await bert.ok("GET", "/admin/users"))["accounts"]) == 3
    assert await bert.refused("PATCH", cora_path, {"frozen": True}) == "role_too_low"
    assert await bert.refused("PATCH", cora_path, {"role": "user"}) == "role_too_low"
    assert await bert.refused("PATCH", owner_path, {"frozen": True}) == "forbidden"
    assert await bert.refused("POST", f"{owner_path}/reset-password") == "role_too_low"
    assert await bert.refused("POST", "/admin/invites", {"role": "node_admin"}) == "role_too_low"
    assert await bert.refused("GET", "/setup/phrase") == "role_too_low"
    assert await owner.refused("PATCH", owner_path, {"frozen": True}) == "forbidden"
    assert await owner.refused("PATCH", "/admin/users/nobody", {"frozen": True}) == "not_found"
    assert await owner.refused("POST", "/admin/users/nobody/reset-password") == "not_found"
    assert await owner.refused("PATCH", bert_path, {"role": "node_owner"}) == "bad_request"
    await owner.ok("PATCH", bert_path, {"role": "user"})
    assert await bert.refused("GET", "/admin/users") == "role_too_low"


async def test_acts_of_admins_are_written_down(home: House) -> None:
    owner, bert = await home.owner(), await home.bot("bert")
    await owner.ok("PATCH", f"/admin/users/{bert.me['user']}", {"frozen": True, "role": "node_admin"})
    await home.console().ok("PATCH", "/admin/settings", {"name": "Casa"})
    lines = home.services.db.view(lambda tx: tx.all("SELECT actor, action, subject FROM audit ORDER BY id"))
    assert (owner.me["user"], "account.role.node_admin", bert.me["user"]) in lines
    assert (owner.me["user"], "account.freeze", bert.me["user"]) in lines
    assert lines[-1][1:] == ("settings.change", "name")
    assert lines[-1][0].startswith("node@")


async def test_pages_of_people(home: House) -> None:
    owner = await home.owner()
    for name in ("bert", "cora", "dora"):
        await home.bot(name)
    first = await owner.ok("GET", "/users?limit=2")
    rest = await owner.ok("GET", f"/users?limit=2&after={first['after']}")
    assert [person["local"] for page in (first, rest) for person in page["people"]] == ["bert", "cora", "dora", "olga"]
    assert [person["local"] for person in (await owner.ok("GET", "/users?q=COR"))["people"]] == ["cora"]
    assert (await owner.ok("GET", "/users?q=%25"))["people"] == []
    for bad in ("limit=0", "limit=101", "limit=x", "nonsense=1", "limit=1&limit=2"):
        assert await owner.refused("GET", f"/users?{bad}") == "bad_request"
    accounts = await owner.ok("GET", "/admin/users?limit=3")
    assert accounts["after"] == "dora"
    assert accounts["accounts"][0]["devices"] == 1
