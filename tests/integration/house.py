"""A whole node on loopback for tests of the HTTP API: real database, real server, small passwords, a clock that stands still.

`Browser` signs in by cookie, as the page does; `Bot` by token. Every answer is checked against the OpenAPI document, so a test
of one thing is a test of the contract as well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema

from node import main
from node.base.ids import format_id
from node.core.account import NodeRole
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.settings import RATE_MAX, RATES, Change
from node.web.api.table import endpoints
from node.web.openapi import document

DOCUMENT = document(endpoints())
PASSWORD = "a-long-enough-word"


class Answer:
    """Status, headers and the parsed body of one answer."""

    def __init__(self, status: int, headers: Any, body: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def code(self) -> str:
        """The code of a refusal; empty when it was none."""
        return self.body["error"]["code"] if isinstance(self.body, dict) and "error" in self.body else ""


class Caller:
    """Somebody who sends requests to a node."""

    def __init__(self, base: str, *, headers: dict[str, str] | None = None, path: Path | None = None) -> None:
        connector = None if path is None else aiohttp.UnixConnector(str(path))
        self.base = base
        self.headers = headers or {}
        self.http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.me: dict[str, Any] = {}

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        """One request below ``/api/v1``, checked against the OpenAPI document."""
        sent = {**self.headers, **(headers or {})}
        if body is not None:
            more["json"] = body
        async with self.http.request(method, f"{self.base}/api/v1{path}", headers=sent, **more) as response:
            raw = await response.read()
            parsed = json.loads(raw)
        check(method, path.partition("?")[0], response.status, parsed)
        return Answer(response.status, response.headers, parsed)

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The body of an answer that must be a success."""
        found = await self.ask(method, path, body, **more)
        assert found.status == 200, found.body
        return found.body

    async def refused(self, method: str, path: str, body: Any = None, **more: Any) -> str:
        """The code of an answer that must be a refusal."""
        found = await self.ask(method, path, body, **more)
        assert found.status >= 400, found.body
        return found.code

    async def close(self) -> None:
        await self.http.close()


def browser_headers(base: str) -> dict[str, str]:
    """What our own page sends."""
    return {"Origin": base, "Sec-Fetch-Site": "same-origin", "X-Startalk": "1"}


def check(method: str, path: str, status: int, body: Any) -> None:
    """That the answer is one the document promises."""
    operation = _operation(method, "/api/v1" + path)
    if operation is None:
        kind: dict[str, Any] = {"$ref": "#/components/schemas/Failure"}
    else:
        assert str(status) in operation["responses"], f"{method} {path} answered {status}: {body}"
        kind = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    schema = {**kind, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(body)


def _operation(method: str, path: str) -> dict[str, Any] | None:
    parts = path.split("/")
    exact = [known for known in DOCUMENT["paths"] if known == path]
    alike = [
        known
        for known in DOCUMENT["paths"]
        if len(known.split("/")) == len(parts)
        and all(have == want or want.startswith("{") for have, want in zip(parts, known.split("/"), strict=True))
    ]
    for known in [*exact, *alike]:
        found: dict[str, Any] | None = DOCUMENT["paths"][known].get(method.lower())
        if found is not None:
            return found
    return None


class House:
    """A running node and those who call it."""

    def __init__(self, services: main.Services, server: Any, clock: ManualClock, data: Path) -> None:
        self.services = services
        self.server = server
        self.clock = clock
        self.data = data
        self.base = f"http://127.0.0.1:{next(bound.port for bound in server.bound if bound.name == 'http')}"
        self._callers: list[Caller] = []

    def stranger(self, **headers: str) -> Caller:
        """Not signed in, no browser."""
        return self._keep(Caller(self.base, headers=headers))

    def browser(self) -> Caller:
        """A browser that is not signed in."""
        return self._keep(Caller(self.base, headers=browser_headers(self.base)))

    def console(self) -> Caller:
        """The admin socket."""
        return self._keep(Caller("http://localhost", path=self.data / "admin.sock"))

    async def owner(self) -> Caller:
        """The owner, in a browser."""
        token = await self.services.invites.owner_invite()
        return await self.person("olga", token=token or "")

    async def person(self, local: str, *, token: str = "", mode: str = "cookie") -> Caller:
        """Somebody with a new account; with an invitation unless one is given."""
        caller = self.browser() if mode == "cookie" else self.stranger()
        body = {"local": local, "password": PASSWORD, "name": local.title(), "token": token, "mode": mode}
        await self._join(caller, body)
        return caller

    async def bot(self, local: str) -> Caller:
        """Somebody with a new account who uses a token."""
        return await self.person(local, mode="token")

    async def _join(self, caller: Caller, body: dict[str, str]) -> None:
        if not body["token"]:
            made = await self.services.invites.make_account(
                self.services.accounts.console(), role=NodeRole.USER, expires_s=0, uses=1
            )
            body = {**body, "token": made.text}
        session = await caller.ok("POST", "/register", body)
        caller.me = session["me"]
        if session["token"]:
            caller.headers = {"Authorization": f"Bearer {session['token']}"}

    async def relax(self) -> None:
        """Rates as high as they go."""
        await self.services.settings.change(Change(rates=dict.fromkeys(RATES, RATE_MAX)), actor="test")

    def fresh_id(self) -> str:
        """A client id."""
        return format_id(self.services.entropy.uuid7(self.clock.now_ms()))

    def _keep(self, caller: Caller) -> Caller:
        self._callers.append(caller)
        return caller

    async def close(self) -> None:
        for caller in self._callers:
            await caller.close()


@asynccontextmanager
async def house(data: Path, *, relaxed: bool = True, **settings: Any) -> AsyncIterator[House]:
    """A node from start to end."""
    clock = ManualClock()
    config = Config(**{"data": str(data), "password_cost": "small", "https": False, "http_port": 0, **settings})
    services = main.open_services(config, clock=clock, entropy=SeededEntropy("house"))
    node = main.build(services)
    server = node.web
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run(ready.set))
        await ready.wait()
        running_house = House(services, server, clock, data)
        try:
            if relaxed:
                await running_house.relax()
            yield running_house
        finally:
            await running_house.close()
            running.cancel()
    await services.close()
