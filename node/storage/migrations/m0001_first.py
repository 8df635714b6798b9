"""The first schema: accounts and devices, rooms and their logs, receipts, invitations, settings.

* ``entries.seq`` is the feed position: one number line for all rooms, in commit order. Receipts and name changes
  take their numbers from the same line.
* ``entries.counts`` is 1 for content that counts as unread; an erased message counts no more.
* ``members.last_idx`` is set when somebody left: they keep what they could read, and read nothing later.
* Text of users is ``local@nid``; ``users.id`` is its short name inside this database only.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

SCHEMA = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY NOT NULL,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL DEFAULT '',
    name_seq INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX users_name_seq ON users (name_seq) WHERE name_seq > 0;

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY REFERENCES users (id),
    local TEXT NOT NULL UNIQUE,
    skeleton TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    pepper INTEGER NOT NULL DEFAULT 1,
    lang TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    frozen_ms INTEGER NOT NULL DEFAULT 0,
    invited_by INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (id),
    device BLOB NOT NULL UNIQUE,
    token_hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL DEFAULT '',
    client TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    cursor INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX devices_account ON devices (account);

CREATE TABLE invites (
    id INTEGER PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    role TEXT NOT NULL DEFAULT 'user',
    room INTEGER NOT NULL DEFAULT 0,
    account INTEGER NOT NULL DEFAULT 0,
    onboards INTEGER NOT NULL DEFAULT 1,
    made_by INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL DEFAULT 0,
    revoked_ms INTEGER NOT NULL DEFAULT 0,
    uses INTEGER NOT NULL DEFAULT 0,
    uses_max INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX invites_room ON invites (room) WHERE room > 0;

CREATE TABLE rooms (
    id INTEGER PRIMARY KEY,
    room BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    hub BLOB NOT NULL,
    state BLOB NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 1,
    head_idx INTEGER NOT NULL DEFAULT 0,
    head_hash BLOB NOT NULL,
    head_seq INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE members (
    room INTEGER NOT NULL REFERENCES rooms (id),
    user INTEGER NOT NULL REFERENCES users (id),
    first_idx INTEGER NOT NULL,
    last_idx INTEGER,
    delivered_idx INTEGER NOT NULL DEFAULT 0,
    read_idx INTEGER NOT NULL DEFAULT 0,
    read_ms INTEGER NOT NULL DEFAULT 0,
    receipt_seq INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_user ON members (user, room);

CREATE TABLE invitations (
    user INTEGER NOT NULL REFERENCES users (id),
    room INTEGER NOT NULL REFERENCES rooms (id),
    by_user TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES rooms (id),
    idx INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    log_hash BLOB NOT NULL,
    event BLOB NOT NULL,
    salt BLOB,
    body BLOB,
    kind TEXT NOT NULL,
    author INTEGER NOT NULL REFERENCES users (id),
    counts INTEGER NOT NULL DEFAULT 0,
    device INTEGER,
    client_id BLOB
) STRICT;
CREATE UNIQUE INDEX entries_place ON entries (room, idx);
CREATE UNIQUE INDEX entries_event ON entries (event_id);
CREATE UNIQUE INDEX entries_client ON entries (device, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX entries_content ON entries (room, idx, author) WHERE counts = 1;

CREATE TABLE marks (
    room INTEGER NOT NULL REFERENCES rooms (id),
    idx INTEGER NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (room, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE mentions (
    user INTEGER NOT NULL REFERENCES users (id),
    room INTEGER NOT NULL REFERENCES rooms (id),
    idx INTEGER NOT NULL,
    PRIMARY KEY (user, room, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE heads (
    room INTEGER NOT NULL REFERENCES rooms (id),
    epoch INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    signed BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (room, epoch, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL DEFAULT ''
) STRICT;
"""


def apply(conn: sqlite3.Connection) -> None:
    """Creates every table. Statements run one by one, inside the caller's transaction."""
    db = Database(conn)
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            db.execute(statement)
