"""The command line beside a node that runs: real processes, sockets and signals."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.base.errors import ExitStatus
from node.client.admin import AdminClient
from node.runtime import tls
from node.wire import address, api
from tests import offline

ROOT = Path(__file__).parents[2]
START_S = 20


class RunningNode:
    """``startalk run`` on a folder, with whatever ports are free."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "node",
                "run",
                "--data",
                str(data),
                "--https-port",
                "0",
                "--http-port",
                "0",
                *options,
            ],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.greeting = self._read_greeting()

    def _read_greeting(self) -> str:
        assert self._process.stdout
        lines: list[str] = []
        for line in self._process.stdout:
            lines.append(line)
            if "Ctrl+C" in line:
                return "".join(lines)
        _, err = self._process.communicate(timeout=START_S)
        raise AssertionError(f"the node did not start: {err}")

    def origin(self, scheme: str) -> str:
        found = re.search(rf"^  ({scheme}://\S+)", self.greeting, re.MULTILINE)
        assert found, self.greeting
        return found[1]

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """(status, standard error)."""
        self._process.send_signal(number)
        _, err = self._process.communicate(timeout=START_S)
        return self._process.returncode, err


def environment() -> dict[str, str]:
    return offline.environment() | {"STARTALK_PASSWORD_COST": "small"}


def startalk(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        cwd=ROOT,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path / "data")
    yield running
    if running._process.poll() is None:
        running.stop()


@pytest.mark.slow
def test_first_start_prints_the_owner_s_link_and_its_code(node: RunningNode) -> None:
    links = re.findall(r"^  (https?://\S+/i#\S+)$", node.greeting, re.MULTILINE)
    assert {link.partition(":")[0] for link in links} == {"http", "https"}
    assert len({address.parse_link(link)[1].token for link in links}) == 1
    assert "█" in node.greeting
    token = links[0].partition("#")[2]
    info = AdminClient(node.data).get("/node", api.account.NodeInfo)
    assert info.setup == "owner_needed"
    assert address.parse_fragment(token).nid.hex() != ""
    assert (node.data / "admin.sock").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_both_listeners_answer(node: RunningNode) -> None:
    trust = ssl.create_default_context(cafile=str(node.data / "keys" / "tls" / tls.FILE))
    for origin, context in ((node.origin("http"), None), (node.origin("https"), trust)):
        with urllib.request.urlopen(f"{origin}/api/v1/node", context=context, timeout=START_S) as answer:
            assert answer.status == 200


@pytest.mark.slow
def test_verbs_ask_the_running_node(node: RunningNode) -> None:
    data = str(node.data)
    added = startalk("user", "add", "bob", "--generate", "--data", data)
    assert added.returncode == 0, added.stderr
    listed = startalk("user", "list", "--data", data)
    assert listed.stdout.split("\n")[1].split() == ["bob", "bob", "user", "0", "never"]
    invited = startalk("invite", "--no-qr", "--data", data)
    assert invited.returncode == 0, invited.stderr
    assert startalk("user", "freeze", "bob", "--data", data).stdout == "bob is frozen.\n"
    again = startalk("user", "add", "bob", "--generate", "--data", data)
    assert again.returncode == ExitStatus.FAILED
    assert "taken" in again.stderr


@pytest.mark.slow
def test_doctor_and_backup_beside_it(node: RunningNode, tmp_path: Path) -> None:
    data = str(node.data)
    quick = startalk("doctor", "--quick", "--data", data)
    assert quick.returncode == 0, quick.stdout
    full = startalk("doctor", "--verify-log", "--data", data)
    assert full.returncode == 0, full.stdout
    assert "no owner yet" in full.stdout
    assert startalk("backup", str(tmp_path / "startalk.tar"), "--data", data).returncode == 0
    assert startalk("restore", str(tmp_path / "startalk.tar"), "--data", str(tmp_path / "copy")).returncode == 0


@pytest.mark.slow
def test_a_second_node_on_its_folder_is_refused(node: RunningNode) -> None:
    for verb in (["run"], ["init", "--owner", "alice", "--generate", "--yes-i-wrote-it-down"]):
        second = startalk(*verb, "--data", str(node.data))
        assert second.returncode == ExitStatus.DATA_IN_USE
        assert f"pid {node.pid}" in second.stderr
        assert "Traceback" not in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_in_order(node: RunningNode, number: signal.Signals) -> None:
    status, err = node.stop(number)
    assert status == ExitStatus.OK, err
    assert "Traceback" not in err
    assert not (node.data / "admin.sock").exists()
    assert startalk("doctor", "--quick", "--data", str(node.data)).returncode == ExitStatus.FAILED


@pytest.mark.slow
def test_a_node_that_was_killed_starts_again_as_the_same(node: RunningNode) -> None:
    before = AdminClient(node.data).get("/node", api.account.NodeInfo)
    node.stop(signal.SIGKILL)
    again = RunningNode(node.data)
    assert AdminClient(node.data).get("/node", api.account.NodeInfo).node == before.node
    assert again.stop()[0] == ExitStatus.OK


@pytest.mark.slow
def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = startalk("run", "--data", str(tmp_path / "data"), "--no-https", "--http-port", port)
    assert said.returncode == ExitStatus.PORT_IN_USE
    assert port in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.slow
def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("rubbish")
    cert = str(tmp_path / "cert.pem")
    said = startalk("run", "--data", str(tmp_path / "data"), "--tls-cert", cert, "--tls-key", cert, "--https-port", "0")
    assert said.returncode == ExitStatus.USAGE
    assert cert in said.stderr
    assert "Traceback" not in said.stderr
