"""Devices: one row is one session, and it is found by the SHA-256 of its token. Ending a session deletes the row.

Numbers of devices are never given twice (``meta.device``), since the log remembers which device posted what.
`seen_ms` is the time of the last use, exact to a minute; a session that was idle or lived too long is dead even
while its row still stands.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from node.base.ids import DeviceId, UserId
from node.core.account import NodeRole
from node.storage.database import Tx

_COLUMNS: Final = "id, device, name, client, address, created_ms, seen_ms"


class DeviceRow(Struct, frozen=True):
    """One signed-in device."""

    pk: int
    device: DeviceId
    name: str
    client: str
    address: str
    created_ms: int
    seen_ms: int


class SessionRow(Struct, frozen=True):
    """What a token proves: a device and its account, in one look-up."""

    device_pk: int
    device: DeviceId
    created_ms: int
    seen_ms: int
    account_pk: int
    user: UserId
    local: str
    name: str
    role: NodeRole
    frozen_ms: int


class NewDevice(Struct, frozen=True, kw_only=True):
    """What `insert` needs."""

    account: int
    device: DeviceId
    token_hash: bytes
    name: str
    client: str
    address: str


class DeviceStore:
    """The table ``devices``."""

    def insert(self, tx: Tx, new: NewDevice, now_ms: int) -> int:
        """A new device; its number."""
        row = tx.one(
            "SELECT max(coalesce((SELECT value FROM meta WHERE key = 'device'), 0), coalesce(max(id), 0)) FROM devices"
        )
        assert row is not None
        pk = int(row[0]) + 1
        tx.execute(
            "INSERT INTO meta (key, value) VALUES ('device', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (pk,),
        )
        tx.execute(
            """INSERT INTO devices (id, account, device, token_hash, name, client, address, created_ms, seen_ms)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (pk, new.account, new.device, new.token_hash, new.name, new.client, new.address, now_ms, now_ms),
        )
        return pk

    def session(self, tx: Tx, token_hash: bytes) -> SessionRow | None:
        """Device and account behind a token."""
        sql = """SELECT d.id, d.device, d.created_ms, d.seen_ms, a.id, u.user, a.local, u.name, a.role, a.frozen_ms
                 FROM devices d JOIN accounts a ON a.id = d.account JOIN users u ON u.id = a.id
                 WHERE d.token_hash = ?"""
        found = tx.one(sql, (token_hash,))
        if found is None:
            return None
        pk, device, created_ms, seen_ms, account, user, local, name, role, frozen_ms = found
        return SessionRow(
            pk, DeviceId(device), created_ms, seen_ms, account, UserId(user), local, name, NodeRole(role), frozen_ms
        )

    def is_alive(self, tx: Tx, pk: int) -> bool:
        """Whether the session still stands and its account is not frozen."""
        sql = "SELECT 1 FROM devices d JOIN accounts a ON a.id = d.account WHERE d.id = ? AND a.frozen_ms = 0"
        return tx.one(sql, (pk,)) is not None

    def of_account(self, tx: Tx, account: int) -> list[DeviceRow]:
        """All devices of an account, the last used first."""
        sql = f"SELECT {_COLUMNS} FROM devices WHERE account = ? ORDER BY seen_ms DESC, id DESC"  # noqa: S608 - the parts are constants
        return [_device(row) for row in tx.all(sql, (account,))]

    def touch(self, tx: Tx, pk: int, seen_ms: int) -> None:
        """The device was used."""
        tx.execute("UPDATE devices SET seen_ms = max(seen_ms, ?) WHERE id = ?", (seen_ms, pk))

    def rename(self, tx: Tx, account: int, device: DeviceId, name: str) -> bool:
        """Whether the account has this device; it is called `name` now."""
        cursor = tx.execute("UPDATE devices SET name = ? WHERE account = ? AND device = ?", (name, account, device))
        return cursor.rowcount > 0

    def renew(self, tx: Tx, pk: int, token_hash: bytes) -> None:
        """The same device with a new token."""
        tx.execute("UPDATE devices SET token_hash = ? WHERE id = ?", (token_hash, pk))

    def delete(self, tx: Tx, account: int, device: DeviceId) -> bool:
        """Ends one session; whether there was one."""
        return tx.execute("DELETE FROM devices WHERE account = ? AND device = ?", (account, device)).rowcount > 0

    def delete_others(self, tx: Tx, account: int, keep_pk: int) -> list[DeviceId]:
        """Ends all sessions of the account but one (0: all); which they were."""
        found = tx.all("SELECT device FROM devices WHERE account = ? AND id <> ?", (account, keep_pk))
        tx.execute("DELETE FROM devices WHERE account = ? AND id <> ?", (account, keep_pk))
        return [DeviceId(device) for (device,) in found]

    def delete_dead(self, tx: Tx, account: int, seen_before_ms: int, created_before_ms: int) -> None:
        """Forgets sessions of the account that expired."""
        sql = "DELETE FROM devices WHERE account = ? AND (seen_ms < ? OR created_ms < ?)"
        tx.execute(sql, (account, seen_before_ms, created_before_ms))


def _device(found: tuple[Any, ...]) -> DeviceRow:
    pk, device, name, client, address, created_ms, seen_ms = found
    return DeviceRow(pk, DeviceId(device), name, client, address, created_ms, seen_ms)
