"""Other nodes: what is remembered of them, what waits for them, and how far each of them was heard.

* A row of ``peers`` is a pin: the newest chain, certificate, record and domain that a node has proved. Numbers of peers are
  never given twice, since other tables refer to them. ``known`` is 1 once somebody here has to do with that node; the row of
  a stranger disappears with its link.
* ``outbox_runs`` names the numbering of each outbox (8 random bytes) and the next number; ``outbox`` holds what is not yet
  acknowledged. A row refers to an entry (room, idx) or carries its own bytes.
* ``peer_in`` is the cursor: the run of the peer, and the last number whose effect is on disk. It moves in the transaction of
  the effect.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

SCHEMA = """
CREATE TABLE peers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    nid BLOB NOT NULL UNIQUE,
    chain BLOB NOT NULL DEFAULT x'',
    cert BLOB NOT NULL DEFAULT x'',
    op BLOB NOT NULL DEFAULT x'',
    rotations INTEGER NOT NULL DEFAULT 0,
    incarnation INTEGER NOT NULL DEFAULT 0,
    domain TEXT NOT NULL DEFAULT '',
    domain_state TEXT NOT NULL DEFAULT '',
    domain_ms INTEGER NOT NULL DEFAULT 0,
    record BLOB NOT NULL DEFAULT x'',
    record_seq INTEGER NOT NULL DEFAULT 0,
    policy TEXT NOT NULL DEFAULT 'open',
    known INTEGER NOT NULL DEFAULT 0,
    tls INTEGER NOT NULL DEFAULT 0,
    skew_ms INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL DEFAULT 0,
    dialled_ms INTEGER NOT NULL DEFAULT 0,
    dial_error TEXT NOT NULL DEFAULT '',
    marks_seq INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE peer_addresses (
    peer INTEGER NOT NULL REFERENCES peers (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    source TEXT NOT NULL DEFAULT '',
    tls INTEGER NOT NULL DEFAULT 0,
    ok_ms INTEGER NOT NULL DEFAULT 0,
    failed_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (peer, url)
) STRICT, WITHOUT ROWID;

CREATE TABLE domains (
    domain TEXT PRIMARY KEY NOT NULL,
    nid BLOB NOT NULL,
    since_ms INTEGER NOT NULL,
    proof TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX domains_nid ON domains (nid);

CREATE TABLE outbox_runs (
    peer INTEGER PRIMARY KEY REFERENCES peers (id),
    run BLOB NOT NULL,
    next INTEGER NOT NULL DEFAULT 1,
    rows INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE outbox (
    peer INTEGER NOT NULL REFERENCES peers (id),
    seq INTEGER NOT NULL,
    class INTEGER NOT NULL,
    room INTEGER NOT NULL DEFAULT 0,
    idx INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL DEFAULT x'',
    bytes INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (peer, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE peer_in (
    peer INTEGER PRIMARY KEY REFERENCES peers (id),
    run BLOB NOT NULL,
    last INTEGER NOT NULL DEFAULT 0,
    since_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    peer INTEGER NOT NULL REFERENCES peers (id),
    run BLOB NOT NULL,
    seq INTEGER NOT NULL,
    class INTEGER NOT NULL,
    code TEXT NOT NULL,
    body BLOB NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX quarantine_peer ON quarantine (peer, run, seq);
CREATE INDEX quarantine_age ON quarantine (at_ms);
"""


def apply(conn: sqlite3.Connection) -> None:
    """Creates every table. Statements run one by one, inside the caller's transaction."""
    db = Database(conn)
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            db.execute(statement)
