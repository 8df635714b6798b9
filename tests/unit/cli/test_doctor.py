"""The doctor names what is wrong, and only then ends with status 1."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from node.base.errors import ExitStatus
from node.cli.boot import load
from node.cli.desk import stopped
from node.cli.doctor import examine
from node.cli.findings import Level, Report
from node.core.room import Room
from node.runtime import tls
from node.runtime.clock import ManualClock, SystemClock
from node.storage.database import RESTORED
from node.storage.keys import Fence, KeyFolder

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Startalk

DAY_S = 24 * 3600


@pytest.fixture(autouse=True)
def free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual ports may be taken on the machine that tests."""
    monkeypatch.setenv("STARTALK_HTTPS_PORT", "0")
    monkeypatch.setenv("STARTALK_HTTP_PORT", "0")
    monkeypatch.setenv("STARTALK_DHT_PORT", "0")


def faults(out: str) -> list[str]:
    return [line for line in out.split("\n") if line.startswith(Level.FAIL)]


def test_a_sound_node(casa: Startalk) -> None:
    said = casa("doctor", "--verify-log")
    assert said.status == 0, said.out
    assert not faults(said.out)
    assert "hash chains of 0 rooms" in said.out


def test_no_node_yet(startalk: Startalk) -> None:
    said = startalk("doctor")
    assert said.status == ExitStatus.FAILED
    assert "has no node yet" in said.out


def test_quick_without_a_running_node(casa: Startalk) -> None:
    said = casa("doctor", "--quick")
    assert said.status == ExitStatus.FAILED
    assert "No node answers" in said.out


def test_a_folder_that_others_see_is_a_warning(casa: Startalk, data: Path) -> None:
    data.chmod(0o755)
    said = casa("doctor")
    assert said.status == 0
    assert f"chmod 700 {data}" in said.out


def test_unsafe_keys(casa: Startalk, data: Path) -> None:
    (data / "keys" / "noise.key").chmod(0o640)
    said = casa("doctor")
    assert said.status == ExitStatus.FAILED
    assert [line for line in faults(said.out) if "chmod 600" in line]
    assert "The database file is sound" in said.out  # the other checks go on


def test_an_old_copy_is_named(casa: Startalk, data: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(data, old)
    folder = KeyFolder(old)
    folder.put_fence(Fence(reason="This is an old copy of the node.", rotations=0, incarnation=2))
    said = casa("doctor", "--data", str(old))
    assert said.status == ExitStatus.FAILED
    assert "old copy" in faults(said.out)[0]


def test_a_restored_copy_says_what_it_waits_for(casa: Startalk, data: Path) -> None:
    (data / RESTORED).touch()
    said = casa("doctor")
    assert said.status == 0
    assert "identity move --alone" in said.out
    (data / RESTORED).unlink()
    assert "came from a backup" not in casa("doctor").out


def test_a_damaged_database(casa: Startalk, data: Path) -> None:
    (data / "startalk.db").write_bytes(b"rubbish" * 1000)
    said = casa("doctor")
    assert said.status == ExitStatus.FAILED
    assert [line for line in faults(said.out) if "is damaged" in line]


def test_a_broken_chain_is_found(casa: Startalk, data: Path) -> None:
    conn = sqlite3.connect(data / "startalk.db")
    state = msgspec.msgpack.encode(Room(kind="group", name="Casa"))
    with conn:
        conn.execute(
            "INSERT INTO rooms (room, kind, hub, state, head_idx, head_hash) VALUES (?, 'group', ?, ?, 3, ?)",
            (bytes(32), bytes(32), state, bytes(32)),
        )
    conn.close()
    assert casa("doctor").status == 0
    said = casa("doctor", "--verify-log")
    assert said.status == ExitStatus.FAILED
    assert "the head says 3, the log ends at 0" in said.out


def test_a_certificate_that_ends(casa: Startalk, data: Path) -> None:
    tls.own_certificate(data / "keys" / "tls", domain="", clock=SystemClock())
    config = load(str(data))
    for days, level in ((0, Level.OK), (tls.LIFE_DAYS - 10, Level.WARN), (tls.LIFE_DAYS + 1, Level.FAIL)):
        clock = ManualClock(now_ms=SystemClock().now_ms())
        clock.advance(seconds=days * DAY_S)
        found = [finding for finding in examine(config, clock=clock, verify_log=False) if "TLS" in finding.text]
        assert [finding.level for finding in found] == [level]


def test_a_clock_in_the_past(casa: Startalk, data: Path) -> None:
    found = list(examine(load(str(data)), clock=ManualClock(now_ms=0), verify_log=False))
    assert [finding.level for finding in found if "The clock" in finding.text] == [Level.FAIL]


def test_a_port_in_use(casa: Startalk, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("STARTALK_HTTP_PORT", str(port))
        said = casa("doctor")
    assert said.status == ExitStatus.FAILED
    assert f"Port {port} on 127.0.0.1 cannot be used" in said.out


def test_a_phrase_that_waits_is_a_warning(startalk: Startalk, data: Path) -> None:
    with stopped(load(str(data))):
        pass
    said = startalk("doctor")
    assert said.status == 0
    assert "waits to be written down" in said.out


def test_a_certificate_of_another_name(casa: Startalk, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls.own_certificate(data / "keys" / "tls", domain="", clock=SystemClock())
    monkeypatch.setenv("STARTALK_DOMAIN", "casa.example")
    said = casa("doctor")
    assert said.status == 0, said.out
    assert "does not name casa.example" in said.out


def test_json(casa: Startalk, data: Path) -> None:
    report = msgspec.json.decode(casa("doctor", "--json").out, type=Report)
    assert report.ok
    assert all(finding.level is not Level.FAIL for finding in report.findings)
    (data / "keys" / "noise.key").chmod(0o640)
    said = casa("doctor", "--json")
    assert said.status == ExitStatus.FAILED
    assert not msgspec.json.decode(said.out, type=Report).ok


def test_the_table_s_port_in_use(casa: Startalk, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 0))
        port = other.getsockname()[1]
        monkeypatch.setenv("STARTALK_DHT_PORT", str(port))
        said = casa("doctor")
    assert said.status == ExitStatus.FAILED
    assert f"UDP port {port} cannot be used" in said.out
