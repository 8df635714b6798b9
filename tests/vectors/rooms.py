"""Makes docs/spec/vectors/rooms.json: what two nodes say about a group of theirs, each item byte by byte, and what was signed.

Alice's node A is the hub, Bob's node B follows. Every byte follows from constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base.ids import ClientId, DeviceId, EventId, NodeId, RoomId, UserId, make_user
from node.core import content, hub
from node.core.content import Body
from node.core.hub import Head
from node.wire import envelope, exchange, keys
from node.wire.codec import encode

T0: Final = 1_764_000_000_000
NAMES: Final = ("A", "B")


def _bytes(label: str, size: int = 32) -> bytes:
    return hashlib.sha256(f"startalk rooms {label}".encode()).digest()[:size]


class Who:
    """A node of the story."""

    def __init__(self, name: str) -> None:
        self.phrase = _bytes(f"phrase {name}")
        self.op = Ed25519PrivateKey.from_private_bytes(_bytes(f"op {name}"))
        self.chain = keys.make_chain(self.phrase, 0)
        self.nid = keys.node_id(self.chain[0])
        root = keys.derive_root(self.phrase, 0)
        public = self.op.public_key().public_bytes_raw()
        self.cert = keys.sign_cert(root, nid=self.nid, op=public, now_s=T0 // 1000, incarnation=1)
        self.signer = exchange.SignerCert(encode(self.chain), encode(self.cert))

    def sign(self, signed: bytes) -> bytes:
        return envelope.sign(self.op, signed)


A, B = (Who(name) for name in NAMES)
ALICE: Final = make_user("alice", A.nid)
BOB: Final = make_user("bob", B.nid)
TOKEN: Final = ClientId(_bytes("token", 16))


class Story:
    """The log of the group, as the hub makes it."""

    def __init__(self) -> None:
        self.room = RoomId(b"")
        self.head = Head()
        self.entries: list[exchange.Entry] = []

    def tell(self, who: Who, author: UserId, kind: str, body: Body) -> exchange.Entry:
        number = len(self.entries)
        salt, data = _bytes(f"salt {number}", hub.SALT_BYTES), content.encode_body(body)
        event = envelope.make_event(
            room=self.room or None, author=author, device=DeviceId(_bytes(f"device {author}", 16)), nid=who.nid, incarnation=1,
            author_seq=T0 + number, kind=kind, body_hash=hub.body_hash(salt, data),
        )  # fmt: skip
        event_id = envelope.event_id(event)
        self.room = self.room or RoomId(event_id)
        self.head = hub.append(self.room, self.head, event_id, T0 + 1000 * number)
        signature = None if who is A else who.sign(event)
        head = A.sign(envelope.head_bytes(self.room, self.head, A.nid, 1))
        signers = (B.signer,) if who is B and not any(entry.signers for entry in self.entries) else ()
        entry = exchange.Entry(
            self.room, 1, self.head.idx, T0 + 1000 * number, self.head.hash, event, signature, salt, data, head, signers
        )
        self.entries.append(entry)
        return entry


def story() -> Story:
    made = Story()
    made.tell(A, ALICE, "create", content.Create(name="Sunday walk 周日"))
    made.tell(A, ALICE, "invite", content.Invite(user=BOB))
    made.tell(B, BOB, "join", content.Join())
    made.tell(B, BOB, "text", content.Text(text="Where do we meet?"))
    return made


STORY: Final = story()
ROOM: Final = STORY.room


def _seen(head: Head) -> exchange.SeenHead:
    signature = A.sign(envelope.head_bytes(ROOM, head, A.nid, 1))
    return exchange.SeenHead(head.epoch, head.idx, head.hash, 1, signature)


def proof() -> exchange.Proof:
    """The hub also signed another third entry."""
    second, third, fourth = (STORY.entries[number] for number in (1, 2, 3))
    before = Head(1, second.idx, second.log_hash)
    other = hub.append(ROOM, before, EventId(_bytes("another event")), third.at_ms)
    steps = (exchange.Step(envelope.event_id(fourth.event), fourth.at_ms),)
    shown = _seen(Head(1, fourth.idx, fourth.log_hash))
    return exchange.Proof(ROOM, A.nid, _seen(other), shown, third.log_hash, steps, A.signer)


def ack() -> exchange.Ack:
    last = STORY.entries[-1]
    head = Head(1, last.idx, last.log_hash)
    signature = B.sign(envelope.ack_bytes(ROOM, head, B.nid, 1))
    return exchange.Ack(ROOM, 1, last.idx, last.log_hash, B.nid, 1, signature)


def profile() -> exchange.Profile:
    signature = B.sign(envelope.profile_bytes(BOB, "Bob", T0, B.nid, 1))
    return exchange.Profile(BOB, "Bob", T0, 1, signature, B.signer)


def said() -> dict[str, tuple[str, msgspec.Struct]]:
    """(where it travels, what) by name."""
    text = STORY.entries[3]
    assert text.signature is not None
    assert text.salt is not None
    assert text.body is not None
    event_id = envelope.event_id(text.event)
    erased = msgspec.structs.replace(text, salt=None, body=None, head=None)
    submit = exchange.Submit(ROOM, text.event, text.signature, text.salt, text.body)
    refused = A.sign(envelope.reject_bytes(ROOM, event_id, "muted", A.nid, 1))
    head = exchange.RoomHead(ROOM, 1, text.idx, text.log_hash)
    return {
        **{f"entry {entry.idx}": ("class 0", entry) for entry in STORY.entries},
        "entry, erased": ("class 0", erased),
        "news": ("class 0", exchange.News(ROOM, 4)),
        "submit": ("class 0", submit),
        "submit, by a link": ("class 0", msgspec.structs.replace(submit, token=TOKEN)),
        "reject": ("class 1", exchange.Reject(ROOM, event_id, "muted", "You are muted in this chat.", refused)),
        "offer": ("class 1", exchange.Offer(ROOM, "Sunday walk 周日", 1, ALICE, "Alice", BOB, T0)),
        "withdraw": ("class 1", exchange.Withdraw(ROOM, BOB)),
        "ask": ("class 1", exchange.Ask(BOB, "Bob", "alice", "May I write to you?", T0)),
        "ask, with the token of a contact link": ("class 1", exchange.Ask(BOB, "Bob", "alice", "", T0, TOKEN)),
        "answer": ("class 1", exchange.Answer(ALICE, "Alice", BOB)),
        "profile": ("class 1", profile()),
        "proof": ("class 1", proof()),
        "range": ("log.range", exchange.Range(ROOM, 3, 500)),
        "range page": ("log.range, answer", exchange.RangePage(tuple(STORY.entries[2:]), 4)),
        "heads": ("log.heads", exchange.Heads((head,))),
        "seen": ("log.seen", exchange.Seen((exchange.Shown(ROOM, A.nid, _seen(STORY.head)),))),
        "acks": ("acks", exchange.Acks((ack(),), (B.signer,))),
        "marks": ("marks", exchange.Marks((exchange.Mark(ROOM, BOB, 4, 3, T0),))),
        "statements": ("statements", exchange.Statements((_bytes("a record that is not one"),))),
        "people": ("people", exchange.People((BOB,))),
        "profiles": ("people, answer", exchange.Profiles((profile(),))),
        "typing": ("whisper typing", exchange.TypingNow(ROOM, BOB, True)),
        "presence": ("whisper presence", exchange.PresenceNow(ROOM, BOB, "online")),
    }


def rooms_vectors(to_json: Callable[[Any], Any]) -> dict[str, Any]:
    """The content of rooms.json."""
    return {
        "nodes": {
            name: {"nid": who.nid.hex(), "op": who.op.public_key().public_bytes_raw().hex(), "incarnation": 1}
            for name, who in zip(NAMES, (A, B), strict=True)
        },
        "room": ROOM.hex(),
        "items": [
            {
                "name": name,
                "travels": where,
                "hex": encode(item).hex(),
                "array": to_json(msgspec.msgpack.decode(encode(item))),
            }
            for name, (where, item) in said().items()
        ],
    }


def nodes() -> dict[NodeId, Who]:
    """By id."""
    return {who.nid: who for who in (A, B)}
