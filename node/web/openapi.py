"""The OpenAPI 3.1 document, generated from the table of endpoints and the structs of wire/api/, and the page for people.

Nothing here is written by hand twice: a path, its access, its bodies and its refusals stand in the `@endpoint` line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

import node
from node.base.errors import HTTP_STATUS, Code
from node.web.docs_page import STYLE, render
from node.web.endpoints import PREFIX, Access, Endpoint
from node.web.errors import JSON
from node.wire import api

DOCUMENT: Final = f"{PREFIX}/openapi.json"
_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{([a-z]+)\}")
_PATH_TEXT: Final = {
    "room": "Room id: 43 characters of base64url.",
    "device": "Device id: 22 characters of base64url.",
    "user": "User id: local@node.",
    "event": "Event id: 43 characters of base64url.",
    "node": "Node id: 52 characters of base32.",
    "id": "Number of the invitation or link.",
}
_DOOR: Final = frozenset({"node", "invites", "register", "login", "logout", "password-reset"})
# What any endpoint may answer besides its own refusals.
_ALWAYS: Final = (Code.BAD_REQUEST, Code.TOO_LARGE, Code.RATE_LIMITED, Code.INTERNAL, Code.READ_ONLY)
_SIGNED_IN: Final = (Code.NOT_SIGNED_IN, Code.CROSS_SITE)
_PRIVILEGED: Final = (Code.ROLE_TOO_LOW,)


def errors_of(row: Endpoint) -> list[Code]:
    """Every code that an endpoint may answer with."""
    codes = [*_ALWAYS, *row.errors]
    if row.access is not Access.PUBLIC:
        codes += [*_SIGNED_IN, Code.FORBIDDEN]
    if row.method != "GET":
        codes += [Code.CROSS_SITE, Code.UNSUPPORTED]
    if row.access in {Access.ADMIN, Access.OWNER}:
        codes += _PRIVILEGED
    return sorted(set(codes), key=lambda code: (HTTP_STATUS[code], code.value))


def document(rows: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document as plain data."""
    kinds: list[Any] = [api.base.Failure]
    for row in rows:
        kinds += [row.answer] if row.request is None or row.method == "GET" else [row.answer, row.request]
    refs, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema = dict(zip(kinds, refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(PREFIX + row.path, {})[row.method.lower()] = _operation(row, schema)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Startalk Node",
            "version": node.__version__,
            "description": "Ids are text, times are unix milliseconds. See /api/docs for people.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A session token (mode token)."},
            },
        },
    }


def _operation(row: Endpoint, schema: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": row.name,
        "summary": row.text.split("\n", maxsplit=1)[0],
        "description": " ".join(row.text.split()),
        "tags": [_tag(row)],
        "security": [] if row.access is Access.PUBLIC else [{"bearer": []}],
        "x-access": row.access.value,
        "parameters": [*_path_parameters(row), *_query_parameters(row)],
        "responses": _responses(row, schema),
    }
    if row.request is not None and row.method != "GET":
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema[row.request]}}}
    return operation


def _tag(row: Endpoint) -> str:
    """The first part of the path; what one meets before signing in is one chapter."""
    first = row.path.split("/")[1]
    return "door" if first in _DOOR else first


def _path_parameters(row: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_TEXT[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in _PARAMETER.findall(row.path)
    ]


def _query_parameters(row: Endpoint) -> list[dict[str, Any]]:
    if row.request is None or row.method != "GET":
        return []
    _, components = msgspec.json.schema_components([row.request], ref_template=_REF)
    (described,) = components.values()
    required = set(described.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in described["properties"].items()
    ]


def _responses(row: Endpoint, schema: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": "Done.", "content": {JSON: {"schema": schema[row.answer]}}},
    }
    by_status: dict[int, list[str]] = {}
    for code in errors_of(row):
        by_status.setdefault(HTTP_STATUS[code], []).append(code.value)
    for status, codes in by_status.items():
        responses[str(status)] = {
            "description": "Refused: " + ", ".join(codes) + ".",
            "content": {JSON: {"schema": schema[api.base.Failure]}},
        }
    return responses


class Documentation:
    """Serves the document and the page. Both are made at the first request and kept."""

    def __init__(self, *, rows: Sequence[Endpoint]) -> None:
        self._rows = tuple(rows)
        self._json = b""
        self._page = ""

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.get(DOCUMENT, self._serve_json),
            web.get("/api/docs", self._serve_page),
            web.get("/api/docs.css", self._serve_style),
        ]

    async def _serve_json(self, request: web.Request) -> web.StreamResponse:
        if not self._json:
            self._json = msgspec.json.encode(document(self._rows))
        return web.Response(body=self._json, content_type=JSON)

    async def _serve_page(self, request: web.Request) -> web.StreamResponse:
        if not self._page:
            self._page = render(document(self._rows))
        return web.Response(text=self._page, content_type="text/html")

    async def _serve_style(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=STYLE, content_type="text/css", headers={"Cache-Control": "max-age=3600"})
