"""A disk that forgets what was not synced.

What SQLite has synced at its last completed COMMIT is on the disk. A crash that meets a COMMIT half-way leaves any
mixture of old and new sectors behind, in the order that the syncs allow: first the write-ahead log, then (when a checkpoint
followed) the database file. A restart opens such a copy in a new directory, as a machine that comes back would.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from tests.sim.loop import Call

SECTOR_BYTES = 512
DATABASE = "startalk.db"
WAL = "startalk.db-wal"
FORGOTTEN = frozenset({DATABASE, WAL, "startalk.db-shm", "lock", "admin.sock"})


def crash(data: Path, target: Path, commit: Call | None, random: Random) -> str:
    """Writes into `target` what the disk of `data` holds after a crash during `commit` (None: none was under way)."""
    synced = _images(data)
    stage = "idle" if commit is None else random.choice(("not begun", "log torn", "file torn", "done"))
    if commit is not None and stage != "not begun":
        commit.run()
    written = _images(data)
    keep = {
        "log torn": {WAL: _torn(synced[WAL], written[WAL], random), DATABASE: synced[DATABASE]},
        "file torn": {WAL: written[WAL], DATABASE: _torn(synced[DATABASE], written[DATABASE], random)},
        "done": written,
    }.get(stage, synced)
    shutil.copytree(data, target, ignore=lambda _, names: [name for name in names if name in FORGOTTEN])
    for name, image in keep.items():
        if image:
            (target / name).write_bytes(image)
    return stage


def _images(data: Path) -> dict[str, bytes]:
    return {name: (data / name).read_bytes() if (data / name).exists() else b"" for name in (DATABASE, WAL)}


def _torn(old: bytes, new: bytes, random: Random) -> bytes:
    """Some sectors of `new` made it; the file may be short of the last ones."""
    made = bytearray(old)
    size = random.randint(min(len(old), len(new)), max(len(old), len(new)))
    made = made[:size] + bytes(max(0, size - len(made)))
    for at in range(0, size, SECTOR_BYTES):
        part = new[at : min(at + SECTOR_BYTES, size)]
        if made[at : at + len(part)] != part and random.random() < 0.7:
            made[at : at + len(part)] = part
    return bytes(made)
