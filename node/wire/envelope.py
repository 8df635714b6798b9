"""The signed part of an event, and signed heads.

Layout (msgpack array, the bytes as received are hashed and signed):

====  ===========  ==========================================================================================
 #    field        meaning
====  ===========  ==========================================================================================
 0    tag          1
 1    room         32 bytes; empty in the first event of a group only
 2    author       canonical user id
 3    device       16 bytes
 4    nid          32 bytes, the author's node
 5    incarnation  of that node's op key
 6    author_seq   max(previous + 1, unix ms) of that node
 7    kind         kind of the body
 8    body_hash    SHA-256(salt ‖ body)
 9    seen         [epoch, idx] of the last entry the author's node had, or nil
====  ===========  ==========================================================================================

An event whose author's node is the hub carries no signature of its own: the hub's signed head covers the entry,
which covers the event, and both would be made with the same key (docs/adr/0004).

A head is ``[10, room, epoch, idx, log hash, hub nid, incarnation]``; its signature is Ed25519 over
``CONTEXT ‖ msgpack`` of it with the hub's op key.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from node.base.ids import DeviceId, EventId, NodeId, RoomId, UserId
from node.core import hub
from node.core.hub import Head
from node.wire.codec import Decoder, encode


class Event(Struct, frozen=True, array_like=True):
    """See the table above."""

    tag: int
    room: bytes
    author: str
    device: bytes
    nid: bytes
    incarnation: int
    author_seq: int
    kind: str
    body_hash: bytes
    seen: tuple[int, int] | None = None


class SignedHead(Struct, frozen=True, array_like=True):
    """A head and its hub's signature; `signed` is the msgpack of the fields named above."""

    signed: bytes
    signature: bytes


EVENT_BYTES_MAX: Final = 1024
decode_event: Decoder[Event] = Decoder(Event, size_bytes_max=EVENT_BYTES_MAX, what="event")


def make_event(
    *,
    room: RoomId | None,
    author: UserId,
    device: DeviceId,
    nid: NodeId,
    incarnation: int,
    author_seq: int,
    kind: str,
    body_hash: bytes,
) -> bytes:
    """The signed part of an event made on its author's node."""
    return encode((hub.TAG_EVENT, room or b"", author, device, nid, incarnation, author_seq, kind, body_hash, None))


def event_id(event: bytes) -> EventId:
    """SHA-256 of the signed part."""
    return EventId(hub.digest(event))


def sign_head(key: Ed25519PrivateKey, room: RoomId, head: Head, nid: NodeId, incarnation: int) -> SignedHead:
    """The hub's word for every entry up to `head`."""
    signed = encode((hub.TAG_HEAD, room, head.epoch, head.idx, head.hash, nid, incarnation))
    return SignedHead(signed, key.sign(hub.CONTEXT + signed))


def verify_head(
    key: Ed25519PublicKey, room: RoomId, head: Head, nid: NodeId, incarnation: int, signed: SignedHead
) -> bool:
    """Whether `signed` says exactly this, by `key`."""
    expected = encode((hub.TAG_HEAD, room, head.epoch, head.idx, head.hash, nid, incarnation))
    if signed.signed != expected:
        return False
    try:
        key.verify(signed.signature, hub.CONTEXT + signed.signed)
    except InvalidSignature:
        return False
    return True
