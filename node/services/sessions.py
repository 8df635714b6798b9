"""Sessions: one device, one opaque token of 256 bits, one row (storage/devices.py) found by the token's SHA-256.

A session dies after 30 idle days or 180 days, when it is ended, and for as long as the account is frozen. `authenticate` is
the only maker of an `Actor` for a token. Ending one closes its open sockets in the same moment: the door is told after
the commit, so that a socket is never closed for a session that still stands.

Methods that take a transaction belong to a use case of services/accounts.py; the others are use cases themselves.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import DEVICE_ID_BYTES, DeviceId, parse_id
from node.core.content import check_line
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.services.actor import Actor
from node.services.ports import DeviceDoor
from node.storage.accounts import AccountRow
from node.storage.database import Database, Tx
from node.storage.devices import DeviceRow, DeviceStore, NewDevice, SessionRow

SEEN_EVERY_MS: Final = 60_000  # how exact `seen_ms` is; each step costs a write
_SIGNED_OUT: Final = "This device was signed out."


class Origin(Struct, frozen=True, kw_only=True):
    """Where a sign-in comes from. `address` is used for throttling and stored shortened."""

    address: str
    client: str = ""
    device_name: str = ""


class DeviceView(Struct, frozen=True):
    """A device in its owner's list."""

    row: DeviceRow
    current: bool
    online: bool


class Sessions:
    """Opens, proves and ends sessions."""

    def __init__(self, *, db: Database, clock: Clock, entropy: Entropy, devices: DeviceDoor) -> None:
        self._db = db
        self._clock = clock
        self._entropy = entropy
        self._door = devices
        self._devices = DeviceStore()

    # --- tokens -----------------------------------------------------------------------------------------

    def authenticate(self, token: str) -> Actor:
        """Who holds this token. Raises Rejected with `not_signed_in`."""
        try:
            secret = parse_id(token, limits.TOKEN_BYTES)
        except ValueError:
            raise _not_signed_in() from None
        row = self._db.view(lambda tx: self._devices.session(tx, _digest(secret)))
        if row is None or self._is_dead(row.created_ms, row.seen_ms):
            raise _not_signed_in()
        if row.frozen_ms:
            raise Rejected(Code.NOT_SIGNED_IN, "This account is frozen; ask the admin of this node.")
        self._note_seen(row)
        return Actor(
            user=row.user,
            user_pk=row.account_pk,
            account_role=row.role,
            device=row.device,
            device_pk=row.device_pk,
            local=row.local,
            name=row.name,
        )

    async def logout(self, actor: Actor) -> None:
        """Ends this session."""
        await self._db.write(lambda tx: self.end(tx, actor.user_pk, actor.device))

    def _note_seen(self, row: SessionRow) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - row.seen_ms < SEEN_EVERY_MS:
            return
        try:
            self._db.submit(lambda tx: self._devices.touch(tx, row.device_pk, now_ms), lambda _result, _error: None)
        except Rejected:
            return  # a node that cannot write can still be read

    def _is_dead(self, created_ms: int, seen_ms: int) -> bool:
        now_ms = self._clock.now_ms()
        return now_ms - seen_ms > limits.SESSION_IDLE_S * 1000 or now_ms - created_ms > limits.SESSION_ABSOLUTE_S * 1000

    # --- devices ----------------------------------------------------------------------------------------

    def devices(self, actor: Actor) -> list[DeviceView]:
        """The actor's devices, the last used first."""
        rows = self._db.view(lambda tx: self._devices.of_account(tx, actor.user_pk))
        return [
            DeviceView(row, row.pk == actor.device_pk, bool(self._door.of_device(row.device, actor.user)))
            for row in rows
            if not self._is_dead(row.created_ms, row.seen_ms)
        ]

    async def rename_device(self, actor: Actor, device: DeviceId, name: str) -> None:
        """Raises Rejected with `not_found` for somebody else's device."""
        name = name.strip()
        check_line(name, "name")
        if len(name) > limits.DEVICE_NAME_CHARS_MAX:
            raise Rejected(
                Code.BAD_REQUEST,
                "A device name has at most 60 characters.",
                field="name",
                limit=limits.DEVICE_NAME_CHARS_MAX,
            )
        if not await self._db.write(lambda tx: self._devices.rename(tx, actor.user_pk, device, name)):
            raise _no_device()

    async def end_device(self, actor: Actor, device: DeviceId) -> None:
        """Signs a device out, its open sockets too. Raises Rejected with `not_found` for somebody else's."""
        if not await self._db.write(lambda tx: self.end(tx, actor.user_pk, device)):
            raise _no_device()

    async def end_other_devices(self, actor: Actor) -> None:
        """Signs all other devices out."""
        await self._db.write(lambda tx: self.end_others(tx, actor.user_pk, actor.device_pk))

    # --- inside the transactions of others --------------------------------------------------------------

    def open(self, tx: Tx, account: AccountRow, origin: Origin, secret: bytes) -> Actor:
        """A new session for the token `secret`."""
        now_ms = self._clock.now_ms()
        idle, absolute = now_ms - limits.SESSION_IDLE_S * 1000, now_ms - limits.SESSION_ABSOLUTE_S * 1000
        self._devices.delete_dead(tx, account.pk, idle, absolute)
        device = DeviceId(self._entropy.token_bytes(DEVICE_ID_BYTES))
        new = NewDevice(
            account=account.pk,
            device=device,
            token_hash=_digest(secret),
            name=_device_name(origin.device_name or origin.client),
            client=origin.client,
            address=shorten(origin.address),
        )
        return _actor(account, device, self._devices.insert(tx, new, now_ms))

    def make_room(self, tx: Tx, account: int, *, end_oldest: bool) -> DeviceId | None:
        """The device to end so that one more fits; None when there is room. Raises Rejected."""
        alive = [row for row in self._devices.of_account(tx, account) if not self._is_dead(row.created_ms, row.seen_ms)]
        most = limits.DEVICES_PER_ACCOUNT_MAX
        if len(alive) < most:
            return None
        if not end_oldest:
            text = "You are signed in on ten devices; sign out on one of them first."
            raise Rejected(Code.LIMIT_REACHED, text, limit=most, used=len(alive))
        return alive[-1].device

    def renew(self, tx: Tx, actor: Actor, secret: bytes) -> None:
        """The actor's session goes on with another token."""
        self._devices.renew(tx, actor.device_pk, _digest(secret))

    def end(self, tx: Tx, account: int, device: DeviceId) -> bool:
        """Ends one session; whether there was one."""
        ended = self._devices.delete(tx, account, device)
        if ended:
            self._close_later(tx, device)
        return ended

    def end_others(self, tx: Tx, account: int, keep_pk: int) -> None:
        """Ends all sessions of an account but one (0: all)."""
        for device in self._devices.delete_others(tx, account, keep_pk):
            self._close_later(tx, device)

    def close(self, tx: Tx, account: int) -> None:
        """Closes the sockets of an account; its sessions stay, and are refused as long as it is frozen."""
        for row in self._devices.of_account(tx, account):
            self._close_later(tx, row.device)

    def summary(self, tx: Tx, account: int) -> tuple[int, int]:
        """(number of devices, last use) of an account."""
        rows = self._devices.of_account(tx, account)
        return len(rows), max((row.seen_ms for row in rows), default=0)

    def _close_later(self, tx: Tx, device: DeviceId) -> None:
        tx.after_commit(lambda: self._door.end_device(device, Code.NOT_SIGNED_IN, _SIGNED_OUT))


def shorten(address: str) -> str:
    """What is kept of an address: an IPv4 without its last number, the first 48 bits of an IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv4Address):
        return f"{str(ip).rpartition('.')[0]}.x"
    return str(ipaddress.IPv6Address(int(ip) >> 80 << 80))


def _actor(account: AccountRow, device: DeviceId, device_pk: int) -> Actor:
    return Actor(
        user=account.user,
        user_pk=account.pk,
        account_role=account.role,
        device=device,
        device_pk=device_pk,
        local=account.local,
        name=account.name,
    )


def _device_name(text: str) -> str:
    kept = "".join(char for char in text if char.isprintable()).strip()
    return kept[: limits.DEVICE_NAME_CHARS_MAX]


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _not_signed_in() -> Rejected:
    return Rejected(Code.NOT_SIGNED_IN, "You are not signed in, or the session has ended; sign in again.")


def _no_device() -> Rejected:
    return Rejected(Code.NOT_FOUND, "You have no such device.")
