"""The admin's day without a browser, on a node that does not run."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node.base.errors import ExitStatus
from node.storage.keys import KeyFolder
from node.storage.lock import DataLock
from node.wire import address, keys
from tests import offline

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Startalk


def test_init_makes_a_node_with_an_owner(startalk: Startalk, data: Path) -> None:
    said = startalk("init", "--owner", "alice", "--password-stdin", "--yes-i-wrote-it-down", stdin="four plain words\n")
    assert said.status == 0, said.err
    assert "alice owns this node now." in said.out
    words = dict(re.findall(r"(\d+)\. ([a-z]+)", said.out))
    entropy = keys.entropy_of([words[str(place)] for place in range(1, 25)])
    folder = KeyFolder(data)
    assert keys.incept(entropy) == folder.identity.inception
    assert folder.setup() is None
    assert data.stat().st_mode & 0o777 == 0o700


def test_init_twice_is_refused(casa: Startalk) -> None:
    said = casa("init", "--owner", "mallory", "--generate", "--yes-i-wrote-it-down")
    assert (said.status, said.out) == (ExitStatus.FAILED, "")
    assert "has been set up already" in said.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--owner", "Al ice", "--generate", "--yes-i-wrote-it-down"], "user name has 2 to 32"),
        (["--owner", "admin", "--generate", "--yes-i-wrote-it-down"], "reserved"),
        (["--owner", "alice", "--yes-i-wrote-it-down"], "--password-stdin or --generate"),
        (["--owner", "alice", "--generate"], "--yes-i-wrote-it-down"),
        (
            ["--owner", "alice", "--generate", "--yes-i-wrote-it-down", "--registration", "maybe"],
            "open, invite or closed",
        ),
        (["--owner", "alice", "--password-stdin", "--yes-i-wrote-it-down"], "at least 8 characters"),
    ],
    ids=["bad name", "reserved name", "no password", "no terminal", "registration", "short password"],
)
def test_a_refused_init_can_be_repeated(startalk: Startalk, options: list[str], says: str) -> None:
    said = startalk("init", *options, stdin="short\n")
    assert said.status == ExitStatus.FAILED
    assert says in said.err
    again = startalk("init", "--owner", "alice", "--generate", "--yes-i-wrote-it-down")
    assert again.status == 0, again.err


def test_an_invitation_opens_an_account(casa: Startalk, data: Path) -> None:
    said = casa("invite", "--uses", "2", "--expires", "1h")
    assert said.status == 0, said.err
    links = [line for line in said.out.split("\n") if "/i#" in line]
    assert len(links) == 2
    _, invitation = address.parse_link(links[0])
    assert invitation.nid == keys.node_id(KeyFolder(data).identity.inception)
    assert invitation.hint == "Casa"
    assert "█" in said.out
    assert "█" not in casa("invite", "--no-qr").out


def test_bad_invitations_are_refused(casa: Startalk) -> None:
    for options in (["--role", "node_owner"], ["--expires", "soon"], ["--expires", "999d"], ["--uses", "1001"]):
        said = casa("invite", *options)
        assert (said.status, said.out) == (ExitStatus.FAILED, "")
        assert said.err.startswith("startalk: ")


def test_accounts_are_added_listed_and_frozen(casa: Startalk) -> None:
    added = casa("user", "add", "bob", "--name", "Bob B", "--generate")
    assert added.status == 0, added.err
    assert re.search(r"Password of bob: ([a-z2-7]{4}-){3}[a-z2-7]{4}\n", added.out)
    assert casa("user", "freeze", "bob").out == "bob is frozen.\n"
    lines = casa("user", "list").out.split("\n")
    assert lines[1].split() == ["alice", "alice", "node_owner", "0", "never"]
    assert lines[2].split() == ["bob", "Bob", "B", "user", "0", "never", "frozen"]
    assert casa("user", "unfreeze", "bob").out == "bob is open again.\n"
    assert "frozen" not in casa("user", "list").out


def test_what_accounts_refuse(casa: Startalk) -> None:
    casa("user", "add", "bob", "--generate")
    for arguments, says in (
        (["add", "bob", "--generate"], "taken"),
        (["add", "b0b", "--generate"], "looks like it"),
        (["add", "carol", "--password-stdin"], "at least 8"),
        (["freeze", "alice"], "owner"),
        (["freeze", "nobody"], "no such account"),
        (["freeze", "bob@casa.example"], "write it like alice"),
        (["reset-password", "nobody"], "no such account"),
    ):
        said = casa("user", *arguments)
        assert said.status == ExitStatus.FAILED
        assert says in said.err


def test_a_password_link_names_its_account(casa: Startalk) -> None:
    said = casa("user", "reset-password", "alice")
    assert said.status == 0, said.err
    _, invitation = address.parse_link(said.out.split()[0])
    assert invitation.subject == b"alice"


def test_a_folder_in_use_is_left_alone(casa: Startalk, data: Path) -> None:
    """A node that is just starting holds the lock and has no socket yet."""
    with DataLock(data):
        said = casa("user", "list")
    assert said.status == ExitStatus.DATA_IN_USE
    assert f"pid {os.getpid()}" in said.err


def test_keys_that_others_can_read_stop_every_verb(casa: Startalk, data: Path) -> None:
    (data / "keys" / "op.key").chmod(0o644)
    for verb in (["user", "list"], ["invite"], ["identity", "show"], ["backup", str(data.parent / "x.tar")]):
        said = casa(*verb)
        assert said.status == ExitStatus.KEYS_UNSAFE
        assert f"chmod 600 {data}/keys/op.key" in said.err


def test_identity_shows_what_is_public_and_nothing_else(casa: Startalk, data: Path) -> None:
    said = casa("identity", "show")
    folder = KeyFolder(data)
    assert "confirmed and erased" in said.out
    assert folder.identity.cert.op.hex() in said.out
    assert folder.op.private_bytes_raw().hex() not in said.out


def test_no_verb_but_init_and_run_makes_a_node(startalk: Startalk, data: Path) -> None:
    for verb in (["user", "list"], ["invite"], ["user", "freeze", "bob"], ["doctor"], ["identity", "show"]):
        assert startalk(*verb).status == ExitStatus.FAILED
        assert not data.exists()


def test_identity_before_the_first_start(startalk: Startalk) -> None:
    said = startalk("identity", "show")
    assert said.status == ExitStatus.FAILED
    assert "no identity yet" in said.err


def test_backup_and_restore(casa: Startalk, data: Path, tmp_path: Path) -> None:
    target, restored = tmp_path / "startalk.tar", tmp_path / "restored"
    assert casa("backup", str(target)).status == 0
    assert casa("backup", str(target)).status == ExitStatus.USAGE
    assert casa("restore", str(target), "--data", str(restored)).status == 0
    assert casa("restore", str(target), "--data", str(data)).status == ExitStatus.USAGE
    assert casa("user", "list", "--data", str(restored)).out == casa("user", "list").out


@pytest.mark.slow
def test_the_phrase_is_asked_back_on_a_terminal(tmp_path: Path) -> None:
    """A person at a terminal: one wrong try, then the right words; the password is not echoed."""
    terminal = Terminal("init", "--owner", "alice", "--data", str(tmp_path / "data"))
    for _ in range(2):
        terminal.expect(r"(Password for alice|Repeat for confirmation): $")
        terminal.type("four plain words")
    shown = terminal.expect(r"Press Enter when it is written down")
    phrase = dict(re.findall(r"(\d+)\. ([a-z]+)", shown))
    assert len(phrase) == keys.WORDS
    terminal.type("")
    for _ in range(3):
        terminal.expect(r"Word \d+: ?$")
        terminal.type("wrong")
    shown = terminal.expect(r"do not match.*?Word \d+: ?$")
    for left in reversed(range(3)):
        place = re.findall(r"Word (\d+): ?$", shown)[-1]
        terminal.type(phrase[place])
        shown = terminal.expect(r"Word \d+: ?$" if left else r"The node is ready")
    assert terminal.wait() == 0
    assert "four plain words" not in terminal.seen
    assert KeyFolder(tmp_path / "data").setup() is None


class Terminal:
    """A verb with a pseudo-terminal for a person to sit at."""

    def __init__(self, *arguments: str) -> None:
        self.seen = ""
        self._read_to = 0
        self._fd, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "node", *arguments],
            cwd=Path(__file__).parents[3],
            env=os.environ | offline.OFFLINE | {"STARTALK_PASSWORD_COST": "small", "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def expect(self, pattern: str) -> str:
        """Waits until `pattern` was printed; returns everything printed since the last call."""
        while not re.search(pattern, self.seen[self._read_to :].replace("\r", ""), re.DOTALL):
            ready, _, _ = select.select([self._fd], [], [], 20)
            assert ready, f"waited for {pattern!r}, saw {self.seen!r}"
            self.seen += os.read(self._fd, 65536).decode()
        new, self._read_to = self.seen[self._read_to :], len(self.seen)
        return new.replace("\r", "")

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode() + b"\n")

    def wait(self) -> int:
        status = self._process.wait(20)
        os.close(self._fd)
        return status
