"""Frames of ``startalk.c2s.1``, between a device and its node. The specification is docs/spec/c2s.md.

One binary WebSocket message holds one frame: a msgpack array whose first element is the frame's name.
Unknown trailing elements are ignored, so fields may be added; names and meanings never change within version 1.
Ids are raw bytes (node/base/ids.py), users are canonical ids, times are unix milliseconds, `seq` is the node's
feed position (one number line for all rooms), `idx` is the place in one room's log, `n` is the client's
number for a request, echoed in the answer.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from node.base import limits
from node.wire import frame
from node.wire.calling import DeviceCallFrame, NodeCallFrame
from node.wire.codec import Decoder, encode
from node.wire.frame import Id16, Id32, Int, Kind, Room

SUBPROTOCOL = "startalk.c2s.1"
VERSION = 1
Frame = frame.Frame

# --- device -> node -------------------------------------------------------------------------------------


class Hello(Frame, tag="hello", frozen=True):
    """First frame. `cursor`: last `seq` this device has stored, or nil for a first visit (answers with a
    snapshot and only new entries). Authentication happened at the upgrade (cookie or bearer token)."""

    version: int
    cursor: Int | None = None
    client: Annotated[str, Meta(max_length=64)] = ""  # name and version, for the device list


class Ack(Frame, tag="ack", frozen=True):
    """Everything up to `seq` is stored on the device. Moves the durable cursor, gives back window, and is what
    *delivered* means."""

    seq: Int


class Post(Frame, tag="post", frozen=True):
    """Please append an event. `room` is empty for kind ``create``. `client_id` (UUIDv7) makes a repeat harmless:
    it is answered with the first result. Answered by an item of `Posted` or by `Refused`."""

    n: Int
    room: Room
    client_id: Id16
    kind: Kind
    body: Annotated[bytes, Meta(max_length=limits.BODY_BYTES_MAX)]
    guests: Annotated[tuple[str, ...], Meta(max_length=limits.INVITE_BATCH_MAX)] = ()  # only with create
    token: Annotated[bytes, Meta(max_length=16)] = b""  # only with join via link
    hub: Annotated[bytes, Meta(max_length=32)] = b""  # only with join via link into a room of another node: its nid


class History(Frame, tag="history", frozen=True):
    """A page of a room's log. Before `idx` (exclusive) downwards if `back`, else from `idx` (inclusive) upwards."""

    n: Int
    room: Id32
    idx: Int
    back: bool = True
    limit: Annotated[int, Meta(ge=1, le=limits.PAGE_ENTRIES_MAX)] = limits.SYNC_PAGE_ENTRIES


class Read(Frame, tag="read", frozen=True):
    """The user has read `room` up to `idx`. Answered by `Done`."""

    n: Int
    room: Id32
    idx: Int


class Typing(Frame, tag="typing", frozen=True):
    """The user is (or stopped) typing. Never stored, never answered."""

    room: Id32
    on: bool = True


class Presence(Frame, tag="presence", frozen=True):
    """``online`` or ``away``. Never stored, never answered."""

    state: Annotated[str, Meta(pattern="^(online|away)$")]


class Ping(Frame, tag="ping", frozen=True):
    """Heartbeat, at least every 25 s; `t` is echoed."""

    t: Int = 0


ClientFrame = Hello | Ack | Post | History | Read | Typing | Presence | Ping | DeviceCallFrame


# --- node -> device -------------------------------------------------------------------------------------


class Welcome(Frame, tag="welcome", frozen=True):
    """Answer to hello. `head` is the feed position of the snapshot that follows; `resumed` tells whether the
    device's cursor was taken; else its cache must be thrown away. `window` entries may be unacknowledged."""

    version: int
    node: bytes
    domain: str
    user: str
    device: bytes
    head: int
    resumed: bool
    window: int
    heartbeat_s: int
    now_ms: int
    program: str = ""


class Entry(Struct, frozen=True, array_like=True):
    """One entry of a room's log. `event` is the signed part (wire/envelope.py); `body` is the msgpack map of the
    kind's fields, nil once erased. The author, device and kind are inside `event`."""

    seq: int
    room: bytes
    epoch: int
    idx: int
    at_ms: int
    event_id: bytes
    event: bytes
    salt: bytes | None
    body: bytes | None


class Mark(Struct, frozen=True, array_like=True):
    """What later entries did to the message at `idx`: sent with history, so that a page shows its present state."""

    idx: int
    edits: int
    edited: bytes | None  # body of the last edit
    erased: str  # "", "recall", "redact"
    erased_by: str | None
    reason: str
    reactions: dict[str, tuple[str, ...]]


NOTHING: Final = msgspec.Raw()  # a field that is left out; msgspec cannot decode ``Raw | None``


class NodeMark(Struct, frozen=True, array_like=True):
    """Another node of a room has it on disk up to `idx`; `domain` is how people call it, empty without a verified one."""

    nid: bytes
    idx: int
    linked: bool = False
    domain: str = ""


class Card(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A room as one member's chat list shows it, true at feed position `as_of`."""

    room: bytes
    kind: str
    name: str
    topic: str = ""
    hub: bytes
    peer: str = ""  # the other person of a direct chat
    role: str = ""  # own role; empty when not (any more) a member
    state: str = "member"  # member, invited, left
    invited_by: str = ""
    muted_all: bool = False
    muted_until_ms: int = 0
    recall_window_s: int = 0
    edit_window_s: int = 0
    calls: str = "everybody"  # who may begin a call: everybody, admins, nobody
    members: int = 0
    joined_idx: int = 0  # first readable entry
    head_idx: int = 0
    read_idx: int = 0
    unread: int = 0
    mentions: int = 0
    last: msgspec.Raw = NOTHING  # the last content entry (an Entry)
    last_mark: msgspec.Raw = NOTHING  # its Mark, if there is one
    nodes: tuple[NodeMark, ...] = ()  # other nodes with a member
    stable_idx: int = 0
    trouble: str = ""  # why nothing more is taken from the hub: forked, invalid
    successors: tuple[bytes, ...] = ()  # groups that go on with this one, made by its owner
    joining: bool = False  # the invitation was accepted and waits for the hub
    as_of: int


class Person(Struct, frozen=True, array_like=True):
    """Display name of a user."""

    user: str
    name: str


class Rooms(Frame, tag="rooms", frozen=True):
    """Snapshot: all rooms (new device) or those that changed since the cursor; `more` pages follow. `people` are
    the names needed to show them."""

    rooms: tuple[Card, ...]
    people: tuple[Person, ...]
    more: bool


class RoomChanged(Frame, tag="room", frozen=True):
    """One card anew: joined, invited, left, or own read mark moved on another device."""

    card: Card
    people: tuple[Person, ...] = ()


class Entries(Frame, tag="entries", frozen=True):
    """Entries in rising `seq`, live or caught up alike. The last `seq` is the cursor to acknowledge."""

    entries: tuple[msgspec.Raw, ...]


class PostedItem(Struct, frozen=True, array_like=True):
    """Result of one post: fsynced at `idx` of `room`. `seq` is its feed position. Both are 0 when the room belongs to another node and
    the post waits for it: then an entry with this `event_id` comes later, or `Waiting` says why not."""

    n: int
    room: bytes
    idx: int
    seq: int
    event_id: bytes
    at_ms: int


class Posted(Frame, tag="posted", frozen=True):
    """Results of one or more posts; sent after the commit."""

    items: tuple[PostedItem, ...]


class Refused(Frame, tag="refused", frozen=True):
    """Request `n` was refused and changed nothing."""

    n: int
    code: str
    text: str
    detail: dict[str, str | int | bool | None]


class Page(Frame, tag="page", frozen=True):
    """Answer to history, in rising idx. `more` tells whether the log goes on in that direction."""

    n: int
    room: bytes
    entries: tuple[msgspec.Raw, ...]
    marks: tuple[Mark, ...]
    people: tuple[Person, ...]
    more: bool


class Done(Frame, tag="done", frozen=True):
    """Request `n` was done and is durable."""

    n: int


class Receipt(Struct, frozen=True, array_like=True):
    """Marks of one member; they only grow."""

    room: bytes
    user: str
    delivered_idx: int
    read_idx: int
    read_ms: int


class Receipts(Frame, tag="receipts", frozen=True):
    """Marks that moved, gathered per second. `seq` belongs to the cursor like that of an entry."""

    seq: int
    receipts: tuple[Receipt, ...]


class People(Frame, tag="people", frozen=True):
    """Names that changed or are newly needed."""

    people: tuple[Person, ...]


class WaitingItem(Struct, frozen=True, array_like=True):
    """A post of this user that has no place yet. `code` and `text` say why it was refused, and are empty while it waits for the node
    `hub`; `gone`: it was dismissed, forget it."""

    room: bytes
    event_id: bytes
    client_id: bytes
    kind: str
    body: bytes
    at_ms: int
    code: str
    text: str
    hub: bytes = b""
    gone: bool = False


class Waiting(Frame, tag="waiting", frozen=True):
    """Posts that wait for other nodes or were refused by them: all of the user's after the snapshot, then one by one. One that got its
    place is not mentioned again: its entry takes its place."""

    items: tuple[WaitingItem, ...]


class Nodes(Frame, tag="nodes", frozen=True):
    """How far the other nodes of a room have it. `stable_idx`: what a majority of them holds."""

    room: bytes
    nodes: tuple[NodeMark, ...]
    stable_idx: int


class ContactsChanged(Frame, tag="contacts", frozen=True):
    """Contacts on other nodes, or their questions, changed: ask the HTTP API for the list."""


class TypingSignal(Frame, tag="typing", frozen=True):
    """Somebody is typing; forget it after 6 s."""

    room: bytes
    user: str
    on: bool


class PresenceSignal(Frame, tag="presence", frozen=True):
    """``online``, ``away`` or ``offline``."""

    user: str
    state: str


class Pong(Frame, tag="pong", frozen=True):
    """Answer to ping."""

    t: int


class Error(Frame, tag="error", frozen=True):
    """The last frame before the node closes the socket; `retry_after_ms` tells when to come back (0: at once,
    negative: not with this session)."""

    code: str
    text: str
    retry_after_ms: int = 0


NodeFrame = (
    Welcome | Rooms | RoomChanged | Entries | Posted | Refused | Page | Done | Receipts | People | Waiting | Nodes | ContactsChanged
    | TypingSignal | PresenceSignal | Pong | Error | NodeCallFrame
)  # fmt: skip

decode_client_frame: Decoder[ClientFrame] = Decoder(ClientFrame)
decode_node_frame: Decoder[NodeFrame] = Decoder(NodeFrame)
decode_entry: Decoder[Entry] = Decoder(Entry, what="entry")


def encode_frame(frame: Frame) -> bytes:
    """Bytes of one WebSocket message."""
    return encode(frame)


def encode_entry(entry: Entry) -> msgspec.Raw:
    """Encoded once; the same bytes go to every socket."""
    return msgspec.Raw(encode(entry))


# WebSocket close codes of this protocol (RFC 6455 section 7.4.2: 4000-4999 are private)
CLOSE_BAD_FRAME = 4400
CLOSE_SIGNED_OUT = 4401
CLOSE_TOO_SLOW = 4408
CLOSE_REPLACED = 4409
CLOSE_TOO_LARGE = 4413
CLOSE_VERSION = 4426
CLOSE_INTERNAL = 4500
CLOSE_RESTARTING = 4503


def describe(frame: Any) -> str:
    """Name of a frame for logs and metrics: never its content."""
    return type(frame).__name__.lower()
