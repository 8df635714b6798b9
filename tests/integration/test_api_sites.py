"""Other sites, cookies, proxies, floods: who may make a browser do what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError

from node.base import limits
from node.wire import c2s
from tests.integration.house import PASSWORD, House, browser_headers, house

EVIL = "https://evil.example"


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": None},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"X-Startalk": None},
        {"X-Startalk": "0"},
    ],
)
async def test_another_site_cannot_use_the_cookie(home: House, change: dict[str, str | None]) -> None:
    bert = await home.person("bert")
    headers = {**browser_headers(home.base), **change}
    bert.headers = {name: value for name, value in headers.items() if value is not None}
    assert await bert.refused("PATCH", "/me", {"name": "Mallory"}) == "cross_site"
    assert await bert.refused("DELETE", f"/devices/{bert.me['device']}") == "cross_site"
    assert await bert.refused("POST", "/logout") == "cross_site"
    assert (await bert.ok("GET", "/me"))["name"] == "Bert"


async def test_a_port_of_the_same_host_is_another_site(home: House) -> None:
    bert = await home.person("bert")
    bert.headers["Origin"] = "http://127.0.0.1:1"
    assert await bert.refused("PATCH", "/me", {"name": "Mallory"}) == "cross_site"


async def test_another_site_cannot_sign_its_victim_in(home: House) -> None:
    await home.person("mallory")
    login = {"local": "mallory", "password": PASSWORD}
    stranger = home.stranger(Origin=EVIL)
    assert await stranger.refused("POST", "/login", login) == "cross_site"
    stranger.headers = {"Sec-Fetch-Site": "cross-site"}
    assert await stranger.refused("POST", "/login", login) == "cross_site"


async def test_a_browser_without_fetch_metadata_works(home: House) -> None:
    bert = await home.person("bert")
    del bert.headers["Sec-Fetch-Site"]
    await bert.ok("PATCH", "/me", {"name": "Bertram"})


async def test_a_bearer_token_needs_no_page(home: House) -> None:
    bert = await home.bot("bert")
    await bert.ok("PATCH", "/me", {"name": "Bertram"}, headers={"Origin": EVIL})


async def test_no_answer_invites_other_origins(home: House) -> None:
    found = await home.stranger().ask(
        "OPTIONS", "/me", headers={"Origin": EVIL, "Access-Control-Request-Method": "PATCH"}
    )
    assert found.status == 405
    assert not [name for name in found.headers if name.lower().startswith("access-control")]


async def test_the_cookie_of_the_plain_listener(home: House) -> None:
    browser = home.browser()
    made = await home.console().ok("POST", "/admin/invites", {})
    body = {"local": "bert", "password": PASSWORD, "token": made["token"]}
    found = await browser.ask("POST", "/register", body)
    assert found.body["token"] == ""
    node = found.body["me"]["node"]
    cookie = found.headers["Set-Cookie"]
    assert re.fullmatch(
        rf"startalk-{node[:8]}=[\w-]{{43}}; HttpOnly; Max-Age={limits.SESSION_ABSOLUTE_S}; Path=/; SameSite=Lax", cookie
    )
    out = await browser.ask("POST", "/logout")
    assert "Max-Age=0" in out.headers["Set-Cookie"]
    assert await browser.refused("GET", "/me") == "not_signed_in"


async def test_behind_a_proxy_with_tls_the_cookie_is_a_host_cookie(tmp_path: Path) -> None:
    async with house(tmp_path / "node", trusted_proxies=("127.0.0.0/8",)) as home:
        made = await home.console().ok("POST", "/admin/invites", {})
        body = {"local": "bert", "password": PASSWORD, "token": made["token"]}
        headers = {
            "Host": "casa.example", "Origin": "https://casa.example", "X-Startalk": "1", "X-Forwarded-For": "203.0.113.7",
            "X-Forwarded-Proto": "https",
        }  # fmt: skip
        found = await home.stranger().ask("POST", "/register", body, headers=headers)
        cookie = found.headers["Set-Cookie"]
        assert cookie.startswith("__Host-startalk-")
        assert "; Secure" in cookie
        assert "Domain" not in cookie
        stored = home.services.db.view(lambda tx: tx.one("SELECT address FROM devices"))
        assert stored == ("203.0.113.x",)


async def test_over_tls_the_cookie_is_a_host_cookie_and_the_socket_is_secure(tmp_path: Path) -> None:
    async with house(tmp_path / "node", https=True, https_host="127.0.0.1", https_port=0) as home:
        (port,) = [bound.port for bound in home.server.bound if bound.secure]
        made = await home.console().ok("POST", "/admin/invites", {})
        browser = home.browser()
        browser.base = f"https://127.0.0.1:{port}"
        browser.headers = browser_headers(browser.base)
        body = {"local": "bert", "password": PASSWORD, "token": made["token"]}
        found = await browser.ask("POST", "/register", body, ssl=False)
        assert re.match(
            r"__Host-startalk-[a-z2-7]{8}=[^;]+; HttpOnly; Max-Age=\d+; Path=/; SameSite=Lax; Secure$",
            found.headers["Set-Cookie"],
        )
        assert f"connect-src 'self' wss://127.0.0.1:{port};" in found.headers["Content-Security-Policy"]
        assert (await browser.ok("GET", "/me", ssl=False))["local"] == "bert"
        browser.headers["Origin"] = f"http://127.0.0.1:{port}"
        assert await browser.refused("PATCH", "/me", {"name": "x"}, ssl=False) == "cross_site"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.7", "203.0.113.x"),
        ("198.51.100.1, 203.0.113.7, 127.0.0.1", "203.0.113.x"),
        ("2001:db8:1:2::3", "2001:db8:1::"),
    ],
)
async def test_the_nearest_address_that_is_no_proxy_counts(tmp_path: Path, forwarded: str, address: str) -> None:
    async with house(tmp_path / "node", trusted_proxies=("127.0.0.0/8",)) as home:
        bert = await home.bot("bert")
        login = {"local": "bert", "password": PASSWORD, "mode": "token"}
        await home.stranger().ok("POST", "/login", login, headers={"X-Forwarded-For": forwarded})
        assert [d["address"] for d in (await bert.ok("GET", "/devices"))["devices"] if not d["current"]] == [address]


async def test_forwarded_headers_of_strangers_are_lies(home: House) -> None:
    bert = await home.bot("bert")
    lies = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    found = await home.stranger().ask("POST", "/login", {"local": "bert", "password": PASSWORD}, headers=lies)
    assert "Secure" not in found.headers["Set-Cookie"]
    assert {d["address"] for d in (await bert.ok("GET", "/devices"))["devices"]} == {"127.0.0.x"}


# --- the device socket ----------------------------------------------------------------------------------


async def upgrade(home: House, caller: Any, **headers: str) -> int:
    """Status of a WebSocket upgrade; 101 when it worked."""
    url = home.base.replace("http", "ws") + "/c2s"
    try:
        ws = await caller.http.ws_connect(url, headers=headers, protocols=(c2s.SUBPROTOCOL,))
    except WSServerHandshakeError as error:
        return error.status
    await ws.close()
    return 101


async def test_who_may_open_a_socket(home: House) -> None:
    bert, bot = await home.person("bert"), await home.bot("cora")
    assert await upgrade(home, bert, Origin=home.base) == 101
    assert await upgrade(home, bert, Origin=EVIL) == 403
    assert await upgrade(home, bert) == 403
    assert await upgrade(home, home.stranger(), Origin=home.base) == 401
    assert await upgrade(home, bot, **bot.headers) == 101
    assert await upgrade(home, bot, **bot.headers, Origin=EVIL) == 403
    assert await upgrade(home, home.stranger(), Authorization="Bearer x") == 401


# --- floods ---------------------------------------------------------------------------------------------


async def test_strangers_are_slowed_by_address(strict_home: House) -> None:
    home = strict_home
    stranger = home.stranger()
    codes = [(await stranger.ask("GET", "/node")).code for _ in range(limits.API_PER_ADDRESS_BURST)]
    assert set(codes) == {""}
    found = await stranger.ask("GET", "/me")
    assert (found.status, found.code, found.headers["Retry-After"]) == (429, "rate_limited", "1")
    home.clock.advance(seconds=1)
    assert (await stranger.ask("GET", "/me")).code == "not_signed_in"
    assert (await home.console().ask("GET", "/node")).status == 200


async def test_a_session_has_its_own_budget(strict_home: House) -> None:
    home = strict_home
    bert, cora = await home.bot("bert"), await home.bot("cora")
    codes = [(await bert.ask("GET", "/me")).code for _ in range(limits.API_PER_SESSION_BURST)]
    assert set(codes) == {""}
    assert await bert.refused("GET", "/me") == "rate_limited"
    await cora.ok("GET", "/me")
    await home.relax()
    home.clock.advance(seconds=0.001)
    await bert.ok("GET", "/me")


async def test_guessing_is_slowed_and_the_right_password_waits_too(strict_home: House) -> None:
    home = strict_home
    await home.bot("bert")
    stranger = home.stranger()
    for _ in range(limits.LOGIN_FAILURES_PER_ACCOUNT):
        home.clock.advance(seconds=1)
        assert await stranger.refused("POST", "/login", {"local": "bert", "password": "guess"}) == "bad_credentials"
    right = {"local": "bert", "password": PASSWORD, "mode": "token"}
    found = await stranger.ask("POST", "/login", right)
    assert (found.code, found.headers["Retry-After"]) == ("rate_limited", "31")
    for _ in range(limits.LOGIN_FAILURES_PER_ACCOUNT):
        home.clock.advance(seconds=1)
        await stranger.refused("POST", "/login", {"local": "nobody-here", "password": "guess"})
    assert await stranger.refused("POST", "/login", {"local": "nobody-here", "password": "guess"}) == "rate_limited"
    home.clock.advance(seconds=31)
    await stranger.ok("POST", "/login", right)
    counted = home.services.metrics.logins.values
    assert counted == {"bad_credentials": 2 * limits.LOGIN_FAILURES_PER_ACCOUNT, "rate_limited": 2, "ok": 1}
