"""Invitations that are tokens: to an account, to a room, or to a new password. Only the SHA-256 of a token is stored.

==========  ============================================================================================
kind        meaning of the columns
==========  ============================================================================================
account     `role` is what the new account becomes; ``node_owner`` exists only while the node has no owner
room        `room` is entered; with `onboards` it may also open an account
reset       `account` gets a new password
contact     who brings it becomes a contact of `account`; for people on other nodes
==========  ============================================================================================

An invitation is live while it is not revoked, not expired (`expires_ms` 0 = never) and `uses` < `uses_max`.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from node.base.ids import RoomId
from node.core.account import NodeRole
from node.storage.database import Tx

ACCOUNT: Final = "account"
ROOM: Final = "room"
RESET: Final = "reset"
CONTACT: Final = "contact"

_COLUMNS: Final = """i.id, i.kind, i.role, i.room, i.account, i.onboards, i.created_ms, i.expires_ms, i.revoked_ms,
                     i.uses, i.uses_max, coalesce((SELECT user FROM users WHERE id = i.made_by), '')"""
_LIVE: Final = "i.revoked_ms = 0 AND i.uses < i.uses_max AND (i.expires_ms = 0 OR i.expires_ms > ?)"


class InviteRow(Struct, frozen=True):
    """One invitation; `made_by` is a user id, or empty when the node itself made it."""

    id: int
    kind: str
    role: str
    room: int
    account: int
    onboards: bool
    created_ms: int
    expires_ms: int
    revoked_ms: int
    uses: int
    uses_max: int
    made_by: str


class NewInvite(Struct, frozen=True, kw_only=True):
    """What `insert` needs; `made_by` is a number, 0 for the node itself."""

    kind: str
    token_hash: bytes
    role: str = NodeRole.USER
    room: int = 0
    account: int = 0
    onboards: bool = True
    made_by: int = 0
    expires_ms: int = 0
    uses_max: int = 1


class InviteStore:
    """The table ``invites``."""

    def insert(self, tx: Tx, new: NewInvite, now_ms: int) -> InviteRow:
        """A new invitation."""
        cursor = tx.execute(
            """INSERT INTO invites (token_hash, kind, role, room, account, onboards, made_by, created_ms, expires_ms,
                                    uses_max)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (new.token_hash, new.kind, new.role, new.room, new.account, int(new.onboards), new.made_by, now_ms,
             new.expires_ms, new.uses_max),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        made = self.by_id(tx, cursor.lastrowid)
        assert made is not None
        return made

    def find(self, tx: Tx, token_hash: bytes) -> InviteRow | None:
        """The invitation with this token, live or not."""
        return _row(tx.one(f"SELECT {_COLUMNS} FROM invites i WHERE i.token_hash = ?", (token_hash,)))  # noqa: S608 - the parts are constants

    def by_id(self, tx: Tx, number: int) -> InviteRow | None:
        """The invitation with this number."""
        return _row(tx.one(f"SELECT {_COLUMNS} FROM invites i WHERE i.id = ?", (number,)))  # noqa: S608 - the parts are constants

    def live(self, tx: Tx, kind: str, now_ms: int, *, room: int = 0) -> list[InviteRow]:
        """Live invitations of a kind, newest first; of one room for room links."""
        sql = f"SELECT {_COLUMNS} FROM invites i WHERE i.kind = ? AND i.room = ? AND {_LIVE} ORDER BY i.id DESC LIMIT 1000"  # noqa: S608 - the parts are constants
        return [_invite(row) for row in tx.all(sql, (kind, room, now_ms))]

    def live_of(self, tx: Tx, kind: str, now_ms: int, account: int) -> int:
        """How many of an account are live."""
        row = tx.one(
            f"SELECT count(*) FROM invites i WHERE i.kind = ? AND i.account = ? AND {_LIVE}",  # noqa: S608 - constants
            (kind, account, now_ms),
        )
        assert row is not None
        return int(row[0])

    def count_live(self, tx: Tx, kind: str, now_ms: int, *, room: int = 0) -> int:
        """How many are live."""
        row = tx.one(
            f"SELECT count(*) FROM invites i WHERE i.kind = ? AND i.room = ? AND {_LIVE}",  # noqa: S608 - constants
            (kind, room, now_ms),
        )
        assert row is not None
        return int(row[0])

    def spend(self, tx: Tx, number: int) -> None:
        """One use more. The caller checked in the same transaction that one is left."""
        tx.execute("UPDATE invites SET uses = uses + 1 WHERE id = ?", (number,))

    def revoke(self, tx: Tx, number: int, now_ms: int) -> None:
        """It works no more."""
        tx.execute("UPDATE invites SET revoked_ms = ? WHERE id = ? AND revoked_ms = 0", (now_ms, number))

    def revoke_role(self, tx: Tx, role: NodeRole, now_ms: int) -> None:
        """All account invites that give `role`."""
        tx.execute(
            "UPDATE invites SET revoked_ms = ? WHERE kind = 'account' AND role = ? AND revoked_ms = 0", (now_ms, role)
        )

    def revoke_resets(self, tx: Tx, account: int, now_ms: int) -> None:
        """Password links of an account: a newer one, or a changed password, makes the old ones worthless."""
        tx.execute(
            "UPDATE invites SET revoked_ms = ? WHERE kind = 'reset' AND account = ? AND revoked_ms = 0",
            (now_ms, account),
        )

    def room_of(self, tx: Tx, invite: InviteRow) -> RoomId | None:
        """The room a link opens."""
        row = tx.one("SELECT room FROM rooms WHERE id = ?", (invite.room,))
        return None if row is None else RoomId(row[0])

    def accounts_opened(self, tx: Tx, number: int) -> int:
        """How many accounts were opened with an invitation."""
        row = tx.one("SELECT count(*) FROM accounts WHERE invited_by = ?", (number,))
        assert row is not None
        return int(row[0])

    def account(self, tx: Tx, local: str) -> tuple[int, NodeRole] | None:
        """(number, role) of an account."""
        row = tx.one("SELECT id, role FROM accounts WHERE local = ?", (local,))
        return None if row is None else (int(row[0]), NodeRole(row[1]))

    def local_of(self, tx: Tx, account: int) -> str:
        """The local name of an account."""
        row = tx.one("SELECT local FROM accounts WHERE id = ?", (account,))
        return "" if row is None else str(row[0])

    def has_owner(self, tx: Tx) -> bool:
        """Whether somebody owns the node."""
        return tx.one("SELECT 1 FROM accounts WHERE role = ?", (NodeRole.OWNER,)) is not None


def _row(found: tuple[Any, ...] | None) -> InviteRow | None:
    return None if found is None else _invite(found)


def _invite(found: tuple[Any, ...]) -> InviteRow:
    number, kind, role, room, account, onboards, created, expires, revoked, uses, uses_max, made_by = found
    return InviteRow(
        number, kind, role, room, account, bool(onboards), created, expires, revoked, uses, uses_max, made_by
    )
