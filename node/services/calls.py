"""Calls: what devices ask, what the focus says, what the relay tells, brought together on the loop.

Each home node keeps the seats of its own devices (services/seats.py); the focus keeps the call (services/focus.py), which is this node or
another one; the relay moves the media (services/relay.py), and pipes join it to the relays of other nodes (services/pipes.py); the start
and the end of a call enter the room's log (services/callentries.py). No media and no description is ever stored.

Implements `services.relay.RelayEvents`; a `runtime.lifecycle.Service`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId, RoomId, UserId, parse_user
from node.core import call as rules
from node.core import room
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.log import Log as Diary
from node.services.actor import Actor
from node.services.budget import Budget, Rates
from node.services.callentries import CallEntries
from node.services.feed import Feed
from node.services.focus import Focus, Limits
from node.services.forwarding import Forwarding
from node.services.pipes import Pipes
from node.services.ports import PeerLinks
from node.services.relay import CallRelay, Quality, RelayReport, Standing, Track, Wanted
from node.services.seats import Device, Flags, Mine, Table, There, may_tell, waiting_here, why_gone, why_silent
from node.storage import contacts
from node.storage.contacts import ContactState
from node.storage.database import Database, Tx
from node.storage.peers import Peer
from node.storage.rooms import RoomRow, Rooms
from node.storage.users import Users
from node.wire import calling, focus
from node.wire.focus import AskAnswer, AskJoin, AskLeave, AskRemove, AskStart, CallNow

T = TypeVar("T")
TICK_S: Final = 0.25  # timers of calls are this exact
CALL_BYTES: Final = 16
SEAT_BYTES: Final = 8
_diary: Final = Diary("calls")


class Calls:
    """All calls of this node."""

    name = "calls"

    def __init__(
        self, *, db: Database, node: NodeId, rooms: Rooms, users: Users, feed: Feed, focus: Focus, entries: CallEntries, forwarding: Forwarding,
        rates: Rates, clock: Clock, entropy: Entropy, limits_now: Limits,
    ) -> None:  # fmt: skip
        self._db = db
        self._node = node
        self._rooms = rooms
        self._users = users
        self._feed = feed
        self.focus = focus
        self._entries = entries
        self._forwarding = forwarding
        self._limits = limits_now
        self._clock = clock
        self._entropy = entropy
        self._attempts = Budget(clock=clock, rates=rates, per_s="calls_per_min", burst="calls_per_min", scale=60)
        self._asks = Budget(clock=clock, rates=rates, per_s="call_asks_per_s", burst="call_asks_per_s")
        self._tasks: asyncio.TaskGroup | None = None
        self._table = Table()
        self._pipes = Pipes(node=node, submit=self._spawn)
        self._began_at = 0.0
        self.relay: CallRelay | None = None
        self.links: PeerLinks | None = None
        focus.tell = self._told
        feed.departed = self._departed

    # --- life -------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Timers, and the work that requests wait for."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._began_at = self._clock.monotonic()
                ready()
                while True:
                    await asyncio.sleep(TICK_S)
                    self.tick()
        finally:
            self._tasks = None

    def attach(self, relay: CallRelay) -> None:
        """The relay exists."""
        self.relay = self._pipes.relay = relay
        relay.attach(self)

    def connect(self, links: PeerLinks) -> None:
        """The edge to other nodes exists."""
        self.links = self._pipes.links = links

    def stop(self) -> None:
        """The node goes: devices in calls come again when it is back."""
        for there in self._table.calls.values():
            for mine in there.mine.values():
                self._over(mine.device, there, "restarting")

    def tick(self) -> None:
        """Once in a while: timers of the focus, reports to other focuses, calls that nobody says anything of any more."""
        self.focus.tick()
        now = self._clock.monotonic()
        for there in list(self._table.calls.values()):
            if there.focus != self._node and there.mine and now - there.said_at >= limits.CALL_REPEAT_S:
                self._report(there)
            if there.focus != self._node and not there.mine and now - there.heard_at > limits.CALL_FORGOTTEN_S:
                self._forget(there)
        if self._began_at and now - self._began_at > limits.CALL_FORGOTTEN_S:
            self._began_at = 0.0
            self._entries.finish_others(set(self._table.calls))

    def submit(self, work: Coroutine[Any, Any, T], answer: Callable[[T | None, Exception | None], None]) -> None:
        """Runs `work` beside the loop and answers. While the service does not run it is refused."""

        async def task() -> None:
            try:
                result = await work
            except (Rejected, RemoteError, TimeoutError, ConnectionError) as error:
                answer(None, error if isinstance(error, Rejected) else _unreached())
            except Exception as error:  # noqa: BLE001 - the boundary of one request: it fails, the calls go on
                answer(None, error)
            else:
                answer(result, None)

        if not self._spawn(task()):
            work.close()
            answer(None, Rejected(Code.UNAVAILABLE, "Calls are starting; try again in a moment."))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        if self._tasks is None:
            work.close()
            return False
        self._tasks.create_task(work)
        return True

    @property
    def standing(self) -> Standing:
        """Whether there can be calls."""
        return Standing(level=0, reason="This node has no relay.") if self.relay is None else self.relay.standing

    def _relay(self) -> CallRelay:
        standing = self.standing
        if self.relay is None or standing.level == 0:
            raise Rejected(Code.UNAVAILABLE, f"Calls do not work on this node: {standing.reason or 'they are off'}.")
        return self.relay

    # --- what devices ask -------------------------------------------------------------------------------

    async def start(self, device: Device, frame: calling.CallStart) -> calling.CallSeat:
        """Calls people. Raises Rejected."""
        relay, actor = self._relay(), device.actor
        row = self._row(RoomId(frame.room))
        if row is None or actor.user not in row.state.members:
            raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.")
        self._attempts.spend(actor.user_pk)
        self._db.view(lambda tx: self._forwarding.check_consent(tx, actor, row))
        if self._table.seated(actor.user, b""):
            there = self._table.of_room(row.room)
            if there is None or not any(mine.actor.user == actor.user for mine in there.mine.values()):
                raise Rejected(Code.BUSY, "You are in another call; leave it first.")
        call, mine = self._entropy.token_bytes(CALL_BYTES), Mine(self._entropy.token_bytes(SEAT_BYTES), device)
        present = self._table.of_room(row.room)
        target = self._focus_of(row) if present is None else present.focus
        now_ms = self._clock.now_ms()
        ask = AskStart(call, row.room, actor.user, mine.seat, now_ms, frame.media, frame.targets)
        now = await self._ask(target, ask)
        there = self._learn(target, now, row)
        if not any(one.seat == mine.seat for one in now.seats):  # more people were called by somebody who is in it
            old = next(mine for mine in there.mine.values() if mine.actor.user == actor.user)
            return self._seat_frame(there, old)
        if now.call == call:
            self._entries.begin(actor, row.room, call, frame.media)
        await self._sit(relay, there, mine)
        return self._seat_frame(there, mine)

    async def join(self, device: Device, frame: calling.CallJoin) -> calling.CallSeat:
        """Accepts, enters or comes back. Raises Rejected."""
        relay, actor = self._relay(), device.actor
        there = self._table.find(frame.call)
        row = self._row(RoomId(there.now.room))
        if row is None or actor.user not in row.state.members:
            raise Rejected(Code.NOT_FOUND, "This call is over.", field="call")
        if self._table.seated(actor.user, frame.call):
            raise Rejected(Code.BUSY, "You are in another call; leave it first.")
        mine = Mine(self._entropy.token_bytes(SEAT_BYTES), device)
        old = frame.seat or self._lost(there, device)
        there.mine[mine.seat] = mine  # from now on reports name it
        ask = AskJoin(
            there.now.call, there.now.room, actor.user, mine.seat, there.next_count(self._clock.now_ms()), old
        )
        try:
            now = await self._ask(there.focus, ask)
        except BaseException:
            there.mine.pop(mine.seat, None)
            raise
        self._learn(there.focus, now, row)
        await self._sit(relay, there, mine)
        return self._seat_frame(there, mine)

    def _lost(self, there: There, device: Device) -> bytes:
        """The seat of this very device, which forgot it: its page was loaded anew."""
        mine = (one for one in there.mine.values() if one.actor.device_pk == device.actor.device_pk)
        return next((one.seat for one in mine), b"")

    async def _sit(self, relay: CallRelay, there: There, mine: Mine) -> None:
        """The seat is confirmed: its transports. Without them it goes again."""
        mine.taken = True
        there.mine[mine.seat] = mine
        try:
            await relay.seat(there.now.call, mine.seat)
        except BaseException:
            self._leave(there, mine)
            raise
        self._join_pipes(there)

    def _seat_frame(self, there: There, mine: Mine) -> calling.CallSeat:
        video = there.cameras(mine.seat) < self._limits.call_limit("cameras")
        now = there.now
        return calling.CallSeat(0, now.call, mine.seat, now.room, limits.CALL_RECONNECT_S, video)

    def ringing(self, device: Device, frame: calling.CallRinging) -> None:
        """A device rings."""
        there = self._table.calls.get(frame.call)
        user = device.actor.user
        if there is not None and user in there.rung and user not in there.ringing:
            there.ringing[user] = None
            self._report(there)

    async def decline(self, device: Device, frame: calling.CallDecline) -> None:
        """No, on all devices. Raises Rejected."""
        there = self._table.find(frame.call)
        user = device.actor.user
        if user not in there.rung:
            raise Rejected(Code.ALREADY_DONE, "This call does not ring for you any more.")
        there.rung.pop(user)
        for other in self._feed.of_user(user):
            if other is not device:
                self._over(other, there, "declined_elsewhere")
        await self._say(there, AskAnswer(there.now.call, there.now.room, user, frame.busy))

    async def leave(self, device: Device, frame: calling.CallLeave) -> None:
        """Goes, or ends it for everybody. Raises Rejected."""
        there, mine = self._table.seat(device, frame.call, frame.seat)
        now, user = there.now, device.actor.user
        ask = AskLeave(now.call, now.room, user, mine.seat, frame.everybody)
        if frame.everybody:
            await self._say(there, ask)
            return
        self._unseat(there, mine)
        with suppress(Rejected):  # the next report says it again
            await self._say(there, ask)

    async def remove(self, device: Device, frame: calling.CallRemove) -> None:
        """A moderator takes a seat out, or mutes it. Raises Rejected."""
        there = self._table.find(frame.call)
        user = device.actor.user
        await self._say(there, AskRemove(there.now.call, there.now.room, user, frame.seat, frame.mute))

    async def up(self, device: Device, frame: calling.CallUp) -> str:
        """The answer to an offer. Raises Rejected."""
        there, mine = self._hold(device, frame.call, frame.seat)
        shows = {"camera", "screen"} & set(frame.sources.values())
        if shows and not {"camera", "screen"} & set(mine.sources):
            cameras = self._limits.call_limit("cameras")
            if there.cameras(mine.seat) >= cameras:
                raise Rejected(Code.LIMIT_REACHED, f"{cameras} people show pictures already.", limit=cameras)
        relay = self._relay()
        async with mine.lock:
            return await relay.offer(frame.call, frame.seat, frame.sdp, frame.sources)

    async def down(self, device: Device, frame: calling.CallDown) -> None:
        """The answer to our offer. Raises Rejected."""
        _, mine = self._hold(device, frame.call, frame.seat)
        relay = self._relay()
        async with mine.lock:
            await relay.answer(frame.call, frame.seat, frame.version, frame.sdp)

    def restart(self, device: Device, frame: calling.CallRestart) -> None:
        """The down transport is broken. Raises Rejected."""
        self._hold(device, frame.call, frame.seat)
        self._relay().restart(frame.call, frame.seat)

    def state(self, device: Device, frame: calling.CallState) -> None:
        """What a device sends and shows. Raises Rejected."""
        there, mine = self._hold(device, frame.call, frame.seat)
        flags = Flags(frame.mic, frame.camera, frame.screen, frame.hand)
        if mine.held and flags.mic and not mine.flags.mic:  # its owner opened the microphone themselves
            mine.held = False
            self._relay().mute(frame.call, frame.seat, on=False)
        if flags != mine.flags:
            mine.flags = flags
            self._report(there)

    def want(self, device: Device, frame: calling.CallWant) -> None:
        """How a device wants the tracks of others. Raises Rejected."""
        self._hold(device, frame.call, frame.seat)
        wishes = [Wanted(Track(wish.seat, wish.source), wish.width, wish.pinned) for wish in frame.wishes]
        self._relay().want(frame.call, frame.seat, wishes)

    def _hold(self, device: Device, call: bytes, seat: bytes) -> tuple[There, Mine]:
        """The seat, from now on held by this socket of its device: it is told again what it may have missed. Raises Rejected."""
        there, mine = self._table.seat(device, call, seat)
        if mine.device is not device:
            self._take(there, mine, device)
        return there, mine

    def _take(self, there: There, mine: Mine, device: Device) -> None:
        mine.device = device
        device.send(there.roster())
        if mine.offer is not None:
            device.send(mine.offer)
        self._report(there)

    # --- sockets come and go ----------------------------------------------------------------------------

    def came(self, device: Device, room_pks: Iterable[int]) -> None:
        """A socket said hello: the calls of its rooms, and whether it rings."""
        mine_rooms = set(room_pks)
        for there in self._table.calls.values():
            if there.room_pk not in mine_rooms:
                continue
            device.send(there.roster())
            if device.actor.user in there.rung:
                device.send(_ring(there.now, device.actor.user))
            for mine in there.mine.values():
                if mine.device is None and mine.actor.device_pk == device.actor.device_pk:
                    self._take(there, mine, device)

    def went(self, device: Device) -> None:
        """A socket is gone; its seats are kept a while."""
        for there, mine in self._table.of_device(device):
            mine.device = None
            self._report(there)

    def _departed(self, user: UserId, room_id: RoomId) -> None:
        """Somebody is a member of a room no more."""
        self.focus.expel(room_id, user)
        there = self._table.of_room(room_id)
        if there is not None and parse_user(user)[1] == self._node:
            for mine in [mine for mine in there.mine.values() if mine.actor.user == user]:
                self._over(mine.device, there, "removed")
                self._unseat(there, mine)

    # --- to and from the focus --------------------------------------------------------------------------

    def _row(self, room_id: RoomId) -> RoomRow | None:
        return self._db.view(lambda tx: self._rooms.peek(tx, room_id))

    def _focus_of(self, row: RoomRow) -> NodeId:
        """The hub; in a direct chat whose hub is away, this node."""
        if row.hub == self._node or self.links is None or self.links.linked(row.hub) or row.kind != room.DIRECT:
            return row.hub
        self.links.wake(row.hub)
        return self._node

    async def _ask(self, node: NodeId, ask: focus.Ask) -> CallNow:
        if node == self._node:
            return self.focus.ask(node, ask)
        if self.links is None:
            raise _unreached()
        return focus.decode_now(await self.links.request(node, focus.ASK, focus.encode_said(ask)))

    async def _say(self, there: There, ask: focus.Ask) -> None:
        """Asks, and takes the answer as news."""
        now = await self._ask(there.focus, ask)
        row = self._row(RoomId(there.now.room))
        if row is not None:
            self._learn(there.focus, now, row)

    def _report(self, there: There) -> None:
        there.said_at = self._clock.monotonic()
        said = there.report(self._clock.now_ms())
        if there.focus == self._node:
            self.focus.report(self._node, said)
        elif self.links is not None:
            self.links.whisper(there.focus, focus.SEATS, focus.encode_said(said))

    def _told(self, node: NodeId, now: CallNow) -> None:
        """The focus here tells a node how a call stands."""
        if node == self._node:
            row = self._row(RoomId(now.room))
            if row is not None:
                self._learn(node, now, row)
            return
        if self.links is None or self.links.whisper(node, focus.NOW, focus.encode_said(now)):
            return
        if any(parse_user(one.user)[1] == node for one in now.invited if one.state in rules.WAITING):
            self.links.wake(node)  # somebody there is called: when the link is open, it is told again

    def _learn(self, teller: NodeId, now: CallNow, row: RoomRow) -> There:
        """How a call stands, by its focus."""
        there = self._table.calls.get(now.call)
        if there is None:
            there = There(now, teller, row.pk)
            if now.result:
                return there
            self._meet(there, row)
        elif there.focus != teller or now.version < there.now.version:
            return there
        there.heard_at = self._clock.monotonic()
        fresh = now.version > there.now.version or now is there.now
        there.now = now
        if fresh:
            self._derive(there, row)
        return there

    def _meet(self, there: There, row: RoomRow) -> None:
        """A new call. Another one of the room that this node knew, with a larger id, is over."""
        for other in [other for other in self._table.calls.values() if other.now.room == row.room]:
            if rules.winner(other.now.call, there.now.call) == there.now.call and other.focus == self._node:
                self.focus.merge(other.now.call)
        self._table.calls[there.now.call] = there

    def _derive(self, there: There, row: RoomRow) -> None:
        now = there.now
        roster = there.roster()
        for device in self._audience(row):
            device.send(roster)
        self._ring(there, row)
        seats = {one.seat: one for one in now.seats}
        for mine in list(there.mine.values()):
            one = seats.get(mine.seat)
            if one is not None:
                self._obey(mine, muted=one.muted, call=now.call)
            elif mine.taken:
                self._lose(there, mine)
        if now.result:
            self._end(there, row)
        else:
            self._join_pipes(there)

    def _audience(self, row: RoomRow) -> list[Device]:
        """The devices of the room. Those of a direct chat without a message do not follow it yet."""
        found = dict.fromkeys(self._feed.of_room(row.pk))
        if row.kind == room.DIRECT:
            for user in row.state.members:
                found |= dict.fromkeys(self._feed.of_user(user))
        return list(found)

    def _ring(self, there: There, row: RoomRow) -> None:
        now = there.now
        waiting = {} if now.result else waiting_here(now, self._node, row.state)
        for user in [user for user in there.rung if user not in waiting]:
            there.rung.pop(user)
            there.ringing.pop(user, None)
            reason = why_silent(now, user)
            seated = {mine.device for mine in there.mine.values()}
            for device in self._feed.of_user(user):
                if device not in seated and not self._joining(there, device):
                    self._over(device, there, reason)
        for user in waiting:
            if user not in there.rung and self._may_ring(row, UserId(now.by), user):
                self._ring_one(there, user)

    def _joining(self, there: There, device: object) -> bool:
        return any(mine.device is device for mine in there.mine.values())

    def _ring_one(self, there: There, user: UserId) -> None:
        now = there.now
        there.rung[user] = None
        if self._table.seated(user, now.call):
            self._spawn(self._busy(there, user))
            return
        for device in self._feed.of_user(user):
            device.send(_ring(now, user))

    async def _busy(self, there: There, user: UserId) -> None:
        with suppress(Rejected, RemoteError, TimeoutError):
            await self._say(there, AskAnswer(there.now.call, there.now.room, user, busy=True))

    def _may_ring(self, row: RoomRow, by: UserId, user: UserId) -> bool:
        """In a direct chat across nodes only who is a contact rings."""
        if row.kind != room.DIRECT or parse_user(by)[1] == self._node:
            return True

        def look(tx: Tx) -> bool:
            found = contacts.find(tx, self._users.pk(tx, user), by)
            return found is not None and found.state is ContactState.CONTACT

        return self._db.view(look)

    def _obey(self, mine: Mine, *, muted: bool, call: bytes) -> None:
        if muted == mine.muted or self.relay is None:
            return
        mine.muted = mine.held = muted
        self.relay.mute(call, mine.seat, on=muted)

    def _lose(self, there: There, mine: Mine) -> None:
        """The focus took a seat away."""
        reason = why_gone(there.now, mine.seat)
        again = any(one is not mine and one.device is mine.device for one in there.mine.values())
        if not again:  # else the same device has a new seat in this very call
            self._over(mine.device, there, reason)
        self._unseat(there, mine)

    def _leave(self, there: There, mine: Mine) -> None:
        self._unseat(there, mine)
        self._report(there)

    def _unseat(self, there: There, mine: Mine) -> None:
        there.mine.pop(mine.seat, None)
        if self.relay is not None:
            self.relay.unseat(there.now.call, mine.seat)
        self._join_pipes(there)

    def _end(self, there: There, row: RoomRow) -> None:
        for device in self._audience(row):
            self._over(device, there, "ended")
        self._entries.end(there.now)
        self._forget(there)

    def _forget(self, there: There) -> None:
        self._table.calls.pop(there.now.call, None)
        self._pipes.end(there.now.call)
        if self.relay is not None:
            self.relay.end(there.now.call)

    def _over(self, device: Any, there: There, reason: str) -> None:
        if device is not None:
            device.send(calling.CallOver(there.now.call, there.now.room, reason))

    def _join_pipes(self, there: There) -> None:
        self._pipes.sync(there.now.call, there.nodes(self._node) if there.mine else {})

    # --- other nodes ------------------------------------------------------------------------------------

    def heard(self, peer: Peer, topic: str, body: bytes) -> None:
        """A whisper. Raises Rejected when it is malformed; what does not concern us is ignored."""
        if topic == focus.NOW:
            now = focus.decode_now(body)
            row = self._row(RoomId(now.room))
            if row is not None and may_tell(row, peer.nid, now):
                self._learn(peer.nid, now, row)
        elif topic == focus.SEATS:
            self.focus.report(peer.nid, focus.decode_seats(body))

    async def serve(self, peer: Peer, method: str, args: bytes) -> bytes:
        """Answers a request. Raises Rejected."""
        self._asks.spend(peer.nid)
        if method == focus.ASK:
            return focus.encode_said(self.focus.ask(peer.nid, focus.decode_ask(args)))
        if method == focus.PIPE:
            half = focus.decode_half(args)
            self._shared(peer.nid, half.call)
            return focus.encode_said(focus.PipeHalf(half.call, await self._pipes.serve(half.call, peer.nid, half.half)))
        if method == focus.WANT:
            want = focus.decode_want(args)
            there = self._shared(peer.nid, want.call)
            tracks = [
                Wanted(Track(one.seat, one.source), one.width, one.pinned)
                for one in want.tracks
                if one.seat in there.mine
            ]
            self._relay().pipe_want(want.call, peer.nid, tracks)
            return b""
        raise Rejected(Code.UNSUPPORTED, "This request is not known.")

    def _shared(self, node: NodeId, call: bytes) -> There:
        """A call in which this node and that one have seats. Raises Rejected."""
        there = self._table.calls.get(call)
        if there is None or not there.mine or node not in there.nodes(self._node):
            raise Rejected(Code.NOT_FOUND, "This call has no seats of both nodes.")
        return there

    def linked(self, peer: Peer) -> None:
        """A link opened: everything is said again."""
        self.focus.linked(peer.nid)
        self._pipes.linked(peer.nid)
        for there in self._table.calls.values():
            if there.focus == peer.nid and (there.mine or there.ringing):
                self._report(there)

    # --- what the relay tells ---------------------------------------------------------------------------

    def _mine(self, call: bytes, seat: bytes) -> tuple[There, Mine] | None:
        there = self._table.calls.get(call)
        mine = None if there is None else there.mine.get(seat)
        return None if there is None or mine is None else (there, mine)

    def offered(self, call: bytes, seat: bytes, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        """The down transport of a seat is offered."""
        if (found := self._mine(call, seat)) is None:
            return
        named = {mid: (track.seat, track.source) for mid, track in tracks.items()}
        found[1].offer = calling.CallOffer(call, seat, version, sdp, named)
        if found[1].device is not None:
            found[1].device.send(found[1].offer)

    def connected(self, call: bytes, seat: bytes, *, on: bool) -> None:
        """Media goes, or not any more."""
        if (found := self._mine(call, seat)) is not None:
            found[1].connected = on
            found[1].was_live |= on
            self._report(found[0])

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        """What a seat sends."""
        if (found := self._mine(call, seat)) is not None and found[1].sources != tuple(sources):
            found[1].sources = tuple(sources)
            self._report(found[0])

    def speakers(self, call: bytes, seats: Sequence[bytes]) -> None:
        """Who speaks."""
        there = self._table.calls.get(call)
        for mine in () if there is None else there.mine.values():
            if mine.device is not None:
                mine.device.send(calling.CallSpeakers(call, tuple(seats)))

    def quality(self, call: bytes, seat: bytes, quality: Quality) -> None:
        """How the media of a seat goes."""
        if (found := self._mine(call, seat)) is not None and (device := found[1].device) is not None:
            device.send(
                calling.CallQuality(
                    call, seat, level(quality), quality.up_loss, quality.up_kbps, quality.down_loss, quality.down_kbps,
                    quality.rtt_ms, quality.audio_only,
                )
            )  # fmt: skip

    def failed(self, call: bytes) -> None:
        """The relay lost the call: its devices come again, in the place of their old seats."""
        if (there := self._table.calls.get(call)) is None:
            return
        for mine in there.mine.values():
            mine.connected, mine.offer = False, None
            self._over(mine.device, there, "restarting")
        self._pipes.end(call)
        self._report(there)

    def pipe_wanted(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """What the seats here want of another node."""
        self._pipes.want(call, node, tracks)

    # --- looking ----------------------------------------------------------------------------------------

    async def report(self) -> RelayReport:
        """What the relay does now."""
        return RelayReport(standing=self.standing) if self.relay is None else await self.relay.report()

    @property
    def known(self) -> list[There]:
        """The calls this node knows."""
        return list(self._table.calls.values())

    def actor_of(self, call: bytes, seat: bytes) -> Actor | None:
        """Whose seat it is, if it is here."""
        found = self._mine(call, seat)
        return None if found is None else found[1].actor


def level(quality: Quality) -> int:
    """0 (bad) to 3 (good), by the worse direction: what people hear of loss and delay (ITU-T G.114, G.1028 in plain steps)."""
    loss = max(quality.up_loss, quality.down_loss)
    if loss < 20 and quality.rtt_ms < 300:
        return 3
    if loss < 50 and quality.rtt_ms < 600:
        return 2
    return 1 if loss < 150 else 0


def _ring(now: CallNow, user: UserId) -> calling.Ring:
    at_ms = next(one.at_ms for one in now.invited if one.user == user)
    return calling.Ring(now.call, now.room, now.by, now.media, at_ms + limits.CALL_RING_S * 1000)


def _unreached() -> Rejected:
    return Rejected(Code.PEER_OFFLINE, "The node that keeps this chat is not connected now; try again later.")
