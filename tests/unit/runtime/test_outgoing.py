"""The door for outgoing connections: what it fetches, what it refuses and how much it takes. Servers are on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from node.base import limits
from node.runtime.outgoing import Ask, FetchFailed, Outgoing, Route
from node.runtime.targets import TargetRefused, Targets

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ROUTER = Route(only="127.0.0.1")  # plain http is for routers, and spares the tests TLS


@asynccontextmanager
async def serving(**handlers: Handler) -> AsyncIterator[str]:
    app = web.Application()
    for name, handler in handlers.items():
        app.router.add_route("*", f"/{name}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def door() -> Outgoing:
    return Outgoing(targets=Targets())


def ask(
    url: str, *, size: int = 100, timeout_s: float = 2, redirects: int = 0, method: str = "GET", body: bytes = b""
) -> Ask:
    return Ask(
        url=url,
        size_bytes_max=size,
        timeout_s=timeout_s,
        redirects_max=redirects,
        route=ROUTER,
        method=method,
        body=body,
    )


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read() or b"hello", headers={"X-Asked": request.method})


async def test_an_answer_has_status_headers_and_body() -> None:
    async with serving(echo=echo) as origin:
        got = await door().ask(ask(f"{origin}/echo", method="POST", body=b"soap"))
        assert (got.status, got.body, got.headers["X-Asked"], got.url) == (200, b"soap", "POST", f"{origin}/echo")
        assert (await door().ask(ask(f"{origin}/nothing"))).status == 404


async def test_an_answer_is_bounded() -> None:
    async def size(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["n"]))

    async with serving(size=size) as origin:
        assert len((await door().ask(ask(f"{origin}/size?n=100"))).body) == 100
        with pytest.raises(FetchFailed, match="more than 100 bytes"):
            await door().ask(ask(f"{origin}/size?n=101"))


async def test_a_compressed_answer_is_refused() -> None:
    async def packed(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        answer = web.Response(body=b"x" * 1000)
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async with serving(packed=packed) as origin:
        with pytest.raises(FetchFailed, match="compressed"):
            await door().ask(ask(f"{origin}/packed"))


async def test_a_silent_server_is_left() -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(silent=silent) as origin:
        with pytest.raises(FetchFailed, match=r"within 0\.05 s"):
            await door().ask(ask(f"{origin}/silent", timeout_s=0.05))


async def test_redirects_are_counted() -> None:
    async def again(request: web.Request) -> web.Response:
        raise web.HTTPFound("/again")

    async with serving(again=again) as origin:
        with pytest.raises(FetchFailed, match="more than 2 redirects"):
            await door().ask(ask(f"{origin}/again", redirects=2))


async def test_a_redirect_is_followed_on_the_same_host_only() -> None:
    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    async with serving(away=away, echo=echo) as origin:
        assert (await door().ask(ask(f"{origin}/away?to=/echo", redirects=1))).body == b"hello"
        with pytest.raises(TargetRefused, match="another host"):
            await door().ask(ask(f"{origin}/away?to=http://localhost/", redirects=1))
        with pytest.raises(TargetRefused, match="another host"):
            await door().ask(ask(f"{origin}/away?to=file:///etc/passwd", redirects=1))


async def test_a_closed_port_is_a_failure() -> None:
    async with serving() as origin:
        pass
    with pytest.raises(FetchFailed, match="The request failed"):
        await door().ask(ask(origin))


async def test_only_the_router_that_answered_is_asked() -> None:
    async with serving(echo=echo) as origin:
        one = Ask(url=f"{origin}/echo", size_bytes_max=9, timeout_s=2, route=Route(only="127.0.0.2"))
        with pytest.raises(TargetRefused, match="not the machine"):
            await door().ask(one)


@pytest.mark.parametrize("url", ["http://a.example/", "https://u:p@a.example/", "https://a.example:0/", "https:///x",
                                 "https://a.example\\@b.example/", "https://a b/", "https://ä.example/", "x"])  # fmt: skip
async def test_a_url_has_no_surprises(url: str) -> None:
    with pytest.raises(TargetRefused):
        await door().ask(Ask(url=url, size_bytes_max=1, timeout_s=1))


async def test_a_url_has_a_length() -> None:
    with pytest.raises(TargetRefused, match="usual spelling"):
        await door().ask(ask("http://127.0.0.1/" + "x" * limits.URL_CHARS_MAX))


async def test_a_name_has_few_addresses() -> None:
    async def many(name: str) -> list[str]:
        return [f"1.1.1.{number}" for number in range(limits.NAME_ADDRESSES_MAX + 1)]

    crowd = Outgoing(targets=Targets(), names=many)
    with pytest.raises(TargetRefused, match=f"more than {limits.NAME_ADDRESSES_MAX}"):
        await crowd.ask(Ask(url="https://crowd.example/", size_bytes_max=1, timeout_s=1))
