"""What a program hears from its node: one frozen struct for each sort of event.

`Entry` is an entry of a room's log with its signed part and body already parsed; the others repeat a frame of
node/wire/c2s.py in the words of a program.
"""

from __future__ import annotations

from msgspec import Struct

from node.base.errors import Rejected
from node.base.ids import DeviceId, EventId, RoomId, UserId
from node.core import content
from node.core.content import Body
from node.wire import c2s, calling
from node.wire.envelope import decode_event


class Entry(Struct, frozen=True, kw_only=True):
    """One entry. `body` is None when it was erased or is not valid for its kind."""

    seq: int
    room: RoomId
    idx: int
    at_ms: int
    event_id: EventId
    author: UserId
    device: DeviceId
    kind: str
    body: Body | None

    @property
    def text(self) -> str:
        """What a text message says, or the fallback of a kind this program does not know; else empty."""
        if isinstance(self.body, content.Text | content.Edit):
            return self.body.text
        return self.body.fallback if isinstance(self.body, content.Unknown) else ""


class CardChanged(Struct, frozen=True):
    """A room joined, left, was offered (`card.state` invited), or its own read mark moved elsewhere."""

    card: c2s.Card


class ReceiptMoved(Struct, frozen=True):
    """How far one member got."""

    receipt: c2s.Receipt


class TypingShown(Struct, frozen=True):
    """Somebody types, or stopped; forget it after `limits.TYPING_SHOWN_S`."""

    room: RoomId
    user: UserId
    on: bool


class PresenceChanged(Struct, frozen=True):
    """``online``, ``away`` or ``offline``."""

    user: UserId
    state: str


class Named(Struct, frozen=True):
    """A user has this display name."""

    user: UserId
    name: str


class ContactsChanged(Struct, frozen=True):
    """Contacts on other nodes, or their questions, changed."""


class WaitingChanged(Struct, frozen=True):
    """A post of this user waits for another node, was refused by it, or was dismissed."""

    item: c2s.WaitingItem


class NodesChanged(Struct, frozen=True):
    """How far the other nodes of a room have it."""

    nodes: c2s.Nodes


class Rang(Struct, frozen=True):
    """Somebody calls: answer with `Calls.join` or `Calls.decline` until `ring.expires_ms`."""

    ring: calling.Ring


class RosterChanged(Struct, frozen=True):
    """A call goes on in a room, with these people."""

    roster: calling.CallRoster


class CallEnded(Struct, frozen=True):
    """A call is over for this device."""

    over: calling.CallOver


class SpeakersChanged(Struct, frozen=True):
    """Who speaks in a call."""

    speakers: calling.CallSpeakers


class QualityHeard(Struct, frozen=True):
    """How the media of the own seat goes."""

    quality: calling.CallQuality


class Connected(Struct, frozen=True):
    """The node said welcome; not `resumed` means: forget what you know of its rooms."""

    resumed: bool


class Disconnected(Struct, frozen=True):
    """The connection is lost; the client tries again by itself."""

    reason: str


Event = (
    Entry | CardChanged | ReceiptMoved | TypingShown | PresenceChanged | Named | ContactsChanged | WaitingChanged | NodesChanged
    | Rang | RosterChanged | CallEnded | SpeakersChanged | QualityHeard | Connected | Disconnected
)  # fmt: skip


def parse_entry(raw: bytes) -> Entry:
    """An entry as it came over the wire. Raises Rejected when it is none."""
    entry = c2s.decode_entry(raw)
    event = decode_event(entry.event)
    return Entry(
        seq=entry.seq,
        room=RoomId(entry.room),
        idx=entry.idx,
        at_ms=entry.at_ms,
        event_id=EventId(entry.event_id),
        author=UserId(event.author),
        device=DeviceId(event.device),
        kind=event.kind,
        body=None if entry.body is None else _body(event.kind, entry.body),
    )


def _body(kind: str, data: bytes) -> Body | None:
    try:
        return content.decode_body(kind, data)
    except Rejected:
        return None  # a later version may allow what this one refuses; the entry keeps its place
