"""Structs of the HTTP API ``/api/v1``: JSON bodies of requests and answers. OpenAPI is generated from them.

Ids are text here (node/base/ids.py), times are unix milliseconds, durations seconds. A request struct refuses
unknown fields, so that a misspelt one is an error and not silence; an answer may gain fields.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from node.base import limits

Id43 = Annotated[str, Meta(min_length=43, max_length=43, pattern="^[A-Za-z0-9_-]{43}$")]
Id22 = Annotated[str, Meta(min_length=22, max_length=22, pattern="^[A-Za-z0-9_-]{22}$")]
User = Annotated[str, Meta(min_length=55, max_length=85)]
Int = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]
Password = Annotated[str, Meta(max_length=1024)]  # the rule's own refusal names the real limit
Local = Annotated[str, Meta(max_length=64)]
DisplayName = Annotated[str, Meta(max_length=256)]
DeviceName = Annotated[str, Meta(max_length=limits.DEVICE_NAME_CHARS_MAX)]
Lang = Literal["", "en", "zh"]
RegistrationMode = Literal["open", "invite", "closed"]
CircleMode = Literal["open", "allowed"]  # other nodes: all of them, or those that an admin allowed
Mode = Literal["cookie", "token"]
InviteToken = Annotated[str, Meta(max_length=64)]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies."""


class Answer(Struct, frozen=True, kw_only=True):
    """Base of answers."""


class Empty(Answer, frozen=True, kw_only=True):
    """Done; nothing to tell."""


# --- errors ---------------------------------------------------------------------------------------------


class Problem(Answer, frozen=True, kw_only=True):
    """A refusal. `id` can be quoted to the admin."""

    code: str
    text: str
    detail: dict[str, str | int | bool | None] = {}
    id: str = ""


class Failure(Answer, frozen=True, kw_only=True):
    """Body of every answer with a status of 400 or more."""

    error: Problem


# --- node, registration, login --------------------------------------------------------------------------


class NodeInfo(Answer, frozen=True, kw_only=True):
    """What anybody may know."""

    name: str
    domain: str
    node: str
    version: str
    registration: RegistrationMode
    setup: Literal["owner_needed", "phrase", "done"]


class InspectInvite(Request, frozen=True, kw_only=True):
    """`token` is the base64url text of the 16 bytes in the link."""

    token: InviteToken


class RoomPreview(Answer, frozen=True, kw_only=True):
    """What somebody who holds a link may see before joining."""

    room: str
    name: str
    topic: str
    members: int


class InviteInfo(Answer, frozen=True, kw_only=True):
    """`kind` is account or room; `expires_ms` 0 = never."""

    kind: Literal["account", "room", "reset"]
    node_name: str
    role: str = ""
    expires_ms: int = 0
    uses_left: int = 0
    local: str = ""  # of a password reset
    room: RoomPreview | None = None


class Register(Request, frozen=True, kw_only=True):
    """Opens an account. `token` of an account invite or of a room link that may onboard."""

    local: Local
    name: DisplayName = ""
    password: Password
    token: InviteToken = ""
    lang: Lang = ""
    device_name: DeviceName = ""
    mode: Mode = "cookie"


class Login(Request, frozen=True, kw_only=True):
    """`mode` token gives the session token in the body (bots, apps) instead of a cookie (browsers). With `end_oldest` the
    device that was away longest is signed out when there are ten."""

    local: Local
    password: Password
    device_name: DeviceName = ""
    mode: Mode = "cookie"
    end_oldest: bool = False


class ResetPassword(Request, frozen=True, kw_only=True):
    """Sets a new password with an admin's one-time token; ends all sessions of the account."""

    token: InviteToken
    password: Password


class Me(Answer, frozen=True, kw_only=True):
    """The signed-in account."""

    user: str
    local: str
    name: str
    role: str
    lang: str
    device: str
    node: str
    domain: str
    setup: Literal["owner_needed", "phrase", "done"]


class Session(Answer, frozen=True, kw_only=True):
    """`token` only with mode token; shown once."""

    me: Me
    token: str = ""


class ChangeMe(Request, frozen=True, kw_only=True):
    """A field left out stays."""

    name: DisplayName | None = None
    lang: Lang | None = None


class ChangePassword(Request, frozen=True, kw_only=True):
    """Ends the other sessions if asked."""

    old: Password
    new: Password
    end_others: bool = False


class Device(Answer, frozen=True, kw_only=True):
    """A signed-in device; `address` is shortened."""

    id: str
    name: str
    client: str
    address: str
    created_ms: int
    seen_ms: int
    current: bool
    online: bool


class Devices(Answer, frozen=True, kw_only=True):
    """All devices of the account."""

    devices: list[Device]


class ChangeDevice(Request, frozen=True, kw_only=True):
    """Renames a device."""

    name: DeviceName


# --- people and rooms -----------------------------------------------------------------------------------


class Person(Answer, frozen=True, kw_only=True):
    """Somebody, as others see them."""

    user: str
    local: str
    name: str


class People(Answer, frozen=True, kw_only=True):
    """A page of the directory; `after` asks for the next one, empty = the end."""

    people: list[Person]
    after: str = ""


class Contact(Answer, frozen=True, kw_only=True):
    """Somebody on another node. `state`: asked (by us), asking (they ask, with `text`), contact, ignored, blocked; `room` is the direct
    chat, which exists once both agreed."""

    person: Person
    address: str
    state: Literal["asked", "asking", "contact", "ignored", "blocked"]
    text: str
    at_ms: int
    room: str


class Contacts(Answer, frozen=True, kw_only=True):
    """All of them, newest first."""

    contacts: list[Contact]


class Meet(Request, frozen=True, kw_only=True):
    """An address like ``alice@casa.example``, a key address, a canonical user id, or an invitation link."""

    address: Annotated[str, Meta(min_length=1, max_length=1_100)]


class Introduction(Answer, frozen=True, kw_only=True):
    """What an address or link leads to. `hint` is a claim of the link's maker; `home`: it is this node itself."""

    kind: Literal["person", "room", "account"]
    node: str
    home: bool
    user: str
    address: str
    room: str
    hint: str


class AskContact(Request, frozen=True, kw_only=True):
    """Who is asked, and a few words for them."""

    address: Annotated[str, Meta(min_length=1, max_length=1_100)]
    text: Annotated[str, Meta(max_length=limits.REQUEST_CHARS_MAX)] = ""


class JoinElsewhere(Request, frozen=True, kw_only=True):
    """A link into a chat; `client_id` makes a repeat harmless."""

    link: Annotated[str, Meta(min_length=1, max_length=1_100)]
    client_id: str


class Peer(Answer, frozen=True, kw_only=True):
    """Another node. Times are unix ms, 0 for never; `path` is how the open link came about; `refused` items of it are in quarantine;
    `safety` are twelve words to compare with its admin, only when a single node is asked for."""

    node: str
    domain: str
    domain_state: str
    policy: Literal["open", "allow", "block"]
    state: Literal["linked", "dialling", "offline"]
    path: str
    seen_ms: int
    rtt_ms: float | None
    skew_ms: int
    queue_rows: int
    queue_bytes: int
    under_way: int
    refused: int
    rotations: int
    incarnation: int
    dialled_ms: int
    dial_error: str
    addresses: list[str]
    safety: str


class Peers(Answer, frozen=True, kw_only=True):
    """All of them."""

    peers: list[Peer]


class ChangePeer(Request, frozen=True, kw_only=True):
    """``open``: as everybody; ``allow``: also where only allowed nodes are talked to; ``block``: no link at all."""

    policy: Literal["open", "allow", "block"]


class PingPeer(Answer, frozen=True, kw_only=True):
    """One round trip over the open link."""

    rtt_ms: float


class TraceStep(Answer, frozen=True, kw_only=True):
    """What a source of addresses said (`url` is empty), or what happened at an address. `fine` is false when it led nowhere."""

    source: str
    url: str
    text: str
    fine: bool
    at_ms: float
    took_ms: float


class Trace(Answer, frozen=True, kw_only=True):
    """How a node is looked for; `node` is empty when nobody says which one is meant."""

    node: str
    steps: list[TraceStep]


class Reach(Answer, frozen=True, kw_only=True):
    """How this node looks from outside. `mapping` is ``off``, the protocol that a router granted a port by, or empty; `txt` and
    `well_known` are what the domain should show."""

    standing: Literal["no_https", "public", "cgnat", "unproved", "private"]
    port: int
    published: list[str]
    unproved: list[str]
    mapping: str
    outside: str
    mapping_problem: str
    domain: str
    txt: str
    well_known: str


class CallBack(Answer, frozen=True, kw_only=True):
    """Whether a peer reached this node at the address that its link comes from."""

    node: str
    reached: bool
    code: str
    text: str


class CallBacks(Answer, frozen=True, kw_only=True):
    """One for each linked peer that was asked."""

    calls: list[CallBack]


class NearbyNode(Answer, frozen=True, kw_only=True):
    """A node in the local network; the name is its domain when that was proved, else its id."""

    node: str
    name: str
    addresses: list[str]


class Nearby(Answer, frozen=True, kw_only=True):
    """Nodes heard of in the last two minutes."""

    nodes: list[NearbyNode]


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
    guests: list[User] = []
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
    reactions: dict[str, list[str]] = {}


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


# --- set-up and admin -----------------------------------------------------------------------------------


class Phrase(Answer, frozen=True, kw_only=True):
    """The recovery phrase, until its words were typed back. `ask` are the 1-based places to confirm."""

    words: list[str]
    ask: list[int]


class ConfirmSetup(Request, frozen=True, kw_only=True):
    """`words` maps the asked places to words."""

    words: dict[str, Annotated[str, Meta(max_length=32)]]
    node_name: DisplayName | None = None
    registration: RegistrationMode | None = None


class MakeInvite(Request, frozen=True, kw_only=True):
    """An account invite."""

    expires_s: Annotated[int, Meta(ge=0, le=limits.INVITE_EXPIRY_S_MAX)] = limits.INVITE_EXPIRY_S_DEFAULT
    uses: Annotated[int, Meta(ge=1, le=limits.INVITE_USES_MAX)] = 1
    role: Literal["user", "node_admin", "bot"] = "user"


class Account(Answer, frozen=True, kw_only=True):
    """An account as the admin sees it."""

    user: str
    local: str
    name: str
    role: str
    created_ms: int
    seen_ms: int
    devices: int
    frozen: bool


class Accounts(Answer, frozen=True, kw_only=True):
    """A page; `after` empty = the end."""

    accounts: list[Account]
    after: str = ""


class ChangeAccount(Request, frozen=True, kw_only=True):
    """A field left out stays."""

    role: Literal["user", "node_admin"] | None = None
    frozen: bool | None = None


class NodeSettings(Answer, frozen=True, kw_only=True):
    """Live settings with their present values."""

    name: str
    domain: str
    registration: RegistrationMode
    circle: CircleMode
    rates: dict[str, int]
    calls: dict[str, int]


class ChangeSettings(Request, frozen=True, kw_only=True):
    """A field left out stays; `rates` and `calls` change the named ones only."""

    name: DisplayName | None = None
    domain: Annotated[str, Meta(max_length=253)] | None = None
    registration: RegistrationMode | None = None
    circle: CircleMode | None = None
    rates: dict[str, Annotated[int, Meta(ge=1, le=10_000_000)]] | None = None
    calls: dict[str, Annotated[int, Meta(ge=1, le=10_000_000)]] | None = None


class AdminSeat(Answer, frozen=True, kw_only=True):
    """One device in a call. What the relay knows of its media is 0 (loss and round trip: -1) for seats of other nodes."""

    seat: str
    user: str
    here: bool
    state: Literal["connecting", "live", "reconnecting"]
    mic: bool
    camera: bool
    screen: bool
    muted: bool
    joined_ms: int
    path: str
    legs: int
    up_kbps: int
    down_kbps: int
    up_loss: int
    down_loss: int
    rtt_ms: int


class AdminCall(Answer, frozen=True, kw_only=True):
    """A call that goes on. `focus` is the node that keeps it, `pipes` are nodes whose relays are joined to ours; rates are kbit/s."""

    call: str
    room: str
    kind: Literal["group", "direct"]
    media: Literal["audio", "video"]
    by: str
    state: Literal["ringing", "live"]
    started_ms: int
    focus: str
    pipes: list[str]
    seats: list[AdminSeat]
    in_kbps: int
    out_kbps: int


class AdminCalls(Answer, frozen=True, kw_only=True):
    """Calls and the relay. `level` 2: fast path, 1: portable path, 0: no calls, because of `reason`; `cpu` is the share of one core;
    loss is per mille."""

    level: int
    reason: str
    port: int
    cpu: float
    packets_in: int
    packets_out: int
    dropped: dict[str, int]
    calls: list[AdminCall]


class Health(Answer, frozen=True, kw_only=True):
    """`status` is ok or read_only; `reason` says why."""

    status: Literal["ok", "read_only", "stopping"]
    reason: str = ""
    version: str
    uptime_s: int
