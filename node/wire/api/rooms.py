"""Rooms, their members and links, and posts over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from node.base import limits
from node.wire.api.base import Answer, InviteToken, Request
from node.wire.api.people import Person

Id22 = Annotated[str, Meta(min_length=22, max_length=22, pattern="^[A-Za-z0-9_-]{22}$")]
User = Annotated[str, Meta(min_length=55, max_length=85)]
Int = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]


class Successor(Answer, frozen=True, kw_only=True):
    """The group that goes on."""

    room: str


class Room(Answer, frozen=True, kw_only=True):
    """A room as one member's list shows it."""

    room: str
    kind: Literal["group", "direct"]
    name: str
    topic: str
    hub: str
    peer: Person | None
    role: str
    state: Literal["member", "invited", "left"]
    muted_all: bool
    muted_until_ms: int
    recall_window_s: int
    edit_window_s: int
    calls: Literal["everybody", "admins", "nobody"]
    members: int
    joined_idx: int
    head_idx: int
    read_idx: int
    unread: int
    mentions: int
    can: list[str]


class Rooms(Answer, frozen=True, kw_only=True):
    """All rooms of the account."""

    rooms: list[Room]


class CreateRoom(Request, frozen=True, kw_only=True):
    """A group; `guests` are invited. `client_id` (22 characters of base64url, a UUIDv7) makes a retry harmless."""

    name: Annotated[str, Meta(max_length=256)]
    topic: Annotated[str, Meta(max_length=limits.TOPIC_CHARS_MAX)] = ""
    guests: list[User] = field(default_factory=list)
    client_id: Id22


class OpenDirect(Request, frozen=True, kw_only=True):
    """The direct chat with somebody; exists from the first request on."""

    user: User


class Member(Answer, frozen=True, kw_only=True):
    """One member with receipts (0 in rooms above 200 members)."""

    user: str
    local: str
    name: str
    role: str
    joined_ms: int
    muted_until_ms: int
    delivered_idx: int
    read_idx: int
    read_ms: int
    online: bool


class Guest(Answer, frozen=True, kw_only=True):
    """An open invitation."""

    user: str
    local: str
    name: str
    by: str
    at_ms: int


class Banned(Answer, frozen=True, kw_only=True):
    """A ban; `until_ms` 0 = for ever."""

    user: str
    local: str
    name: str
    by: str
    until_ms: int
    reason: str


class BannedNode(Answer, frozen=True, kw_only=True):
    """A node whose people are kept out."""

    node: str
    by: str
    reason: str


class Members(Answer, frozen=True, kw_only=True):
    """`banned` and `nodes_banned` are filled for those who may unban."""

    members: list[Member]
    invited: list[Guest]
    banned: list[Banned]
    nodes_banned: list[BannedNode]


class PostEvent(Request, frozen=True, kw_only=True):
    """Any kind of event; `body` has the fields of node/core/content.py, ids in it as text."""

    client_id: Id22
    kind: Annotated[str, Meta(min_length=1, max_length=limits.KIND_CHARS_MAX)]
    body: dict[str, Any]


class Posted(Answer, frozen=True, kw_only=True):
    """The event is on disk at `idx`."""

    room: str
    idx: int
    seq: int
    event_id: str
    at_ms: int


class Entry(Answer, frozen=True, kw_only=True):
    """One entry of a log with its present state; `body` is null once erased."""

    idx: int
    seq: int
    at_ms: int
    event_id: str
    author: str
    device: str
    kind: str
    body: dict[str, Any] | None
    edits: int = 0
    edited: dict[str, Any] | None = None
    erased: str = ""
    erased_by: str = ""
    reason: str = ""
    reactions: dict[str, list[str]] = field(default_factory=dict)


class History(Answer, frozen=True, kw_only=True):
    """In rising idx."""

    entries: list[Entry]
    more: bool


class ReadUpTo(Request, frozen=True, kw_only=True):
    """Marks a room as read."""

    idx: Int


class MakeLink(Request, frozen=True, kw_only=True):
    """`expires_s` 0 = never."""

    expires_s: Annotated[int, Meta(ge=0, le=limits.INVITE_EXPIRY_S_MAX)] = limits.INVITE_EXPIRY_S_DEFAULT
    uses: Annotated[int, Meta(ge=1, le=limits.INVITE_USES_MAX)] = 1
    onboards: bool = True  # may also open an account


class Link(Answer, frozen=True, kw_only=True):
    """`token` and `url` are filled only in the answer that makes it."""

    id: str
    url: str
    token: str
    made_by: str
    created_ms: int
    expires_ms: int
    uses: int
    uses_max: int
    role: str = ""


class Links(Answer, frozen=True, kw_only=True):
    """Live links, newest first."""

    links: list[Link]


class JoinByLink(Request, frozen=True, kw_only=True):
    """Enters a room."""

    token: InviteToken
    client_id: Id22
