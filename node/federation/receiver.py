"""From the peer to the disk: items are prepared as they arrive and take effect in batches, each exactly once and in order.

A batch is one transaction: the cursor is compared and moved, then each item is applied. If the cursor is elsewhere, another link of
this peer writes: this one is *fenced* and must close. After the commit the peer gets refusals first, then the acknowledgement.

An item that cannot be taken (malformed, forged, refused by the rules) is *poison*: it is stored in quarantine in the same transaction,
the cursor moves past it, the peer is told by a nack, and the queue goes on. A fault of our own with one item makes its batch run
again item by item, and the guilty one is poison, too; the disk's fault is nobody's poison, then the link ends and comes back later.

A batch is one turn of this peer at the writer (storage/turns.py), so it is bounded in items and bytes. Poison is no way to make this disk
work: bodies are kept at `QUARANTINE_BYTES_PER_S`, of others only number and reason. And whoever sends much of it, or is a stranger and
sends much at all, is slowed to `LINK_USELESS_PER_S` items: each batch costs a sync that people here wait for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.federation.proto.allowance import Allowance
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.services.ports import PeerInbox
from node.storage.cursors import Cursors, Heard
from node.storage.database import Database, Tx
from node.storage.peers import Peer, Quarantine, Quarantined
from node.wire import s2s

ITEM_BYTES: Final = 256  # what an item counts beside its body
log = Log("federation.receiver")


class Poison(Struct, frozen=True):
    """What became of an item that cannot be taken."""

    code: str


class _Item(Struct):
    msg: s2s.Msg
    prepared: object


class Reception(Protocol):
    """Who wants to know (`federation.session.Session`)."""

    def stored(self, cum: int, refused: list[tuple[int, str]]) -> None:
        """Everything up to `cum` is on disk; these numbers are in quarantine."""

    def failed(self, reason: str) -> None:
        """The link must end: ``fenced`` or ``read_only``."""


class Receiver:
    """Of one open link."""

    def __init__(
        self,
        *,
        peer: Peer,
        db: Database,
        cursors: Cursors,
        quarantine: Quarantine,
        inbox: PeerInbox,
        clock: Clock,
        reception: Reception,
        is_stranger: Callable[[], bool],
    ) -> None:
        """`is_stranger`: nobody here has to do with this peer now."""
        self._peer = peer
        self._db = db
        self._cursors = cursors
        self._quarantine = quarantine
        self._inbox = inbox
        self._clock = clock
        self._reception = reception
        self._is_stranger = is_stranger
        self._waiting: deque[_Item] = deque()
        self._waiting_bytes = 0
        self._run = b""
        self._before_run: bytes | None = None  # set while the new run is not on disk: the run before it
        self._last = 0
        self._busy = False
        self._alone = 0  # so many items run one by one
        now = clock.monotonic()
        self._keep = Allowance(burst=limits.QUARANTINE_BURST_BYTES, per_s=limits.QUARANTINE_BYTES_PER_S, now=now)
        self._useless = Allowance(burst=limits.LINK_USELESS_BURST, per_s=limits.LINK_USELESS_PER_S, now=now)
        self._pause: asyncio.TimerHandle | None = None  # until the next batch may begin
        self._stopped = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def resume_after(self, hello: s2s.Hello, heard: Heard) -> int:
        """Where the peer's numbers go on. A new run begins with the first item."""
        self._run = hello.run_out
        if heard.run == hello.run_out:
            self._last = heard.last
        else:
            self._before_run, self._last = heard.run, 0
        return self._last

    def take(self, msg: s2s.Msg) -> None:
        """The next item."""
        prepared: object = None
        if not msg.is_void:
            try:
                prepared = self._inbox.prepare(self._peer, msg.cls, msg.body)
            except Rejected as error:
                prepared = Poison(error.code)
            except RemoteError:
                prepared = Poison(Code.BAD_REQUEST)
            except Exception as error:  # noqa: BLE001 - a fault of our own with foreign bytes must not stop the queue
                log.error("An item of a peer could not be prepared", error)
                prepared = Poison(Code.INTERNAL)
        self._waiting.append(_Item(msg, prepared))
        self._waiting_bytes += _size(self._waiting[-1])
        if self._waiting_bytes > limits.LINK_WAITING_BYTES_MAX or len(self._waiting) > limits.LINK_WAITING_MAX:
            self._has_room.clear()
        if not self._busy:
            self._busy = True
            self._idle.clear()
            asyncio.get_running_loop().call_soon(self._next)

    async def ready(self) -> None:
        """Waits while too much waits for the disk."""
        await self._has_room.wait()

    async def idle(self) -> None:
        """Waits until nothing is in a transaction; after `stop`."""
        await self._idle.wait()

    def stop(self) -> None:
        """The link is over: what is not in a transaction is forgotten, the peer has it."""
        self._stopped = True
        self._waiting.clear()
        self._has_room.set()
        if self._pause is not None:
            self._pause.cancel()
            self._next()

    # --- batches ----------------------------------------------------------------------------------------

    def _next(self) -> None:
        self._pause = None
        if not self._waiting or self._stopped:
            self._busy = False
            self._idle.set()
            return
        items_max = 1 if self._alone else limits.LINK_BATCH
        batch, size_bytes = [self._waiting.popleft()], 0
        while self._waiting and len(batch) < items_max:
            size_bytes += _size(batch[-1])
            if size_bytes + _size(self._waiting[0]) > limits.BATCH_PEER_BYTES:
                break
            batch.append(self._waiting.popleft())
        self._submit(batch)

    def _submit(self, batch: list[_Item]) -> None:
        try:
            self._db.submit(
                lambda tx: self._apply(tx, batch),
                lambda refused, error: self._done(batch, refused or [], error),
                peer=self._peer.nid,
                size_bytes=sum(map(_size, batch)),
            )
        except Rejected as error:
            self._fail(error)

    def _apply(self, tx: Tx, batch: list[_Item]) -> list[tuple[int, str]]:
        """In the transaction. Raises Rejected with `conflict` when fenced."""
        pk, last = self._peer.pk, batch[-1].msg.seq
        if self._before_run is not None:
            found = self._cursors.heard(tx, pk).run
            if found == self._before_run:
                self._cursors.begin(tx, pk, self._run, self._clock.now_ms())
        if not self._cursors.advance(tx, pk, self._run, before=self._last, last=last):
            raise Rejected(Code.CONFLICT, "Another link of this peer writes.")
        refused: list[tuple[int, str]] = []
        for item in batch:
            code = self._apply_one(tx, item)
            if code:
                self._put_away(tx, item.msg, code)
                refused.append((item.msg.seq, code))
        return refused

    def _apply_one(self, tx: Tx, item: _Item) -> str:
        """Empty, or why not."""
        if isinstance(item.prepared, Poison):
            return item.prepared.code
        if item.msg.is_void:
            return ""
        try:
            self._inbox.apply(tx, self._peer, item.prepared)
        except Rejected as error:
            return error.code
        return ""

    def _put_away(self, tx: Tx, msg: s2s.Msg, code: str) -> None:
        body = msg.body[: limits.QUARANTINE_BYTES_MAX]
        if not self._keep.spend(len(body), self._clock.monotonic()):
            body = b""
        self._quarantine.put(
            tx,
            self._peer.pk,
            self._run,
            Quarantined(msg.seq, msg.cls, code, body, self._clock.now_ms()),
            limits.QUARANTINE_PER_PEER_MAX,
        )

    def _done(self, batch: list[_Item], refused: list[tuple[int, str]], error: Exception | None) -> None:
        if error is not None:
            self._failed(batch, error)
            return
        self._before_run = None
        self._last = batch[-1].msg.seq
        self._alone = max(0, self._alone - len(batch))
        self._waiting_bytes -= sum(map(_size, batch))
        if self._waiting_bytes <= limits.LINK_WAITING_BYTES_MAX and len(self._waiting) <= limits.LINK_WAITING_MAX:
            self._has_room.set()
        self._inbox.applied(self._peer, len(batch))
        if not self._stopped:
            self._reception.stored(self._last, refused)
        self._go_on(len(batch) if self._is_stranger() else len(refused))

    def _go_on(self, useless: int) -> None:
        """At once, or when what nobody here has any use of is paid for."""
        wait_s = self._useless.owe(useless, self._clock.monotonic())
        if wait_s and not self._stopped:
            self._pause = asyncio.get_running_loop().call_later(wait_s, self._next)
        else:
            self._next()

    def _failed(self, batch: list[_Item], error: Exception) -> None:
        if isinstance(error, Rejected):
            self._fail(error)
        elif len(batch) > 1:
            self._alone = len(batch)
            self._waiting.extendleft(reversed(batch))
            self._next()
        else:
            log.error("An item of a peer made this node fail and is put into quarantine", error)
            batch[0].prepared = Poison(Code.INTERNAL)
            self._submit(batch)

    def _fail(self, error: Rejected) -> None:
        self.stop()
        self._busy = False
        self._idle.set()
        self._reception.failed("fenced" if error.code is Code.CONFLICT else "read_only")


def _size(item: _Item) -> int:
    """What it counts, in bytes."""
    return ITEM_BYTES + len(item.msg.body)
