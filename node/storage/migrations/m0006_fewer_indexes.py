"""Two indexes of the log become one, and the index of waiting posts by room keeps only what is looked up by it.

Each index of ``entries`` costs a message about 10 us: its insert, and its page in the commit, since busy rooms lie apart.

* ``entries_place`` also covers the counting of unread messages, which had a partial index of its own. It is not unique any more: what
  keeps two entries from one place is that the head of a room is compared when it is written (storage/rooms.py).
* ``pending_room``: only who waits to be let in, or out, is looked up by room.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

SCHEMA = """
DROP INDEX entries_content;
DROP INDEX entries_place;
CREATE INDEX entries_place ON entries (room, idx, counts, author);

DROP INDEX pending_room;
CREATE INDEX pending_room ON pending (room) WHERE kind = 'join' OR kind = 'decline';
"""


def apply(conn: sqlite3.Connection) -> None:
    """Statements run one by one, inside the caller's transaction."""
    db = Database(conn)
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            db.execute(statement)
