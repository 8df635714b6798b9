"""What anybody may know of a node, registration and login, and the signed-in account with its devices."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from node.base import limits
from node.wire.api.base import Answer, DisplayName, InviteToken, RegistrationMode, Request

Password = Annotated[str, Meta(max_length=1024)]  # the rule's own refusal names the real limit
Local = Annotated[str, Meta(max_length=64)]
DeviceName = Annotated[str, Meta(max_length=limits.DEVICE_NAME_CHARS_MAX)]
Lang = Literal["", "en", "zh"]
Mode = Literal["cookie", "token"]


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
