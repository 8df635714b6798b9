"""The start and the end of a call in its room's log, posted by the node of whoever began it, in that person's name. When they are not in
the room any more at its end, the end is in the name of somebody else there, and posted by their node (core/callend.py).

The start is remembered with its entry, so that a crash leaves no call open for ever: what the node finds unfinished when it is back, and no
other node goes on with, it ends as failed. In a room of another hub both entries wait for it like every post.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from msgspec.structs import replace

from node.base.errors import Rejected
from node.base.ids import ClientId, EventId, NodeId, RoomId, UserId, parse_user
from node.core import call as rules
from node.core import callend, content
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.log import Log as Diary
from node.services.actor import Actor
from node.services.post import Post
from node.services.posting import Posting
from node.storage import calls
from node.storage.calls import OpenCall
from node.storage.database import Database, Tx
from node.storage.rooms import Rooms
from node.storage.users import Users
from node.wire.focus import CallNow

MISSED: Final = frozenset({rules.MISSED, rules.UNREACHABLE, rules.CANCELLED, rules.BUSY})
FALLBACK: Final = "A call"
NO_DEVICE: Final = 0  # an entry that no device asked for
_diary: Final = Diary("calls")


class Accounts(Protocol):
    """Accounts of this node (`services.accounts.Accounts`)."""

    def later(self, tx: Tx, pk: int, device_pk: int) -> Actor:
        """Somebody who asked for something earlier."""


class CallEntries:
    """Writes calls into logs."""

    def __init__(
        self, *, db: Database, node: NodeId, rooms: Rooms, users: Users, posting: Posting, accounts: Accounts, clock: Clock,
        entropy: Entropy,
    ) -> None:  # fmt: skip
        self._db = db
        self._node = node
        self._rooms = rooms
        self._users = users
        self._posting = posting
        self._accounts = accounts
        self._clock = clock
        self._entropy = entropy

    def begin(self, actor: Actor, room: RoomId, call: bytes, media: str) -> None:
        """A call of somebody here began."""

        def write(tx: Tx) -> None:
            body = content.Call(call=call, state="start", media=media, fallback=FALLBACK)
            entry = self._posting.post_in(tx, actor, self._post(room, body))
            event, account, device = entry.event_id, actor.user_pk, actor.device_pk
            calls.put(tx, OpenCall(call=call, room=room, event=event, account=account, device=device, media=media))

        self._submit(write)

    def end(self, now: CallNow) -> None:
        """A call is over; nothing happens unless its end is to be said by somebody here, and is not in the log."""
        missed = tuple(one.user for one in now.invited if one.state in MISSED)
        ms = max(0, now.ended_ms - now.live_ms) if now.live_ms else 0
        result = rules.ANSWERED if now.result == rules.ENDED else now.result
        body = content.Call(
            call=now.call, state="end", media=now.media, ms=ms, joined=now.joined, result=result, missed=missed,
            fallback=FALLBACK,
        )  # fmt: skip

        def write(tx: Tx) -> None:
            found = calls.find(tx, now.call)
            if found is not None:
                self._end_own(tx, found, body)
            else:
                self._end_for(tx, RoomId(now.room), UserId(now.by), body, None)

        self._submit(write)

    @property
    def unfinished(self) -> bool:
        """Whether calls are open in the log."""
        return bool(self._db.view(calls.unfinished))

    def finish_others(self, going_on: set[bytes]) -> None:
        """After a restart: whatever is open and not known to go on ends as failed."""

        def write(tx: Tx) -> None:
            for found in calls.unfinished(tx):
                if found.call not in going_on:
                    body = content.Call(
                        call=found.call, state="end", media=found.media, result=rules.FAILED, fallback=FALLBACK
                    )
                    self._end_own(tx, found, body)

        if self.unfinished:
            self._submit(write)

    def _end_own(self, tx: Tx, found: OpenCall, body: content.Call) -> None:
        """Of a call that began here."""
        calls.drop(tx, found.call)
        by, row = self._accounts.later(tx, found.account, found.device).user, self._rooms.load(tx, found.room)
        if row is not None and by not in row.state.members:
            self._end_for(tx, found.room, by, body, found.event)
        else:
            self._note(tx, found.account, found.device, found.room, replace(body, start=found.event))

    def _end_for(self, tx: Tx, room: RoomId, by: UserId, body: content.Call, start: EventId | None) -> None:
        """In the name of somebody here, if `by` is not in the room any more and it is for nobody elsewhere to say it."""
        row = self._rooms.load(tx, room)
        if row is None or by in row.state.members:
            return
        closer = callend.closer(row.state, row.hub, by, body.missed, self._clock.now_ms())
        if closer is None or parse_user(closer)[1] != self._node:
            return
        start = start or calls.start_of(tx, row.pk, by, body.call, row.head.idx)
        if start is not None:
            self._note(tx, self._users.pk(tx, closer), NO_DEVICE, room, replace(body, start=start))

    def _note(self, tx: Tx, account: int, device: int, room: RoomId, body: content.Call) -> None:
        try:
            actor = self._accounts.later(tx, account, device)
            self._posting.post_in(tx, actor, self._post(room, body))
        except Rejected as refusal:  # the chat takes nothing any more, or its hub never had the start
            _diary.info("end of a call not noted", code=refusal.code)

    def _post(self, room: RoomId, body: content.Call) -> Post:
        return Post(room, ClientId(self._entropy.uuid7(self._clock.now_ms())), "call", content.encode_body(body))

    def _submit(self, write: Callable[[Tx], None]) -> None:
        def done(_: None, error: Exception | None) -> None:
            if error is not None and not isinstance(error, Rejected):
                _diary.error("A call could not be noted", error)

        self._db.submit(write, done)
