"""A backup is whole or not there, and only a whole one is restored."""

from __future__ import annotations

import io
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from node.base.errors import ExitStatus, Fatal
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.services.identity import Identity
from node.storage import backup
from node.storage.database import Database
from node.storage.keys import KeyFolder

Change = Callable[[dict[str, bytes]], object]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def data(tmp_path: Path, clock: ManualClock) -> Path:
    """The folder of a node that has run."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    Identity.open(data=folder, clock=clock, entropy=SeededEntropy("backup"))
    Database(path=folder / "startalk.db", clock=clock).abandon()
    put_setting(folder, "name", "Casa")
    (folder / "startalk.toml").write_text('domain = "casa.example"\n')
    return folder


def put_setting(folder: Path, key: str, value: str) -> None:
    conn = sqlite3.connect(folder / "startalk.db")
    with conn:
        conn.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))
    conn.close()


def setting(folder: Path, key: str) -> str:
    conn = sqlite3.connect(folder / "startalk.db")
    value = conn.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()[0]
    conn.close()
    return str(value)


def test_there_and_back(tmp_path: Path, data: Path, clock: ManualClock) -> None:
    target, restored = tmp_path / "startalk.tar", tmp_path / "restored"
    made = backup.pack(data, target, clock=clock)
    assert target.stat().st_mode & 0o777 == 0o600
    assert backup.unpack(target, restored) == made
    assert setting(restored, "name") == "Casa"
    assert (restored / "startalk.toml").read_text() == 'domain = "casa.example"\n'
    before, after = KeyFolder(data), KeyFolder(restored)
    assert after.identity == before.identity
    assert after.op.private_bytes_raw() == before.op.private_bytes_raw()
    assert after.setup() == before.setup()
    assert restored.stat().st_mode & 0o777 == 0o700
    assert sorted(found.name for found in tmp_path.iterdir()) == ["data", "restored", "startalk.tar"]


def test_a_running_node_is_not_disturbed(tmp_path: Path, data: Path, clock: ManualClock) -> None:
    """What is committed, also what only the WAL has, is in the copy; what is being written is not."""
    writer = sqlite3.connect(data / "startalk.db", isolation_level=None)
    writer.execute("UPDATE settings SET value = 'committed' WHERE key = 'name'")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE settings SET value = 'not yet' WHERE key = 'name'")
    backup.pack(data, tmp_path / "startalk.tar", clock=clock)
    writer.execute("COMMIT")
    writer.close()
    backup.unpack(tmp_path / "startalk.tar", tmp_path / "restored")
    assert setting(tmp_path / "restored", "name") == "committed"


def test_an_existing_file_is_not_replaced(tmp_path: Path, data: Path, clock: ManualClock) -> None:
    (tmp_path / "startalk.tar").write_bytes(b"precious")
    with pytest.raises(Fatal) as stopped:
        backup.pack(data, tmp_path / "startalk.tar", clock=clock)
    assert stopped.value.status is ExitStatus.USAGE
    assert (tmp_path / "startalk.tar").read_bytes() == b"precious"


def test_a_folder_in_use_is_not_filled(tmp_path: Path, data: Path, clock: ManualClock) -> None:
    backup.pack(data, tmp_path / "startalk.tar", clock=clock)
    with pytest.raises(Fatal, match="not empty"):
        backup.unpack(tmp_path / "startalk.tar", data)


def test_without_a_database_there_is_no_backup(tmp_path: Path, data: Path, clock: ManualClock) -> None:
    (data / "startalk.db").unlink()
    with pytest.raises(Fatal, match="nothing to back up"):
        backup.pack(data, tmp_path / "startalk.tar", clock=clock)
    assert [found.name for found in tmp_path.iterdir()] == ["data"]


def rewrite(source: Path, change: Change) -> None:
    """Unpacks a tar, lets `change` at its members, packs it again."""
    with tarfile.open(source) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(source, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda members: members.update({"startalk.db": b"other"}), "does not fit its sum"),
        (lambda members: members.pop("keys/op.key"), r"keys/op\.key is missing"),
        (lambda members: members.update({"../../escape": b""}), "which no backup has"),
        (lambda members: members.update({"keys/../escape": b""}), "which no backup has"),
        (lambda members: members.update({"/etc/escape": b""}), "which no backup has"),
        (lambda members: members.update({"blobs/x": b""}), "which no backup has"),
        (lambda members: members.pop("about.json"), r"does not begin with about\.json"),
        (lambda members: members.update({"about.json": b"{}"}), r"about\.json"),
    ],
    ids=["changed", "missing", "upwards", "upwards in keys", "absolute", "unknown", "no list", "empty list"],
)
def test_a_backup_that_was_touched_is_refused(
    tmp_path: Path, data: Path, clock: ManualClock, change: Change, why: str
) -> None:
    target = tmp_path / "startalk.tar"
    backup.pack(data, target, clock=clock)
    rewrite(target, change)
    with pytest.raises(Fatal, match=why) as stopped:
        backup.unpack(target, tmp_path / "restored")
    assert stopped.value.status is ExitStatus.DATA_CORRUPT
    assert sorted(found.name for found in tmp_path.iterdir()) == ["data", "startalk.tar"]


def test_a_list_that_names_a_path_outside_is_refused(tmp_path: Path, data: Path, clock: ManualClock) -> None:
    target = tmp_path / "startalk.tar"
    backup.pack(data, target, clock=clock)

    def name_it(members: dict[str, bytes]) -> None:
        members["about.json"] = members["about.json"].replace(b"keys/op.key", b"keys/../../op.key")
        members["keys/../../op.key"] = members.pop("keys/op.key")

    rewrite(target, name_it)
    with pytest.raises(Fatal, match="which no backup has"):
        backup.unpack(target, tmp_path / "restored")
    assert not (tmp_path / "op.key").exists()


@pytest.mark.parametrize("content", [b"", b"rubbish" * 1000, b"\x1f\x8b"], ids=["empty", "rubbish", "gzip"])
def test_any_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(Fatal, match="not a whole backup"):
        backup.unpack(tmp_path / "file", tmp_path / "restored")


def test_a_backup_cut_short_is_refused(tmp_path: Path, data: Path, clock: ManualClock) -> None:
    target = tmp_path / "startalk.tar"
    backup.pack(data, target, clock=clock)
    whole = target.read_bytes()
    for size in (len(whole) // 3, len(whole) // 2, 700):
        target.write_bytes(whole[:size])
        with pytest.raises(Fatal):
            backup.unpack(target, tmp_path / "restored")
        assert not (tmp_path / "restored").exists()


def test_a_backup_of_a_newer_program_is_refused(tmp_path: Path, data: Path, clock: ManualClock) -> None:
    target = tmp_path / "startalk.tar"
    made = backup.pack(data, target, clock=clock)

    def raise_schema(members: dict[str, bytes]) -> None:
        old = f'"schema": {made.schema}'.encode()
        assert old in members["about.json"]
        members["about.json"] = members["about.json"].replace(old, b'"schema": 999')

    rewrite(target, raise_schema)
    with pytest.raises(Fatal) as stopped:
        backup.unpack(target, tmp_path / "restored")
    assert stopped.value.status is ExitStatus.DATA_TOO_NEW
