"""The signed part of an event and signed heads."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base.errors import Rejected
from node.base.ids import DeviceId, NodeId, RoomId, make_user
from node.core.hub import Head
from node.wire import envelope

NID = NodeId(bytes(range(32)))
ROOM = RoomId(bytes(range(1, 33)))
ALICE = make_user("alice", NID)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
HEAD = Head(1, 7, bytes(range(2, 34)))


def event(room: RoomId | None = ROOM) -> bytes:
    return envelope.make_event(
        room=room, author=ALICE, device=DeviceId(bytes(16)), nid=NID, incarnation=1, author_seq=5, kind="text", body_hash=bytes(32)
    )  # fmt: skip


def test_an_event_says_what_it_was_told() -> None:
    read = envelope.decode_event(event())
    assert (read.room, read.author, read.nid, read.kind, read.author_seq) == (ROOM, ALICE, NID, "text", 5)
    assert envelope.decode_event(event(None)).room == b""
    assert envelope.event_id(event()) != envelope.event_id(event(None))


def test_an_event_is_small() -> None:
    with pytest.raises(Rejected):
        envelope.decode_event(event() + bytes(envelope.EVENT_BYTES_MAX))


def test_a_signed_head_covers_every_field() -> None:
    signed = envelope.sign_head(KEY, ROOM, HEAD, NID, 1)
    public = KEY.public_key().public_bytes_raw()
    assert envelope.verify_head(public, ROOM, HEAD, NID, 1, signed)
    other = RoomId(bytes(32))
    for room, head, nid, incarnation in (
        (other, HEAD, NID, 1),
        (ROOM, Head(1, 8, HEAD.hash), NID, 1),
        (ROOM, Head(2, 7, HEAD.hash), NID, 1),
        (ROOM, Head(1, 7, bytes(32)), NID, 1),
        (ROOM, HEAD, NodeId(bytes(32)), 1),
        (ROOM, HEAD, NID, 2),
    ):
        assert not envelope.verify_head(public, room, head, nid, incarnation, signed)
    forged = envelope.SignedHead(signed.signed, signed.signature[:-1] + bytes([signed.signature[-1] ^ 1]))
    assert not envelope.verify_head(public, ROOM, HEAD, NID, 1, forged)
    stranger = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)).public_key().public_bytes_raw()
    assert not envelope.verify_head(stranger, ROOM, HEAD, NID, 1, signed)
