"""Rooms across nodes: what a hub knows of its followers, what a follower waits for, and who may write to whom.

* ``entries.signature`` is the signature of the author's node; NULL for users of the hub. ``author_seq`` is that node's number of the event:
  one that had to be signed again for a new op key is the same event, and gets one place.
* ``rooms.acked_idx``: on a follower, up to where the hub confirmed our acknowledgement. ``rooms.hub_idx``: up to where the hub's log
  is known to reach. ``rooms.trouble``: why nothing more is taken from this hub.
* ``hub_heads``: on a follower, the newest head that the hub signed, as it came from the hub itself (``source`` empty) and from each other
  node. ``proofs``: two heads that do not lie on one chain.
* ``pending``: posts of own users that wait for the hub of their room, or were refused by it and wait for their author.
* ``offers``: open invitations into groups of other nodes, of which no replica is here yet.
* ``successors``: groups that go on with what a group whose hub is gone was.
* ``contacts``: what an own account and somebody on another node agreed on. ``state`` is ``asked`` (by us), ``asking`` (they ask),
  ``contact``, ``ignored`` or ``blocked``.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

SCHEMA = """
ALTER TABLE entries ADD COLUMN signature BLOB;
ALTER TABLE entries ADD COLUMN author_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN acked_idx INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN hub_idx INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rooms ADD COLUMN trouble TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN name_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN profile BLOB;

CREATE UNIQUE INDEX entries_authored ON entries (author, author_seq) WHERE signature IS NOT NULL;
CREATE INDEX rooms_hub ON rooms (hub);
CREATE INDEX users_node ON users (substr(user, -52));
CREATE INDEX members_receipt ON members (receipt_seq) WHERE receipt_seq > 0;

CREATE TABLE signers (
    nid BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    op BLOB NOT NULL,
    chain BLOB NOT NULL,
    cert BLOB NOT NULL,
    PRIMARY KEY (nid, incarnation)
) STRICT, WITHOUT ROWID;

CREATE TABLE hub_heads (
    room INTEGER NOT NULL REFERENCES rooms (id),
    source BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    hash BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (room, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE proofs (
    room INTEGER PRIMARY KEY NOT NULL REFERENCES rooms (id),
    proof BLOB NOT NULL
) STRICT;

CREATE TABLE acks (
    room INTEGER NOT NULL REFERENCES rooms (id),
    nid BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    hash BLOB NOT NULL,
    incarnation INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (room, nid)
) STRICT, WITHOUT ROWID;

CREATE TABLE pending (
    id INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL UNIQUE,
    hub BLOB NOT NULL,
    room BLOB NOT NULL,
    author INTEGER NOT NULL REFERENCES users (id),
    author_seq INTEGER NOT NULL,
    device INTEGER NOT NULL,
    client_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    event BLOB NOT NULL,
    salt BLOB NOT NULL,
    token BLOB NOT NULL,
    body BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    code TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX pending_client ON pending (device, client_id);
CREATE UNIQUE INDEX pending_author ON pending (author, author_seq);
CREATE INDEX pending_room ON pending (room);

CREATE TABLE offers (
    user INTEGER NOT NULL REFERENCES users (id),
    room BLOB NOT NULL,
    hub BLOB NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    members INTEGER NOT NULL DEFAULT 0,
    by_user TEXT NOT NULL DEFAULT '',
    at_ms INTEGER NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;
CREATE INDEX offers_room ON offers (room);

CREATE TABLE successors (
    room BLOB NOT NULL,
    successor BLOB NOT NULL,
    PRIMARY KEY (room, successor)
) STRICT, WITHOUT ROWID;

CREATE TABLE contacts (
    account INTEGER NOT NULL REFERENCES accounts (id),
    user INTEGER NOT NULL REFERENCES users (id),
    state TEXT NOT NULL,
    text TEXT NOT NULL DEFAULT '',
    device INTEGER NOT NULL DEFAULT 0,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (account, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX contacts_user ON contacts (user);
"""


def apply(conn: sqlite3.Connection) -> None:
    """Adds columns and tables. Statements run one by one, inside the caller's transaction."""
    db = Database(conn)
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            db.execute(statement)
