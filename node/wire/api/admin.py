"""Set-up, and the admin's view: accounts, settings, calls, health."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from node.base import limits
from node.wire.api.base import Answer, DisplayName, RegistrationMode, Request

CircleMode = Literal["open", "allowed"]  # other nodes: all of them, or those that an admin allowed


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
