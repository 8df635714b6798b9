"""The home of people in calls: it takes the word of each call's focus and does what follows, for the devices and the relay here.

`learn` takes a call as its focus says it and derives everything from it (services/seats.py tells what): who rings and whose ringing stops,
which seats are gone, who is muted, which nodes take part. `report` tells the focus of the seats here, `ask` asks it. The focus may be this
very node; then the same words are a call of a function.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId, RoomId, UserId, format_id, parse_user
from node.core import call as rules
from node.core import room
from node.runtime.clock import Clock
from node.services.callentries import CallEntries
from node.services.errands import Errands
from node.services.feed import Feed
from node.services.focus import Focus
from node.services.pipes import Pipes
from node.services.ports import PeerLinks
from node.services.relay import CallRelay
from node.services.seats import Device, Mine, Table, There, ended, may_tell, waiting_here, why_gone, why_silent
from node.services.standins import Standins, is_given_up
from node.storage import contacts
from node.storage.contacts import ContactState
from node.storage.database import Database, Tx
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import calling, focus
from node.wire.focus import AskAnswer, AskLeave, AskStart, CallNow

REFUSALS: Final = {
    Code.ALREADY_DONE: "Another device of yours is in this call, or it does not ring for you any more.",
    Code.BUSY: "There is a call in this chat already; join it.",
    Code.FORBIDDEN: "Calls are switched off in this chat, or this is not possible in a direct chat.",
    Code.GONE: "This call is over.",
    Code.LIMIT_REACHED: "This call is full, or the node that keeps it has too many.",
    Code.MUTED: "You are muted in this chat.",
    Code.NOT_FOUND: "This call is over.",
    Code.RATE_LIMITED: "Too many calls; wait a minute and try again.",
    Code.ROLE_TOO_LOW: "Your role in this chat does not allow this.",
}  # by the focus elsewhere


class Home:
    """Calls as this node takes part in them."""

    def __init__(
        self, *, db: Database, node: NodeId, rooms: Rooms, users: Users, feed: Feed, focus: Focus, entries: CallEntries, clock: Clock,
        errands: Errands,
    ) -> None:  # fmt: skip
        self._db = db
        self._node = node
        self._rooms = rooms
        self._users = users
        self._feed = feed
        self._focus = focus
        self._entries = entries
        self._clock = clock
        self._errands = errands
        self.table = Table()
        self.pipes = Pipes(node=node, errands=errands)
        self.standins = Standins(node=node, table=self.table, focus=focus, linked=self._linked, clock=clock)
        self.relay: CallRelay | None = None
        self.links: PeerLinks | None = None
        self._seeking: set[NodeId] = set()
        focus.tell = self._told
        feed.departed = self._departed

    # --- to the focus -----------------------------------------------------------------------------------

    def row(self, room_id: RoomId) -> RoomRow | None:
        """A room."""
        return self._db.view(lambda tx: self._rooms.peek(tx, room_id))

    def row_for(self, user: UserId, room_id: RoomId) -> RoomRow:
        """A room that `user` is in. Raises Rejected."""
        row = self.row(room_id)
        if row is None or user not in row.state.members:
            raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.")
        return row

    def _linked(self, node: NodeId) -> bool:
        return node == self._node or (self.links is not None and self.links.linked(node))

    async def focus_of(self, row: RoomRow) -> NodeId:
        """Who keeps a new call: the hub; when it is away, this node. In a direct chat that is not waited for: half of it is there."""
        if self.links is None or self._linked(row.hub):
            return row.hub
        if row.kind == room.DIRECT:
            self.links.wake(row.hub)
            return self._node
        with suppress(Rejected, RemoteError, TimeoutError):
            async with asyncio.timeout(limits.CALL_REACH_S):
                await self.links.reach(row.hub)
        return row.hub if self._linked(row.hub) else self._node

    def present(self, row: RoomRow) -> There | None:
        """The call of a room; one that nobody keeps any more is forgotten."""
        there = self.table.of_room(row.room)
        if there is not None and self.standins.is_forsaken(there, row):
            self.forget(there)
            return None
        return there

    async def ask(self, node: NodeId, ask: focus.Ask) -> CallNow:
        """The answer of a focus. Raises Rejected."""
        if node == self._node:
            return self._focus.ask(node, ask)
        if self.links is None:
            raise unreached()
        if not self.links.linked(node):
            async with asyncio.timeout(limits.CALL_REACH_S):
                await self.links.reach(node)
        try:
            now = focus.decode_now(await self.links.request(node, focus.ASK, focus.encode_said(ask)))
        except Rejected as refusal:  # a link carries the code only
            raise self._in_words(refusal, RoomId(ask.room)) from None
        self._check_answer(node, ask, now)
        return now

    def _check_answer(self, node: NodeId, ask: focus.Ask, now: CallNow) -> None:
        """A focus answers about the call it was asked about; else it could seat people here in a call of another room."""
        known = self.table.calls.get(now.call)
        other = known is not None and (known.focus != node or known.now.room != now.room)
        if other or now.room != ask.room or (now.call != ask.call and not isinstance(ask, AskStart)):
            raise RemoteError("The node that keeps this call answered about another one.")

    def take_back(self, node: NodeId, call: bytes, room_id: RoomId, mine: Mine) -> None:
        """A focus did not answer, and may have given the seat: it is free again."""

        async def say() -> None:
            with suppress(Rejected, RemoteError, TimeoutError):  # then its timers free it
                await self.ask(node, AskLeave(call, room_id, mine.actor.user, mine.seat))

        self._errands.spawn(say())

    def _in_words(self, refusal: Rejected, room_id: RoomId) -> Rejected:
        text = REFUSALS.get(refusal.code, refusal.text)
        present = self.table.of_room(room_id)
        if refusal.code is Code.BUSY and present is not None:
            return Rejected(Code.BUSY, text, call=format_id(present.now.call))
        return Rejected(refusal.code, text, **refusal.detail)

    async def say(self, there: There, ask: focus.Ask) -> None:
        """Asks, and takes the answer as news. Raises Rejected."""
        asked = there.focus
        now = await self.ask(asked, ask)
        row = self.row(RoomId(there.now.room))
        if row is not None:
            self.learn(asked, now, row)

    def report(self, there: There) -> None:
        """Tells the focus of the seats here: at once, or with the next tick if it was told a moment ago."""
        if there.focus == self._node:
            self._focus.report(self._node, there.report(self._clock.now_ms()))
            return
        now = self._clock.monotonic()
        there.unsaid = True
        if now - there.said_at >= limits.CALL_TELL_EVERY_S:
            self._say_report(there, now)

    def _say_report(self, there: There, now: float) -> None:
        there.said_at, there.unsaid = now, False
        if self.links is not None:
            said = there.report(self._clock.now_ms())
            heard = self.links.whisper(there.focus, focus.SEATS, focus.encode_said(said))
            there.unsaid = not heard and not there.mine  # the last seat left: nothing repeats it

    def tend(self, there: There) -> None:
        """Now and then: whether the focus of a group call is away, or its hub is there again."""
        now = self._clock.monotonic()
        if there.direct or not there.mine or now - there.handed_at < limits.CALL_REPEAT_S:
            return
        row = self.row(RoomId(there.now.room))
        if row is None:
            return
        self.standins.stand_in(there, row)
        if self.standins.is_to_be_handed_back(there, row) and self.links is not None:
            there.handed_at = now
            said = there.report(self._clock.now_ms())
            self.links.whisper(row.hub, focus.SEATS, focus.encode_said(said))

    def tell_late(self, there: There) -> None:
        """What was gathered since the last tick; seats that the focus does not name for too long are lost."""
        now = self._clock.monotonic()
        for mine in list(there.mine.values()):
            if mine.missing_at is not None and now - mine.missing_at > limits.CALL_SILENT_S:
                self._lose(there, mine)
        if there.unsaid:
            self._say_report(there, now)
        late = there.unshown or now >= there.spread_due
        row = self.row(RoomId(there.now.room)) if late else None
        if row is not None:
            self._show(there, row, now)

    def _show(self, there: There, row: RoomRow, now: float) -> None:
        """The roster, for those in the call and, less often in a large room, for the others there."""
        there.shown_at, there.unshown = now, False
        roster, audience = there.roster(), self._audience(there, row)
        pause_s = len(audience) / limits.CALL_BYSTANDERS_PER_S if len(audience) > limits.CALL_BYSTANDERS else 0.0
        everybody = bool(there.now.result) or now - there.spread_at >= pause_s
        seated = [mine.device for mine in there.mine.values()]
        for device in audience:
            if everybody or device in seated:
                device.send(roster)
        there.spread_at = now if everybody else there.spread_at
        there.spread_due = float("inf") if everybody else there.spread_at + pause_s

    # --- from the focus ---------------------------------------------------------------------------------

    def _told(self, node: NodeId, now: CallNow) -> None:
        """The focus here tells a node how a call stands."""
        if node == self._node:
            row = self.row(RoomId(now.room))
            if row is not None:
                self.learn(node, now, row)
            return
        if self.links is None or self.links.whisper(node, focus.NOW, focus.encode_said(now)):
            return
        if any(parse_user(one.user)[1] == node for one in now.invited if one.state in rules.WAITING):
            self.links.wake(node)  # somebody there is called: when the link is open, it is told again
        row = self.row(RoomId(now.room))
        if row is not None and row.kind != room.DIRECT and self._node != row.hub != node:
            self._seek(node)  # what stands between the two, the hub, is away

    def _seek(self, node: NodeId) -> None:
        """Opens a link to a node that this one perhaps never spoke to; then it is told."""
        if node not in self._seeking and self._errands.spawn(self._reach(node)):
            self._seeking.add(node)

    async def _reach(self, node: NodeId) -> None:
        assert self.links is not None
        try:
            with suppress(Rejected, RemoteError, TimeoutError):
                async with asyncio.timeout(limits.CALL_REACH_S):
                    await self.links.reach(node)
        finally:
            self._seeking.discard(node)

    def heard(self, node: NodeId, now: CallNow) -> None:
        """The focus elsewhere tells this node. What it may not say is ignored."""
        row = self.row(RoomId(now.room))
        if row is None:
            return
        stands_in = node != row.hub and self.standins.may_tell(node, now, row)
        if may_tell(row, node, now, known=now.call in self.table.calls, stands_in=stands_in):
            self.learn(node, now, row)

    def learn(self, teller: NodeId, now: CallNow, row: RoomRow) -> There:
        """How a call stands, by its focus. Older news and other tellers are ignored."""
        there = self.table.calls.get(now.call)
        if there is None:
            there = There(now, teller, row)
            if now.result or len(self.table.calls) >= limits.CALLS_MAX:
                return there
            self._meet(there, row)
            fresh = True
        elif there.now.room != now.room:
            return there
        elif there.focus != teller:
            if not self.standins.may_take_over(there, teller, now, row):
                return there
            self._follow(there, teller)
            fresh = True
        elif now.version < there.now.version:
            return there
        else:
            fresh = now.version > there.now.version
        there.heard_at = self._clock.monotonic()
        there.now = now
        if fresh:
            self._derive(there, row)
        return there

    def _follow(self, there: There, teller: NodeId) -> None:
        """Another node keeps the call from now on, and its versions count; the seats here are said to it."""
        there.keep_nodes(self._node, self._clock.monotonic() + limits.CALL_SILENT_S)
        if there.focus == self._node:
            self._focus.hand_over(there.now.call)
        there.focus = teller
        there.unsaid = bool(there.mine) and teller != self._node

    def _meet(self, there: There, row: RoomRow) -> None:
        """A new call. Another one of the room is over if the same focus kept it, or this node keeps it with a larger id."""
        others = [other for other in self.table.calls.values() if other.now.room == row.room]
        self.table.calls[there.now.call] = there
        for other in others:
            if other.focus == there.focus:  # it has one call of a room at a time: we missed the end of that one
                self.learn(other.focus, ended(other.now, self._clock.now_ms()), row)
            elif not other.mine and self.standins.is_away(other, row):
                self.forget(other)
            elif other.focus == self._node and rules.winner(other.now.call, there.now.call) == there.now.call:
                self._focus.merge(other.now.call)

    def _derive(self, there: There, row: RoomRow) -> None:
        now = there.now
        there.told = []
        there.unshown = True
        moment = self._clock.monotonic()
        if now.result or moment - there.shown_at >= limits.CALL_TELL_EVERY_S:
            self._show(there, row, moment)
        self._ring(there, row)
        seats = {one.seat: one for one in now.seats}
        for mine in list(there.mine.values()):
            one = seats.get(mine.seat)
            if one is not None:
                mine.missing_at = None
                self._obey(there, mine, muted=one.muted)
            elif mine.taken and (now.result or mine.seat in now.gone) and not self._contests(now, mine):
                self._lose(there, mine)
            elif mine.taken and mine.missing_at is None:  # a focus that forgot it may take it back
                mine.missing_at = moment
                self.report(there)
        if now.result:
            self._end(there, row)
        else:
            self.join_pipes(there)

    def _contests(self, now: CallNow, mine: Mine) -> bool:
        """Whether a seat that was given up because nothing was heard of it is well: it is said again for a while."""
        return is_given_up(now, mine.seat) and mine.state == rules.LIVE

    def _audience(self, there: There, row: RoomRow) -> list[Device]:
        """The devices of the room. Those of a direct chat without a message do not follow it yet; whoever blocked the caller sees
        nothing of the call."""
        if row.kind != room.DIRECT:
            return list(self._feed.of_room(row.pk))
        users = [user for user in row.state.members if self.sees(there, row, user)]
        return [device for user in users for device in self._feed.of_user(user)]

    def sees(self, there: There, row: RoomRow, user: UserId) -> bool:
        """Whether a member of the room sees this call."""
        inside = any(mine.actor.user == user for mine in there.mine.values())
        return inside or self._may_ring(row, UserId(there.now.by), user)

    # --- ringing ----------------------------------------------------------------------------------------

    def _ring(self, there: There, row: RoomRow) -> None:
        now = there.now
        gone = bool(now.result) or now.by not in row.state.members  # nobody is called by who is not there
        waiting = {} if gone else waiting_here(now, self._node, row.state)
        there.declined = {user: at_ms for user, at_ms in there.declined.items() if user in waiting}
        for user in [user for user in there.rung if user not in waiting]:
            self.silence(there, user, why_silent(now, user))
        for user in waiting:
            said_no = there.declined.get(user) == waiting[user].at_ms  # and the focus does not know it yet
            if user not in there.rung and not said_no and self._may_ring(row, UserId(now.by), user):
                self._ring_one(there, user)

    def silence(self, there: There, user: UserId, reason: str, *, but: object = None) -> None:
        """It does not ring for `user` any more; devices with a seat know."""
        there.rung.pop(user, None)
        there.ringing.pop(user, None)
        seated = [mine.device for mine in there.mine.values()]
        for device in self._feed.of_user(user):
            if device is not but and device not in seated:
                over(device, there, reason)
                self._show_again(there, device)
                there.told.append(device)

    def _ring_one(self, there: There, user: UserId) -> None:
        there.rung[user] = None
        if self.table.seated(user, there.now.call):
            self._errands.spawn(self._busy(there, user))
            return
        for device in self._feed.of_user(user):
            device.send(ring_of(there.now, user))

    async def _busy(self, there: There, user: UserId) -> None:
        with suppress(Rejected, RemoteError, TimeoutError):
            await self.say(there, AskAnswer(there.now.call, there.now.room, user, busy=True))

    def _may_ring(self, row: RoomRow, by: UserId, user: UserId) -> bool:
        """In a direct chat across nodes only who is a contact rings."""
        if row.kind != room.DIRECT or parse_user(by)[1] == self._node:
            return True

        def look(tx: Tx) -> bool:
            pk = self._users.known(tx, user)
            found = None if pk is None else contacts.find(tx, pk, by)
            return found is not None and found.state is ContactState.CONTACT

        return self._db.view(look)

    # --- seats ------------------------------------------------------------------------------------------

    def _obey(self, there: There, mine: Mine, *, muted: bool) -> None:
        if muted == mine.muted or self.relay is None:
            return
        mine.muted = mine.held = muted
        self.relay.mute(there.now.call, mine.seat, on=muted)

    def _lose(self, there: There, mine: Mine) -> None:
        """The focus took a seat away."""
        again = any(one is not mine and one.device is mine.device for one in there.mine.values())
        if not again:  # else the same device has a new seat in this very call
            over(mine.device, there, why_gone(there.now, mine.seat))
            self._show_again(there, mine.device)
            there.told.append(mine.device)
        self.unseat(there, mine)

    def _show_again(self, there: There, device: Device | None) -> None:
        """It is over for this device, and the call goes on: it is one that may be joined."""
        if device is not None and not there.now.result:
            device.send(there.roster())

    def unseat(self, there: There, mine: Mine) -> None:
        """A seat here is no more."""
        there.mine.pop(mine.seat, None)
        if self.relay is not None:
            self.relay.unseat(there.now.call, mine.seat)
        self.join_pipes(there)

    def _departed(self, user: UserId, room_id: RoomId) -> None:
        """Somebody is a member of a room no more."""
        self._focus.expel(room_id, user)
        if parse_user(user)[1] != self._node:
            return
        for there in [there for there in self.table.calls.values() if there.now.room == room_id]:
            for mine in [mine for mine in there.mine.values() if mine.actor.user == user]:
                over(mine.device, there, "removed")
                self.unseat(there, mine)
            if user in there.rung:
                self.silence(there, user, "cancelled")
            self.report(there)

    def join_pipes(self, there: There) -> None:
        """The relays of the other nodes with seats are joined while there are seats here."""
        kept = there.kept if self._clock.monotonic() < there.kept_until else {}
        self.pipes.sync(there.now.call, kept | there.nodes(self._node) if there.mine else {})

    # --- the end ----------------------------------------------------------------------------------------

    def _end(self, there: There, row: RoomRow) -> None:
        for device in self._audience(there, row):
            if device not in there.told:  # they know more exactly how it ended for them
                over(device, there, "ended")
        self._entries.end(there.now)
        self.forget(there)

    def forget(self, there: There) -> None:
        """Nothing of the call is left here."""
        self.table.calls.pop(there.now.call, None)
        self.pipes.end(there.now.call)
        if self.relay is not None:
            self.relay.end(there.now.call)


def over(device: Device | None, there: There, reason: str) -> None:
    """It is over for this device."""
    if device is not None:
        device.send(calling.CallOver(there.now.call, there.now.room, reason))


def ring_of(now: CallNow, user: UserId) -> calling.Ring:
    """As the devices of `user`, who is called, are told."""
    at_ms = next(one.at_ms for one in now.invited if one.user == user)
    return calling.Ring(now.call, now.room, now.by, now.media, at_ms + limits.CALL_RING_S * 1000)


def unreached() -> Rejected:
    """The focus does not answer."""
    return Rejected(Code.PEER_OFFLINE, "The node that keeps this call is not connected now; try again later.")
