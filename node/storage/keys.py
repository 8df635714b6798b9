"""The folder ``keys/`` of the data directory: every secret that is not in the database.

==================  ==============================================================================================
file                content
==================  ==============================================================================================
``identity.json``   public: inception, op certificate, public half of the backup key
``op.key``          Ed25519 private key of the running node, 32 bytes
``noise.key``       X25519 private key of node-to-node links, 32 bytes; replaced together with the op key
``secrets.json``    ring of AES-256-GCM keys for secrets in the database
``pepper.json``     ring of peppers, applied to passwords before argon2id
``setup``           entropy of the recovery phrase, only until its owner has confirmed it
``tls/``            certificate and key of the web listener (node/runtime/tls.py)
==================  ==============================================================================================

Invariants: the folder is 0700 and each file 0600, and a node refuses to start when others can read one. The folder
appears whole: it is filled under another name and renamed, so a crash at first start leaves nothing half-made.
Files change only by write, fsync, rename, fsync of the folder. The keys are not encrypted at rest: who can
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

from node.base.errors import ExitStatus, Fatal
from node.runtime.privatefile import PRIVATE_FILE, PRIVATE_FOLDER, erase, sync_folder, write_private
from node.wire.keys import ENTROPY_BYTES, KEY_BYTES, Inception, OpCert

FOLDER: Final = "keys"
IDENTITY: Final = "identity.json"
OP_KEY: Final = "op.key"
NOISE_KEY: Final = "noise.key"
SECRETS: Final = "secrets.json"
PEPPER: Final = "pepper.json"
SETUP: Final = "setup"
TLS: Final = "tls"
_UNFINISHED: Final = ".keys.new"
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
    """``identity.json``: what others may know. Bytes are base64 in the file."""

    version: Annotated[int, Meta(ge=1, le=1)] = 1
    inception: Inception
    cert: OpCert
    backup_public: Key


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


class KeyFolder:
    """The keys of one data directory, read and checked when opened."""

    def __init__(self, data: Path) -> None:
        """Opens an existing folder. Raises Fatal: KEYS_UNSAFE, DATA_CORRUPT or DATA_UNWRITABLE."""
        self.path: Final = data / FOLDER
        check_rights(self.path)
        self.identity: Final = _decode(self.path / IDENTITY, PublicIdentity)
        self.op: Final = Ed25519PrivateKey.from_private_bytes(_read_key(self.path / OP_KEY))
        self.noise: Final = _read_key(self.path / NOISE_KEY)
        self.secrets: Final = _decode(self.path / SECRETS, Ring)
        self.pepper: Final = _decode(self.path / PEPPER, Ring)
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
        path = self.path / SETUP
        try:
            erase(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unwritable(path, error) from error

    @property
    def tls(self) -> Path:
        """Folder of the web listener's certificate."""
        return self.path / TLS


# --- rights ---------------------------------------------------------------------------------------------


def check_rights(folder: Path) -> None:
    """Raises Fatal with KEYS_UNSAFE if somebody else can read the folder or anything in it."""
    for path in (folder, *sorted(folder.rglob("*"))):
        found = path.stat()
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
    try:
        return msgspec.json.decode(_read(path), type=kind)
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
