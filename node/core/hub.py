"""The hub gives a room one total order: entries with epoch, idx and a hash chain; the other nodes acknowledge it.

    event id = SHA-256(CONTEXT ‖ event bytes)           the signed part of the event, as received
    entry    = msgpack([2, room, epoch, idx, prev, event id, at_ms])
    log hash = SHA-256(CONTEXT ‖ entry bytes)            `prev` of the next entry

`prev` of the first entry (idx 1) is 32 zero bytes. The hub signs *heads*, not entries: a head covers every
entry before it by the chain. The body travels beside the event, which holds only
``body hash = SHA-256(16 random bytes ‖ body)``: an erased body leaves id and chain valid and cannot be guessed.
Source: design of the room log; the chain is the classic hash chain (Haber and Stornetta 1991).

*Voters* are the nodes of a room, at most `VOTERS_MAX`, by the place of their first present member; the hub is one. An entry
is *stable* once the hub and enough other voters acknowledged the same (epoch, idx, hash): a plain majority of up to three
voters, and of more the hub with a strict majority of the *others*, so that two quorums share a node that is not the hub.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from node.base.ids import EventId, NodeId, RoomId, UserId, parse_user

CONTEXT: Final = b"startalk-room-v1\x00"
DIRECT_CONTEXT: Final = b"startalk-dm-v1\x00"
TAG_EVENT: Final = 1
TAG_ENTRY: Final = 2
TAG_ACK: Final = 3  # signed part of an acknowledgement
TAG_REJECT: Final = 9  # signed part of a refusal
TAG_HEAD: Final = 10  # signed part of a head
TAG_PROFILE: Final = 11  # signed part of a display name
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


def acks_needed(voters: int) -> int:
    """How many voters other than the hub must have acknowledged an entry to make it stable."""
    assert voters >= 1
    if voters <= 3:
        return min(1, voters - 1)
    return (voters - 1) // 2 + 1


def stable_idx(acked: Sequence[int], voters: int, head_idx: int) -> int:
    """The last stable entry; `acked` is the idx that each of the other voters acknowledged on the hub's own chain."""
    needed = acks_needed(voters)
    if needed == 0:
        return head_idx
    ranked = sorted(acked, reverse=True)
    return min(head_idx, ranked[needed - 1]) if len(ranked) >= needed else 0


def direct_hub(a: UserId, b: UserId) -> NodeId:
    """The hub of the direct chat of two people: the smaller of their node ids."""
    return min(parse_user(a)[1], parse_user(b)[1])


def direct_room_id(a: UserId, b: UserId) -> RoomId:
    """The id of the direct chat of two people, whoever asks."""
    smaller, larger = sorted((a, b))
    return RoomId(hashlib.sha256(DIRECT_CONTEXT + _encode([smaller, larger])).digest())
