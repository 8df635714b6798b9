"""Calls: what devices ask, brought together with the focus, the relay and the other nodes. The door for everything about calls.

Each home node keeps the seats of its own devices (services/seats.py, home.py); the focus keeps the call (services/focus.py), which is this
node or another one; the relay moves the media (services/relay.py, callmedia.py), and pipes join it to the relays of other nodes
(services/pipes.py); the start and the end of a call enter the room's log (services/callentries.py). No media and no description is stored.

A `runtime.lifecycle.Service`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId, RoomId, format_id
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.services.budget import Budget, Rates
from node.services.callentries import CallEntries
from node.services.callmedia import CallMedia
from node.services.errands import Errands
from node.services.focus import Focus, Limits
from node.services.forwarding import Forwarding
from node.services.home import REFUSALS, Home, over, ring_of
from node.services.ports import PeerLinks
from node.services.relay import CallRelay, RelayReport, Standing, Track, Wanted
from node.services.seats import Device, Flags, Mine, There
from node.storage.database import Database
from node.storage.peers import Peer
from node.storage.rooms import RoomRow
from node.wire import calling, focus
from node.wire.focus import AskAnswer, AskJoin, AskLeave, AskRemove, AskStart, CallNow

T = TypeVar("T")
TICK_S: Final = 0.25  # timers of calls are this exact
CALL_BYTES: Final = 16
SEAT_BYTES: Final = 8
SHOWS: Final = frozenset({"camera", "screen"})


class Calls:
    """All calls of this node."""

    name = "calls"

    def __init__(
        self, *, db: Database, focus: Focus, home: Home, entries: CallEntries, errands: Errands, forwarding: Forwarding, rates: Rates,
        bounds: Limits, clock: Clock, entropy: Entropy,
    ) -> None:  # fmt: skip
        self._db = db
        self._focus = focus
        self._entries = entries
        self._forwarding = forwarding
        self._limits = bounds
        self._errands = errands
        self._home = home
        self._table = home.table
        self._clock = clock
        self._entropy = entropy
        self._attempts = attempts = Budget(
            clock=clock, rates=rates, per_s="calls_per_min", burst="calls_per_min", scale=60
        )
        focus.affords = attempts.affords  # like a request to begin one
        self._asks = Budget(clock=clock, rates=rates, per_s="call_asks_per_s", burst="call_asks_per_s")
        self._began_at: float | None = (
            None  # since when calls that are open in the log and not known here wait for news
        )
        self._woken = asyncio.Event()

    # --- life -------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Timers, and the work that requests wait for."""
        async with self._errands.running():
            self._began_at = self._clock.monotonic() if self._entries.unfinished else None
            ready()
            while True:
                if self._idle:
                    self._woken.clear()
                    await self._woken.wait()
                await asyncio.sleep(TICK_S)
                self.tick()

    @property
    def _idle(self) -> bool:
        """Whether no timer runs: a node without calls does nothing."""
        return not self._table.calls and self._focus.idle and self._began_at is None

    def attach(self, relay: CallRelay) -> None:
        """The relay exists."""
        self._home.relay = self._home.pipes.relay = relay
        relay.attach(CallMedia(home=self._home))

    def connect(self, links: PeerLinks) -> None:
        """The edge to other nodes exists."""
        self._home.links = self._home.pipes.links = links

    def stop(self) -> None:
        """The node goes: devices in calls come again when it is back."""
        for there in self._table.calls.values():
            for mine in there.mine.values():
                over(mine.device, there, "restarting")

    def tick(self) -> None:
        """Once in a while: timers of the focus, reports to other focuses, calls that nobody says anything of any more."""
        self._focus.tick()
        now = self._clock.monotonic()
        for there in list(self._table.calls.values()):
            self._home.tell_late(there)
            self._home.tend(there)
            self._tick_silent(there, now)
            if not self._focus.is_at_home(there.focus):
                if there.mine and now - there.said_at >= limits.CALL_REPEAT_S:
                    self._home.report(there)
                elif not there.mine and now - there.heard_at > limits.CALL_FORGOTTEN_S:
                    self._home.forget(there)
                    self._began_at = now if self._entries.unfinished else self._began_at
        if self._began_at is not None and now - self._began_at > limits.CALL_FORGOTTEN_S:
            self._began_at = None
            self._entries.finish_others(set(self._table.calls))

    def _tick_silent(self, there: There, now: float) -> None:
        """A device that only listens has no up transport which could tell that it is there."""
        for mine in there.mine.values():
            if not mine.connected and not mine.offers and now - mine.since > limits.CALL_LISTENER_S:
                mine.connected = mine.was_live = True
                self._home.report(there)

    def submit(self, work: Coroutine[Any, Any, T], answer: Callable[[T | None, Exception | None], None]) -> None:
        """Runs one of the coroutines below beside the loop and answers."""
        self._woken.set()
        self._errands.submit(work, answer)

    # --- in and out -------------------------------------------------------------------------------------

    async def start(self, device: Device, frame: calling.CallStart) -> calling.CallSeat:
        """Calls people; or, by somebody who is in the call of the room, more people. Raises Rejected."""
        relay, actor = self._relay(), device.actor
        row = self._home.row_for(actor.user, RoomId(frame.room))
        self._attempts.spend(actor.user_pk)
        self._db.view(lambda tx: self._forwarding.check_consent(tx, actor, row))
        present = self._home.present(row)
        call, mine = self._entropy.token_bytes(CALL_BYTES), self._new(device)
        count = self._clock.now_ms() if present is None else present.next_count(self._clock.now_ms())
        ask = AskStart(call, row.room, actor.user, mine.seat, count, frame.media, frame.targets)
        old = None if present is None else present.seat_of(actor.device_pk)
        with self._table.sitting(actor.user, call if present is None else present.now.call):
            if present is not None and old is not None:
                await self._home.say(present, ask)
                return self._seat_frame(present, old)
            if len(self._table.calls) >= limits.CALLS_MAX:
                raise Rejected(Code.LIMIT_REACHED, "There are too many calls on this node.", limit=limits.CALLS_MAX)
            await relay.seat(call, mine.seat, up_kbps=self._up_kbps)  # nobody is rung for a call that cannot be
            there = await self._begin(row, ask, present, mine)
            return self._sit(there, mine)

    async def _begin(self, row: RoomRow, ask: AskStart, present: There | None, mine: Mine) -> There:
        """Asks the focus. It answers with the new call, or with one that rings for them: then this accepts it."""
        relay, call, actor = self._relay(), ask.call, mine.actor
        if present is not None and present.waits_for(actor.user):
            present.mine[mine.seat] = mine  # from now on reports name it
        asked = call if present is None else present.now.call
        try:
            target = await self._keeper(row) if present is None else present.focus
            now = await self._ask(target, ask, mine, asked)
            if not any(one.seat == mine.seat for one in now.seats) and not now.result:
                raise Rejected(Code.ALREADY_DONE, "Another device of yours is in this call.")
            if now.call != call:
                relay.end(call)
                await self._seat_other(target, now, mine)
        except BaseException:
            relay.end(call)
            if present is not None and mine.seat in present.mine:
                self._home.unseat(present, mine)
            raise
        there = self._home.learn(target, now, row)
        there.count = max(there.count, ask.count)
        if now.call == call and not now.result:
            self._entries.begin(actor, row.room, call, ask.media)
        return there

    async def _keeper(self, row: RoomRow) -> NodeId:
        """Who keeps a new call. Raises Rejected: the hub is away, and another node told of a call while that was found out."""
        node = await self._home.focus_of(row)
        other = self._table.of_room(row.room)
        if node != row.hub and other is not None:
            raise Rejected(Code.BUSY, REFUSALS[Code.BUSY], call=format_id(other.now.call))
        return node

    async def _seat_other(self, target: NodeId, now: CallNow, mine: Mine) -> None:
        try:
            await self._relay().seat(now.call, mine.seat, up_kbps=self._up_kbps)
        except Rejected:
            self._home.take_back(target, now.call, RoomId(now.room), mine)
            raise

    async def _ask(self, target: NodeId, ask: AskStart | AskJoin, mine: Mine, call: bytes) -> CallNow:
        """A seat in `call`, of the focus. Raises Rejected, RemoteError, TimeoutError."""
        try:
            return await self._home.ask(target, ask)
        except (RemoteError, TimeoutError):
            self._home.take_back(target, call, RoomId(ask.room), mine)
            raise

    async def join(self, device: Device, frame: calling.CallJoin) -> calling.CallSeat:
        """Accepts, enters or comes back. Raises Rejected."""
        relay, actor = self._relay(), device.actor
        there = self._table.find(frame.call)
        row = self._row_of(device, there)
        mine, now = self._new(device), there.now
        lost = there.seat_of(actor.device_pk)  # of this very device, which forgot it: its page was loaded anew
        old = frame.seat or (b"" if lost is None else lost.seat)
        if lost is not None and lost.held:  # it has not opened the microphone since it was muted
            mine.flags = lost.flags
        with self._table.sitting(actor.user, frame.call):
            await relay.seat(now.call, mine.seat, up_kbps=self._up_kbps)
            there.mine[mine.seat] = mine  # from now on reports name it
            count = there.next_count(self._clock.now_ms())
            ask = AskJoin(now.call, now.room, actor.user, mine.seat, count, old)
            asked = there.focus
            try:
                told = await self._ask(asked, ask, mine, now.call)
            except BaseException:
                self._home.unseat(there, mine)
                raise
            self._home.learn(asked, told, row)
            return self._sit(there, mine)

    @property
    def _up_kbps(self) -> int:
        return self._limits.call_limit("up_kbps")

    def _new(self, device: Device) -> Mine:
        return Mine(self._entropy.token_bytes(SEAT_BYTES), device, self._clock.monotonic())

    def _sit(self, there: There, mine: Mine) -> calling.CallSeat:
        """The focus confirmed it. What the relay offered meanwhile follows the answer."""
        mine.taken = True
        there.mine[mine.seat] = mine
        self._table.settle_offer(mine, there.now.call)
        if self._table.calls.get(there.now.call) is not there:
            self._home.unseat(there, mine)
            if there.now.call not in self._table.calls:
                self._home.forget(there)  # the relay, too
            raise Rejected(Code.GONE, "This call is over.")
        self._home.join_pipes(there)
        asyncio.get_running_loop().call_soon(mine.tell_offer)
        return self._seat_frame(there, mine)

    def _seat_frame(self, there: There, mine: Mine) -> calling.CallSeat:
        video = there.cameras(mine.seat) < self._limits.call_limit("cameras")
        return calling.CallSeat(0, there.now.call, mine.seat, there.now.room, limits.CALL_RECONNECT_S, video)

    def ringing(self, device: Device, frame: calling.CallRinging) -> None:
        """A device rings."""
        there, user = self._table.calls.get(frame.call), device.actor.user
        if there is not None and user in there.rung and user not in there.ringing:
            there.ringing[user] = None
            self._home.report(there)

    async def decline(self, device: Device, frame: calling.CallDecline) -> None:
        """No, on all devices. Raises Rejected."""
        there, user = self._table.find(frame.call), device.actor.user
        if user not in there.rung:
            raise Rejected(Code.ALREADY_DONE, "This call does not ring for you any more.")
        there.note_no(user)
        self._home.silence(there, user, "declined_elsewhere", but=device)
        try:
            await self._home.say(there, AskAnswer(there.now.call, there.now.room, user, frame.busy))
        except BaseException:
            there.declined.pop(user, None)
            raise

    async def leave(self, device: Device, frame: calling.CallLeave) -> None:
        """Goes, or ends it for everybody. Raises Rejected."""
        there, mine = self._table.seat(device, frame.call, frame.seat)
        now, user = there.now, device.actor.user
        ask = AskLeave(now.call, now.room, user, mine.seat, frame.everybody)
        if frame.everybody:
            await self._home.say(there, ask)
            return
        self._home.unseat(there, mine)
        try:
            await self._home.say(there, ask)
        except (Rejected, RemoteError, TimeoutError):  # the next report says it again
            there.unsaid = True

    async def remove(self, device: Device, frame: calling.CallRemove) -> None:
        """A moderator takes a seat out, or mutes it. Raises Rejected."""
        there = self._table.find(frame.call)
        self._row_of(device, there)
        user = device.actor.user
        await self._home.say(there, AskRemove(there.now.call, there.now.room, user, frame.seat, frame.mute))

    def _row_of(self, device: Device, there: There) -> RoomRow:
        return self._home.row_for(device.actor.user, RoomId(there.now.room))

    # --- media of a seat --------------------------------------------------------------------------------

    async def up(self, device: Device, frame: calling.CallUp) -> str:
        """The answer to an offer. Raises Rejected."""
        there, mine = self._hold(device, frame.call, frame.seat)
        if SHOWS & set(frame.sources.values()) and not mine.shows:
            cameras = self._limits.call_limit("cameras")
            if there.cameras(mine.seat) >= cameras:
                raise Rejected(Code.LIMIT_REACHED, f"{cameras} people show pictures already.", limit=cameras)
        relay = self._relay()
        async with mine.lock:
            answer = await relay.offer(frame.call, frame.seat, frame.sdp, frame.sources)
        mine.offers = True
        mine.shows = bool(SHOWS & set(frame.sources.values()))
        return answer

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
            self._home.report(there)

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
        mine.tell_offer()
        self._home.report(there)

    # --- sockets come and go ----------------------------------------------------------------------------

    def came(self, device: Device, room_pks: Iterable[int]) -> None:
        """A socket said hello: the calls of its rooms, and whether it rings."""
        pks, user = set(room_pks), device.actor.user
        for there in list(self._table.calls.values()):
            row = self._home.row(RoomId(there.now.room)) if there.room_pk in pks or user in there.users else None
            if row is None or not self._home.sees(there, row, user):
                continue
            device.send(there.roster())
            if user in there.rung:
                device.send(ring_of(there.now, user))
            for mine in list(there.mine.values()):
                if mine.device is None and mine.actor.device_pk == device.actor.device_pk:
                    self._take(there, mine, device)

    def went(self, device: Device) -> None:
        """A socket is gone; its seats are kept a while."""
        for there, mine in self._table.of_device(device):
            mine.device = None
            self._home.report(there)

    # --- other nodes ------------------------------------------------------------------------------------

    def heard(self, peer: Peer, topic: str, body: bytes) -> None:
        """A whisper. Raises Rejected when it is malformed; what does not concern us is ignored."""
        self._woken.set()
        if topic == focus.NOW:
            self._home.heard(peer.nid, focus.decode_now(body))
        elif topic == focus.SEATS:
            self._focus.report(peer.nid, focus.decode_seats(body))

    async def serve(self, peer: Peer, method: str, args: bytes) -> bytes:
        """Answers a request. Raises Rejected."""
        self._woken.set()
        self._asks.spend(peer.nid)
        if method == focus.ASK:
            ask = focus.decode_ask(args)
            if isinstance(ask, AskStart):
                self._attempts.spend((peer.nid, ask.user))  # its own node may not count; another one does not spend it
            return focus.encode_said(self._focus.ask(peer.nid, ask))
        if method == focus.PIPE:
            asked = focus.decode_half(args)
            self._shared(peer, asked.call)
            ours = await self._home.pipes.serve(asked.call, peer.nid, asked.half)
            return focus.encode_said(focus.PipeHalf(asked.call, ours))
        if method == focus.WANT:
            want = focus.decode_want(args)
            mine = self._shared(peer, want.call).mine
            self._relay().pipe_want(want.call, peer.nid, [_wanted(one) for one in want.tracks if one.seat in mine])
            return b""
        raise Rejected(Code.UNSUPPORTED, "This request is not known.")

    def _shared(self, peer: Peer, call: bytes) -> There:
        """A call in which this node and that one have seats. Raises Rejected."""
        there = self._table.calls.get(call)
        if there is None or not there.mine or not there.has_seats_of(peer.nid):
            raise Rejected(Code.NOT_FOUND, "This call has no seats of both nodes.")
        return there

    def linked(self, peer: Peer) -> None:
        """A link opened: everything is said again."""
        self._focus.linked(peer.nid)
        self._home.pipes.linked(peer.nid)
        for there in self._table.calls.values():
            if there.focus == peer.nid and (there.mine or there.ringing):
                self._home.report(there)

    # --- looking ----------------------------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        """Whether there can be calls."""
        relay = self._home.relay
        return Standing(level=0, reason="this node has no relay") if relay is None else relay.standing

    def _relay(self) -> CallRelay:
        relay, standing = self._home.relay, self.standing
        if relay is None or standing.level == 0:
            raise Rejected(Code.UNAVAILABLE, f"Calls do not work on this node: {standing.reason or 'they are off'}.")
        return relay

    async def report(self) -> RelayReport:
        """What the relay does now."""
        relay = self._home.relay
        return RelayReport(standing=self.standing) if relay is None else await relay.report()

    @property
    def known(self) -> list[There]:
        """The calls this node knows."""
        return list(self._table.calls.values())


def _wanted(one: focus.WantedTrack) -> Wanted:
    return Wanted(Track(one.seat, one.source), one.width, one.pinned)
