"""Looking at a database without changing it: is the file sound, and does every log's chain hold.

It works beside a running node, on one snapshot of its own, and needs no lock. A damaged file is a finding, not an
exception: finding damage is what it is for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from node.base.errors import ExitStatus, Fatal
from node.storage import heads, log, migrations
from node.storage.database import FILE, Tx
from node.storage.heads import Signer
from node.storage.log import Fault
from node.storage.rooms import RoomRow

DAMAGES_SHOWN: Final = 20  # the rest of a damaged file says nothing new
_PRAGMAS: Final = ("PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")
_ROOMS: Final = (
    "SELECT id, room, kind, hub, state, epoch, head_idx, head_hash, head_seq, trouble FROM rooms ORDER BY id"
)


class Logs(Struct, frozen=True):
    """What `verify_logs` saw."""

    rooms: int
    entries: int
    faults: tuple[Fault, ...]


def schema(data: Path) -> int:
    """Number of the schema on disk; `migrations.LATEST` is what this program knows. Raises Fatal."""
    with _look(data) as tx:
        return _version(tx)


def find_damage(data: Path) -> tuple[str, ...]:
    """What SQLite's own check says is wrong with the file; empty if nothing is. Raises Fatal."""
    with _look(data) as tx:
        try:
            found = [str(row[0]) for row in tx.all(f"PRAGMA quick_check({DAMAGES_SHOWN})")]
        except sqlite3.DatabaseError as error:
            return (str(error),)
    return tuple(line for line in found if line != "ok")


def last_entry_ms(data: Path) -> int:
    """When the newest entry of all logs was made; 0 without entries. Raises Fatal."""
    with _look(data) as tx:
        row = tx.one("SELECT at_ms FROM entries ORDER BY seq DESC LIMIT 1")
    return 0 if row is None else int(row[0])


def verify_logs(data: Path, signer: Signer | None = None) -> Logs:
    """Recomputes the chain of every log; with `signer` also checks the signed heads. Raises Fatal."""
    with _look(data) as tx:
        rooms = [RoomRow(row) for row in tx.all(_ROOMS)]
        faults = [fault for room in rooms for fault in log.verify(tx, room)]
        if signer is not None:
            faults += [fault for room in rooms for fault in heads.verify(tx, room, signer)]
        return Logs(len(rooms), sum(room.head.idx for room in rooms), tuple(faults))


@contextmanager
def _look(data: Path) -> Iterator[Tx]:
    """One snapshot of the database. Raises Fatal if there is none, or none that this program can read."""
    path = data / FILE
    if not path.exists():
        raise Fatal(
            ExitStatus.DATA_UNWRITABLE, f"{path} does not exist: the node has never been started with this folder."
        )
    conn = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            conn.execute(pragma)
        conn.execute("BEGIN")
        tx = Tx(conn)
        if _version(tx) > migrations.LATEST:
            raise Fatal(ExitStatus.DATA_TOO_NEW, f"{path} was written by a newer program; use that one.")
        yield tx
    except sqlite3.DatabaseError as error:
        raise Fatal(ExitStatus.DATA_CORRUPT, f"{path} is damaged ({error}). Restore a backup.") from error
    finally:
        conn.close()


def _version(tx: Tx) -> int:
    row = tx.one("PRAGMA user_version")
    assert row is not None
    return int(row[0])
