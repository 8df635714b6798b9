"""The hub gives a room one total order: entries with epoch, idx and a hash chain.

    event id = SHA-256(CONTEXT ‖ event bytes)           the signed part of the event, as received
    entry    = msgpack([2, room, epoch, idx, prev, event id, at_ms])
    log hash = SHA-256(CONTEXT ‖ entry bytes)            `prev` of the next entry

`prev` of the first entry (idx 1) is 32 zero bytes. The hub signs *heads*, not entries: a head covers every
entry before it by the chain. The body travels beside the event, which holds only
``body hash = SHA-256(16 random bytes ‖ body)``: an erased body leaves id and chain valid and cannot be guessed.
Source: design of the room log; the chain is the classic hash chain (Haber and Stornetta 1991).
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from node.base.ids import EventId, RoomId, UserId

CONTEXT: Final = b"startalk-room-v1\x00"
DIRECT_CONTEXT: Final = b"startalk-dm-v1\x00"
TAG_EVENT: Final = 1
TAG_ENTRY: Final = 2
TAG_HEAD: Final = 10  # signed part of a head
ZERO_HASH: Final = bytes(32)
SALT_BYTES: Final = 16
EPOCH_FIRST: Final = 1

_encode = msgspec.msgpack.Encoder().encode


class Head(Struct, frozen=True):
    """The last entry of a log: `idx` 0 and zero hash before the first one."""

    epoch: int = EPOCH_FIRST
    idx: int = 0
    hash: bytes = ZERO_HASH


def digest(data: bytes) -> bytes:
    """SHA-256 in the room context: the id of an event, the log hash of an entry."""
    return hashlib.sha256(CONTEXT + data).digest()


def body_hash(salt: bytes, body: bytes) -> bytes:
    """What the event says about its body."""
    return hashlib.sha256(salt + body).digest()


def entry_bytes(room: RoomId, epoch: int, idx: int, prev: bytes, event: EventId, at_ms: int) -> bytes:
    """The bytes that the log hash covers."""
    return _encode((TAG_ENTRY, room, epoch, idx, prev, event, at_ms))


def append(room: RoomId, head: Head, event: EventId, at_ms: int) -> Head:
    """The head after one more entry."""
    idx = head.idx + 1
    return Head(head.epoch, idx, digest(entry_bytes(room, head.epoch, idx, head.hash, event, at_ms)))


def direct_room_id(a: UserId, b: UserId) -> RoomId:
    """The id of the direct chat of two people, whoever asks."""
    smaller, larger = sorted((a, b))
    return RoomId(hashlib.sha256(DIRECT_CONTEXT + _encode([smaller, larger])).digest())
