"""Bodies of events between JSON (this API) and msgpack (everywhere else): ids are text there and bytes here.

Which fields hold ids is read off the structs of core/content.py, so a new kind needs no line here. Fields that a kind does not know
are carried over as they are.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import inspect

from node.base.errors import Code, Rejected
from node.base.ids import EVENT_ID_BYTES, format_id, parse_id
from node.core import content

Path = tuple[str, ...]
_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


def encode(kind: str, body: dict[str, Any]) -> bytes:
    """The msgpack bytes of a JSON body. Raises Rejected for a misspelt id; core/content.py checks the rest."""
    for path in _paths(kind):
        body = _replace(body, path, _to_bytes)
    try:
        return msgspec.msgpack.encode(body)
    except (OverflowError, ValueError, TypeError) as error:
        raise Rejected(Code.BAD_REQUEST, f"The body is not valid: {error}.", field="body") from None


def decode(kind: str, data: bytes) -> dict[str, Any]:
    """The JSON body of stored bytes."""
    body = _decode(data)
    for path in _paths(kind):
        body = _replace(body, path, _to_text)
    found: dict[str, Any] = _jsonable(body)
    return found


def _paths(kind: str) -> tuple[Path, ...]:
    return _PATHS.get(kind, _UNKNOWN_PATHS)


def _id_paths(struct: type[Any]) -> tuple[Path, ...]:
    """Where a struct holds bytes, nested structs included."""
    return tuple(_walk(inspect.type_info(struct), ()))


def _walk(kind: inspect.Type, path: Path) -> list[Path]:
    if isinstance(kind, inspect.Metadata):
        return _walk(kind.type, path)
    if isinstance(kind, inspect.BytesType):
        return [path]
    if isinstance(kind, inspect.UnionType):
        return [found for part in kind.types for found in _walk(part, path)]
    if isinstance(kind, inspect.StructType):
        return [found for field in kind.fields for found in _walk(field.type, (*path, field.encode_name))]
    return []


_PATHS: Final = {kind: _id_paths(struct) for kind, struct in content.KINDS.items()}
_UNKNOWN_PATHS: Final = _id_paths(content.Unknown)


def _replace(body: Any, path: Path, change: Any) -> Any:
    """`body` with the value at `path` changed, where it exists."""
    if not path:
        return change(body)
    if not isinstance(body, dict) or path[0] not in body:
        return body
    return {**body, path[0]: _replace(body[path[0]], path[1:], change)}


def _to_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_id(value, EVENT_ID_BYTES)
    except ValueError:
        raise Rejected(Code.BAD_REQUEST, "An id in the body is 43 characters of base64url.", field="body") from None


def _to_text(value: Any) -> Any:
    return format_id(value) if isinstance(value, bytes) else value


def _jsonable(value: Any) -> Any:
    """Bodies of unknown kinds may hold bytes anywhere; JSON shows them as base64url."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    return _to_text(value)
