"""The folder of keys: its rights, its damages, and that it appears and changes in whole steps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.base.errors import ExitStatus, Fatal
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.runtime.privatefile import write_private
from node.services.identity import make_keys
from node.storage.keys import KeyFolder, NewKeys, Ring


@pytest.fixture
def new() -> NewKeys:
    return make_keys(clock=ManualClock(), entropy=SeededEntropy("keys"))


@pytest.fixture
def folder(tmp_path: Path, new: NewKeys) -> KeyFolder:
    return KeyFolder.create(tmp_path, new)


def test_what_is_written_is_read(tmp_path: Path, new: NewKeys, folder: KeyFolder) -> None:
    again = KeyFolder(tmp_path)
    assert again.identity == folder.identity == new.identity
    assert again.op.private_bytes_raw() == new.op.private_bytes_raw()
    assert (again.noise, again.secrets, again.pepper, again.setup()) == (new.noise, new.secrets, new.pepper, new.setup)


def test_rights(folder: KeyFolder) -> None:
    assert folder.path.stat().st_mode & 0o777 == 0o700
    found = sorted(folder.path.rglob("*"))
    assert [path.name for path in found] == [
        "identity.json", "noise.key", "op.key", "pepper.json", "secrets.json", "setup", "tls",
    ]  # fmt: skip
    for path in found:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_rights_do_not_depend_on_the_umask(tmp_path: Path, new: NewKeys, umask: int) -> None:
    before = os.umask(umask)
    try:
        KeyFolder.create(tmp_path, new)
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["", "op.key", "setup", "identity.json", "tls"])
@pytest.mark.parametrize("extra", [0o040, 0o004, 0o020, 0o001])
def test_a_file_that_others_can_read_stops_the_start(tmp_path: Path, folder: KeyFolder, name: str, extra: int) -> None:
    path = folder.path / name
    path.chmod(path.stat().st_mode | extra)
    with pytest.raises(Fatal) as stopped:
        KeyFolder(tmp_path)
    assert stopped.value.status is ExitStatus.KEYS_UNSAFE
    assert f"chmod {'700' if path.is_dir() else '600'} {path}" in stopped.value.text


@pytest.mark.parametrize("name", ["op.key", "noise.key", "identity.json", "secrets.json", "pepper.json"])
def test_a_missing_file_is_named(tmp_path: Path, folder: KeyFolder, name: str) -> None:
    (folder.path / name).unlink()
    with pytest.raises(Fatal, match="is missing") as stopped:
        KeyFolder(tmp_path)
    assert stopped.value.status is ExitStatus.DATA_CORRUPT
    assert name in stopped.value.text


@pytest.mark.parametrize("name", ["op.key", "noise.key", "identity.json", "secrets.json", "pepper.json"])
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff" * 33, b'{"current":2,"keys":{}}'], ids=["empty", "map", "noise", "ring"]
)
def test_a_damaged_file_is_named(tmp_path: Path, folder: KeyFolder, name: str, content: bytes) -> None:
    write_private(folder.path / name, content)
    with pytest.raises(Fatal, match="is damaged") as stopped:
        KeyFolder(tmp_path)
    assert stopped.value.status is ExitStatus.DATA_CORRUPT
    assert name in stopped.value.text


def test_a_damaged_setup_is_named(folder: KeyFolder) -> None:
    write_private(folder.path / "setup", b"\x92")
    with pytest.raises(Fatal, match="setup is damaged"):
        folder.setup()


def test_an_op_key_of_somebody_else_is_refused(tmp_path: Path, folder: KeyFolder) -> None:
    write_private(folder.path / "op.key", bytes(32))
    with pytest.raises(Fatal, match=r"not the key that identity\.json certifies"):
        KeyFolder(tmp_path)


def test_a_start_that_was_cut_short_is_begun_again(tmp_path: Path, new: NewKeys) -> None:
    (tmp_path / ".keys.new").mkdir()
    (tmp_path / ".keys.new" / "op.key").write_bytes(b"half")
    assert not KeyFolder.exists(tmp_path)
    KeyFolder.create(tmp_path, new)
    assert KeyFolder.exists(tmp_path)
    assert not (tmp_path / ".keys.new").exists()


def test_an_empty_folder_made_beforehand_is_used(tmp_path: Path, new: NewKeys) -> None:
    (tmp_path / "keys").mkdir()
    assert not KeyFolder.exists(tmp_path)
    KeyFolder.create(tmp_path, new)


def test_existing_keys_are_never_replaced(tmp_path: Path, folder: KeyFolder, new: NewKeys) -> None:
    with pytest.raises(Fatal) as stopped:
        KeyFolder.create(tmp_path, new)
    assert stopped.value.status is ExitStatus.DATA_UNWRITABLE
    assert KeyFolder(tmp_path).identity == folder.identity


def test_the_setup_is_overwritten_before_it_goes(folder: KeyFolder, new: NewKeys) -> None:
    path = folder.path / "setup"
    kept = folder.path / "other name of the same file"
    os.link(path, kept)
    folder.erase_setup()
    assert not path.exists()
    assert not any(kept.read_bytes())
    assert folder.setup() is None
    folder.erase_setup()  # once more does no harm


def test_a_ring_needs_its_current_key() -> None:
    assert Ring(2, {1: bytes(32), 2: b"\x01" * 32}).newest == b"\x01" * 32
    with pytest.raises(ValueError, match="current"):
        Ring(3, {1: bytes(32)})


def test_a_directory_that_cannot_be_written(tmp_path: Path, new: NewKeys) -> None:
    with pytest.raises(Fatal) as stopped:
        KeyFolder.create(tmp_path / "absent", new)
    assert stopped.value.status is ExitStatus.DATA_UNWRITABLE
