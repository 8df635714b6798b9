"""The owner with the 24 words and a stopped node."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from node.base.errors import ExitStatus
from node.runtime.clock import SystemClock
from node.runtime.entropy import SeededEntropy
from node.services.identity import Identity, ShownCert
from node.storage.database import RESTORED
from node.storage.keys import KeyFolder
from node.storage.lock import DataLock
from node.wire import keys, record
from tests.unit.cli.test_verbs import Terminal

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Startalk


class Owned(NamedTuple):
    """A node and what its owner wrote down."""

    startalk: Startalk
    phrase: str
    data: Path

    @property
    def folder(self) -> KeyFolder:
        return KeyFolder(self.data)


@pytest.fixture
def owned(startalk: Startalk, data: Path) -> Owned:
    data.mkdir(mode=0o700)
    identity = Identity.open(data=data, clock=SystemClock(), entropy=SeededEntropy("casa"))
    phrase = identity.phrase()
    identity.confirm({place: phrase[place - 1] for place in identity.asked()})
    return Owned(startalk, " ".join(phrase), data)


def test_a_move_raises_the_incarnation(owned: Owned) -> None:
    before = owned.folder
    said = owned.startalk("identity", "move", "--yes", stdin=owned.phrase + "\n")
    assert said.status == 0, said.err
    after = owned.folder
    assert after.identity.cert.incarnation == 2
    assert after.identity.chain == before.identity.chain
    assert after.op.private_bytes_raw() != before.op.private_bytes_raw()
    assert after.noise != before.noise
    assert "incarnation 2" in said.out
    assert "backup" in said.out
    assert "incarnation 2" in owned.startalk("identity", "show").out


def test_a_rotation_keeps_the_name(owned: Owned) -> None:
    nid = keys.node_id(owned.folder.identity.inception)
    said = owned.startalk("identity", "rotate", "--yes", stdin=owned.phrase.upper().replace(" ", "  "))
    assert said.status == 0, said.err
    assert "rotation 1 of 6" in said.out
    identity = owned.folder.identity
    assert keys.check_chain(identity.chain) == nid
    assert (len(identity.rotations), identity.cert.incarnation) == (1, 2)
    shown = owned.startalk("identity", "show").out
    assert f"{identity.chain[-1].root.hex()}, rotation 1 of 6" in shown


def test_a_seventh_rotation_is_refused(owned: Owned) -> None:
    for _ in range(keys.ROTATIONS_MAX):
        assert owned.startalk("identity", "rotate", "--yes", stdin=owned.phrase).status == 0
    said = owned.startalk("identity", "rotate", "--yes", stdin=owned.phrase)
    assert said.status == ExitStatus.FAILED
    assert "6 times" in said.err


def test_a_revocation_is_for_good(owned: Owned) -> None:
    said = owned.startalk("identity", "revoke", "--yes", stdin=owned.phrase)
    assert said.status == 0, said.err
    assert "no way back" in said.out
    tomb = owned.folder.identity.statements["rev"]
    made = record.verify_record(tomb, now_s=SystemClock().now_ms() // 1000)
    assert made.nid == keys.node_id(owned.folder.identity.inception)
    assert "REVOKED" in owned.startalk("identity", "show").out
    again = owned.startalk("identity", "revoke", "--yes", stdin=owned.phrase)
    assert (again.status, "already" in again.err) == (ExitStatus.FAILED, True)


def test_a_transfer_names_another_node_and_the_domain(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARTALK_DOMAIN", "casa.example")
    new = keys.make_chain(b"\x42" * 32, 2)
    both = f"{owned.phrase}\n{' '.join(keys.words_of(bytes([0x42]) * 32))}\n"
    said = owned.startalk("identity", "transfer", "--rotations", "2", "--yes", stdin=both)
    assert said.status == 0, said.err
    raw = owned.folder.identity.statements["tra"]
    body = record.verify_record(raw, now_s=SystemClock().now_ms() // 1000).body
    assert isinstance(body, record.TransferBody)
    assert (body.chain, body.transfer.domain) == (new, "casa.example")


def test_a_transfer_to_the_same_node_is_refused(owned: Owned) -> None:
    said = owned.startalk("identity", "transfer", "--yes", stdin=f"{owned.phrase}\n{owned.phrase}\n")
    assert said.status == ExitStatus.FAILED
    assert "that of this node" in said.err


@pytest.mark.parametrize("verb", ["move", "rotate", "revoke", "transfer"])
class TestRefused:
    """Nothing changes."""

    def test_wrong_words(self, owned: Owned, verb: str) -> None:
        before = owned.folder.identity
        other = " ".join(keys.words_of(b"\x42" * 32))
        for words, says in (
            ("", "24 words; these are 0"),
            (owned.phrase + " abandon", "these are 25"),
            (other, "another node"),
            (owned.phrase.rpartition(" ")[0] + " startalk", "Word 24"),
        ):
            said = owned.startalk("identity", verb, "--yes", stdin=words)
            assert said.status == ExitStatus.FAILED
            assert says in said.err
        assert owned.folder.identity == before

    def test_without_a_terminal_it_wants_a_yes(self, owned: Owned, verb: str) -> None:
        said = owned.startalk("identity", verb, stdin=owned.phrase)
        assert said.status == ExitStatus.FAILED
        assert "use --yes" in said.err
        assert owned.folder.identity.cert.incarnation == 1

    def test_while_the_node_runs(self, owned: Owned, verb: str) -> None:
        with DataLock(owned.data):
            said = owned.startalk("identity", verb, "--yes", stdin=owned.phrase)
        assert said.status == ExitStatus.DATA_IN_USE
        assert f"pid {os.getpid()}" in said.err
        assert "Stop it first" in said.err
        assert owned.folder.identity.cert.incarnation == 1

    def test_where_there_is_no_node(self, startalk: Startalk, data: Path, verb: str) -> None:
        said = startalk("identity", verb, "--yes", stdin="x")
        assert said.status == ExitStatus.FAILED
        assert "no identity yet" in said.err
        assert not data.exists()


def test_a_fenced_copy_says_so_and_is_moved(owned: Owned, tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    shutil.copytree(owned.data, restored)
    assert owned.startalk("identity", "move", "--yes", stdin=owned.phrase).status == 0
    old = Identity.open(data=restored, clock=SystemClock(), entropy=SeededEntropy("x"))
    later = owned.folder.identity
    assert old.note_later_state(ShownCert(later.chain, later.cert))
    assert "READ-ONLY" in owned.startalk("identity", "show", "--data", str(restored)).out
    said = owned.startalk("identity", "move", "--yes", "--data", str(restored), stdin=owned.phrase)
    assert said.status == 0, said.err
    assert "incarnation 3" in said.out
    assert "READ-ONLY" not in owned.startalk("identity", "show", "--data", str(restored)).out


def test_the_owner_s_word_ends_the_waiting_for_others_after_a_restore(owned: Owned) -> None:
    """A group whose other nodes are gone for good took nothing any more, and there was no way out."""
    marker = owned.data / RESTORED
    marker.touch()
    assert owned.startalk("identity", "move", "--yes", stdin=owned.phrase).status == 0
    assert marker.exists()
    said = owned.startalk("identity", "move", "--alone", "--yes", stdin="wrong words")
    assert said.status != 0
    assert marker.exists()
    said = owned.startalk("identity", "move", "--alone", "--yes", stdin=owned.phrase)
    assert said.status == 0, said.err
    assert "go on where the backup ends" in said.out
    assert not marker.exists()


@pytest.mark.slow
def test_the_phrase_is_typed_without_echo(owned: Owned) -> None:
    terminal = Terminal("identity", "move", "--data", str(owned.data))
    terminal.expect(r"Go on\? \[y/N\]: $")
    terminal.type("y")
    terminal.expect(r"Recovery phrase, 24 words: $")
    terminal.type(owned.phrase)
    terminal.expect(r"lives here now, at incarnation 2")
    assert terminal.wait() == 0
    assert owned.phrase not in terminal.seen
    assert " ".join(owned.phrase.split()[5:7]) not in terminal.seen


@pytest.mark.slow
def test_a_no_changes_nothing(owned: Owned) -> None:
    terminal = Terminal("identity", "revoke", "--data", str(owned.data))
    terminal.expect(r"Go on\? \[y/N\]: $")
    terminal.type("n")
    terminal.expect(r"Aborted")
    assert terminal.wait() == ExitStatus.FAILED
    assert not owned.folder.identity.statements
