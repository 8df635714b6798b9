"""What nodes say to each other about rooms and people, inside the numbered messages of a link (node/wire/s2s.py).

Each item is a msgpack array that begins with its name; unknown trailing elements are ignored. *Class 0* items are entries and
submissions, *class 1* items go directly from node to node; both are durable and arrive exactly once and in order. Whispers
are never stored. Requests are answered or refused. The specification is docs/spec/rooms.md.

An entry travels with what is needed to check it alone: the event as signed, its author's node's signature (none for the hub's
own users, docs/adr/0004), salt and body (none once erased) and the log hash. ``head`` is the hub's signature over the head that
this entry makes; the last entry of a batch carries it. ``signers`` are identities that this link has not carried yet.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from node.base import limits
from node.wire.codec import Decoder, encode

CLASS_ROOM: Final = 0
CLASS_DIRECT: Final = 1

Id32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Salt = Annotated[bytes, Meta(min_length=16, max_length=16)]
Int = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]
Body = Annotated[bytes, Meta(max_length=limits.BODY_BYTES_MAX)]
Event = Annotated[bytes, Meta(max_length=1024)]
User = Annotated[str, Meta(min_length=55, max_length=85)]
Name = Annotated[str, Meta(max_length=limits.NAME_CHARS_MAX)]


class Item(Struct, frozen=True, array_like=True):
    """Base of all items."""


class SignerCert(Struct, frozen=True, array_like=True):
    """A node's chain of root keys and op certificate, each as msgpack (node/wire/keys.py)."""

    chain: Annotated[bytes, Meta(max_length=1024)]
    cert: Annotated[bytes, Meta(max_length=256)]


Signers = Annotated[tuple[SignerCert, ...], Meta(max_length=limits.CATCH_UP_ENTRIES_MAX)]


# --- class 0 --------------------------------------------------------------------------------------------


class Entry(Item, tag="entry", frozen=True):
    """Hub to follower: one place of the log."""

    room: Id32
    epoch: Int
    idx: Int
    at_ms: Int
    log_hash: Id32
    event: Event
    signature: Signature | None
    salt: Salt | None
    body: Body | None
    head: Signature | None = None
    signers: Signers = ()


class News(Item, tag="news", frozen=True):
    """Hub to follower: the log reaches to `idx`; ask for what you lack. Stands for entries that did not fit into the outbox."""

    room: Id32
    idx: Int


class Submit(Item, tag="submit", frozen=True):
    """Follower to hub: an event of my user, please give it a place. `token` opens a room link. `hint` is the location record of the
    node of an invited person, as far as the follower knows it."""

    room: Id32
    event: Event
    signature: Signature
    salt: Salt
    body: Body
    token: Annotated[bytes, Meta(max_length=16)] = b""
    hint: Annotated[bytes, Meta(max_length=1024)] = b""


# --- class 1 --------------------------------------------------------------------------------------------


class Reject(Item, tag="reject", frozen=True):
    """Hub to follower: the event was refused for good; signed."""

    room: Id32
    event_id: Id32
    code: Annotated[str, Meta(max_length=40)]
    text: Annotated[str, Meta(max_length=300)]
    signature: Signature


class Offer(Item, tag="offer", frozen=True):
    """Hub to the node of an invited person: `user` is asked into a group."""

    room: Id32
    name: Name
    members: Int
    by: User
    by_name: Name
    user: User
    at_ms: Int


class Withdraw(Item, tag="withdraw", frozen=True):
    """Hub: the open invitation of `user` is no more."""

    room: Id32
    user: User


class Ask(Item, tag="ask", frozen=True):
    """A person wants to write to `local` of your node. Answered later or never; the acknowledgement is the same whether the person
    exists. `token` of a contact link makes the answer yes at once."""

    sender: User
    name: Name
    local: Annotated[str, Meta(min_length=1, max_length=limits.LOCAL_NAME_CHARS_MAX)]
    text: Annotated[str, Meta(max_length=limits.REQUEST_CHARS_MAX)]
    at_ms: Int
    token: Annotated[bytes, Meta(max_length=16)] = b""


class Answer(Item, tag="answer", frozen=True):
    """`sender` agreed to write with `user`."""

    sender: User
    name: Name
    user: User


class Profile(Item, tag="profile", frozen=True):
    """What somebody is called, signed by their node."""

    user: User
    name: Name
    at_ms: Int
    incarnation: Int
    signature: Signature
    signer: SignerCert


class SeenHead(Struct, frozen=True, array_like=True):
    """A head that the hub signed at that incarnation; `idx` is that of an entry, since there is nothing to compare before the first."""

    epoch: Int
    idx: Annotated[int, Meta(ge=1, le=limits.INTEGER_MAX)]
    hash: Id32
    incarnation: Int
    signature: Signature


class Step(Struct, frozen=True, array_like=True):
    """What of an entry its log hash needs, beside its place and the hash before."""

    event_id: Id32
    at_ms: Int


class Proof(Item, tag="proof", frozen=True):
    """The hub of `room` showed two histories: it signed `one` and `other`, of one epoch and incarnation, with one.idx <= other.idx, and on
    the way to `other` the log hash at one.idx is `fork`, not one.hash; `steps` lead from there to `other`. Anybody can check it."""

    room: Id32
    hub: Id32
    one: SeenHead
    other: SeenHead
    fork: Id32
    steps: Annotated[tuple[Step, ...], Meta(max_length=limits.CATCH_UP_ENTRIES_MAX)]
    signer: SignerCert


RoomItem = Entry | News | Submit
DirectItem = Reject | Offer | Withdraw | Ask | Answer | Profile | Proof
decode_room_item: Decoder[RoomItem] = Decoder(RoomItem, what="item")
decode_direct_item: Decoder[DirectItem] = Decoder(DirectItem, what="item")


# --- requests -------------------------------------------------------------------------------------------

LOG_RANGE: Final = "log.range"
HEADS: Final = "log.heads"
ACKS: Final = "acks"
MARKS: Final = "marks"
PEOPLE: Final = "people"
SEEN: Final = "log.seen"
STATEMENTS: Final = "statements"


class Range(Struct, frozen=True, array_like=True):
    """``log.range``: entries of `room` from idx `first`, at most `limit`."""

    room: Id32
    first: Int
    limit: Annotated[int, Meta(ge=1, le=limits.CATCH_UP_ENTRIES_MAX)] = limits.CATCH_UP_ENTRIES_MAX


class RangePage(Struct, frozen=True, array_like=True):
    """Answer: entries in rising idx, the last one with a signed head; `head_idx` is where the log ends now."""

    entries: Annotated[tuple[Entry, ...], Meta(max_length=limits.CATCH_UP_ENTRIES_MAX)]
    head_idx: Int


class RoomHead(Struct, frozen=True, array_like=True):
    """How far somebody has a room."""

    room: Id32
    epoch: Int
    idx: Int
    hash: Id32


class Heads(Struct, frozen=True, array_like=True):
    """``log.heads``: how far the follower has rooms of this hub; the answer lists those that go on, or differ at that idx."""

    heads: Annotated[tuple[RoomHead, ...], Meta(max_length=limits.HEADS_AT_ONCE)]


class Ack(Struct, frozen=True, array_like=True):
    """A signed acknowledgement; `nid` and `incarnation` of the voter."""

    room: Id32
    epoch: Int
    idx: Int
    hash: Id32
    nid: Id32
    incarnation: Int
    signature: Signature


class Acks(Struct, frozen=True, array_like=True):
    """``acks``: a follower's own, or those that a hub gathered, with identities the receiver may lack."""

    acks: Annotated[tuple[Ack, ...], Meta(max_length=limits.HEADS_AT_ONCE)]
    signers: Signers = ()


class Mark(Struct, frozen=True, array_like=True):
    """How far one member got."""

    room: Id32
    user: User
    delivered_idx: Int
    read_idx: Int
    read_ms: Int


class Marks(Struct, frozen=True, array_like=True):
    """``marks``: receipts that moved."""

    marks: Annotated[tuple[Mark, ...], Meta(max_length=limits.MARKS_AT_ONCE)]


class Shown(Struct, frozen=True, array_like=True):
    """What the hub of a room showed to the speaker."""

    room: Id32
    hub: Id32
    head: SeenHead


class Seen(Struct, frozen=True, array_like=True):
    """``log.seen``: the newest signed heads of rooms that both follow and a third node orders."""

    shown: Annotated[tuple[Shown, ...], Meta(max_length=limits.HEADS_AT_ONCE)]


class Statements(Struct, frozen=True, array_like=True):
    """``statements``: records that an owner signed with root keys (node/wire/record.py): tombstones and transfers."""

    records: Annotated[tuple[Annotated[bytes, Meta(max_length=limits.RECORD_BYTES_MAX)], ...], Meta(max_length=8)]


class People(Struct, frozen=True, array_like=True):
    """``people``: what are these called? Only those in a room that asker and asked share are answered."""

    users: Annotated[tuple[User, ...], Meta(max_length=limits.MARKS_AT_ONCE)]


class Profiles(Struct, frozen=True, array_like=True):
    """Answer to ``people``."""

    profiles: Annotated[tuple[Profile, ...], Meta(max_length=limits.MARKS_AT_ONCE)]


decode_profile: Decoder[Profile] = Decoder(Profile, what="profile")
decode_range: Decoder[Range] = Decoder(Range, what="request")
decode_range_page: Decoder[RangePage] = Decoder(RangePage, what="answer")
decode_heads: Decoder[Heads] = Decoder(Heads, what="request")
decode_acks: Decoder[Acks] = Decoder(Acks, what="request")
decode_marks: Decoder[Marks] = Decoder(Marks, what="request")
decode_seen: Decoder[Seen] = Decoder(Seen, what="request")
decode_proof: Decoder[Proof] = Decoder(Proof, what="proof")
decode_statements: Decoder[Statements] = Decoder(Statements, what="request")
decode_people: Decoder[People] = Decoder(People, what="request")
decode_profiles: Decoder[Profiles] = Decoder(Profiles, what="answer")

# --- whispers -------------------------------------------------------------------------------------------

TYPING: Final = "typing"
PRESENCE: Final = "presence"


class TypingNow(Struct, frozen=True, array_like=True):
    """``typing``: a member writes, or stopped."""

    room: Id32
    user: User
    on: bool


class PresenceNow(Struct, frozen=True, array_like=True):
    """``presence``: ``online``, ``away`` or ``offline``, in a room that both nodes share."""

    room: Id32
    user: User
    state: Annotated[str, Meta(pattern="^(online|away|offline)$")]


decode_typing: Decoder[TypingNow] = Decoder(TypingNow, what="whisper")
decode_presence: Decoder[PresenceNow] = Decoder(PresenceNow, what="whisper")


def encode_item(item: Struct) -> bytes:
    """Bytes of one item, request or answer."""
    return encode(item)
