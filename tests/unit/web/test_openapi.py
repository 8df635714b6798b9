"""The document is valid OpenAPI 3.1, complete, and readable for people."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import jsonschema
import msgspec
import pytest

from node.base.errors import HTTP_STATUS
from node.web import typescript
from node.web.api.table import endpoints
from node.web.docs_page import render
from node.web.endpoints import Access
from node.web.openapi import document, errors_of
from node.wire import api

ROWS = endpoints()
DOCUMENT: dict[str, Any] = json.loads(msgspec.json.encode(document(ROWS)))


def test_names_and_addresses_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len({(row.method, row.path) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_described(row: Any) -> None:
    operation = DOCUMENT["paths"]["/api/v1" + row.path][row.method.lower()]
    assert operation["summary"].endswith(".")
    assert operation["security"] == ([] if row.access is Access.PUBLIC else [{"bearer": []}])
    names = [part["name"] for part in operation["parameters"] if part["in"] == "path"]
    assert names == re.findall(r"\{(\w+)\}", row.path)
    for code in errors_of(row):
        assert code.value in operation["responses"][str(HTTP_STATUS[code])]["description"]


def test_what_is_public_is_a_short_list() -> None:
    public = {f"{row.method} {row.path}" for row in ROWS if row.access is Access.PUBLIC}
    assert public == {"GET /node", "POST /invites/inspect", "POST /register", "POST /login", "POST /password-reset"}


def test_schemas_are_valid_and_complete() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    wanted = {name.rpartition("/")[2] for name in re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT))}
    assert wanted <= set(schemas)


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        assert "style" not in found
        assert not any(name.startswith("on") for name in found)
        if found.get("id"):
            self.ids.add(str(found["id"]))
        if tag == "a":
            self.links.append(str(found["href"]))


def test_the_page_has_every_endpoint_no_script_and_no_dead_link() -> None:
    page = Page()
    page.feed(render(DOCUMENT))
    assert not {"script", "style", "iframe", "img"} & set(page.tags)
    assert {row.name for row in ROWS} <= page.ids
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids


def test_the_page_escapes() -> None:
    hostile = json.loads(json.dumps(DOCUMENT).replace("Name, id and state of this node.", "<script>alert(1)</script>"))
    assert "<script>" not in render(hostile)


def test_every_struct_of_the_table_has_a_type_for_the_web_ui() -> None:
    written = typescript.render()
    for kind in {kind for row in ROWS for kind in (row.request, row.answer) if kind is not None}:
        if kind.__module__.startswith(api.__name__):
            assert f"export interface {kind.__name__} " in written or f"export type {kind.__name__} " in written
    assert "token?: string;" in written  # a request's default may be left out
    assert "peer: Person | null;" in written
    assert "kind: 'account' | 'reset' | 'room';" in written
