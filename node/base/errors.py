"""How the program says no.

* `Rejected` is the user's error: a stable code, a sentence that names the thing and says what to do, and
  details a program can read. It never changes state. One table maps each code to HTTP.
* `RemoteError` is the other side's error (malformed bytes, broken protocol): count it, back off.
* `LocalError` is ours or the machine's: the supervisor restarts or, for `Fatal`, ends the process with a status.

An impossible situation is none of these: that is an `assert`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class Code(StrEnum):
    """Stable codes of refusals; clients translate them, so a code is never renamed."""

    BAD_REQUEST = "bad_request"
    NOT_SIGNED_IN = "not_signed_in"
    BAD_CREDENTIALS = "bad_credentials"
    REAUTH_NEEDED = "reauth_needed"
    FORBIDDEN = "forbidden"
    ROLE_TOO_LOW = "role_too_low"
    NOT_MEMBER = "not_member"
    MUTED = "muted"
    BLOCKED = "blocked"
    CONSENT_NEEDED = "consent_needed"
    NOT_FOUND = "not_found"
    GONE = "gone"
    EXPIRED = "expired"
    WINDOW_CLOSED = "window_closed"
    ALREADY_DONE = "already_done"
    CONFLICT = "conflict"
    NAME_TAKEN = "name_taken"
    NAME_INVALID = "name_invalid"
    PASSWORD_TOO_SHORT = "password_too_short"  # noqa: S105 - a code, not a password
    PASSWORD_TOO_LONG = "password_too_long"  # noqa: S105
    PASSWORD_TOO_COMMON = "password_too_common"  # noqa: S105
    PASSWORD_HAS_NAME = "password_has_name"  # noqa: S105
    REGISTRATION_CLOSED = "registration_closed"
    INVITE_NEEDED = "invite_needed"
    INVITE_INVALID = "invite_invalid"
    INVITE_USED_UP = "invite_used_up"
    PHRASE_MISMATCH = "phrase_mismatch"
    RATE_LIMITED = "rate_limited"
    LIMIT_REACHED = "limit_reached"
    QUOTA_FULL = "quota_full"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CROSS_SITE = "cross_site"
    NOT_HUB = "not_hub"
    STALE_EPOCH = "stale_epoch"
    PEER_OFFLINE = "peer_offline"
    PEER_UNREACHABLE = "peer_unreachable"
    KEY_CHANGED = "key_changed"
    NODE_BLOCKED = "node_blocked"
    UNDELIVERABLE = "undeliverable"
    BAD_SIGNATURE = "bad_signature"
    READ_ONLY = "read_only"
    UPGRADING = "upgrading"
    SLOW_READER = "slow_reader"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


HTTP_STATUS: Final[dict[Code, int]] = {
    Code.BAD_REQUEST: 400,
    Code.NAME_INVALID: 400,
    Code.PASSWORD_TOO_SHORT: 400,
    Code.PASSWORD_TOO_LONG: 400,
    Code.PASSWORD_TOO_COMMON: 400,
    Code.PASSWORD_HAS_NAME: 400,
    Code.PHRASE_MISMATCH: 400,
    Code.BAD_SIGNATURE: 400,
    Code.NOT_SIGNED_IN: 401,
    Code.BAD_CREDENTIALS: 401,
    Code.REAUTH_NEEDED: 403,
    Code.FORBIDDEN: 403,
    Code.ROLE_TOO_LOW: 403,
    Code.NOT_MEMBER: 403,
    Code.MUTED: 403,
    Code.BLOCKED: 403,
    Code.CONSENT_NEEDED: 403,
    Code.CROSS_SITE: 403,
    Code.NODE_BLOCKED: 403,
    Code.REGISTRATION_CLOSED: 403,
    Code.INVITE_NEEDED: 403,
    Code.NOT_FOUND: 404,
    Code.INVITE_INVALID: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.GONE: 410,
    Code.EXPIRED: 410,
    Code.INVITE_USED_UP: 410,
    Code.WINDOW_CLOSED: 409,
    Code.ALREADY_DONE: 409,
    Code.CONFLICT: 409,
    Code.NAME_TAKEN: 409,
    Code.LIMIT_REACHED: 409,
    Code.STALE_EPOCH: 409,
    Code.KEY_CHANGED: 409,
    Code.QUOTA_FULL: 413,
    Code.TOO_LARGE: 413,
    Code.UNSUPPORTED: 415,
    Code.NOT_HUB: 421,
    Code.RATE_LIMITED: 429,
    Code.SLOW_READER: 429,
    Code.BUSY: 409,
    Code.UNAVAILABLE: 503,
    Code.PEER_UNREACHABLE: 502,
    Code.PEER_OFFLINE: 503,
    Code.UNDELIVERABLE: 504,
    Code.READ_ONLY: 503,
    Code.UPGRADING: 503,
    Code.INTERNAL: 500,
}

Detail = dict[str, str | int | bool | None]


class Rejected(Exception):
    """A refusal: `code` is stable, `text` is one English sentence that says what to do, `detail` is for programs.

    Usual details: ``field``, ``limit``, ``used``, ``retry_after_s``, ``role_needed``, ``until_ms``.
    """

    def __init__(self, code: Code, text: str, **detail: str | int | bool | None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.detail: Detail = detail

    @property
    def http_status(self) -> int:
        """The status this refusal has over HTTP."""
        return HTTP_STATUS[self.code]

    def __repr__(self) -> str:
        return f"Rejected({self.code}, {self.text!r}, {self.detail})"


class RemoteError(Exception):
    """The other side broke the protocol."""


class LocalError(Exception):
    """Our own fault or the machine's; restartable."""


class ExitStatus(IntEnum):
    """Process statuses, documented in docs/reference/exit-status."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DATA_IN_USE = 3
    DATA_UNWRITABLE = 4
    DATA_CORRUPT = 5
    DATA_TOO_NEW = 6
    PORT_IN_USE = 7
    DISK_FULL = 8
    KEYS_UNSAFE = 9


class Fatal(LocalError):
    """Ends the process with `status` after a clear sentence."""

    def __init__(self, status: ExitStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
