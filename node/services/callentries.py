"""The start and the end of a call in its room's log, posted by the node of whoever began it, in that person's name.

The start is remembered with its entry, so that a crash leaves no call open for ever: what the node finds unfinished when it is back, and no
other node goes on with, it ends as failed. In a room of another hub both entries wait for it like every post.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from node.base.errors import Rejected
from node.base.ids import ClientId, RoomId
from node.core import call as rules
from node.core import content
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.log import Log as Diary
from node.services.actor import Actor
from node.services.post import Post
from node.services.posting import Posting
from node.storage import calls
from node.storage.calls import OpenCall
from node.storage.database import Database, Tx
from node.wire.focus import CallNow

MISSED: Final = frozenset({rules.MISSED, rules.UNREACHABLE, rules.CANCELLED, rules.BUSY})
FALLBACK: Final = "A call"
_diary: Final = Diary("calls")


class Accounts(Protocol):
    """Accounts of this node (`services.accounts.Accounts`)."""

    def later(self, tx: Tx, pk: int, device_pk: int) -> Actor:
        """Somebody who asked for something earlier."""


class CallEntries:
    """Writes calls into logs."""

    def __init__(self, *, db: Database, posting: Posting, accounts: Accounts, clock: Clock, entropy: Entropy) -> None:
        self._db = db
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
        """A call is over; nothing happens unless it began here and its end is not in the log."""
        missed = tuple(one.user for one in now.invited if one.state in MISSED)
        ms = max(0, now.ended_ms - now.live_ms) if now.live_ms else 0
        result = rules.ANSWERED if now.result == rules.ENDED else now.result
        self._submit(lambda tx: self._end(tx, now.call, result=result, ms=ms, joined=now.joined, missed=missed))

    @property
    def unfinished(self) -> bool:
        """Whether calls are open in the log."""
        return bool(self._db.view(calls.unfinished))

    def finish_others(self, going_on: set[bytes]) -> None:
        """After a restart: whatever is open and not known to go on ends as failed."""

        def write(tx: Tx) -> None:
            for found in calls.unfinished(tx):
                if found.call not in going_on:
                    self._end(tx, found.call, result=rules.FAILED, ms=0, joined=0, missed=())

        if self.unfinished:
            self._submit(write)

    def _end(self, tx: Tx, call: bytes, *, result: str, ms: int, joined: int, missed: tuple[str, ...]) -> None:
        found = calls.find(tx, call)
        if found is None:
            return
        calls.drop(tx, call)
        body = content.Call(
            call=call, state="end", media=found.media, start=found.event, ms=ms, joined=joined, result=result, missed=missed,
            fallback=FALLBACK,
        )  # fmt: skip
        actor = self._accounts.later(tx, found.account, found.device)
        try:
            self._posting.post_in(tx, actor, self._post(found.room, body))
        except Rejected as refusal:  # whoever began it is not in the chat any more: nobody can say it there
            _diary.info("end of a call not noted", code=refusal.code)

    def _post(self, room: RoomId, body: content.Call) -> Post:
        return Post(room, ClientId(self._entropy.uuid7(self._clock.now_ms())), "call", content.encode_body(body))

    def _submit(self, write: Callable[[Tx], None]) -> None:
        def done(_: None, error: Exception | None) -> None:
            if error is not None and not isinstance(error, Rejected):
                _diary.error("A call could not be noted", error)

        self._db.submit(write, done)
