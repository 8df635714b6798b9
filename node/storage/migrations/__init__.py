"""Schema changes, forward only, one module each, applied in the order of their numbers.

``PRAGMA user_version`` is the number of the last one applied. sqlite-utils is imported only when there is
something to apply: a start on a current database does not pay for it.
"""

from __future__ import annotations

import importlib
import sqlite3
from pathlib import Path
from typing import Final, Protocol, cast

from node.base import limits
from node.base.errors import ExitStatus, Fatal

NAMES: Final = (
    "m0001_first",
    "m0002_peers",
    "m0003_rooms_across_nodes",
    "m0004_calls",
    "m0005_refusals",
    "m0006_fewer_indexes",
)
LATEST: Final = len(NAMES)


class Migration(Protocol):
    """A module with ``apply(conn)``; it runs inside one transaction."""

    def apply(self, conn: sqlite3.Connection) -> None:
        """Changes the schema from the version before to this one."""


def version(conn: sqlite3.Connection) -> int:
    """Number of the last migration applied to this database."""
    row = conn.execute("PRAGMA user_version").fetchone()
    return int(row[0])


def migrate(conn: sqlite3.Connection, path: Path) -> None:
    """Brings the schema to `LATEST`; keeps a copy of an existing database first. Raises Fatal if it is newer."""
    present = version(conn)
    if present > LATEST:
        raise Fatal(
            ExitStatus.DATA_TOO_NEW,
            f"The database has schema {present}, this program knows {LATEST}. Start the newer program, or restore "
            f"the copy {path.name}.v{LATEST}.backup that was made before the upgrade.",
        )
    if present == LATEST:
        return
    if present:
        backup(conn, path, present)
    for number, name in enumerate(NAMES[present:], start=present + 1):
        module = cast(Migration, importlib.import_module(f"node.storage.migrations.{name}"))
        conn.execute("BEGIN IMMEDIATE")
        try:
            module.apply(conn)
            conn.execute(f"PRAGMA user_version = {number}")
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:  # a full disk makes SQLite roll back by itself
                conn.execute("ROLLBACK")
            raise


def backup(conn: sqlite3.Connection, path: Path, present: int) -> Path:
    """A consistent copy beside the database; the oldest copies are removed."""
    target = path.with_name(f"{path.name}.v{present}.backup")
    with sqlite3.connect(target) as copy:
        conn.backup(copy)
    copy.close()
    copies = sorted(path.parent.glob(f"{path.name}.v*.backup"), key=lambda p: p.stat().st_mtime)
    for old in copies[: -limits.BACKUPS_KEPT]:
        old.unlink()
    return target
