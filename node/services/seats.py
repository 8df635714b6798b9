"""The home's side of calls: the seats of devices here, who rings here, and how each call of a room stands as its focus says it.

`now` takes the word of a focus and derives everything from it: who rings, whose ringing stops and why, which seats are gone, who is muted,
which nodes take part. It is whole each time, so hearing it twice, late or never once does no harm. What devices do is noted here first
and then told to the focus, by a request that must arrive or with the next report of all seats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, UserId, parse_user
from node.core import call as rules
from node.core import room
from node.core.room import Room
from node.services.actor import Actor
from node.services.relay import Track
from node.storage.rooms import RoomRow
from node.wire import calling, focus
from node.wire.focus import CallNow, SeatNow, SeatsNow
from node.wire.frame import Frame

OVER: Final = {rules.MISSED: "missed", rules.UNREACHABLE: "missed", rules.CANCELLED: "cancelled", rules.DECLINED: "declined_elsewhere",
               rules.BUSY: "declined_elsewhere"}  # fmt: skip
RESULTS: Final = {rules.ANSWERED: "ended", rules.MERGED: "moved"}
OFFERS_KEPT: Final = 64  # of seats that are not in a call yet, which takes one round trip


class Device(Protocol):
    """An open socket of a device (`services.feed.Subscriber`)."""

    actor: Actor

    def send(self, frame: Frame) -> None:
        """A small frame."""


class Flags(Struct, frozen=True):
    """What a device says it sends and shows."""

    mic: bool = False
    camera: bool = False
    screen: bool = False
    hand: bool = False


class Mine:
    """A seat of a device here."""

    __slots__ = (
        "actor",
        "connected",
        "device",
        "flags",
        "held",
        "lock",
        "missing_at",
        "muted",
        "offer",
        "offers",
        "seat",
        "shows",
        "since",
        "sources",
        "taken",
        "was_live",
    )

    def __init__(self, seat: bytes, device: Device, since: float) -> None:
        self.seat = seat
        self.since = since
        self.actor = device.actor
        self.device: Device | None = device
        self.lock = asyncio.Lock()  # one description of a seat after the other
        self.taken = False  # the focus confirmed it
        self.missing_at: float | None = None  # since when the focus does not name it
        self.connected = False  # its up transport carries media
        self.was_live = False
        self.offers = False  # its device offered an up transport
        self.shows = False  # with a camera or screen in it
        self.flags = Flags()
        self.muted = False
        self.held = False  # muted, and the device did not open its microphone since
        self.sources: tuple[str, ...] = ()
        self.offer: calling.CallOffer | None = None

    def tell_offer(self) -> None:
        """The newest offer of the down transport, for its device."""
        if self.device is not None and self.offer is not None:
            self.device.send(self.offer)

    @property
    def state(self) -> str:
        """As the focus is told."""
        if self.device is not None and self.connected:
            return rules.LIVE
        return rules.RECONNECTING if self.was_live or self.device is None else rules.CONNECTING

    def now(self) -> SeatNow:
        """The same, whole."""
        flags = self.flags
        return SeatNow(
            self.seat, self.actor.user, self.state, flags.mic and not self.held, flags.camera, flags.screen, flags.hand,
            self.sources,
        )  # fmt: skip


class There:
    """A call as this node knows it."""

    __slots__ = (
        "count",
        "declined",
        "direct",
        "focus",
        "handed_at",
        "heard_at",
        "kept",
        "kept_until",
        "mine",
        "now",
        "ringing",
        "room_pk",
        "rung",
        "said_at",
        "shown_at",
        "spread_at",
        "spread_due",
        "told",
        "unsaid",
        "unshown",
    )

    def __init__(self, now: CallNow, focus_nid: NodeId, row: RoomRow) -> None:
        self.now = now
        self.focus = focus_nid
        self.room_pk = row.pk
        self.direct = row.kind == room.DIRECT
        self.mine: dict[bytes, Mine] = {}
        self.rung: dict[UserId, None] = {}  # people here whose devices were told to ring
        self.ringing: dict[UserId, None] = {}  # and of whom one said that it does
        self.declined: dict[UserId, int] = {}  # who said no to a call of that time, until the focus says it, too
        self.count = 0
        self.heard_at = 0.0
        self.handed_at = float("-inf")  # when the hub, which is not its focus, heard of the seats here
        self.kept: dict[NodeId, list[Track]] = {}  # nodes in the call when another focus took it over, which may
        self.kept_until = 0.0  # not know all of them before that time
        self.said_at = self.shown_at = self.spread_at = float("-inf")
        self.spread_due = float("inf")  # when those outside of the call are shown what they did not see yet
        self.unsaid = self.unshown = False  # changes that the focus, or devices here, did not hear of yet
        self.told: list[Device | None] = []  # devices that were just told why it is over for them

    def next_count(self, now_ms: int) -> int:
        """Rises with every message to the focus, also over a restart."""
        self.count = max(self.count + 1, now_ms)
        return self.count

    def report(self, now_ms: int) -> SeatsNow:
        """All seats here, for the focus."""
        now = self.now
        return SeatsNow(
            now.call, now.room, self.next_count(now_ms), now.version, tuple(mine.now() for mine in self.mine.values()),
            tuple(self.ringing), now.media, now.by, now.started_ms,
        )  # fmt: skip

    def roster(self) -> calling.CallRoster:
        """As devices are told."""
        now = self.now
        seats = tuple(
            calling.Participant(
                one.seat, one.user, one.state, one.mic, one.camera, one.screen, one.hand, one.muted, one.joined_ms
            )
            for one in now.seats
        )
        invited = tuple(calling.Invited(one.user, _shown(one.state)) for one in now.invited)
        state = "live" if now.live_ms or not now.invited else "ringing"
        return calling.CallRoster(
            now.call, now.room, now.version, now.media, now.by, state, now.live_ms or now.started_ms, seats, invited
        )

    @property
    def users(self) -> set[UserId]:
        """People here whom it concerns: called, or with a seat."""
        return {*self.rung, *(mine.actor.user for mine in self.mine.values())}

    def waits_for(self, user: UserId) -> bool:
        """Whether somebody is called and did not answer yet."""
        return any(one.user == user and one.state in rules.WAITING for one in self.now.invited)

    def note_no(self, user: UserId) -> None:
        """Somebody said no to this call, of which the focus does not know yet."""
        for one in self.now.invited:
            if one.user == user:
                self.declined[user] = one.at_ms

    def seat_of(self, device_pk: int) -> Mine | None:
        """The confirmed seat of a device."""
        return next((one for one in self.mine.values() if one.taken and one.actor.device_pk == device_pk), None)

    def keep_nodes(self, own: NodeId, until: float) -> None:
        """Another focus takes it over: media with the nodes it does not name at once goes on meanwhile."""
        self.kept, self.kept_until = self.nodes(own), until

    def has_seats_of(self, node: NodeId) -> bool:
        """Whether somebody of that node is in."""
        return any(parse_user(one.user)[1] == node for one in self.now.seats)

    def cameras(self, but: bytes) -> int:
        """How many other seats send pictures."""
        return sum(one.seat != but and (one.camera or one.screen) for one in self.now.seats)

    def nodes(self, own: NodeId) -> dict[NodeId, list[Track]]:
        """The other nodes with seats, and what these publish."""
        found: dict[NodeId, list[Track]] = {}
        for one in self.now.seats:
            node = parse_user(one.user)[1]
            if node != own:
                found.setdefault(node, []).extend(
                    Track(one.seat, source) for source in one.sources if source != "mic" or not one.muted
                )
        return found


def _shown(state: str) -> str:
    return "missed" if state == rules.CANCELLED else state


def may_tell(row: RoomRow, teller: NodeId, now: CallNow, *, known: bool, stands_in: bool = False) -> bool:
    """Whether `teller` may be the focus of this call, and everybody in it is in the room. A call that is `known`, or for which nobody is
    rung, goes on without who began it. `stands_in`: it may, although it is not the hub (services/standins.py)."""
    if teller != row.hub and not stands_in and not (row.kind == room.DIRECT and parse_user(now.by)[1] == teller):
        return False
    members = row.state.members
    if now.result:
        return True
    began = now.by in members or known or not any(one.state in rules.WAITING for one in now.invited)
    return began and all(one.user in members for one in now.seats)


def ended(now: CallNow, at_ms: int) -> CallNow:
    """The last word about a call whose own was missed."""
    result = rules.ENDED if now.live_ms else rules.CANCELLED
    return replace(now, version=now.version + 1, seats=(), result=result, ended_ms=at_ms)


def waiting_here(now: CallNow, own: NodeId, state: Room) -> dict[UserId, focus.InvitedNow]:
    """People of this node for whom it rings."""
    return {
        UserId(one.user): one
        for one in now.invited
        if one.state in rules.WAITING and one.user in state.members and parse_user(one.user)[1] == own
    }


def why_silent(now: CallNow, user: UserId) -> str:
    """Why it does not ring for `user` any more."""
    if any(one.user == user for one in now.seats):
        return "accepted_elsewhere"
    return next((OVER.get(one.state, "cancelled") for one in now.invited if one.user == user), "cancelled")


def why_gone(now: CallNow, seat: bytes) -> str:
    """Why a seat is no more."""
    reason = now.gone.get(seat) or now.result or rules.LEFT
    return RESULTS.get(reason, reason)


class Table:
    """All calls this node knows, by id and by room."""

    def __init__(self) -> None:
        self.calls: dict[bytes, There] = {}
        self._early: dict[tuple[bytes, bytes], calling.CallOffer] = {}
        self._sitting: list[tuple[UserId, bytes]] = []  # who asks for a seat in which call

    def keep_offer(self, offer: calling.CallOffer) -> None:
        """The relay is quicker than the focus: a seat is offered its down transport before it is in a call."""
        self._early[offer.call, offer.seat] = offer
        while len(self._early) > OFFERS_KEPT:
            del self._early[next(iter(self._early))]

    def settle_offer(self, mine: Mine, call: bytes) -> None:
        """Now it is."""
        early = self._early.pop((call, mine.seat), None)
        mine.offer = mine.offer or early

    def of_room(self, room_id: RoomId) -> There | None:
        """The call of a room."""
        return next((there for there in self.calls.values() if there.now.room == room_id), None)

    def find(self, call: bytes) -> There:
        """Raises Rejected."""
        there = self.calls.get(call)
        if there is None:
            raise Rejected(Code.NOT_FOUND, "This call is over.", field="call")
        return there

    def seat(self, device: Device, call: bytes, seat: bytes) -> tuple[There, Mine]:
        """A seat of this device. Raises Rejected."""
        there = self.find(call)
        mine = there.mine.get(seat)
        if mine is None or mine.actor.device_pk != device.actor.device_pk:
            raise Rejected(Code.NOT_FOUND, "This device is not in the call any more.", field="seat")
        return there, mine

    @contextmanager
    def sitting(self, user: UserId, call: bytes) -> Iterator[None]:
        """While somebody takes a seat in `call`, they cannot take one in another. Raises Rejected: `busy`."""
        if self.seated(user, call) or any(one == user and other != call for one, other in self._sitting):
            raise Rejected(Code.BUSY, "You are in another call; leave it first.")
        self._sitting.append((user, call))
        try:
            yield
        finally:
            self._sitting.remove((user, call))

    def seated(self, user: UserId, but: bytes) -> bool:
        """Whether somebody is in another call."""
        return any(
            mine.actor.user == user
            for there in self.calls.values()
            if there.now.call != but
            for mine in there.mine.values()
        )

    def of_device(self, device: Device) -> list[tuple[There, Mine]]:
        """The seats that this very socket holds."""
        return [(there, mine) for there in self.calls.values() for mine in there.mine.values() if mine.device is device]
