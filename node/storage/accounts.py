"""Accounts: who has a password here. The number of an account is the number of its user.

Names live in ``users`` (everybody has one, local or not), so a change of name takes a feed position and reaches
devices like everything durable. Times are unix milliseconds; `frozen_ms` 0 means not frozen.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from node.base.ids import UserId
from node.core.account import NodeRole
from node.storage.database import Tx
from node.storage.users import Users

_COLUMNS: Final = """a.id, u.user, a.local, u.name, a.role, a.password, a.pepper, a.lang, a.created_ms, a.frozen_ms,
                     a.invited_by"""
_FROM: Final = "accounts a JOIN users u ON u.id = a.id"


class AccountRow(Struct, frozen=True):
    """One account. `password` is the argon2 text, `pepper` the version of the pepper that went into it."""

    pk: int
    user: UserId
    local: str
    name: str
    role: NodeRole
    password: str
    pepper: int
    lang: str
    created_ms: int
    frozen_ms: int
    invited_by: int


class NewAccount(Struct, frozen=True, kw_only=True):
    """What `insert` needs."""

    user: UserId
    local: str
    skeleton: str
    name: str
    role: NodeRole
    password: str
    pepper: int
    lang: str
    invited_by: int


class AccountUse(Struct, frozen=True):
    """An account in the admin's list, with its devices counted."""

    row: AccountRow
    devices: int
    seen_ms: int


class AccountStore:
    """The table ``accounts`` with the names in ``users``."""

    def __init__(self, *, users: Users) -> None:
        self._users = users

    def insert(self, tx: Tx, new: NewAccount, now_ms: int) -> int:
        """A new account; its number. The caller made sure that the name is free."""
        pk = self._users.pk(tx, new.user)
        tx.execute(
            """INSERT INTO accounts (id, local, skeleton, role, password, pepper, lang, created_ms, invited_by)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (pk, new.local, new.skeleton, new.role, new.password, new.pepper, new.lang, now_ms, new.invited_by),
        )
        return pk

    def by_local(self, tx: Tx, local: str) -> AccountRow | None:
        """The account with this local name."""
        return _row(tx.one(f"SELECT {_COLUMNS} FROM {_FROM} WHERE a.local = ?", (local,)))  # noqa: S608 - the parts are constants

    def by_pk(self, tx: Tx, pk: int) -> AccountRow | None:
        """The account with this number."""
        return _row(tx.one(f"SELECT {_COLUMNS} FROM {_FROM} WHERE a.id = ?", (pk,)))  # noqa: S608 - the parts are constants

    def name_is_taken(self, tx: Tx, skeleton: str) -> bool:
        """Whether an account has this name or one that looks like it."""
        return tx.one("SELECT 1 FROM accounts WHERE skeleton = ?", (skeleton,)) is not None

    def count_role(self, tx: Tx, role: NodeRole) -> int:
        """How many accounts have `role`."""
        row = tx.one("SELECT count(*) FROM accounts WHERE role = ?", (role,))
        assert row is not None
        return int(row[0])

    def set_password(self, tx: Tx, pk: int, password: str, pepper: int) -> None:
        """A new hash."""
        tx.execute("UPDATE accounts SET password = ?, pepper = ? WHERE id = ?", (password, pepper, pk))

    def set_name(self, tx: Tx, pk: int, name: str, seq: int) -> None:
        """A new display name, learned by devices at feed position `seq`."""
        tx.execute("UPDATE users SET name = ?, name_seq = ? WHERE id = ?", (name, seq, pk))

    def set_lang(self, tx: Tx, pk: int, lang: str) -> None:
        """The language of the account; empty means the browser's."""
        tx.execute("UPDATE accounts SET lang = ? WHERE id = ?", (lang, pk))

    def set_role(self, tx: Tx, pk: int, role: NodeRole) -> None:
        """A new role on the node."""
        tx.execute("UPDATE accounts SET role = ? WHERE id = ?", (role, pk))

    def set_frozen(self, tx: Tx, pk: int, frozen_ms: int) -> None:
        """Freezes (since when) or thaws (0)."""
        tx.execute("UPDATE accounts SET frozen_ms = ? WHERE id = ?", (frozen_ms, pk))

    def directory(self, tx: Tx, query: str, after: str, limit: int) -> list[tuple[UserId, str, str]]:
        """(user, local, name) of accounts that are not frozen, by local name; `query` matches the beginning of the
        local name or any part of the display name."""
        sql = f"""SELECT u.user, a.local, u.name FROM {_FROM}
                  WHERE a.local > ? AND a.frozen_ms = 0
                    AND (? = '' OR substr(a.local, 1, length(?)) = ? OR instr(lower(u.name), ?) > 0)
                  ORDER BY a.local LIMIT ?"""  # noqa: S608 - the parts are constants
        return [
            (UserId(user), local, name) for user, local, name in tx.all(sql, (after, query, query, query, query, limit))
        ]

    def page(self, tx: Tx, query: str, after: str, limit: int) -> list[AccountUse]:
        """Accounts for the admin, frozen ones too, by local name."""
        sql = f"""SELECT {_COLUMNS},
                         (SELECT count(*) FROM devices d WHERE d.account = a.id),
                         coalesce((SELECT max(d.seen_ms) FROM devices d WHERE d.account = a.id), 0)
                  FROM {_FROM}
                  WHERE a.local > ?
                    AND (? = '' OR substr(a.local, 1, length(?)) = ? OR instr(lower(u.name), ?) > 0)
                  ORDER BY a.local LIMIT ?"""  # noqa: S608 - the parts are constants
        found = tx.all(sql, (after, query, query, query, query, limit))
        return [AccountUse(_account(row[:-2]), row[-2], row[-1]) for row in found]


def _row(found: tuple[Any, ...] | None) -> AccountRow | None:
    return None if found is None else _account(found)


def _account(found: tuple[Any, ...]) -> AccountRow:
    pk, user, local, name, role, password, pepper, lang, created_ms, frozen_ms, invited_by = found
    return AccountRow(
        pk, UserId(user), local, name, NodeRole(role), password, pepper, lang, created_ms, frozen_ms, invited_by
    )
