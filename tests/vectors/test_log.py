"""docs/spec/vectors/log.json: event ids, body hashes, the chain and signed heads, computed from the file alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.base.ids import EventId, RoomId, UserId
from node.core import content, hub
from node.core.hub import Head
from node.wire import envelope
from tests.vectors import generate

LOG: dict[str, Any] = json.loads((generate.FOLDER / "log.json").read_text(encoding="utf-8"))
ROOM = RoomId(bytes.fromhex(LOG["room"]))
OP = bytes.fromhex(LOG["op_public"])
KEY = Ed25519PublicKey.from_public_bytes(OP)


def test_the_chain() -> None:
    head = Head()
    for entry in LOG["entries"]:
        assert entry["prev"] == head.hash.hex()
        event_id = EventId(bytes.fromhex(entry["event_id"]))
        head = hub.append(ROOM, head, event_id, entry["at_ms"])
        assert (head.epoch, head.idx, head.hash.hex()) == (entry["epoch"], entry["idx"], entry["log_hash"])
        covered = hashlib.sha256(b"startalk-room-v1\x00" + bytes.fromhex(entry["entry"]))
        assert covered.hexdigest() == entry["log_hash"]


@pytest.mark.parametrize("entry", LOG["entries"], ids=lambda entry: f"{entry['idx']} {entry['kind']}")
def test_event_and_body(entry: dict[str, Any]) -> None:
    data, salt, body = (bytes.fromhex(entry[name]) for name in ("event", "salt", "body"))
    event = envelope.decode_event(data)
    assert msgspec.msgpack.encode(event) == data
    assert envelope.event_id(data).hex() == entry["event_id"]
    assert (event.author, event.kind) == (entry["author"], entry["kind"])
    assert event.body_hash == hashlib.sha256(salt + body).digest() == bytes.fromhex(entry["body_hash"])
    assert content.encode_body(content.decode_body(event.kind, body)) == body
    assert event.room == (b"" if entry["idx"] == 1 else ROOM)


def test_the_first_event_names_the_room() -> None:
    assert LOG["entries"][0]["event_id"] == LOG["room"]


@pytest.mark.parametrize("signed", LOG["heads"], ids=lambda head: str(head["idx"]))
def test_signed_heads(signed: dict[str, Any]) -> None:
    head = Head(signed["epoch"], signed["idx"], bytes.fromhex(signed["log_hash"]))
    given = envelope.SignedHead(bytes.fromhex(signed["signed"]), bytes.fromhex(signed["signature"]))
    nid = bytes.fromhex(LOG["nid"])
    KEY.verify(given.signature, b"startalk-room-v1\x00" + given.signed)
    assert envelope.verify_head(OP, ROOM, head, generate.NODE, signed["incarnation"], given)
    assert not envelope.verify_head(OP, ROOM, Head(head.epoch, head.idx + 1, head.hash), generate.NODE, 1, given)
    with pytest.raises(InvalidSignature):
        KEY.verify(given.signature, given.signed)
    assert nid == generate.NODE


@pytest.mark.parametrize("direct", LOG["direct"], ids=lambda direct: direct["room"][:8])
def test_ids_of_direct_chats(direct: dict[str, Any]) -> None:
    first, second = (UserId(user) for user in direct["users"])
    assert hub.direct_room_id(first, second).hex() == hub.direct_room_id(second, first).hex() == direct["room"]
