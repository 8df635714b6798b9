"""Everything about rooms that is signed: events, heads, acknowledgements, refusals, display names. The only maker of `Verified`.

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

Signed parts, each a msgpack array; the signature is Ed25519 over ``CONTEXT ‖ msgpack`` with the op key of the node named in it:

========  ==============================================================  ====================================================
 object    fields                                                          meaning
========  ==============================================================  ====================================================
 event     as above                                                        this node vouches for its user's words
 head      [10, room, epoch, idx, log hash, hub nid, incarnation]          the hub's word for every entry up to idx
 ack       [3, room, epoch, idx, log hash, voter nid, incarnation]         this node has every entry up to idx on disk
 reject    [9, room, event id, code, hub nid, incarnation]                 the hub refused this event for good
 profile   [11, user, name, at_ms, nid, incarnation]                       what the user's node says they are called
========  ==============================================================  ====================================================
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from node.base.errors import Code, Rejected
from node.base.ids import DeviceId, EventId, NodeId, RoomId, UserId, parse_user
from node.core import hub
from node.core.hub import Head
from node.wire.codec import Decoder, encode
from node.wire.keys import SigningKey, is_signed


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


T = TypeVar("T")


class Key(Struct, frozen=True):
    """An op key that was certified for a node: what `wire.keys.check_identity` proved."""

    nid: NodeId
    incarnation: int
    op: bytes


class Verified(Struct, Generic[T], frozen=True):
    """Proof that `value` was signed by `key`; `raw` are the bytes as received. Only functions of this module make one."""

    value: T
    raw: bytes
    key: Key


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
    seen: tuple[int, int] | None = None,
) -> bytes:
    """The signed part of an event made on its author's node."""
    return encode((hub.TAG_EVENT, room or b"", author, device, nid, incarnation, author_seq, kind, body_hash, seen))


def with_incarnation(event: Event, incarnation: int) -> bytes:
    """The signed part of the same event for another op key."""
    return encode(msgspec.structs.replace(event, incarnation=incarnation))


def event_id(event: bytes) -> EventId:
    """SHA-256 of the signed part."""
    return EventId(hub.digest(event))


def sign_head(key: Ed25519PrivateKey, room: RoomId, head: Head, nid: NodeId, incarnation: int) -> SignedHead:
    """The hub's word for every entry up to `head`."""
    signed = head_bytes(room, head, nid, incarnation)
    return SignedHead(signed, sign(key, signed))


def verify_head(public: bytes, room: RoomId, head: Head, nid: NodeId, incarnation: int, signed: SignedHead) -> bool:
    """Whether `signed` says exactly this, by the key `public`."""
    expected = head_bytes(room, head, nid, incarnation)
    return signed.signed == expected and is_signed(public, signed.signature, hub.CONTEXT + signed.signed)


# --- events between nodes -------------------------------------------------------------------------------


def sign_event(key: Ed25519PrivateKey | SigningKey, event: bytes) -> bytes:
    """This node vouches for an event of its own user."""
    return key.sign(hub.CONTEXT + event)


def verify_event(key: Key, raw: bytes, signature: bytes | None, room: RoomId) -> Verified[Event]:
    """An event of `room` (or the first one of it) by a user of the node `key` belongs to. Raises Rejected.

    Without a signature it is an event of the hub's own user, for which the hub's chain vouches: the caller has taken it from
    an authenticated link to that hub, and `key` is the hub's.
    """
    event = decode_event(raw)
    _check_names(event, key, raw, room)
    if signature is not None:
        _check(key, raw, signature)
    return Verified(event, raw, key)


def own_event(key: Key, raw: bytes, room: RoomId) -> Verified[Event]:
    """An event that this node made and signed, with this very signature, and still remembers: it is not computed again."""
    event = decode_event(raw)
    _check_names(event, key, raw, room)
    return Verified(event, raw, key)


def _check_names(event: Event, key: Key, raw: bytes, room: RoomId) -> None:
    if event.tag != hub.TAG_EVENT:
        raise _bad("This is not an event.")
    if (event.nid, event.incarnation) != (key.nid, key.incarnation):
        raise _bad("The event names another node or incarnation than the one that signed it.")
    try:
        author = parse_user(event.author)[1]
    except ValueError:
        raise _bad("The author of the event is not a user id.") from None
    if author != key.nid:
        raise _bad("A node vouches for its own users only.")
    if event.room and event.room != room:
        raise _bad("The event belongs to another room.")
    if not event.room and bytes(event_id(raw)) != bytes(room):
        raise _bad("Only the first event of a room is without its id.")


def _check(key: Key, signed: bytes, signature: bytes) -> None:
    if not is_signed(key.op, signature, hub.CONTEXT + signed):
        raise _bad("The signature does not fit.")


def _bad(text: str) -> Rejected:
    return Rejected(Code.BAD_SIGNATURE, text)


# --- what nodes say about rooms --------------------------------------------------------------------------


def head_bytes(room: RoomId, head: Head, nid: NodeId, incarnation: int) -> bytes:
    """The signed part of a head."""
    return encode((hub.TAG_HEAD, room, head.epoch, head.idx, head.hash, nid, incarnation))


def ack_bytes(room: RoomId, head: Head, nid: NodeId, incarnation: int) -> bytes:
    """The signed part of an acknowledgement."""
    return encode((hub.TAG_ACK, room, head.epoch, head.idx, head.hash, nid, incarnation))


def reject_bytes(room: RoomId, event: EventId, code: str, nid: NodeId, incarnation: int) -> bytes:
    """The signed part of a refusal."""
    return encode((hub.TAG_REJECT, room, event, code, nid, incarnation))


def profile_bytes(user: UserId, name: str, at_ms: int, nid: NodeId, incarnation: int) -> bytes:
    """The signed part of a display name."""
    return encode((hub.TAG_PROFILE, user, name, at_ms, nid, incarnation))


def sign(key: Ed25519PrivateKey | SigningKey, signed: bytes) -> bytes:
    """A signature over one of the signed parts above, which this node composed itself."""
    return key.sign(hub.CONTEXT + signed)


def check(key: Key, signed: bytes, signature: bytes) -> None:
    """Raises Rejected with `bad_signature` unless `key` signed exactly this."""
    _check(key, signed, signature)
