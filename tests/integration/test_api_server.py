"""What all answers have in common, and what is refused before any handler sees it."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from node import main
from node.base import limits
from node.base.errors import ExitStatus, Fatal
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.web.server import Listener
from tests.integration.house import House, house

CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' ws://{host}; "
    "style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; manifest-src 'self'; "
    "frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'"
)


async def raw(home: House, request: bytes, *, until: bytes = b"") -> bytes:
    """What a connection answers to these bytes, up to its end or to `until`."""
    host, port = home.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await (reader.readuntil(until) if until else reader.read())
    writer.close()
    await writer.wait_closed()
    return answer


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """(status, headers in lower case, body) of a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split(" ")[1]), headers, body


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: casa.example", "Connection: close", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/node",
        "/api/v1/nothing",
        "/health",
        "/metrics",
        "/",
        "/missing.js",
        "/api/docs",
        "/api/docs.css",
        "/c2s",
    ],
)
async def test_every_answer_is_dressed(home: House, path: str) -> None:
    _, headers, _ = parts(await raw(home, get(path, "Accept: text/html")))
    assert "server" not in headers
    assert headers["content-security-policy"] == CSP.format(host="casa.example")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["permissions-policy"].startswith("camera=(self)")
    assert "access-control-allow-origin" not in headers
    if path.startswith("/api/v1"):
        assert headers["cache-control"] == "no-store"


async def test_a_strange_host_does_not_get_into_the_policy(home: House) -> None:
    request = get("/api/v1/node").replace(b"casa.example", b"evil.example; script-src *")
    _, headers, _ = parts(await raw(home, request))
    assert "evil" not in headers.get("content-security-policy", "")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (get("/" + "x" * limits.HEADER_LINE_BYTES_MAX), 400),
        (get("/health", "X-Long: " + "x" * (limits.HEADER_LINE_BYTES_MAX + 1)), 400),
        (get("/health", *(f"X-{n}: {'x' * 4000}" for n in range(5))), 413),
        (get("/health", *(f"X-{n}: 1" for n in range(200))), 400),
        (get("/health", "Content-Length: x"), 400),
        (get("/health", "Content-Length: 3", "Transfer-Encoding: chunked"), 400),
    ],
)
async def test_what_is_not_http_gets_a_short_answer(home: House, request_bytes: bytes, status: int) -> None:
    found, headers, body = parts(await raw(home, request_bytes))
    assert found == status
    assert "server" not in headers
    assert json.loads(body)["error"]["code"] in {"bad_request", "too_large"}
    assert b"aiohttp" not in body.lower()
    await home.stranger().ok("GET", "/node")


async def test_who_connects_and_says_nothing_is_sent_away(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_REQUEST_S", 0.05)
    assert await raw(home, b"") == b""
    assert await raw(home, b"GET /health HTTP/1.1\r\nHost: casa") == b""
    assert parts(await raw(home, get("/health")))[0] == 200


async def test_a_body_that_trickles_in_is_given_up(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_BODY_S", 0.05)
    head = "POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
    found, _, body = parts(await raw(home, head.encode(), until=b"}}"))
    assert (found, json.loads(body)["error"]["detail"]) == (400, {"limit": 0.05})


async def test_headers_up_to_the_limit_are_fine(home: House) -> None:
    found, _, _ = parts(await raw(home, get("/health", *(f"X-{n}: {'x' * 3900}" for n in range(4)))))
    assert found == 200


async def test_unknown_addresses_and_methods(home: House) -> None:
    stranger = home.stranger()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        found = await stranger.ask(method, "/nothing")
        assert (found.status, found.code) == (404, "not_found")
    for method in ("PUT", "DELETE", "OPTIONS", "POST"):
        found = await stranger.ask(method, "/node")
        assert (found.status, found.code, found.headers["Allow"]) == (405, "method_not_allowed", "GET")
    found = await stranger.ask("GET", "/rooms/direct/../../../nothing")
    assert found.status == 404
    async with stranger.http.post(home.base + "/anything", headers={"Accept": "text/html"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (405, "method_not_allowed")


async def test_bodies_are_json_not_compressed_and_not_too_large(home: House) -> None:
    stranger = home.stranger()
    login = json.dumps({"local": "bert", "password": "x"}).encode()
    kinds = {"Content-Type": "application/json"}
    bad = [
        ({**kinds, "Content-Encoding": "gzip"}, gzip.compress(login), 415),
        ({**kinds, "Content-Encoding": "br"}, login, 415),
        ({"Content-Type": "text/plain"}, login, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"local=bert", 415),
        (kinds, b"", 400),
        (kinds, b"{", 400),
        (kinds, b"[]", 400),
        (kinds, b"\xff\xfe", 400),
        (kinds, b'{"local":"\\ud800","password":"x"}', 400),
        (kinds, b"[" * 100_000, 400),
        (kinds, login[:-1] + b',"local":"cora"}', 401),
        (kinds, b'"' + b"x" * limits.JSON_BODY_BYTES_MAX + b'"', 413),
        (kinds, login, 401),
    ]
    for headers, data, status in bad:
        found = await stranger.ask("POST", "/login", headers=headers, data=io.BytesIO(data))
        assert found.status == status, (headers, data[:50], found.body)


async def test_health_tells_why_it_is_not_well(home: House) -> None:
    stranger = home.stranger()
    home.clock.advance(seconds=90)
    async with stranger.http.get(home.base + "/health") as response:
        assert (response.status, await response.json()) == (
            200,
            {"status": "ok", "reason": "", "version": "0.1.0", "uptime_s": 90},
        )
    home.services.db.trouble = "The disk is full."
    async with stranger.http.get(home.base + "/health") as response:
        assert (response.status, (await response.json())["reason"]) == (503, "The disk is full.")
    home.services.db.trouble = ""


async def test_metrics_are_for_this_machine_or_a_token(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "metrics_token": "scrape-me"}
    async with house(tmp_path / "node", **settings) as home:
        await home.stranger().ok("GET", "/node")
        away = {"X-Forwarded-For": "203.0.113.9"}
        for headers, status in (
            ({}, 200),
            (away, 403),
            ({**away, "Authorization": "Bearer guess"}, 403),
            ({**away, "Authorization": "Bearer scrape-me"}, 200),
        ):
            async with home.stranger().http.get(home.base + "/metrics", headers=headers) as response:
                assert response.status == status
                if status == 200:
                    assert 'startalk_http_requests_total{status="2xx"}' in await response.text()


async def test_documentation_is_public_and_needs_no_script(home: House) -> None:
    stranger = home.stranger()
    async with stranger.http.get(home.base + "/api/docs") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "POST</span><code>/api/v1/login" in await response.text()
    async with stranger.http.get(home.base + "/api/docs.css") as response:
        assert response.content_type == "text/css"
    async with stranger.http.get(home.base + "/api/v1/openapi.json") as response:
        assert (await response.json())["openapi"] == "3.1.0"


async def test_a_fault_of_ours_tells_an_id_and_nothing_else(home: House, caplog: pytest.LogCaptureFixture) -> None:
    owner = await home.owner()
    disk = sqlite3.connect(home.services.config.folder / "startalk.db")
    disk.execute("ALTER TABLE devices RENAME TO elsewhere")
    disk.close()
    found = await owner.ask("GET", "/me")
    assert (found.status, found.code) == (500, "internal")
    assert "devices" not in json.dumps(found.body)
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert found.body["error"]["id"] in str(line.__dict__["fields"])


async def test_a_port_in_use_is_named_with_its_setting(home: House, tmp_path: Path) -> None:
    port = int(home.base.rpartition(":")[2])
    config = Config(data=str(tmp_path / "second"), https=False, http_port=port, password_cost="small")
    services = main.open_services(config, clock=ManualClock(), entropy=SeededEntropy("second"))
    with pytest.raises(Fatal) as caught:
        await main.build(services).web.run(lambda: None)
    assert caught.value.status is ExitStatus.PORT_IN_USE
    assert str(port) in caught.value.text
    assert "http_port" in caught.value.text
    await services.close()


async def test_a_listener_that_fails_leaves_none_open(home: House, tmp_path: Path) -> None:
    services = home.services
    server = main.build(services).web
    server._listeners = (
        Listener(name="http", host="127.0.0.1", port=0),
        Listener(name="admin", path=tmp_path / ("x" * 200) / "admin.sock"),
    )
    with pytest.raises(Fatal) as caught:
        await server.run(lambda: None)
    assert caught.value.status is ExitStatus.DATA_UNWRITABLE


async def test_the_admin_socket_is_the_owner_and_for_nobody_else(home: House) -> None:
    assert ((home.data / "admin.sock").stat().st_mode & 0o777) == 0o600
    console = home.console()
    assert (await console.ok("PATCH", "/admin/settings", {"name": "Casa"}))["name"] == "Casa"
    made = await console.ok("POST", "/admin/invites", {"role": "node_admin"})
    assert made["made_by"] == ""
    assert len((await console.ok("GET", "/setup/phrase"))["words"]) == 24
    for method, path in (("GET", "/me"), ("GET", "/rooms"), ("POST", "/logout"), ("GET", "/devices")):
        assert await console.refused(method, path) == "forbidden"
    assert await console.refused("PATCH", "/me", {"name": "x"}) == "forbidden"
    bert = await home.bot("bert")
    console.headers = bert.headers
    assert (await console.ok("GET", "/me"))["local"] == "bert"
    assert await console.refused("GET", "/admin/settings") == "role_too_low"


async def test_stopping_removes_the_admin_socket(tmp_path: Path) -> None:
    async with house(tmp_path / "node") as home:
        assert (home.data / "admin.sock").exists()
    assert not (tmp_path / "node" / "admin.sock").exists()
