"""docs/spec/vectors/rooms.json, read with nothing but msgpack, SHA-256 and Ed25519, and with the decoders of the program."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.base.errors import Rejected
from node.wire import exchange
from node.wire.codec import Decoder, encode

FILE: Final = Path(__file__).parents[2] / "docs" / "spec" / "vectors" / "rooms.json"
VECTORS: Final[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
ITEMS: Final[dict[str, dict[str, Any]]] = {item["name"]: item for item in VECTORS["items"]}
CONTEXT: Final = b"startalk-room-v1\x00"
DECODERS: Final[dict[str, Decoder[Any]]] = {
    "class 0": exchange.decode_room_item,
    "class 1": exchange.decode_direct_item,
    "log.range": exchange.decode_range,
    "log.range, answer": exchange.decode_range_page,
    "log.heads": exchange.decode_heads,
    "log.seen": exchange.decode_seen,
    "acks": exchange.decode_acks,
    "marks": exchange.decode_marks,
    "statements": exchange.decode_statements,
    "people": exchange.decode_people,
    "people, answer": exchange.decode_profiles,
    "whisper typing": exchange.decode_typing,
    "whisper presence": exchange.decode_presence,
}


def raw(name: str) -> list[Any]:
    """The array of an item."""
    found: list[Any] = msgspec.msgpack.decode(bytes.fromhex(ITEMS[name]["hex"]))
    return found


def node(name: str) -> tuple[bytes, Ed25519PublicKey]:
    said = VECTORS["nodes"][name]
    return bytes.fromhex(said["nid"]), Ed25519PublicKey.from_public_bytes(bytes.fromhex(said["op"]))


def digest(data: bytes) -> bytes:
    return hashlib.sha256(CONTEXT + data).digest()


@pytest.mark.parametrize("name", ITEMS)
def test_bytes_and_struct_agree(name: str) -> None:
    item = ITEMS[name]
    data = bytes.fromhex(item["hex"])
    decoded = DECODERS[item["travels"]](data)
    assert encode(decoded) == data


def test_every_item_has_a_vector() -> None:
    names = {struct.__struct_config__.tag for struct in (exchange.RoomItem | exchange.DirectItem).__args__}
    assert {raw(name)[0] for name, item in ITEMS.items() if item["travels"].startswith("class")} == names


@pytest.mark.parametrize("name", [name for name, item in ITEMS.items() if item["travels"].startswith("class")])
def test_a_newer_program_may_add_fields(name: str) -> None:
    decode = DECODERS[ITEMS[name]["travels"]]
    longer = decode(encode([*raw(name), "later"]))
    assert encode(longer) == bytes.fromhex(ITEMS[name]["hex"])
    with pytest.raises(Rejected):
        decode(encode(["nonsense", *raw(name)[1:]]))


def test_the_chain_of_entries() -> None:
    room, prev = bytes.fromhex(VECTORS["room"]), bytes(32)
    hub_nid, hub_key = node("A")
    for idx in range(1, 5):
        _, said_room, epoch, said_idx, at_ms, log_hash, event, signature, salt, body, head, *_ = raw(f"entry {idx}")
        fields = msgspec.msgpack.decode(event)
        assert (said_room, said_idx, epoch) == (room, idx, 1)
        assert fields[1] == (room if idx > 1 else b"")
        assert idx > 1 or digest(event) == room
        assert fields[8] == hashlib.sha256(salt + body).digest()
        prev = digest(encode([2, room, epoch, idx, prev, digest(event), at_ms]))
        assert prev == log_hash
        hub_key.verify(head, CONTEXT + encode([10, room, epoch, idx, log_hash, hub_nid, 1]))
        if fields[4] != hub_nid:
            node("B")[1].verify(signature, CONTEXT + event)
        else:
            assert signature is None


def test_what_else_is_signed() -> None:
    room = bytes.fromhex(VECTORS["room"])
    (hub_nid, hub_key), (nid, key) = node("A"), node("B")
    _, _, event_id, code, _, signature = raw("reject")
    hub_key.verify(signature, CONTEXT + encode([9, room, event_id, code, hub_nid, 1]))
    _, epoch, idx, log_hash, _, _, acked = raw("acks")[0][0]
    key.verify(acked, CONTEXT + encode([3, room, epoch, idx, log_hash, nid, 1]))
    _, user, name, at_ms, _, named, _ = raw("profile")
    key.verify(named, CONTEXT + encode([11, user, name, at_ms, nid, 1]))


def test_the_proof_convinces_by_itself() -> None:
    _, room, hub_nid, one, other, fork, steps, _ = raw("proof")
    assert hub_nid == node("A")[0]
    for epoch, idx, log_hash, incarnation, signature in (one, other):
        node("A")[1].verify(signature, CONTEXT + encode([10, room, epoch, idx, log_hash, hub_nid, incarnation]))
    assert fork != one[2]
    at, idx = fork, one[1]
    for event_id, at_ms in steps:
        idx += 1
        at = digest(encode([2, room, one[0], idx, at, event_id, at_ms]))
    assert (idx, at) == (other[1], other[2])
