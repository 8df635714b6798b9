"""Private files change in one step and leave nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.runtime.privatefile import erase, write_private


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"one")
    with path.open("rb") as reader:
        write_private(path, b"two")
        assert reader.read() == b"one"
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_draft_left_by_a_crash_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_bytes(b"half, and readable by others")
    (tmp_path / ".file.new").chmod(0o644)
    write_private(tmp_path / "file", b"whole")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_private(tmp_path / "file", b"old")
    (tmp_path / ".file.new").mkdir()
    with pytest.raises(OSError, match="irectory"):
        write_private(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_an_erased_file_is_overwritten_first(tmp_path: Path) -> None:
    path, other_name = tmp_path / "file", tmp_path / "other name"
    write_private(path, b"secret")
    os.link(path, other_name)
    erase(path)
    assert not path.exists()
    assert other_name.read_bytes() == bytes(6)
