"""The folder ``keys/`` of the data directory: every secret that is not in the database.

==================  ==============================================================================================
file                content
==================  ==============================================================================================
``identity.json``   public: chain, op certificates, public half of the backup key, what the roots signed
``op.key``          Ed25519 private key of the running node, 32 bytes
``noise.key``       X25519 private key of node-to-node links, 32 bytes; replaced together with the op key
``secrets.json``    ring of AES-256-GCM keys for secrets in the database
``pepper.json``     ring of peppers, applied to passwords before argon2id
``setup``           entropy of the recovery phrase, only until its owner has confirmed it
``next``            journal of a change of the first three files, only while they are being replaced
``fence.json``      why this copy of the node must not write, only until its owner has moved the node here
``record.seq``      [last, highest] sequence number of own records, msgpack; written before one is published
``tls/``            certificate and key of the web listener (node/runtime/tls.py)
==================  ==============================================================================================

Invariants: the folder is 0700 and each file 0600, and a node refuses to start when others can read one. The folder
appears whole: it is filled under another name and renamed, so a crash at first start leaves nothing half-made.
Files change only by write, fsync, rename, fsync of the folder. ``identity.json``, ``op.key`` and ``noise.key`` are one
thing: a change of them is first written whole to ``next``, and from the moment that file has its name the change has
happened. Whoever reads sees the journal instead of the three files; the next start, which holds the lock of the data
directory, copies it into them and erases it. So no crash leaves two of them that disagree. The keys are not encrypted at rest: who can
read them is root or the node itself, and disk encryption is the owner's choice.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Annotated, Final, Self, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta, Struct

from node.base import limits
from node.base.errors import ExitStatus, Fatal
from node.runtime.privatefile import PRIVATE_FILE, PRIVATE_FOLDER, erase, sync_folder, write_private
from node.wire.keys import ENTROPY_BYTES, KEY_BYTES, ROTATIONS_MAX, Chain, Inception, OpCert, Rotation

FOLDER: Final = "keys"
IDENTITY: Final = "identity.json"
OP_KEY: Final = "op.key"
NOISE_KEY: Final = "noise.key"
SECRETS: Final = "secrets.json"
PEPPER: Final = "pepper.json"
SETUP: Final = "setup"
TLS: Final = "tls"
NEXT: Final = "next"
FENCE: Final = "fence.json"
RECORD_SEQ: Final = "record.seq"
IDENTITY_VERSION: Final = 2
_UNFINISHED: Final = ".keys.new"
_SPENT: Final = ".spent"
_OTHERS: Final = 0o077

T = TypeVar("T")
Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class Ring(Struct, frozen=True, forbid_unknown_fields=True):
    """Keys by version, base64 in the file; new secrets use `current`, old ones are still read with theirs."""

    current: int
    keys: dict[int, Key]

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            raise ValueError("the current version has no key")

    @property
    def newest(self) -> bytes:
        """The key that new secrets use."""
        return self.keys[self.current]


class PublicIdentity(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``identity.json``: what others may know. Bytes are base64 in the file.

    Version 1 had no rotations, retired certificates and statements; it is read as a file in which they are empty.
    """

    version: Annotated[int, Meta(ge=1, le=IDENTITY_VERSION)] = IDENTITY_VERSION
    inception: Inception
    rotations: Annotated[tuple[Rotation, ...], Meta(max_length=ROTATIONS_MAX)] = ()
    cert: OpCert
    retired: Annotated[tuple[OpCert, ...], Meta(max_length=limits.RETIRED_CERTS_MAX)] = ()  # earlier ones, oldest first
    statements: dict[str, bytes] = {}  # records ``rev`` and ``tra``, which the node cannot make by itself
    ids: Annotated[
        tuple[bytes, ...], Meta(max_length=limits.ID_RECORDS_MAX)
    ] = ()  # ``id`` records, one after the other
    backup_public: Key

    @property
    def chain(self) -> Chain:
        """Inception and rotations."""
        return (self.inception, *self.rotations)


class Fence(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``fence.json``: this copy of the node is older than one that others have seen."""

    reason: str
    rotations: int  # the state that was proved
    incarnation: int


class Seqs(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """``record.seq``. `last` may fall when it was made by a wrong clock, `highest` never does."""

    last: int = 0
    highest: int = 0


class Setup(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """``setup``: the phrase's entropy and the three places (1..24) that its owner is asked for."""

    entropy: Annotated[bytes, Meta(min_length=ENTROPY_BYTES, max_length=ENTROPY_BYTES)]
    places: tuple[int, int, int]


class NewKeys(Struct, frozen=True, kw_only=True):
    """Everything that a first start makes."""

    identity: PublicIdentity
    op: Ed25519PrivateKey
    noise: Key
    secrets: Ring
    pepper: Ring
    setup: Setup


class Journal(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """``next``: the content of the three files that change together."""

    identity: bytes
    op: Key
    noise: Key


class KeyFolder:
    """The keys of one data directory, read and checked when opened."""

    def __init__(self, data: Path) -> None:
        """Opens an existing folder. Raises Fatal: KEYS_UNSAFE, DATA_CORRUPT or DATA_UNWRITABLE."""
        self.path: Final = data / FOLDER
        check_rights(self.path)
        self.secrets: Final = _decode(self.path / SECRETS, Ring)
        self.pepper: Final = _decode(self.path / PEPPER, Ring)
        self.identity: PublicIdentity
        self.op: Ed25519PrivateKey
        self.noise: bytes
        self._read_own()

    def _read_own(self) -> None:
        """The three files that change together, or the journal that has already replaced them."""
        journal = self._journal()
        if journal is None:
            self.identity = _decode(self.path / IDENTITY, PublicIdentity)
            self.op = Ed25519PrivateKey.from_private_bytes(_read_key(self.path / OP_KEY))
            self.noise = _read_key(self.path / NOISE_KEY)
        else:
            self.identity = _decode_json(journal.identity, PublicIdentity, self.path / NEXT)
            self.op, self.noise = Ed25519PrivateKey.from_private_bytes(journal.op), journal.noise
        if self.op.public_key().public_bytes_raw() != self.identity.cert.op:
            raise _damaged(self.path / OP_KEY, "it is not the key that identity.json certifies")

    @classmethod
    def create(cls, data: Path, new: NewKeys) -> Self:
        """Writes a whole new folder, then opens it. The folder must not exist, or be empty."""
        draft = data / _UNFINISHED
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=PRIVATE_FOLDER)
            (draft / TLS).mkdir(mode=PRIVATE_FOLDER)
            encode = msgspec.json.encode
            write_private(draft / IDENTITY, encode(new.identity))
            write_private(draft / OP_KEY, new.op.private_bytes_raw())
            write_private(draft / NOISE_KEY, new.noise)
            write_private(draft / SECRETS, encode(new.secrets))
            write_private(draft / PEPPER, encode(new.pepper))
            write_private(draft / SETUP, msgspec.msgpack.encode(new.setup))
            draft.rename(data / FOLDER)
            sync_folder(data)
        except OSError as error:
            raise _unwritable(data / FOLDER, error) from error
        return cls(data)

    @staticmethod
    def exists(data: Path) -> bool:
        """Whether this data directory has had its first start."""
        folder = data / FOLDER
        return folder.is_dir() and any(folder.iterdir())

    def setup(self) -> Setup | None:
        """The phrase's entropy and the asked places, or None once it is confirmed and erased."""
        path = self.path / SETUP
        return _decode_msgpack(path, Setup) if path.exists() else None

    def erase_setup(self) -> None:
        """Removes the entropy for good."""
        self._erase(SETUP)

    # --- changes; only under the lock of the data directory -------------------------------------------------

    def replace(self, identity: PublicIdentity, *, op: Ed25519PrivateKey, noise: bytes) -> None:
        """A new public identity with its keys, all or nothing; lifts a fence that `identity` is newer than. Raises Fatal."""
        assert op.public_key().public_bytes_raw() == identity.cert.op
        identity = msgspec.structs.replace(identity, version=IDENTITY_VERSION)
        journal = Journal(msgspec.json.encode(identity), op.private_bytes_raw(), noise)
        self._write(NEXT, msgspec.msgpack.encode(journal))
        self.settle()

    def settle(self) -> None:
        """Completes a change that a crash has cut short. Raises Fatal; then the next start tries again."""
        journal = self._journal()
        if journal is not None:
            self._write(IDENTITY, journal.identity)
            self._write(OP_KEY, journal.op)
            self._write(NOISE_KEY, journal.noise)
            self._erase(NEXT)
            self._read_own()
        self._erase_leftovers()
        self._lift_fence()

    def fence(self) -> Fence | None:
        """Why this copy must not write, or None."""
        path = self.path / FENCE
        return _decode(path, Fence) if path.exists() else None

    def put_fence(self, fence: Fence) -> None:
        """Keeps it until `replace` brings a newer identity. Raises Fatal."""
        self._write(FENCE, msgspec.json.encode(fence))

    def _lift_fence(self) -> None:
        fence = self.fence()
        own = (len(self.identity.rotations), self.identity.cert.incarnation)
        if fence is not None and own > (fence.rotations, fence.incarnation):
            self._erase(FENCE)

    def seqs(self) -> Seqs:
        """Sequence numbers of own records; zeros before the first."""
        path = self.path / RECORD_SEQ
        return _decode_msgpack(path, Seqs) if path.exists() else Seqs()

    def put_seqs(self, seqs: Seqs) -> None:
        """On disk when it returns. Raises Fatal."""
        self._write(RECORD_SEQ, msgspec.msgpack.encode(seqs))

    def _journal(self) -> Journal | None:
        path = self.path / NEXT
        return _decode_msgpack(path, Journal) if path.exists() else None

    def _write(self, name: str, data: bytes) -> None:
        try:
            write_private(self.path / name, data)
        except OSError as error:
            raise _unwritable(self.path / name, error) from error

    def _erase(self, name: str) -> None:
        """Takes the name away first, so that a crash leaves no file of zeros in its place."""
        spent = self.path / f".{name}{_SPENT}"
        try:
            (self.path / name).rename(spent)
            sync_folder(self.path)
            erase(spent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unwritable(self.path / name, error) from error

    def _erase_leftovers(self) -> None:
        for spent in self.path.glob(f".*{_SPENT}"):
            try:
                erase(spent)
            except OSError as error:
                raise _unwritable(spent, error) from error

    @property
    def tls(self) -> Path:
        """Folder of the web listener's certificate."""
        return self.path / TLS


# --- rights ---------------------------------------------------------------------------------------------


def check_rights(folder: Path) -> None:
    """Raises Fatal with KEYS_UNSAFE if somebody else can read the folder or anything in it."""
    for path in (folder, *sorted(folder.rglob("*"))):
        try:
            found = path.stat()
        except FileNotFoundError:
            if path == folder:
                raise
            continue  # a draft of the running node has got its name meanwhile
        least = PRIVATE_FOLDER if stat.S_ISDIR(found.st_mode) else PRIVATE_FILE
        if found.st_mode & _OTHERS:
            raise Fatal(
                ExitStatus.KEYS_UNSAFE,
                f"{path} can be read by others (mode {stat.S_IMODE(found.st_mode):04o}). Run: chmod {least:o} {path}",
            )
        if found.st_uid not in {os.geteuid(), 0}:
            raise Fatal(
                ExitStatus.KEYS_UNSAFE,
                f"{path} belongs to another user (uid {found.st_uid}). Run: chown {os.geteuid()} {path}",
            )


# --- files ----------------------------------------------------------------------------------------------


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _damaged(path, "it is missing") from None
    except OSError as error:
        raise _unwritable(path, error) from error


def _read_key(path: Path) -> bytes:
    key = _read(path)
    if len(key) != KEY_BYTES:
        raise _damaged(path, f"it has {len(key)} bytes instead of {KEY_BYTES}")
    return key


def _decode(path: Path, kind: type[T]) -> T:
    return _decode_json(_read(path), kind, path)


def _decode_json(data: bytes, kind: type[T], path: Path) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise _damaged(path, str(error)) from None


def _decode_msgpack(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(_read(path), type=kind)
    except msgspec.DecodeError as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, why: str) -> Fatal:
    return Fatal(ExitStatus.DATA_CORRUPT, f"{path} is damaged: {why}. Restore the folder keys/ from a backup.")


def _unwritable(path: Path, error: OSError) -> Fatal:
    return Fatal(
        ExitStatus.DATA_UNWRITABLE,
        f"{path} cannot be read or written ({error.strerror}). Check owner and rights of the data directory.",
    )
