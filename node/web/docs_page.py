"""The API's documentation as one plain HTML page: no scripts, one style sheet, under the same strict policy as everything.

Usual viewers need inline scripts and other people's servers, which our Content-Security-Policy forbids. All text is escaped
here, although it comes from our own source.
"""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any, Final

Json = dict[str, Any]
_CODE: Final = re.compile(r"``?([^`]+)``?")

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --mark: #2f6fde; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 6rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.25rem; margin: 3rem 0 .5rem; text-transform: capitalize; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; } a { color: var(--mark); }
code { font: .9em ui-monospace, monospace; background: var(--soft); border-radius: .3em; padding: .1em .35em; }
article { border: 1px solid var(--line); border-radius: .6rem; margin: .8rem 0; padding: .8rem 1rem; }
article > h3 { margin: 0; } article > p { margin: .35rem 0; }
.method { color: #fff; background: var(--mark); border-radius: .3em; font-size: .8em; margin-right: .6em; padding: .15em .5em; }
.access { color: #777; float: right; font-size: .85rem; font-weight: normal; }
table { border-collapse: collapse; width: 100%; } td, th { border-top: 1px solid var(--line); padding: .3rem .6rem .3rem 0; text-align: left; vertical-align: top; }
nav { columns: 3 12rem; margin: 1rem 0; } nav a { display: block; text-decoration: none; padding: .1rem 0; }
"""


def render(document: Json) -> str:
    """The page for an OpenAPI document made by web/openapi.py."""
    by_tag: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    sections = "".join(
        f'<section id="{escape(tag)}"><h2>{escape(tag)}</h2>{"".join(_operation(*row) for row in rows)}</section>'
        for tag, rows in by_tag.items()
    )
    contents = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in (*by_tag, "structs"))
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(info["title"])} API</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/api/docs.css"></head><body><main>'
        f"<h1>{escape(info['title'])} API</h1><p>Version {escape(info['version'])}. Ids are text, times are unix milliseconds, durations seconds. "
        'The same for machines: <a href="/api/v1/openapi.json">openapi.json</a>.</p>'
        "<p>Sign in with <code>POST /api/v1/login</code> and mode <code>token</code>, then send "
        "<code>Authorization: Bearer …</code>. Every refusal has the body <code>Failure</code>.</p>"
        f'<nav aria-label="Contents">{contents}</nav>{sections}{_schemas(document["components"]["schemas"])}'
        "</main></body></html>"
    )


def _operation(method: str, path: str, operation: Json) -> str:
    asks = operation.get("requestBody")
    title = f"<span class=method>{escape(method)}</span><code>{escape(path)}</code>"
    access = f"<span class=access>{escape(operation['x-access'])}</span>"
    lines = [f"<h3>{title}{access}</h3>", f"<p>{_prose(operation['description'])}</p>"]
    lines += [
        f"<p>Query <code>{escape(parameter['name'])}</code> {_type(parameter['schema'])}</p>"
        for parameter in operation["parameters"]
        if parameter["in"] == "query"
    ]
    if asks is not None:
        lines.append(f"<p>Takes {_type(asks['content']['application/json']['schema'])}</p>")
    lines.append(f"<p>Answers {_type(operation['responses']['200']['content']['application/json']['schema'])}</p>")
    refusals = "; ".join(
        f"{status} {response['description'].removeprefix('Refused: ').rstrip('.')}"
        for status, response in operation["responses"].items()
        if status != "200"
    )
    lines.append(f"<p>Refuses with {escape(refusals)}.</p>")
    return f'<article id="{escape(operation["operationId"])}">{"".join(lines)}</article>'


def _schemas(schemas: Json) -> str:
    parts = ['<section id="structs"><h2>structs</h2>']
    for name, schema in schemas.items():
        required = set(schema.get("required", ()))
        rows = "".join(
            _field(field, kind, required=field in required) for field, kind in schema.get("properties", {}).items()
        )
        parts.append(
            f'<article id="{escape(name)}"><h3>{escape(name)}</h3><p>{_prose(schema.get("description", ""))}</p>'
            f"<table>{rows}</table></article>"
        )
    return "".join([*parts, "</section>"])


def _field(name: str, kind: Json, *, required: bool) -> str:
    need = "required" if required else f"default <code>{escape(json.dumps(kind.get('default')))}</code>"
    return f"<tr><td><code>{escape(name)}</code></td><td>{_type(kind)}</td><td>{need}</td></tr>"


def _prose(text: str) -> str:
    """Escaped, with names in backticks as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(schema['additionalProperties'])}"
    if "minLength" in schema and schema["minLength"] == schema.get("maxLength"):
        return f"string of {schema['minLength']} characters"
    bounds = {
        "minLength": "at least {} characters", "maxLength": "at most {} characters", "minimum": "≥ {}", "maximum": "≤ {}",
    }  # fmt: skip
    said = [text.format(schema[key]) for key, text in bounds.items() if key in schema]
    return escape(", ".join([str(schema.get("type", "anything")), *said]))
