"""Types of the HTTP API for the web UI: ``python -m node.web.typescript`` prints webui/src/core/api.gen.ts.

One interface for each struct, under the same name, in the order of wire/api/. A field of an answer is always there; a field of
a request that has a default may be left out. The UI never writes these types by hand, so it cannot drift from the node.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec import inspect

from node.wire import api

HEAD: Final = (
    "/** Structs of the HTTP API, one interface for each struct of node/wire/api/, under the same name. */\n"
    "// Generated file; `make api-types` writes it anew.\n"
)
_PLAIN: Final[tuple[tuple[type[inspect.Type], str], ...]] = (
    (inspect.StrType, "string"),
    (inspect.IntType, "number"),
    (inspect.FloatType, "number"),
    (inspect.BoolType, "boolean"),
    (inspect.NoneType, "null"),
    (inspect.AnyType, "unknown"),
)


def structs() -> list[type[msgspec.Struct]]:
    """Requests and answers in the order of the source."""
    parts = (api.base, api.account, api.people, api.peers, api.rooms, api.admin)
    return [kind for part in parts for kind in vars(part).values() if _is_own(part, kind)]


def _is_own(part: ModuleType, kind: object) -> bool:
    bases = (api.base.Request, api.base.Answer)
    return isinstance(kind, type) and issubclass(kind, bases) and kind not in bases and kind.__module__ == part.__name__


def render() -> str:
    """The whole file."""
    return "\n".join([HEAD, *(_interface(kind) for kind in structs())])


def _interface(kind: type[msgspec.Struct]) -> str:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    title = f"/** {' '.join((kind.__doc__ or kind.__name__).split())} */\n"
    if not described.fields:
        return f"{title}export type {kind.__name__} = Record<string, never>;\n"
    is_request = issubclass(kind, api.base.Request)
    lines = [
        f"  {field.name}{'?' if is_request and not field.required else ''}: {_type(field.type)};"
        for field in described.fields
    ]
    return f"{title}export interface {kind.__name__} {{\n" + "\n".join(lines) + "\n}\n"


def _type(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return _type(kind.type)
    for plain, name in _PLAIN:
        if isinstance(kind, plain):
            return name
    if isinstance(kind, inspect.StructType):
        return str(kind.cls.__name__)
    if isinstance(kind, inspect.LiteralType):
        return " | ".join(_quote(value) for value in _in_order(kind))
    if isinstance(kind, inspect.UnionType):
        return " | ".join(sorted((_type(part) for part in kind.types), key=lambda name: name == "null"))
    if isinstance(kind, inspect.DictType):
        return f"Record<{_type(kind.key_type)}, {_type(kind.value_type)}>"
    if isinstance(kind, (inspect.ListType, inspect.CollectionType)):
        item = _type(kind.item_type)
        return f"({item})[]" if " | " in item else f"{item}[]"
    raise AssertionError(f"no TypeScript for {kind}")


def _in_order(kind: inspect.LiteralType) -> tuple[Any, ...]:
    return tuple(sorted(kind.values, key=str))


def _quote(value: object) -> str:
    assert isinstance(value, str)
    return f"'{value}'"


if __name__ == "__main__":
    sys.stdout.write(render())
