"""Makes docs/spec/vectors/{c2s,c2s-invalid,log,identity,record,rooms}.json: ``python -m tests.vectors.generate``.

One small story gives all of them: Alice of ``casa`` creates a group, Bob joins, they write, correct and take back. Every
byte follows from constants, so a file differs only when the format does, and tests ask that the files are what this makes.

In JSON a frame is its msgpack array: bytes are ``{"hex": "…"}``, maps are objects, nil is null.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base.ids import DeviceId, EventId, NodeId, RoomId, UserId, make_user
from node.core import content, hub
from node.core.content import Body
from node.core.hub import Head
from node.wire import c2s, envelope
from tests.vectors import calls, focus, identities, links, rooms

FOLDER: Final = Path(__file__).parents[2] / "docs" / "spec" / "vectors"
T0: Final = 1_764_000_000_000  # unix ms at which the story begins
INCARNATION: Final = 1


def _bytes(label: str, size: int = 32) -> bytes:
    """Bytes that look random and are the same for ever."""
    return hashlib.sha256(f"startalk vectors {label}".encode()).digest()[:size]


NODE: Final = NodeId(_bytes("casa"))
KEY: Final = Ed25519PrivateKey.from_private_bytes(_bytes("op key"))
ALICE: Final = make_user("alice", NODE)
BOB: Final = make_user("bob", NODE)
CAROL: Final = make_user("carol", NODE)
DEVICES: Final = {user: DeviceId(_bytes(f"device of {user}", 16)) for user in (ALICE, BOB, CAROL)}
SALT_LABEL: Final = "salt"


class Told(msgspec.Struct, frozen=True):
    """One entry of the story with everything that leads to its hash."""

    author: UserId
    kind: str
    at_ms: int
    event: bytes
    event_id: EventId
    salt: bytes
    body: bytes
    prev: Head
    head: Head

    def entry(self, room: RoomId, seq: int) -> c2s.Entry:
        """As devices get it."""
        return c2s.Entry(
            seq, room, self.head.epoch, self.head.idx, self.at_ms, self.event_id, self.event, self.salt, self.body
        )


class Story:
    """Appends events as a hub does."""

    def __init__(self) -> None:
        self.room: RoomId | None = None
        self.head = Head()
        self.told: list[Told] = []

    def tell(self, author: UserId, kind: str, body: Body) -> Told:
        """One more event."""
        at_ms = T0 + 1000 * self.head.idx
        salt = _bytes(f"{SALT_LABEL} {self.head.idx}", hub.SALT_BYTES)
        data = content.encode_body(body)
        event = envelope.make_event(
            room=self.room,
            author=author,
            device=DEVICES[author],
            nid=NODE,
            incarnation=INCARNATION,
            author_seq=at_ms,
            kind=kind,
            body_hash=hub.body_hash(salt, data),
        )
        event_id = envelope.event_id(event)
        self.room = self.room or RoomId(event_id)
        prev, self.head = self.head, hub.append(self.room, self.head, event_id, at_ms)
        told = Told(author, kind, at_ms, event, event_id, salt, data, prev, self.head)
        self.told.append(told)
        return told


def tell_story() -> Story:
    """create, invite, join, text, reply with mention, edit, reaction, text, recall, redact, unknown kind, rename."""
    story = Story()
    story.tell(ALICE, "create", content.Create(name="Sunday walk 周日", topic="Bring water"))
    story.tell(ALICE, "invite", content.Invite(user=BOB))
    story.tell(BOB, "join", content.Join())
    hello = story.tell(ALICE, "text", content.Text(text="Where do we meet?"))
    reply = content.ReplyTo(event=hello.event_id, author=ALICE, quote="Where do we meet?")
    mention = content.Mention(user=ALICE, start=0, len=6)
    answer = story.tell(
        BOB, "text", content.Text(text="@alice at the *mill* 🥾", format="md", reply_to=reply, mentions=(mention,))
    )
    story.tell(BOB, "edit", content.Edit(target=answer.event_id, text="at the bridge"))
    story.tell(ALICE, "reaction", content.Reaction(target=answer.event_id, value="👍"))
    slip = story.tell(ALICE, "text", content.Text(text="wrong chat"))
    story.tell(ALICE, "recall", content.Recall(target=slip.event_id))
    shout = story.tell(BOB, "text", content.Text(text="line one\nline two"))
    story.tell(ALICE, "redact", content.Redact(target=shout.event_id, reason="off topic"))
    story.tell(BOB, "x.poll", content.Unknown(fallback="Poll: bridge or mill?"))
    story.tell(ALICE, "name", content.Rename(name="Sunday walk"))
    return story


STORY: Final = tell_story()
assert STORY.room is not None
ROOM: Final = STORY.room
DIRECT: Final = hub.direct_room_id(ALICE, BOB)
CLIENT_ID: Final = bytes.fromhex("019ab5d0c4007a11b2c3d4e5f6a7b8c9")  # a UUIDv7
SEQ0: Final = 41  # feed position of the story's first entry is SEQ0 + 1


def entries() -> list[c2s.Entry]:
    """The story as a device gets it later: what was recalled and redacted (and its edits) has no body."""
    erased = {8, 10}
    made = [told.entry(ROOM, SEQ0 + told.head.idx) for told in STORY.told]
    return [msgspec.structs.replace(e, salt=None, body=None) if e.idx in erased else e for e in made]


def marks() -> tuple[c2s.Mark, ...]:
    """What the story did to its messages."""
    return (
        c2s.Mark(5, 1, STORY.told[5].body, "", None, "", {"👍": (ALICE,)}),
        c2s.Mark(8, 0, None, "recall", ALICE, "", {}),
        c2s.Mark(10, 0, None, "redact", ALICE, "off topic", {}),
    )


# --- c2s.json -------------------------------------------------------------------------------------------


def client_frames() -> dict[str, c2s.Frame]:
    """Every frame a device may send."""
    text = content.encode_body(content.Text(text="你好, Bob"))
    create = content.encode_body(content.Create(name="Sunday walk"))
    return {
        "hello, first visit": c2s.Hello(c2s.VERSION),
        "hello, resumed": c2s.Hello(c2s.VERSION, SEQ0 + 3, "startalk-web 0.1"),
        "hello, cursor zero": c2s.Hello(c2s.VERSION, 0),
        "ack": c2s.Ack(SEQ0 + 13),
        "ack of the largest integer": c2s.Ack(2**53),
        "post text": c2s.Post(1, ROOM, CLIENT_ID, "text", text),
        "post create with guests": c2s.Post(2, b"", CLIENT_ID, "create", create, (BOB, CAROL)),
        "post join by link": c2s.Post(
            3, ROOM, CLIENT_ID, "join", content.encode_body(content.Join(via="link")), (), _bytes("token", 16)
        ),
        "post leave": c2s.Post(4, ROOM, CLIENT_ID, "leave", content.encode_body(content.Leave())),
        "history, newest": c2s.History(5, ROOM, 0),
        "history, back": c2s.History(6, ROOM, 120, True, 200),
        "history, forward": c2s.History(7, ROOM, 1, False, 1),
        "read": c2s.Read(8, ROOM, 5),
        "typing": c2s.Typing(ROOM),
        "typing stopped": c2s.Typing(ROOM, False),
        "presence online": c2s.Presence("online"),
        "presence away": c2s.Presence("away"),
        "ping": c2s.Ping(1234),
    }


def node_frames() -> dict[str, c2s.Frame]:
    """Every frame a node may send."""
    told = entries()
    raws = tuple(c2s.encode_entry(entry) for entry in told)
    people = (c2s.Person(ALICE, "Alice"), c2s.Person(BOB, "Bob 鲍勃"))
    found = marks()
    group = c2s.Card(
        room=ROOM, kind="group", name="Sunday walk", topic="Bring water", hub=NODE, role="member", recall_window_s=120,
        edit_window_s=86_400, members=2, joined_idx=3, head_idx=13, read_idx=7, unread=1, mentions=1, last=raws[4],
        last_mark=msgspec.Raw(msgspec.msgpack.encode(found[0])), as_of=SEQ0 + 13,
    )  # fmt: skip
    direct = c2s.Card(
        room=DIRECT, kind="direct", name="", hub=NODE, peer=ALICE, role="member", recall_window_s=120,
        edit_window_s=86_400, members=2, joined_idx=1, as_of=SEQ0 + 13,
    )  # fmt: skip
    muted = msgspec.structs.replace(
        group, role="muted", muted_all=True, muted_until_ms=T0 + 3_600_000, last=c2s.NOTHING, last_mark=c2s.NOTHING
    )
    invited = c2s.Card(
        room=ROOM,
        kind="group",
        name="Sunday walk",
        hub=NODE,
        state="invited",
        invited_by=ALICE,
        members=2,
        as_of=SEQ0 + 2,
    )
    left = c2s.Card(
        room=ROOM, kind="group", name="Sunday walk", hub=NODE, state="left", joined_idx=3, head_idx=9, read_idx=9,
        as_of=SEQ0 + 13,
    )  # fmt: skip
    items = (
        c2s.PostedItem(1, ROOM, 4, SEQ0 + 4, told[3].event_id, told[3].at_ms),
        c2s.PostedItem(2, ROOM, 5, SEQ0 + 5, told[4].event_id, told[4].at_ms),
    )
    return {
        "welcome": c2s.Welcome(
            c2s.VERSION,
            NODE,
            "casa.example",
            BOB,
            DEVICES[BOB],
            SEQ0 + 13,
            False,
            1024,
            25,
            T0 + 60_000,
            "startalk-node",
        ),
        "welcome, resumed, no domain": c2s.Welcome(
            c2s.VERSION, NODE, "", BOB, DEVICES[BOB], SEQ0 + 13, True, 1024, 25, T0 + 60_000
        ),
        "rooms": c2s.Rooms((group, direct), people, True),
        "rooms, none": c2s.Rooms((), (), False),
        "room, muted": c2s.RoomChanged(muted),
        "room, invited": c2s.RoomChanged(invited, people[:1]),
        "room, left": c2s.RoomChanged(left),
        "entries, the whole story": c2s.Entries(raws),
        "entries, one": c2s.Entries(raws[3:4]),
        "posted": c2s.Posted(items),
        "refused": c2s.Refused(3, "rate_limited", "Too fast; try again in 2 s.", {"retry_after_s": 2}),
        "refused, every kind of detail": c2s.Refused(
            4,
            "role_too_low",
            "This needs the role admin in this chat.",
            {"role_needed": "admin", "used": 0, "on": True, "x": None},
        ),
        "page": c2s.Page(5, ROOM, raws[2:10], found, people, False),
        "page, empty": c2s.Page(6, ROOM, (), (), (), False),
        "done": c2s.Done(8),
        "receipts": c2s.Receipts(
            SEQ0 + 14, (c2s.Receipt(ROOM, BOB, 13, 9, T0 + 20_000), c2s.Receipt(ROOM, ALICE, 13, 13, 0))
        ),
        "people": c2s.People(people),
        "waiting": c2s.Waiting(
            (
                c2s.WaitingItem(
                    ROOM,
                    STORY.told[2].event_id,
                    _bytes("waiting", 16),
                    "text",
                    STORY.told[2].body,
                    T0 + 21_000,
                    "",
                    "",
                    NODE,
                ),
                c2s.WaitingItem(
                    ROOM,
                    STORY.told[3].event_id,
                    _bytes("waiting", 16),
                    "text",
                    b"",
                    T0,
                    "not_member",
                    "You are not in it.",
                ),
                c2s.WaitingItem(
                    ROOM, STORY.told[3].event_id, _bytes("waiting", 16), "text", b"", T0, "", "", gone=True
                ),
            )
        ),
        "nodes": c2s.Nodes(ROOM, (c2s.NodeMark(NODE, 12, True, "casa.example"), c2s.NodeMark(bytes(32), 0)), 9),
        "contacts": c2s.ContactsChanged(),
        "typing": c2s.TypingSignal(ROOM, BOB, True),
        "presence": c2s.PresenceSignal(BOB, "offline"),
        "pong": c2s.Pong(1234),
        "error, slow reader": c2s.Error(
            "slow_reader", "This device read too slowly and was disconnected; connect again to go on."
        ),
        "error, signed out": c2s.Error("not_signed_in", "This device was signed out.", -1),
        "error, restarting": c2s.Error("upgrading", "The node restarts; come back in a moment.", 1000),
    }


def c2s_vectors() -> list[dict[str, Any]]:
    """The list of c2s.json."""
    made: list[dict[str, Any]] = []
    for direction, frames in (
        ("client", client_frames() | calls.client_frames(ROOM, BOB)),
        ("node", node_frames() | calls.node_frames(ROOM, ALICE, BOB)),
    ):
        for name, frame in frames.items():
            data = c2s.encode_frame(frame)
            made.append(
                {
                    "name": name,
                    "direction": direction,
                    "hex": data.hex(),
                    "frame": to_json(msgspec.msgpack.decode(data)),
                }
            )
    return made


def to_json(value: Any) -> Any:
    """Values of msgpack as JSON; bytes become ``{"hex": …}``, as a key ``hex …``."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {f"hex {key.hex()}" if isinstance(key, bytes) else key: to_json(item) for key, item in value.items()}
    return value


# --- c2s-invalid.json -----------------------------------------------------------------------------------


def invalid_vectors() -> list[dict[str, str]]:
    """Messages that a node answers with an error frame of this code when they are the first of a socket."""
    text = content.encode_body(content.Text(text="x"))
    frames: dict[str, Any] = {
        "a map instead of an array": {"0": "hello"},
        "an integer": 7,
        "a string": "hello",
        "nil": None,
        "an empty array": [],
        "an unknown frame": ["helo", 1],
        "a frame of the node": ["welcome", 1],
        "a name that is not text": [1, 1],
        "a name in bytes": [b"hello", 1],
        "hello without version": ["hello"],
        "hello, version as text": ["hello", "1"],
        "hello, version as float": ["hello", 1.5],
        "hello, negative cursor": ["hello", 1, -1],
        "hello, cursor beyond 2^53": ["hello", 1, 2**53 + 1],
        "hello, cursor of 64 bits": ["hello", 1, 2**64 - 1],
        "hello, cursor as bool": ["hello", 1, True],
        "hello, client name too long": ["hello", 1, None, "x" * 65],
        "ack, negative": ["ack", -1],
        "ack, as text": ["ack", "41"],
        "post, room too long": ["post", 1, bytes(33), CLIENT_ID, "text", text],
        "post, room as text": ["post", 1, "room", CLIENT_ID, "text", text],
        "post, client id too short": ["post", 1, ROOM, bytes(15), "text", text],
        "post, empty kind": ["post", 1, ROOM, CLIENT_ID, "", text],
        "post, kind too long": ["post", 1, ROOM, CLIENT_ID, "k" * 33, text],
        "post, body as map": ["post", 1, ROOM, CLIENT_ID, "text", {"text": "x"}],
        "post, no body": ["post", 1, ROOM, CLIENT_ID, "text"],
        "post, too many guests": ["post", 1, b"", CLIENT_ID, "create", text, ["x"] * 51],
        "post, token too long": ["post", 1, ROOM, CLIENT_ID, "join", text, [], bytes(17)],
        "history, room too short": ["history", 1, bytes(31), 0],
        "history, limit zero": ["history", 1, ROOM, 0, True, 0],
        "history, limit too large": ["history", 1, ROOM, 0, True, 201],
        "history, back as integer": ["history", 1, ROOM, 0, 1, 60],
        "read, negative idx": ["read", 1, ROOM, -1],
        "typing without room": ["typing"],
        "presence, unknown state": ["presence", "invisible"],
        "ping, nil": ["ping", None],
        "deep nesting": _nested(200),
    }  # fmt: skip
    made = [(name, msgspec.msgpack.encode(frame)) for name, frame in frames.items()]
    hello = c2s.encode_frame(c2s.Hello(c2s.VERSION))
    made += [
        ("an empty message", b""),
        ("a truncated frame", hello[:-1]),
        ("bytes after the frame", hello + b"\xc0"),
        ("two frames in one message", hello + hello),
        ("a byte that msgpack never uses", b"\xc1"),
        ("an array that claims 2^32 - 1 items", b"\xdd\xff\xff\xff\xff"),
        ("text that is not UTF-8", b"\x94\xa5hello\x01\xc0\xa2\xff\xfe"),
        ("an extension type", b"\x92\xa5hello\xd4\x01\x00"),
    ]
    bad = [{"name": name, "hex": data.hex(), "code": "bad_request"} for name, data in made]
    newer = {
        "hello, version 2": ["hello", 2],
        "hello, version 0": ["hello", 0],
        "hello, version of 63 bits": ["hello", 2**63 - 1],
    }
    return [
        *bad,
        *({"name": n, "hex": msgspec.msgpack.encode(f).hex(), "code": "unsupported"} for n, f in newer.items()),
    ]


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


# --- log.json -------------------------------------------------------------------------------------------


def log_vectors() -> dict[str, Any]:
    """The story with every step of its hashes, signed heads, ids of direct chats, and logs that do not verify."""
    return {
        "nid": NODE.hex(),
        "op_public": KEY.public_key().public_bytes_raw().hex(),
        "room": ROOM.hex(),
        "entries": [_log_entry(told) for told in STORY.told],
        "heads": [_log_head(told.head) for told in (STORY.told[0], STORY.told[-1])],
        "direct": [
            {"users": [ALICE, BOB], "room": hub.direct_room_id(ALICE, BOB).hex()},
            {"users": [CAROL, ALICE], "room": hub.direct_room_id(CAROL, ALICE).hex()},
            {"users": [BOB, BOB], "room": hub.direct_room_id(BOB, BOB).hex()},
        ],
    }


def _log_entry(told: Told) -> dict[str, Any]:
    head, prev = told.head, told.prev
    covered = hub.entry_bytes(ROOM, prev.epoch, head.idx, prev.hash, told.event_id, told.at_ms)
    return {
        "idx": head.idx,
        "epoch": head.epoch,
        "at_ms": told.at_ms,
        "author": told.author,
        "kind": told.kind,
        "body": told.body.hex(),
        "body_fields": to_json(msgspec.msgpack.decode(told.body)),
        "salt": told.salt.hex(),
        "body_hash": hub.body_hash(told.salt, told.body).hex(),
        "event": told.event.hex(),
        "event_fields": to_json(msgspec.msgpack.decode(told.event)),
        "event_id": told.event_id.hex(),
        "prev": prev.hash.hex(),
        "entry": covered.hex(),
        "log_hash": head.hash.hex(),
    }


def _log_head(head: Head) -> dict[str, Any]:
    signed = envelope.sign_head(KEY, ROOM, head, NODE, INCARNATION)
    return {
        "epoch": head.epoch,
        "idx": head.idx,
        "log_hash": head.hash.hex(),
        "incarnation": INCARNATION,
        "signed": signed.signed.hex(),
        "signature": signed.signature.hex(),
    }


def files() -> dict[str, str]:
    """Name and text of every file made here."""
    made: dict[str, Any] = {"c2s.json": c2s_vectors(), "c2s-invalid.json": invalid_vectors(), "log.json": log_vectors()}
    made |= {"identity.json": identities.identity_vectors(), "record.json": identities.record_vectors()}
    made["s2s.json"] = links.s2s_vectors(to_json)
    made["rooms.json"] = rooms.rooms_vectors(to_json)
    made["calls.json"] = focus.focus_vectors(to_json)
    return {name: json.dumps(value, ensure_ascii=False, indent=1) + "\n" for name, value in made.items()}


if __name__ == "__main__":
    for file_name, file_text in files().items():
        (FOLDER / file_name).write_text(file_text, encoding="utf-8")
