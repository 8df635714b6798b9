"""Files of the web UI: what is cached how, what is never served."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from node.base.errors import Rejected
from node.web.static import Static

PAGE = {"Accept": "text/html,*/*"}
Client = TestClient[web.Request, web.Application]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built = tmp_path / "_webui"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html><title>UI</title>")
    (built / "assets" / "app-1a2b.js").write_text("plain")
    (built / "assets" / "app-1a2b.js.br").write_bytes(b"brotli")
    (built / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(b"plain", mtime=0))
    (built / "sw.js").write_text("worker")
    (built / "manifest.webmanifest").write_text("{}")
    (built / "notes.md").write_text("not a type we serve")
    (tmp_path / "secret.txt").write_text("secret")
    (built / "link.txt").symlink_to(tmp_path / "secret.txt")
    return built


async def start(folder: Path) -> TestClient[web.Request, web.Application]:
    @web.middleware
    async def refuse(request: web.Request, handler: object) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[operator,no-any-return]
        except Rejected as error:
            return web.Response(status=error.http_status)

    app = web.Application(middlewares=[refuse])
    app.router.add_get("/{tail:.*}", Static(folder=folder).handle)
    client = TestClient(TestServer(app), auto_decompress=False)
    await client.start_server()
    return client


@pytest_asyncio.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    started = await start(folder)
    yield started
    await started.close()


async def test_hashed_names_live_for_a_year(client: Client) -> None:
    found = await client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert (await found.read(), found.status) == (b"plain", 200)
    assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert found.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert found.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("accepts", "encoding", "body"),
    [
        ("gzip, deflate, br", "br", b"brotli"),
        ("gzip", "gzip", gzip.compress(b"plain", mtime=0)),
        ("br;q=0, gzip;q=0.5", "gzip", None),
        ("br; q=0.0", None, b"plain"),
        ("", None, b"plain"),
    ],
)
async def test_the_best_sibling_is_sent(client: Client, accepts: str, encoding: str | None, body: bytes | None) -> None:
    found = await client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": accepts})
    assert found.headers.get("Content-Encoding") == encoding
    assert body is None or gzip_or(await found.read()) == gzip_or(body)


def gzip_or(body: bytes) -> bytes:
    """Ignores the time in a gzip header."""
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


async def test_the_index_is_asked_for_again_each_time(client: Client) -> None:
    found = await client.get("/", headers=PAGE)
    assert (found.status, found.headers["Cache-Control"]) == (200, "no-cache")
    again = await client.get("/", headers={**PAGE, "If-None-Match": found.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    assert (await client.get("/sw.js")).headers["Cache-Control"] == "no-cache"
    assert (await client.get("/manifest.webmanifest")).content_type == "application/manifest+json"
    assert (await client.head("/sw.js")).status == 200


@pytest.mark.parametrize("path", ["/", "/i", "/chats/abc", "/settings/devices", "/index.html", "/a.b.c"])
async def test_navigations_get_the_index(client: Client, path: str) -> None:
    for headers in (PAGE, {"Sec-Fetch-Mode": "navigate"}):
        found = await client.get(path, headers=headers)
        assert (found.status, "UI" in await found.text()) == (200, True)


@pytest.mark.parametrize("path", ["/missing.js", "/chats/abc", "/favicon.ico"])
async def test_other_requests_do_not(client: Client, path: str) -> None:
    assert (await client.get(path, headers={"Accept": "*/*"})).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/assets/gone.js", "/assets/../../secret.txt", "/assets/..%2f..%2fsecret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt",
        "//secret.txt", "/link.txt", "/notes.md", "/assets/", "/assets/app-1a2b.js.br", "/assets/%00", "/assets\\..\\..\\secret.txt",
    ],
)  # fmt: skip
async def test_nothing_else_is_served(client: Client, path: str) -> None:
    url = URL(f"http://{client.host}:{client.port}{path}", encoded=True)  # sent as it stands
    found = await client.session.get(url)
    assert found.status == 404
    assert b"secret" not in await found.read()


async def test_a_new_build_is_noticed(client: Client, folder: Path) -> None:
    assert "UI" in await (await client.get("/", headers=PAGE)).text()
    (folder / "assets" / "app-1a2b.js").unlink()
    assert (await client.get("/assets/app-1a2b.js")).status == 404
    (folder / "assets" / "app-3c4d.js").write_text("newer")
    (folder / "index.html").write_text("<!doctype html><title>newer</title>")
    os.utime(folder / "index.html", ns=(1, 1))
    assert "newer" in await (await client.get("/", headers=PAGE)).text()
    assert (await client.get("/assets/app-3c4d.js")).status == 200


async def test_not_built_says_how_to_build_and_notices_the_build(tmp_path: Path) -> None:
    client = await start(tmp_path / "nothing")
    found = await client.get("/", headers=PAGE)
    assert found.status == 503
    assert "make webui" in await found.text()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "index.html").write_text("built")
    assert (await client.get("/", headers=PAGE)).status == 200
    await client.close()
