"""The table of the HTTP API: what exists, who may call it, what goes in and out. What is not in the table does not exist.

A resource is a class whose methods carry `@endpoint`. A method gets a `Call` with everything already parsed and proved,
and returns a struct. The same declarations make the OpenAPI document (web/openapi.py), so it cannot differ from the code.
GET parses `request` from the query string, every other method from a JSON body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web
from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.core.account import ADMIN_ROLES, NodeRole
from node.services.actor import Actor
from node.web.auth import SAFE_METHODS, Auth, Peer, require_role
from node.web.errors import JSON, answer
from node.web.throttle import ApiThrottle
from node.wire import api

PREFIX: Final = "/api/v1"
_MARK: Final = "_startalk_endpoint"
_OWNER_ONLY: Final = frozenset({NodeRole.OWNER})

B = TypeVar("B")
A = TypeVar("A", bound=api.base.Answer)
R = TypeVar("R")


class Access(StrEnum):
    """Who may call."""

    PUBLIC = "public"
    USER = "user"
    ADMIN = "admin"
    OWNER = "owner"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One row of the table."""

    method: str
    path: str
    request: type[Any] | None
    answer: type[Any]
    access: Access
    errors: tuple[Code, ...]
    name: str
    text: str


class Call(Generic[B]):
    """One request. `body` is the parsed body or query."""

    __slots__ = ("_actor", "body", "forget", "match", "peer", "request", "token")

    def __init__(self, *, request: web.Request, peer: Peer, actor: Actor | None, body: B) -> None:
        self.request = request
        self.peer = peer
        self.body = body
        self.match = request.match_info
        self.token = ""  # set: the answer carries a session cookie with it
        self.forget = False  # set: the answer takes the cookie away
        self._actor = actor

    @property
    def actor(self) -> Actor:
        """Who calls; endpoints that are not public have one."""
        assert self._actor is not None
        return self._actor


Handler = Callable[[R, Call[B]], Awaitable[A]]


def endpoint(
    method: str,
    path: str,
    *,
    request: type[B] | None = None,
    answer: type[A],
    access: Access,
    errors: tuple[Code, ...] = (),
) -> Callable[[Handler[R, B, A]], Handler[R, B, A]]:
    """Declares a method of a resource as an endpoint; its docstring is what the documentation says."""

    def declare(handler: Handler[R, B, A]) -> Handler[R, B, A]:
        row = Endpoint(
            method=method,
            path=path,
            request=request,
            answer=answer,
            access=access,
            errors=errors,
            name=handler.__name__,
            text=(handler.__doc__ or "").strip(),
        )
        setattr(handler, _MARK, row)
        return handler

    return declare


def declared(resource: type[object]) -> Iterator[Endpoint]:
    """The endpoints of a resource class, in the order of the source."""
    for attribute in vars(resource).values():
        row = getattr(attribute, _MARK, None)
        if isinstance(row, Endpoint):
            yield row


class Table:
    """The endpoints of live resources, as routes."""

    def __init__(self, *, resources: Iterable[object], auth: Auth, throttle: ApiThrottle) -> None:
        self._auth = auth
        self._throttle = throttle
        self._rows: list[tuple[Endpoint, Callable[[Call[Any]], Awaitable[api.base.Answer]]]] = [
            (row, getattr(resource, row.name)) for resource in resources for row in declared(type(resource))
        ]

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.route(row.method, PREFIX + row.path, self._handler(row, call), **_exactly(row.method))
            for row, call in self._rows
        ]

    def _handler(
        self, row: Endpoint, handle: Callable[[Call[Any]], Awaitable[api.base.Answer]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        parse = self._parser(row)

        async def serve(request: web.Request) -> web.StreamResponse:
            peer = self._auth.peer(request)
            actor = self._admit(row, request, peer)
            call = Call(request=request, peer=peer, actor=actor, body=await parse(request))
            response = answer(await handle(call))
            if call.token:
                self._auth.set_cookie(response, peer, call.token)
            elif call.forget:
                self._auth.clear_cookie(response, peer)
            return response

        return serve

    def _admit(self, row: Endpoint, request: web.Request, peer: Peer) -> Actor | None:
        """The actor if one is needed. Raises Rejected; whoever is not signed in pays by address."""
        if row.access is Access.PUBLIC:
            self._throttle.charge_address(peer)
            if peer.listener != "admin" and request.method not in SAFE_METHODS and self._auth.is_browser(request):
                self._auth.check_site(request, peer)
            return None
        try:
            actor = self._auth.actor(request, peer)
        except Rejected:
            self._throttle.charge_address(peer)
            raise
        self._throttle.charge_session(actor)
        if row.access is Access.USER and not actor.device_pk:
            raise Rejected(Code.FORBIDDEN, "The node itself has no account; sign in as a person.")
        if row.access is Access.ADMIN:
            require_role(actor, ADMIN_ROLES, NodeRole.ADMIN)
        if row.access is Access.OWNER:
            require_role(actor, _OWNER_ONLY, NodeRole.OWNER)
        return actor

    def _parser(self, row: Endpoint) -> Callable[[web.Request], Awaitable[Any]]:
        kind = row.request
        if kind is None:
            return _no_body
        if row.method == "GET":
            return _query_parser(kind)
        return _body_parser(kind)


def _exactly(method: str) -> dict[str, bool]:
    """A GET is no HEAD: nobody needs the length of an answer that is made anew each time."""
    return {"allow_head": False} if method == "GET" else {}


async def _no_body(request: web.Request) -> None:
    await _read(request)  # an empty object is fine


async def _read(request: web.Request) -> bytes:
    """The body; its size is bounded by the application. Raises Rejected when it trickles in."""
    try:
        async with asyncio.timeout(limits.REQUEST_BODY_S):
            return await request.read()
    except TimeoutError:
        raise Rejected(Code.BAD_REQUEST, "The request took too long to arrive.", limit=limits.REQUEST_BODY_S) from None


def _query_parser(kind: type[Any]) -> Callable[[web.Request], Awaitable[Any]]:
    async def parse(request: web.Request) -> Any:
        values = dict(request.query)
        if len(values) != len(request.query):
            raise Rejected(Code.BAD_REQUEST, "A query parameter is given twice.")
        try:
            return msgspec.convert(values, kind, strict=False)
        except msgspec.ValidationError as error:
            raise _invalid("query", error) from None

    return parse


def _body_parser(kind: type[Any]) -> Callable[[web.Request], Awaitable[Any]]:
    decode = msgspec.json.Decoder(kind).decode

    async def parse(request: web.Request) -> Any:
        if request.content_type != JSON:
            raise Rejected(Code.UNSUPPORTED, "Send the body as application/json.", field="content-type")
        data = await _read(request)
        try:
            return decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _invalid("body", error) from None

    return parse


def _invalid(what: str, error: Exception) -> Rejected:
    text, _, where = str(error).partition(" - at `$")
    field = where.rstrip("`").lstrip(".") or what
    return Rejected(Code.BAD_REQUEST, f"The {what} is not valid: {text[:200]}.", field=field[:60])


async def allowed_methods(app: web.Application, request: web.Request, catch_all: frozenset[str]) -> set[str]:
    """Methods that this path knows, apart from catch-all routes."""
    allowed: set[str] = set()
    for resource in app.router.resources():
        if resource.canonical in catch_all:
            continue
        _, methods = await resource.resolve(request)
        allowed |= methods
    return allowed - {hdrs.METH_ANY}
