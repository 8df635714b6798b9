"""What admins did: append-only, written in the transaction of the act itself, kept for a year.

No message text and no token ever stands here: `action` is a word of the program, `subject` an id.
"""

from __future__ import annotations

from msgspec import Struct

from node.storage.database import Tx

KEPT_MS = 365 * 24 * 3600 * 1000  # inquiry versus privacy


class AuditLine(Struct, frozen=True):
    """One act."""

    at_ms: int
    actor: str
    action: str
    subject: str


class AuditStore:
    """The table ``audit``."""

    def add(self, tx: Tx, line: AuditLine) -> None:
        """One line more; lines older than a year go."""
        tx.execute(
            "INSERT INTO audit (at_ms, actor, action, subject) VALUES (?, ?, ?, ?)",
            (line.at_ms, line.actor, line.action, line.subject),
        )
        tx.execute("DELETE FROM audit WHERE at_ms < ?", (line.at_ms - KEPT_MS,))
