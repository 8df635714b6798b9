"""The folder of keys: its rights, its damages, and that it appears and changes in whole steps."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base import limits
from node.base.errors import ExitStatus, Fatal
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.runtime.privatefile import write_private
from node.services.identity import make_keys
from node.storage.keys import IDENTITY_VERSION, Fence, KeyFolder, NewKeys, PublicIdentity, Ring, Seqs


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


# --- the public identity grows --------------------------------------------------------------------------


def test_a_file_of_version_1_is_read(tmp_path: Path, folder: KeyFolder) -> None:
    old = {
        "version": 1,
        "inception": folder.identity.inception,
        "cert": folder.identity.cert,
        "backup_public": folder.identity.backup_public,
    }
    write_private(folder.path / "identity.json", msgspec.json.encode(old))
    found = KeyFolder(tmp_path)
    assert found.identity.chain == folder.identity.chain
    assert (found.identity.version, found.identity.retired, found.identity.statements) == (1, (), {})
    found.replace(found.identity, op=found.op, noise=found.noise)
    assert KeyFolder(tmp_path).identity == folder.identity
    assert folder.identity.version == IDENTITY_VERSION


def test_a_newer_version_is_refused(tmp_path: Path, folder: KeyFolder) -> None:
    newer = msgspec.structs.replace(folder.identity, version=IDENTITY_VERSION + 1)
    write_private(folder.path / "identity.json", msgspec.json.encode(newer))
    with pytest.raises(Fatal, match="damaged"):
        KeyFolder(tmp_path)


def test_retired_certificates_are_bounded(tmp_path: Path, folder: KeyFolder) -> None:
    for more, fits in ((0, True), (1, False)):
        certs = (folder.identity.cert,) * (limits.RETIRED_CERTS_MAX + more)
        write_private(
            folder.path / "identity.json", msgspec.json.encode(msgspec.structs.replace(folder.identity, retired=certs))
        )
        if fits:
            assert KeyFolder(tmp_path).identity.retired == certs
        else:
            with pytest.raises(Fatal):
                KeyFolder(tmp_path)


# --- a crash at each step -------------------------------------------------------------------------------


class PowerCut(BaseException):
    """The machine went off before a step."""


class Mains:
    """Counts what a program does to files of a folder, by audit events of Python, and goes off before one of them."""

    STEPS: ClassVar = {"open", "os.rename", "os.remove"}

    def __init__(self) -> None:
        self.folder = ""
        self.left = -1
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder or event not in self.STEPS or not str(arguments[0]).startswith(self.folder):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if self.left == 0:
            raise PowerCut
        self.left -= 1

    @contextmanager
    def cut(self, folder: Path, after: int) -> Iterator[None]:
        """Nothing more happens in `folder` after so many steps."""
        self.folder, self.left = str(folder), after
        try:
            yield
        finally:
            self.folder = ""


MAINS = Mains()
STEPS_OF_THE_JOURNAL = 3  # remove an old draft, open a new one, rename it


def own(folder: KeyFolder) -> tuple[object, bytes, bytes]:
    return folder.identity, folder.op.private_bytes_raw(), folder.noise


def changed(folder: KeyFolder) -> tuple[PublicIdentity, Ed25519PrivateKey, bytes]:
    op = Ed25519PrivateKey.from_private_bytes(b"\x21" * 32)
    cert = msgspec.structs.replace(
        folder.identity.cert,
        op=op.public_key().public_bytes_raw(),
        incarnation=2,
    )
    return msgspec.structs.replace(folder.identity, cert=cert, retired=(folder.identity.cert,)), op, b"\x22" * 32


def secrets_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_crash_at_any_step_leaves_the_old_keys_or_the_new_ones(tmp_path: Path, new: NewKeys) -> None:
    """Until the journal has its name it is the old identity, from then on the new one."""
    for step in itertools.count():
        data = tmp_path / str(step)
        data.mkdir()
        folder = KeyFolder.create(data, new)
        folder.put_fence(Fence(reason="old copy", rotations=0, incarnation=1))
        old = own(folder)
        identity, op, noise = changed(folder)
        wanted = (identity, op.private_bytes_raw(), noise)
        try:
            with MAINS.cut(data, step):
                folder.replace(identity, op=op, noise=noise)
        except PowerCut:
            ended = False
        else:
            ended = True
        after = KeyFolder(data)
        assert own(after) == (old if step < STEPS_OF_THE_JOURNAL else wanted), step
        after.settle()
        again = KeyFolder(data)
        assert own(again) == own(after)
        assert (again.fence() is None) is (step >= STEPS_OF_THE_JOURNAL)
        names = {path.name for path in after.path.iterdir()}
        assert not {name for name in names if "next" in name and not name.endswith(".new")}, step
        if step >= STEPS_OF_THE_JOURNAL:
            assert not any(old[1] in content or old[2] in content for content in secrets_in(after.path).values()), step
        if ended:
            assert step > 10
            return


@pytest.mark.slow
def test_a_crash_while_completing_is_completed_later(tmp_path: Path, new: NewKeys) -> None:
    for first, second in itertools.product(range(3, 10), range(8)):
        data = tmp_path / f"{first}-{second}"
        data.mkdir()
        folder = KeyFolder.create(data, new)
        identity, op, noise = changed(folder)
        with suppress(PowerCut), MAINS.cut(data, first):
            folder.replace(identity, op=op, noise=noise)
        with suppress(PowerCut), MAINS.cut(data, second):
            KeyFolder(data).settle()
        last = KeyFolder(data)
        last.settle()
        assert own(KeyFolder(data)) == (identity, op.private_bytes_raw(), noise)
        assert not (last.path / "next").exists()


def test_a_crash_while_the_phrase_is_erased_leaves_no_damaged_file(tmp_path: Path, new: NewKeys) -> None:
    for step in range(4):
        data = tmp_path / str(step)
        data.mkdir()
        folder = KeyFolder.create(data, new)
        with suppress(PowerCut), MAINS.cut(data, step):
            folder.erase_setup()
        again = KeyFolder(data)
        again.settle()
        assert again.setup() == (new.setup if step < 1 else None)
        assert step < 1 or not any(new.setup.entropy in content for content in secrets_in(again.path).values())


def test_a_reader_sees_a_change_that_is_not_completed_and_writes_nothing(tmp_path: Path, folder: KeyFolder) -> None:
    identity, op, noise = changed(folder)
    with suppress(PowerCut), MAINS.cut(tmp_path, 3):
        folder.replace(identity, op=op, noise=noise)
    before = secrets_in(folder.path)
    assert "next" in before
    assert own(KeyFolder(tmp_path)) == (identity, op.private_bytes_raw(), noise)
    assert secrets_in(folder.path) == before


@pytest.mark.parametrize("content", [b"", b"\x93\xc4\x00\xc4\x00\xc4\x00", bytes(100)], ids=["empty", "short", "zeros"])
def test_a_damaged_journal_is_named(tmp_path: Path, folder: KeyFolder, content: bytes) -> None:
    write_private(folder.path / "next", content)
    with pytest.raises(Fatal, match="next is damaged"):
        KeyFolder(tmp_path)


# --- fence and numbers ----------------------------------------------------------------------------------


def test_a_fence_stays_until_a_newer_identity_comes(tmp_path: Path, folder: KeyFolder) -> None:
    assert folder.fence() is None
    fence = Fence(reason="old copy", rotations=0, incarnation=2)
    folder.put_fence(fence)
    folder.settle()
    assert KeyFolder(tmp_path).fence() == fence
    identity, op, noise = changed(folder)
    folder.replace(identity, op=op, noise=noise)
    assert folder.fence() == fence  # the incarnation that was seen is not enough
    cert = msgspec.structs.replace(identity.cert, incarnation=3)
    folder.replace(msgspec.structs.replace(identity, cert=cert), op=op, noise=noise)
    assert folder.fence() is None


def test_numbers_of_records_are_kept(tmp_path: Path, folder: KeyFolder) -> None:
    assert folder.seqs() == Seqs(0, 0)
    folder.put_seqs(Seqs(5, 9))
    assert KeyFolder(tmp_path).seqs() == Seqs(5, 9)
