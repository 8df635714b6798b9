"""What a hub refused of other nodes' posts, so that one that comes again gets the answer it got before (storage/refusals.py)."""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

SCHEMA = """
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY,
    peer INTEGER NOT NULL REFERENCES peers (id),
    author TEXT NOT NULL,
    author_seq INTEGER NOT NULL,
    code TEXT NOT NULL,
    text TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX refusals_authored ON refusals (peer, author, author_seq);
CREATE INDEX refusals_peer ON refusals (peer);
CREATE INDEX refusals_age ON refusals (at_ms);
"""


def apply(conn: sqlite3.Connection) -> None:
    """Statements run one by one, inside the caller's transaction."""
    db = Database(conn)
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            db.execute(statement)
