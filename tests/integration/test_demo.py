"""``startalk demo`` as people start it: three processes, six people, one Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.base.errors import ExitStatus
from node.base.ids import format_id
from node.cli.demo import CAST, PASSWORD
from node.cli.scene import GROUP
from node.client.admin import AdminClient
from node.client.api import Api
from node.runtime.entropy import SystemEntropy
from node.storage.lock import is_locked
from node.wire import api
from tests.integration.test_cli import ROOT, environment, startalk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90), pytest.mark.xdist_group("demo")]
PATIENCE_S = 40
WORDS = "Who sees this on three nodes?"


class Demo:
    """The verb on a folder; `origins` by user name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "node", "demo", "--port", "0", "--data", str(folder)],
            cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.origins = self._read()
        self.pids = [int((folder / domain / "lock").read_text()) for domain, _ in CAST]

    def _read(self) -> dict[str, str]:
        found: dict[str, str] = {}
        assert self.process.stdout
        for line in self.process.stdout:
            match line.split():
                case [address, url, local] if url.startswith("http"):
                    assert address.startswith(f"{local}@")
                    found[local] = url.rstrip("/")
                case ["Stop", *_]:
                    return found
        raise AssertionError(self.process.communicate()[1])

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """(status, standard error)."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err

    def gone(self) -> bool:
        """Whether nothing of it runs."""
        return not any(Path(f"/proc/{pid}").exists() for pid in self.pids) and not any(
            is_locked(self.folder / domain) for domain, _ in CAST
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One for all who leave it running."""
    running = Demo(tmp_path_factory.mktemp("three") / "demo")
    yield running
    running.end()


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[Demo]:
    """One of its own, for who ends it."""
    running = Demo(tmp_path / "demo")
    yield running
    if running.process.poll() is None:
        running.end()


def api_of(demo: Demo, domain: str) -> AdminClient:
    return AdminClient(demo.folder / domain)


def verb(demo: Demo, *arguments: str, domain: str = "a.test") -> str:
    """What a verb prints that must succeed."""
    said = startalk(*arguments, "--data", str(demo.folder / domain))
    assert said.returncode == 0, said.stderr + said.stdout
    return said.stdout


async def signed_in(demo: Demo, local: str) -> Api:
    person = Api(demo.origins[local])
    await person.__aenter__()
    await person.login(local=local, password=PASSWORD)
    return person


async def group_of(person: Api) -> api.rooms.Room:
    return next(room for room in await person.rooms() if room.kind == "group")


async def texts(person: Api, room: str) -> list[str]:
    history = await person.call("GET", f"/rooms/{room}/history", api.rooms.History)
    return [str(entry.body["text"]) for entry in history.entries if entry.kind == "text" and entry.body]


async def say(person: Api, room: str) -> None:
    fresh = format_id(SystemEntropy().uuid7(time.time_ns() // 1_000_000))
    told = api.rooms.PostEvent(client_id=fresh, kind="text", body={"text": WORDS})
    await person.call("POST", f"/rooms/{room}/events", api.rooms.Posted, told)


async def reads(person: Api, room: str) -> None:
    """Asks until the words are there."""
    until = time.monotonic() + PATIENCE_S
    while WORDS not in (shown := await texts(person, room)):
        assert time.monotonic() < until, shown


async def test_six_people_on_three_nodes_until_ctrl_c(brief: Demo) -> None:
    people = [await signed_in(brief, local) for _, locals_ in CAST for local in locals_]
    try:
        rooms = [await group_of(person) for person in people]
        assert {(room.name, room.state, room.members) for room in rooms} == {(GROUP, "member", 6)}
        assert len({room.room for room in rooms}) == 1
        await say(people[-1], rooms[0].room)
        for person in people:
            await reads(person, rooms[0].room)
    finally:
        for person in people:
            await person.http.close()
    assert brief.end() == (ExitStatus.OK, "")
    assert brief.gone()


async def test_an_address_is_found_by_its_name(demo: Demo) -> None:
    alice = await signed_in(demo, "alice")
    try:
        met = await alice.call(
            "POST", "/introductions", api.people.Introduction, api.people.Meet(address="carol@c.test")
        )
    finally:
        await alice.http.close()
    assert (met.kind, met.address, met.home) == ("person", "carol@c.test", False)


def test_the_admin_s_verbs_on_nodes_that_are_linked(demo: Demo) -> None:
    listed = verb(demo, "peer", "list", "--json")
    assert {(peer["domain"], peer["domain_state"], peer["state"]) for peer in json.loads(listed)} == {
        ("b.test", "verified", "linked"), ("c.test", "verified", "linked"),
    }  # fmt: skip
    words = verb(demo, "peer", "add", "b.test").split()[-12:]
    node = api_of(demo, "a.test").get("/node", api.account.NodeInfo).node
    assert words == verb(demo, "peer", "add", node, domain="b.test").split()[-12:], "both admins see the same"
    assert "least" in verb(demo, "peer", "ping", "c.test", "-n", "2")
    assert "the node answers here" in verb(demo, "peer", "trace", "c.test")


async def test_what_is_written_while_a_node_is_blocked_arrives_later(demo: Demo) -> None:
    assert verb(demo, "peer", "block", "b.test", "--yes") == "b.test is blocked.\n"
    assert verb(demo, "peer", "list").splitlines()[-1].startswith("blocked")
    alice, bob = await signed_in(demo, "alice"), await signed_in(demo, "bob")
    try:
        room = (await group_of(bob)).room
        await say(bob, room)
        assert WORDS not in await texts(alice, room)
        assert verb(demo, "peer", "unblock", "b.test", "--yes") == "b.test may connect again.\n"
        await reads(alice, room)
    finally:
        await alice.http.close()
        await bob.http.close()


def test_the_doctor_lets_another_node_call_back(demo: Demo) -> None:
    report = json.loads(verb(demo, "doctor", "--json"))
    assert report["ok"]
    texts = "\n".join(finding["text"] for finding in report["findings"])
    assert "b.test called back and reached this node" in texts
    assert "https://a.test/.well-known/startalk: a.test names" in texts
    assert '_startalk.a.test. 3600 IN TXT "v=1;id=' in texts
    assert "The clock agrees with 2 nodes" in texts
    again = verb(demo, "doctor")
    assert "less than a minute ago" in again
    assert "FAIL" not in again


def test_a_kept_demo_goes_on_and_a_node_that_dies_ends_it(brief: Demo) -> None:
    assert brief.end(signal.SIGTERM) == (ExitStatus.OK, "")
    again = Demo(brief.folder)
    os.kill(again.pids[1], signal.SIGKILL)
    _, err = again.process.communicate(timeout=PATIENCE_S)
    assert again.process.returncode == ExitStatus.FAILED
    assert "b.test ended" in err
    assert "Traceback" not in err
    assert again.gone()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    said = startalk("demo", "--data", str(tmp_path))
    assert said.returncode == ExitStatus.FAILED
    assert "no finished demo" in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
