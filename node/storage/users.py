"""People by their canonical id, and the small numbers this database calls them by.

A row exists for every user ever named in a room, local or remote. The number of a user never changes, so it is
cached for good; the cache is bounded and forgets everything when a batch was undone.
"""

from __future__ import annotations

from typing import Final

from node.base.ids import UserId
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
            if len(self._pks) >= CACHE_MAX:
                self._pks.clear()
            self._pks[user] = pk
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
