"""Calls in logs.

* ``entries_calls``: a call is unread only for those who missed it, so the others are taken off the count (storage/log.py).
* ``calls``: those begun by people here whose end is not in the log yet; after a crash they are ended there. ``device`` is the number of
  the device, ``event`` the id of the entry of the start.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

SCHEMA = """
CREATE INDEX entries_calls ON entries (room, idx, author) WHERE kind = 'call' AND counts = 1;

CREATE TABLE calls (
    call    BLOB PRIMARY KEY,
    room    BLOB NOT NULL,
    event   BLOB NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (id),
    device  INTEGER NOT NULL REFERENCES devices (id),
    media   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""


def apply(conn: sqlite3.Connection) -> None:
    """Statements run one by one, inside the caller's transaction."""
    db = Database(conn)
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            db.execute(statement)
