"""Bad disks: nothing that was acknowledged is lost, and the node says clearly what is wrong.

Real file systems in a private mount namespace (``unshare -m``, with ``-r`` for a user who is not root), so the machine
sees nothing of it; real processes, because root ignores modes and a kill must be a kill.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.base.errors import Code, ExitStatus
from node.main import open_services
from node.runtime.clock import SystemClock
from node.runtime.config import Config
from node.runtime.entropy import SystemEntropy
from node.services.accounts import NewPerson
from node.services.sessions import Origin
from node.storage import checkup, migrations

ROOT = Path(__file__).parents[2]
SIZE = "24m"
PATIENCE_S = 60.0

pytestmark = pytest.mark.slow


def private(script: str, *arguments: str) -> list[str]:
    """A command that runs `script` where mounts are its own."""
    if not shutil.which("unshare") or not shutil.which("mount"):
        pytest.fail("unshare and mount are missing; on Debian: apt-get install util-linux mount")
    rights = [] if os.geteuid() == 0 else ["-r"]
    return ["unshare", *rights, "-m", "sh", "-ec", script, "sh", *arguments]


def story(name: str, folder: Path, *, prepare: str = "", after: str = "") -> dict[str, Any]:
    """Runs a story of disk_stories.py in a process of its own."""
    tell = f'"{sys.executable}" -m tests.integration.disk_stories {name} "$1"'
    done = subprocess.run(
        private(f"{prepare}\n{tell}\n{after}", str(folder)), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )  # fmt: skip
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
    told["status"] = done.returncode
    return told


@pytest.fixture
def small(tmp_path: Path) -> dict[str, str]:
    """A disk of 24 MiB, whose data is kept when it goes."""
    kept = tmp_path / "kept"
    return {
        "prepare": f'mount -t tmpfs -o size={SIZE} tmpfs "$1"',
        "after": f'cp -r "$1/data" "{kept}"',
        "kept": str(kept),
    }


def stored(data: Path) -> list[int]:
    """Idx of every entry of the only room, after the log was verified."""
    assert checkup.find_damage(data) == ()
    assert checkup.verify_logs(data).faults == ()
    conn = sqlite3.connect(data / "startalk.db")
    found = [row[0] for row in conn.execute("SELECT idx FROM entries ORDER BY seq")]
    conn.close()
    return found


def on_small_disk(name: str, tmp_path: Path, small: dict[str, str]) -> dict[str, Any]:
    folder = tmp_path / "disk"
    folder.mkdir()
    return story(name, folder, prepare=small["prepare"], after=small["after"])


def test_a_disk_that_fills_up_and_is_freed(tmp_path: Path, small: dict[str, str]) -> None:
    told = on_small_disk("full", tmp_path, small)
    assert (told["code"], told["after"]) == (Code.READ_ONLY, "")
    assert "full" in told["trouble"]
    assert "Free some space" in told["text"]
    assert told["readable"] == len(told["acknowledged"]) - 1, "everything stays readable; one more was written later"
    assert stored(Path(small["kept"])) == told["acknowledged"]


def test_a_disk_that_is_nearly_full(tmp_path: Path, small: dict[str, str]) -> None:
    told = on_small_disk("nearly_full", tmp_path, small)
    assert told["code"] == Code.READ_ONLY
    assert "nearly full" in told["trouble"]
    assert stored(Path(small["kept"])) == told["acknowledged"] == [1, 2, 3, 4, 5]


def test_a_disk_with_write_errors(tmp_path: Path) -> None:
    told = story("write_error", tmp_path)
    assert told["code"] == told["later"] == Code.READ_ONLY, "a disk that failed is not trusted again"
    assert told["trouble"]
    assert stored(tmp_path / "data") == told["acknowledged"]


def test_a_kill_between_append_and_commit(tmp_path: Path) -> None:
    told = story("killed_before_commit", tmp_path)
    assert told["status"] in {-signal.SIGKILL, 128 + signal.SIGKILL}
    assert stored(tmp_path / "data") == told["acknowledged"] == [1, 2, 3, 4, 5]


def test_a_kill_between_commit_and_answer(tmp_path: Path) -> None:
    told = story("killed_after_commit", tmp_path)
    assert told["acknowledged"] == [1, 2, 3, 4, 5]
    assert stored(tmp_path / "data") == [1, 2, 3, 4, 5, 6], "kept, though nobody was told"


def test_pages_that_turned_to_rubbish(tmp_path: Path) -> None:
    told = story("damaged", tmp_path)
    assert "malformed" in told["error"]
    assert told["code"] == Code.READ_ONLY
    assert "doctor" in told["trouble"]
    assert checkup.find_damage(tmp_path / "data")


# --- the program ----------------------------------------------------------------------------------------------


def command(data: Path | str, port: int = 0) -> list[str]:
    return [
        sys.executable,
        "-m",
        "node",
        "run",
        "--data",
        str(data),
        "--no-https",
        "--http-port",
        str(port),
        "--password-cost",
        "small",
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A node that serves; killed at the end."""
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        while "Ctrl+C" not in (line := process.stdout.readline()):
            assert line, process.stderr.read() if process.stderr else ""
        yield process
    finally:
        process.kill()
        process.communicate()


def refused(argv: list[str]) -> tuple[ExitStatus, str]:
    """Status and words of a node that does not start."""
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "Traceback" not in done.stderr
    return ExitStatus(done.returncode), done.stdout + done.stderr


def new_data(folder: Path) -> Path:
    """A node's directory that was in use once."""
    data = folder / "data"
    open_services(Config(data=str(data)), clock=SystemClock(), entropy=SystemEntropy()).abandon()
    return data


def test_a_second_process_on_the_same_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(command(data)):
        status, words = refused(command(data))
        assert status is ExitStatus.DATA_IN_USE
        assert str(data) in words


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    data = new_data(tmp_path)
    before = (data / "startalk.db").read_bytes()
    script = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"'
    status, words = refused(private(script, str(data), *command(data)))
    assert status is ExitStatus.DATA_UNWRITABLE
    assert str(data) in words
    assert (data / "startalk.db").read_bytes() == before


@pytest.mark.parametrize("rubbish", [b"no database at all " * 999, b"SQLite format 3\x00" + b"\xff" * 9000])
def test_a_file_that_is_no_database(tmp_path: Path, rubbish: bytes) -> None:
    data = new_data(tmp_path)
    for name in ("startalk.db-wal", "startalk.db-shm"):
        (data / name).unlink(missing_ok=True)
    (data / "startalk.db").write_bytes(rubbish)
    status, words = refused(command(data))
    assert status is ExitStatus.DATA_CORRUPT
    assert "doctor" in words
    assert (data / "startalk.db").read_bytes() == rubbish


def test_a_database_of_a_newer_program(tmp_path: Path) -> None:
    data = new_data(tmp_path)
    conn = sqlite3.connect(data / "startalk.db")
    conn.execute(f"PRAGMA user_version = {migrations.LATEST + 1}")
    conn.close()
    status, words = refused(command(data))
    assert status is ExitStatus.DATA_TOO_NEW
    assert "newer" in words


def test_a_disk_without_room_to_start(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    script = 'mount -t tmpfs -o size=64k tmpfs "$1"; shift; exec "$@"'
    status, words = refused(private(script, str(folder), *command(folder / "data")))
    assert status in {ExitStatus.DISK_FULL, ExitStatus.DATA_UNWRITABLE}
    assert "space" in words


async def test_health_tells_a_full_disk(tmp_path: Path) -> None:
    """The node goes on answering, refuses to store, and says why."""
    services = open_services(
        Config(data=str(tmp_path / "made"), password_cost="small"), clock=SystemClock(), entropy=SystemEntropy()
    )
    newcomer = NewPerson(local="alice", password="four plain words", token=await services.invites.owner_invite() or "")
    alice = await services.accounts.register(newcomer, Origin(address=""))
    await services.close()
    folder, flag, port = tmp_path / "disk", tmp_path / "fill", free_port()
    folder.mkdir()
    script = (
        f'mount -t tmpfs -o size={SIZE} tmpfs "$1"; cp -r "$3" "$1/data"; '
        '(until [ -e "$2" ]; do sleep 0.05; done; head -c 40m /dev/zero > "$1/ballast" 2>/dev/null || true; '
        'touch "$2.done") & shift 3; exec "$@"'
    )
    argv = private(script, str(folder), str(flag), str(tmp_path / "made"), *command(folder / "data", port))
    with running(argv):
        assert health(port)["status"] == "ok"
        assert knock(port, alice.token) == 200
        flag.touch()
        wait_for(Path(f"{flag}.done").exists)
        wait_for(lambda: knock(port, alice.token) == 503)
        told = health(port)
        assert (told["http"], told["status"]) == (503, "read_only")
        assert "full" in told["reason"]


def health(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_S) as response:
            return {"http": response.status, **json.loads(response.read())}
    except urllib.error.HTTPError as error:
        with error:
            return {"http": error.code, **json.loads(error.read())}


def knock(port: int, token: str) -> int:
    """A write: Alice changes her name. The status of the answer."""
    body = json.dumps({"name": f"Alice {time.monotonic_ns()}"}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/me", body, headers, method="PATCH")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def wait_for(true: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)  # another process has no event to wait for
