"""Live settings: what an admin may change while the node runs, validated, then committed, then in force at once.

Readers ask each time (`rate`, `registration`, …) and keep no copy. Defaults of rates are the numbers in
base/limits.py; a setting that was never changed follows a new default.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.core.account import Registration
from node.core.content import check_line
from node.runtime.clock import Clock
from node.storage.audit import AuditLine, AuditStore
from node.storage.database import Database, Tx
from node.storage.settings import SettingStore
from node.wire.address import check_domain

RATES: Final[dict[str, int]] = {
    "posts_per_account_per_s": limits.POSTS_PER_ACCOUNT_PER_S,
    "posts_per_account_burst": limits.POSTS_PER_ACCOUNT_BURST,
    "posts_per_room_per_s": limits.POSTS_PER_ROOM_PER_S,
    "posts_per_room_burst": limits.POSTS_PER_ROOM_BURST,
    "rooms_created_per_h": limits.ROOMS_CREATED_PER_H,
    "invitations_per_h": limits.INVITATIONS_PER_H,
    "requests_per_h": limits.REQUESTS_PER_H,
    "api_per_session_per_s": limits.API_PER_SESSION_PER_S,
    "api_per_session_burst": limits.API_PER_SESSION_BURST,
    "api_per_address_per_s": limits.API_PER_ADDRESS_PER_S,
    "api_per_address_burst": limits.API_PER_ADDRESS_BURST,
    "login_failures_per_account": limits.LOGIN_FAILURES_PER_ACCOUNT,
    "login_failures_per_address": limits.LOGIN_FAILURES_PER_ADDRESS,
    "logins_per_node_per_min": limits.LOGINS_PER_NODE_PER_MIN,
    "calls_per_min": limits.CALLS_PER_MIN,
    "call_frames_per_s": limits.CALL_FRAMES_PER_S,
    "call_asks_per_s": limits.CALL_ASKS_PER_S,
}
CALLS: Final[dict[str, tuple[int, int]]] = {  # present default, and the most an admin may set
    "participants": (limits.CALL_PARTICIPANTS, limits.CALL_PARTICIPANTS_MAX),
    "cameras": (limits.CALL_CAMERAS, limits.CALL_PARTICIPANTS_MAX),
    "up_kbps": (limits.CALL_UP_KBPS, limits.CALL_UP_KBPS_MAX),
    "hours": (limits.CALL_HOURS, limits.CALL_HOURS_MAX),
}
RATE_MAX: Final = 10_000_000  # benchmarks switch rates off with this
_RATE: Final = "rates."
_CALL: Final = "calls."
_DEFAULT_NAME: Final = "Startalk"


class Circle(StrEnum):
    """Which other nodes this one talks to: with ``allowed`` those whose policy is ``allow`` (services/peers.py)."""

    OPEN = "open"
    ALLOWED = "allowed"


class Change(Struct, frozen=True, kw_only=True):
    """What to change; None and missing rates stay."""

    name: str | None = None
    domain: str | None = None
    registration: Registration | None = None
    circle: Circle | None = None
    rates: dict[str, int] = {}
    calls: dict[str, int] = {}


class Settings:
    """Present values, and the one door to change them. `domain` is the boot file's, until an admin sets another."""

    def __init__(self, *, db: Database, clock: Clock, domain: str = "") -> None:
        self._db = db
        self._clock = clock
        self._boot_domain = domain
        self._store = SettingStore()
        self._audit = AuditStore()
        self._values = db.view(self._store.all)

    @property
    def name(self) -> str:
        """What people call this node."""
        return self._values.get("name", "") or self.domain or _DEFAULT_NAME

    @property
    def domain(self) -> str:
        """The domain people write after the @; empty if there is none."""
        return self._values.get("domain", self._boot_domain)

    @property
    def registration(self) -> Registration:
        """Who may open an account."""
        return Registration(self._values.get("registration", Registration.INVITE))

    @property
    def circle(self) -> Circle:
        """Which other nodes this one talks to."""
        return Circle(self._values.get("circle", Circle.OPEN))

    @property
    def allowed_only(self) -> bool:
        """Whether other nodes are kept out unless an admin allowed them."""
        return self.circle is Circle.ALLOWED

    def rate(self, name: str) -> int:
        """Present value of a rate."""
        return int(self._values.get(_RATE + name, RATES[name]))

    def rates(self) -> dict[str, int]:
        """All rates."""
        return {name: self.rate(name) for name in RATES}

    def call_limit(self, name: str) -> int:
        """Present value of a limit of calls."""
        return int(self._values.get(_CALL + name, CALLS[name][0]))

    def call_limits(self) -> dict[str, int]:
        """All limits of calls."""
        return {name: self.call_limit(name) for name in CALLS}

    def check(self, change: Change) -> None:
        """Raises Rejected as `change` would."""
        _check(change)

    async def change(self, change: Change, *, actor: str) -> None:
        """Validates everything, then commits everything; `actor` is noted. Raises Rejected and changes nothing."""
        values = _check(change)
        if not values:
            return
        line = AuditLine(self._clock.now_ms(), actor, "settings.change", ",".join(sorted(values)))

        def write(tx: Tx) -> None:
            self._store.put(tx, values)
            self._audit.add(tx, line)
            tx.after_commit(lambda: self._values.update(values))

        await self._db.write(write)


def _check(change: Change) -> dict[str, str]:
    values: dict[str, str] = {}
    if change.name is not None:
        values["name"] = _check_name(change.name)
    if change.domain is not None:
        values["domain"] = check_domain(change.domain) if change.domain else ""
    if change.registration is not None:
        values["registration"] = change.registration.value
    if change.circle is not None:
        values["circle"] = change.circle.value
    for name, value in change.rates.items():
        if name not in RATES:
            raise Rejected(Code.BAD_REQUEST, f"There is no rate called {name[:40]!r}.", field="rates")
        if not 1 <= value <= RATE_MAX:
            raise Rejected(Code.BAD_REQUEST, "A rate is 1 to 10,000,000.", field="rates", limit=RATE_MAX)
        values[_RATE + name] = str(value)
    for name, value in change.calls.items():
        if name not in CALLS:
            raise Rejected(Code.BAD_REQUEST, f"There is no limit of calls called {name[:40]!r}.", field="calls")
        most = CALLS[name][1]
        if not 1 <= value <= most:
            raise Rejected(Code.BAD_REQUEST, f"The limit {name} is 1 to {most:,}.", field="calls", limit=most)
        values[_CALL + name] = str(value)
    return values


def _check_name(text: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= limits.NAME_CHARS_MAX:
        raise Rejected(Code.BAD_REQUEST, "A name has 1 to 60 characters.", field="name", limit=limits.NAME_CHARS_MAX)
    check_line(text, "name")
    return text
