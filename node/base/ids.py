"""Names of things: what an id is, how it is written, and nothing else.

Inside the process and on binary wires an id is raw bytes; people, URLs and JSON see text. Each id has
exactly one text spelling, and every other spelling is refused, or one thing would have two names.

=========  ===========  ===========================================================================
id         bytes        text
=========  ===========  ===========================================================================
NodeId     32           52 characters of lower-case base32 without padding (a host-name-safe label)
RoomId     32           43 characters of base64url without padding
EventId    32           43 characters of base64url without padding
DeviceId   16           22 characters of base64url without padding
UserId     (text only)  ``local@<NodeId>``: the canonical user id on every wire and in storage
=========  ===========  ===========================================================================
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import Final, NewType

NodeId = NewType("NodeId", bytes)
RoomId = NewType("RoomId", bytes)
EventId = NewType("EventId", bytes)
DeviceId = NewType("DeviceId", bytes)
ClientId = NewType("ClientId", bytes)  # 16 bytes, a UUIDv7 made by the client; makes a command idempotent
UserId = NewType("UserId", str)

NODE_ID_BYTES = 32
ROOM_ID_BYTES = 32
EVENT_ID_BYTES = 32
DEVICE_ID_BYTES = 16
CLIENT_ID_BYTES = 16

CACHED: Final = 8_192  # spellings that are remembered: base32 costs more than the rest of checking an event

LOCAL_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])")
_NODE_TEXT = re.compile(r"[a-z2-7]{52}")


@lru_cache(CACHED)
def format_node(node: NodeId) -> str:
    """52 lower-case base32 characters."""
    return base64.b32encode(node).decode().rstrip("=").lower()


@lru_cache(CACHED)
def parse_node(text: str) -> NodeId:
    """The inverse of `format_node`. Raises ValueError for any other spelling."""
    if not _NODE_TEXT.fullmatch(text):
        raise ValueError("a node id is 52 characters of a-z and 2-7")
    raw = base64.b32decode(text.upper() + "====")
    if format_node(NodeId(raw)) != text:
        raise ValueError("the spare bits of a node id must be zero")
    return NodeId(raw)


def format_id(raw: bytes) -> str:
    """Text of a RoomId, EventId, DeviceId or ClientId: base64url without padding."""
    return binascii.b2a_base64(raw, newline=False).decode().rstrip("=").replace("+", "-").replace("/", "_")


def parse_id(text: str, size: int) -> bytes:
    """Bytes of an id written by `format_id`; `size` in bytes. Raises ValueError for any other spelling."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("an id is written in base64url without padding") from error
    if len(raw) != size or format_id(raw) != text:
        raise ValueError(f"an id of {size} bytes was expected, in its one spelling")
    return raw


def make_user(local: str, node: NodeId) -> UserId:
    """The canonical id of an account. `local` must already be a checked local name."""
    return UserId(f"{local}@{format_node(node)}")


@lru_cache(CACHED)
def parse_user(text: str) -> tuple[str, NodeId]:
    """(local name, node) of a canonical user id. Raises ValueError."""
    local, at, node = text.partition("@")
    if not at or not LOCAL_NAME.fullmatch(local):
        raise ValueError("a user id is local@node, local 2-32 characters of a-z 0-9 . _ -")
    return local, parse_node(node)
