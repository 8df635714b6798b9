"""One file that holds a whole node: database, keys, boot file; and back.

The database is copied with SQLite's online backup, so a running node is not stopped and the copy is one consistent
moment. The file is a plain tar, mode 0600, and appears only when it is complete. **It holds the node's keys and
every message, unencrypted**: it belongs where only its owner can read it.

``about.json`` comes first and names the program, the schema, the nid and the SHA-256 of every other member; `unpack`
takes known names only, checks every sum before anything is put in place, and fills an empty folder only.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from msgspec import Struct

from node import __version__
from node.base.errors import ExitStatus, Fatal
from node.base.ids import format_node
from node.runtime.clock import Clock
from node.runtime.config import FILE as BOOT_FILE
from node.runtime.privatefile import PRIVATE_FILE, PRIVATE_FOLDER, sync_folder
from node.storage import checkup, migrations
from node.storage.database import FILE as DATABASE
from node.storage.database import RESTORED
from node.storage.keys import FOLDER as KEYS
from node.storage.keys import KeyFolder
from node.wire.keys import node_id

ABOUT: Final = "about.json"
FORMAT: Final = 1
_COPY: Final = ".backup.db"
_CHUNK_BYTES: Final = 1 << 20
_PAGES_AT_ONCE: Final = 4_096  # 16 MiB between two looks at what the node has written meanwhile


class About(Struct, frozen=True, kw_only=True):
    """``about.json``."""

    format: int = FORMAT
    program: str
    schema: int
    node: str
    made_ms: int
    sha256: dict[str, str]


def pack(data: Path, target: Path, *, clock: Clock) -> About:
    """Writes the backup of `data` to the new file `target`. Raises Fatal; then there is no `target`."""
    keys = KeyFolder(data)
    if target.exists():
        raise Fatal(ExitStatus.USAGE, f"{target} exists already; a backup never replaces a file.")
    draft, copy = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}{_COPY}")
    try:
        _copy_database(data / DATABASE, copy)
        small = {name: (data / name).read_bytes() for name in _files(data)}  # a running node replaces some of them
        about = About(
            program=__version__,
            schema=checkup.schema(data),
            node=format_node(node_id(keys.identity.inception)),
            made_ms=clock.now_ms(),
            sha256={DATABASE: _sum(copy)} | {name: hashlib.sha256(held).hexdigest() for name, held in small.items()},
        )
        _write_tar(draft, about, copy, small)
        draft.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise Fatal(ExitStatus.DATA_UNWRITABLE, f"{target} cannot be written ({error.strerror}).") from error
    finally:
        draft.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
    return about


def unpack(source: Path, data: Path) -> About:
    """Fills the empty (or absent) folder `data` from a backup. Raises Fatal; then `data` is as it was."""
    if data.exists() and any(data.iterdir()):
        raise Fatal(ExitStatus.USAGE, f"{data} is not empty; restore into a new folder.")
    draft = data.with_name(f".{data.name}.restore")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir(mode=PRIVATE_FOLDER)
        about = _read_tar(source, draft)
        KeyFolder(draft)
        if damages := checkup.find_damage(draft):
            raise Fatal(ExitStatus.DATA_CORRUPT, f"The database in {source} is damaged: {damages[0]}.")
        (draft / RESTORED).touch(mode=PRIVATE_FILE)
        draft.rename(data)
        sync_folder(data.parent)
    except OSError as error:
        raise Fatal(ExitStatus.DATA_UNWRITABLE, f"{source} cannot be restored to {data} ({error.strerror}).") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return about


def _files(data: Path) -> Iterator[str]:
    """Names, relative to the data directory, of everything but the database."""
    if (data / BOOT_FILE).exists():
        yield BOOT_FILE
    for path in sorted((data / KEYS).rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path.relative_to(data).as_posix()


def _copy_database(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))
    if not path.exists():
        raise Fatal(ExitStatus.DATA_UNWRITABLE, f"{path} does not exist: there is nothing to back up.")
    source, target = sqlite3.connect(path), sqlite3.connect(copy)
    try:
        source.backup(target, pages=_PAGES_AT_ONCE)
        target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        raise Fatal(ExitStatus.DATA_CORRUPT, f"{path} cannot be copied ({error}). Run `startalk doctor`.") from error
    finally:
        target.close()
        source.close()


def _write_tar(path: Path, about: About, database: Path, small: dict[str, bytes]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
    with os.fdopen(fd, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            text = msgspec.json.format(msgspec.json.encode(about))
            tar.addfile(_member(ABOUT, len(text)), io.BytesIO(text))
            with database.open("rb") as content:
                tar.addfile(_member(DATABASE, database.stat().st_size), content)
            for name, held in small.items():
                tar.addfile(_member(name, len(held)), io.BytesIO(held))
        file.flush()
        os.fsync(file.fileno())


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A member without owner and time: the same data gives the same file."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, PRIVATE_FILE
    return member


def _read_tar(source: Path, folder: Path) -> About:
    try:
        with tarfile.open(source, "r:") as tar:
            first = tar.next()
            if first is None or first.name != ABOUT or not first.isfile():
                raise _no_backup(source, f"it does not begin with {ABOUT}")
            about = _read_about(source, tar, first)
            seen = {member.name for member in _extract_all(source, tar, folder, about)}
    except tarfile.TarError as error:
        raise _no_backup(source, str(error)) from error
    if missing := sorted(about.sha256.keys() - seen):
        raise _no_backup(source, f"{missing[0]} is missing")
    return about


def _read_about(source: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> About:
    content = tar.extractfile(member)
    assert content is not None
    try:
        about = msgspec.json.decode(content.read(_CHUNK_BYTES), type=About)
    except msgspec.DecodeError as error:
        raise _no_backup(source, f"{ABOUT}: {error}") from None
    if about.format != FORMAT or about.schema > migrations.LATEST:
        raise Fatal(ExitStatus.DATA_TOO_NEW, f"{source} was made by a newer program ({about.program}); use that one.")
    return about


def _extract_all(source: Path, tar: tarfile.TarFile, folder: Path, about: About) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if member.name == ABOUT:
            continue
        if not member.isfile() or member.name not in about.sha256 or not _is_known(member.name):
            raise _no_backup(source, f"it holds {member.name!r}, which no backup has")
        content = tar.extractfile(member)
        assert content is not None
        path = folder / member.name
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        with os.fdopen(fd, "wb") as file:
            shutil.copyfileobj(content, file, _CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        if _sum(path) != about.sha256[member.name]:
            raise _no_backup(source, f"the content of {member.name} does not fit its sum")
        yield member


def _is_known(name: str) -> bool:
    """Names that `pack` writes: nothing that could leave the folder."""
    if name in {DATABASE, BOOT_FILE}:
        return True
    parts = PurePosixPath(name).parts
    return 2 <= len(parts) <= 3 and parts[0] == KEYS and not any(part.startswith(".") for part in parts)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _no_backup(source: Path, why: str) -> Fatal:
    return Fatal(ExitStatus.DATA_CORRUPT, f"{source} is not a whole backup: {why}. Nothing was restored.")
