"""People by their canonical id, and the small numbers this database calls them by.

A row exists for every user ever named in a room, local or remote. The number of a user never changes, so it is
cached for good; the cache is bounded and forgets everything when a batch was undone.
"""

from __future__ import annotations

from typing import Final

from node.base.ids import NodeId, UserId, format_node
from node.storage.database import Database, Tx

CACHE_MAX: Final = 65_536


class Users:
    """Numbers and names of users."""

    def __init__(self, db: Database) -> None:
        self._pks: dict[UserId, int] = {}
        db.on_abort(self._pks.clear)

    def pk(self, tx: Tx, user: UserId) -> int:
        """The number of `user`; makes the row when it is the first time (writers only)."""
        pk = self._pks.get(user)
        if pk is None:
            pk = self.find(tx, user)
            if pk is None:
                cursor = tx.execute("INSERT INTO users (user) VALUES (?)", (user,))
                assert cursor.lastrowid is not None
                pk = cursor.lastrowid
            self._keep(user, pk)
        return pk

    def _keep(self, user: UserId, pk: int) -> None:
        if len(self._pks) >= CACHE_MAX:
            self._pks.clear()
        self._pks[user] = pk

    def known(self, tx: Tx, user: UserId) -> int | None:
        """The number of `user` if there is one; never makes a row, so strangers cannot fill the table."""
        pk = self._pks.get(user) or self.find(tx, user)
        if pk is not None:
            self._keep(user, pk)
        return pk

    def find(self, tx: Tx, user: UserId) -> int | None:
        """The number of `user`, if it is known."""
        row = tx.one("SELECT id FROM users WHERE user = ?", (user,))
        return None if row is None else int(row[0])

    def names(self, tx: Tx, users: set[UserId]) -> dict[UserId, str]:
        """Display names; who is unknown or nameless is left out."""
        found: dict[UserId, str] = {}
        for user in users:
            row = tx.one("SELECT name FROM users WHERE user = ?", (user,))
            if row is not None and row[0]:
                found[user] = row[0]
        return found

    def renamed_since(self, tx: Tx, after: int, upto: int) -> list[tuple[UserId, str]]:
        """Names that changed in the feed range (after, upto]."""
        sql = "SELECT user, name FROM users WHERE name_seq > 0 AND name_seq > ? AND name_seq <= ? ORDER BY name_seq LIMIT 1000"
        return [(UserId(user), name) for user, name in tx.all(sql, (after, upto))]

    # --- names of people elsewhere --------------------------------------------------------------------------

    def suggest_name(self, tx: Tx, pk: int, name: str) -> None:
        """A name to show while no signed one is known."""
        tx.execute("UPDATE users SET name = ? WHERE id = ? AND name = '' AND profile IS NULL", (name, pk))

    def name_changed(self, tx: Tx, user: UserId, now_ms: int) -> None:
        """When an own user took the present name."""
        tx.execute("UPDATE users SET name_ms = ? WHERE user = ?", (now_ms, user))

    def named(self, tx: Tx, user: UserId) -> tuple[str, int] | None:
        """(name, since when) of somebody; None without a name."""
        row = tx.one("SELECT name, name_ms FROM users WHERE user = ? AND name <> ''", (user,))
        return None if row is None else (row[0], row[1])

    def profile(self, tx: Tx, user: UserId) -> bytes | None:
        """The signed name of somebody elsewhere, as it was received."""
        row = tx.one("SELECT profile FROM users WHERE user = ?", (user,))
        return None if row is None else row[0]

    def set_profile(self, tx: Tx, user: UserId, name: str, at_ms: int, profile: bytes, seq: int) -> bool:
        """Keeps a signed name; False when a newer one is known."""
        sql = """UPDATE users SET name = ?, name_ms = ?, profile = ?, name_seq = ? WHERE user = ?
                 AND (profile IS NULL OR name_ms < ?)"""
        return tx.execute(sql, (name, at_ms, profile, seq, user, at_ms)).rowcount > 0

    def unnamed(self, tx: Tx, hub: NodeId, limit: int) -> list[UserId]:
        """People of this node, and members of rooms that it orders, whose signed name is not known here."""
        sql = """SELECT user FROM users WHERE substr(user, -52) = ? AND profile IS NULL
                 UNION SELECT u.user FROM rooms r JOIN members m ON m.room = r.id JOIN users u ON u.id = m.user
                 WHERE r.hub = ? AND m.last_idx IS NULL AND u.profile IS NULL
                 AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = u.id) LIMIT ?"""
        return [UserId(row[0]) for row in tx.all(sql, (format_node(hub), hub, limit))]
