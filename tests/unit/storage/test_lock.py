"""One process for one data directory, also when a process dies badly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.base.errors import ExitStatus, Fatal
from node.storage.lock import DataLock, is_locked

HOLDER = """
import sys
from pathlib import Path
from node.storage.lock import DataLock
lock = DataLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def hold(data: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until it is told to go or is killed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    with hold(tmp_path) as holder:
        assert is_locked(tmp_path)
        with pytest.raises(Fatal) as stopped:
            DataLock(tmp_path)
        assert stopped.value.status is ExitStatus.DATA_IN_USE
        assert f"pid {holder.pid}" in stopped.value.text
        assert str(tmp_path) in stopped.value.text
        holder.communicate("")
    with DataLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_kill_frees_it(tmp_path: Path) -> None:
    with hold(tmp_path) as holder:
        holder.kill()
        holder.wait()
        assert not is_locked(tmp_path)
        with DataLock(tmp_path):
            assert is_locked(tmp_path)


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    with DataLock(tmp_path), pytest.raises(Fatal, match=f"pid {os.getpid()}"):
        DataLock(tmp_path)


def test_a_long_pid_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789012345678901234567890\n")
    with DataLock(tmp_path) as lock:
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
        lock.close()
        lock.close()  # twice does no harm


def test_asking_makes_no_file(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not (tmp_path / "lock").exists()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Fatal) as stopped:
        DataLock(tmp_path / "absent")
    assert stopped.value.status is ExitStatus.DATA_UNWRITABLE
