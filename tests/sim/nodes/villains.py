"""Nodes that lie. Each is a whole production node whose exchange, the collaborator between links and services, is another one: what
is said to peers is falsified on its way out, with the node's own genuine keys; what it does for its own people is as always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from node.base.errors import Rejected, RemoteError
from node.base.ids import DeviceId, EventId, NodeId, RoomId, UserId, parse_user
from node.core import content, hub
from node.core.hub import Head
from node.core.room import nodes_of
from node.main import Services
from node.services.exchange import Exchange, Steps
from node.storage.database import Database, Tx
from node.storage.log import Link
from node.storage.outbox import OutRow
from node.storage.peers import Peer
from node.storage.rooms import RoomRow
from node.wire import envelope, exchange
from node.wire.exchange import Acks, Entry, Marks, Range, RangePage, Reject, Seen, SeenHead, Shown, Submit, Withdraw

Tell = Callable[[str], None]


class Villain:
    """What survives a restart of a lying node: its plans."""

    over = False  # enough lied

    def tamper(self, services: Services) -> Services:
        """The same services with an exchange that lies."""
        raise NotImplementedError


# --- a hub with two histories -------------------------------------------------------------------------------


class Fork(Struct):
    """The other history of one room: from `first` on, one message has other words."""

    first: int
    victims: frozenset[NodeId]
    event: bytes
    salt: bytes
    body: bytes
    heads: dict[int, Head]


class TwoFaced(Villain):
    """Shows some followers of its groups another history than the rest."""

    def __init__(self, seed: int, tell: Tell) -> None:
        self.random = Random(f"two-faced {seed}")
        self.tell = tell
        self.forks: dict[RoomId, Fork] = {}

    def tamper(self, services: Services) -> Services:
        """The same services with an exchange that lies."""
        made = TwoFacedExchange(db=services.db, steps=services.exchange.steps, villain=self)
        return replace(services, exchange=made)


class TwoFacedExchange(Exchange):
    """Falsifies entries for the victims of a fork."""

    def __init__(self, *, db: Database, steps: Steps, villain: TwoFaced) -> None:
        super().__init__(db=db, steps=steps)
        self._villain = villain

    def render(self, tx: Tx, peer: Peer, rows: Sequence[OutRow]) -> list[bytes | None]:
        """Bytes of entries, of one history or the other."""
        return [body and self._falsified(tx, peer, body) for body in super().render(tx, peer, rows)]

    def _falsified(self, tx: Tx, peer: Peer, body: bytes) -> bytes:
        item = exchange.decode_room_item(body)
        return exchange.encode_item(self._entry(tx, peer, item)) if isinstance(item, Entry) else body

    async def serve(self, peer: Peer, method: str, args: bytes) -> bytes:
        """Pages of the log, of one history or the other."""
        answer = await super().serve(peer, method, args)
        if method != exchange.LOG_RANGE:
            return answer
        page = exchange.decode_range_page(answer)
        entries = self._db.view(lambda tx: [self._entry(tx, peer, entry) for entry in page.entries])
        return exchange.encode_item(RangePage(tuple(entries), page.head_idx))

    def _entry(self, tx: Tx, peer: Peer, entry: Entry) -> Entry:
        catchup = self.steps.catchup
        row = catchup._rooms.peek(tx, RoomId(entry.room))
        assert row is not None
        fork = self._villain.forks.get(row.room) or self._plot(tx, row, entry)
        if fork is None or peer.nid not in fork.victims or entry.idx < fork.first:
            return entry
        head = self._head(tx, row, fork, entry.idx)
        changed = replace(entry, log_hash=head.hash, head=entry.head and catchup._signer.sign_head(row.room, head))
        if entry.idx == fork.first:
            changed = replace(changed, event=fork.event, salt=fork.salt, body=fork.body)
        return changed

    def _plot(self, tx: Tx, row: RoomRow, entry: Entry) -> Fork | None:
        """Now and then, at a message of an own user in a group of several nodes."""
        event = envelope.decode_event(entry.event)
        followers = self.steps.catchup._nodes.of(row)
        villain = self._villain
        if event.kind != "text" or entry.signature is not None or len(followers) < 2 or villain.random.random() < 0.6:
            return None
        salt, body = (
            villain.random.randbytes(hub.SALT_BYTES),
            content.encode_body(content.Text(text="I never said that")),
        )
        forged = envelope.make_event(
            room=row.room, author=UserId(event.author), device=DeviceId(event.device), nid=NodeId(event.nid),
            incarnation=event.incarnation, author_seq=event.author_seq, kind=event.kind, body_hash=hub.body_hash(salt, body),
            seen=event.seen,
        )  # fmt: skip
        victims = frozenset(villain.random.sample(followers, villain.random.randint(1, len(followers) - 1)))
        fork = villain.forks[row.room] = Fork(entry.idx, victims, forged, salt, body, {})
        villain.tell(f"shows another entry {entry.idx} to {len(victims)} of {len(followers)}")
        return fork

    def _head(self, tx: Tx, row: RoomRow, fork: Fork, idx: int) -> Head:
        known = max((at for at in fork.heads if at <= idx), default=fork.first - 1)
        log = self.steps.catchup._log
        for link in log.links(tx, row.pk, known + 1, idx - known):
            before = fork.heads.get(link.idx - 1) or Head(link.epoch, link.idx - 1, _hash_before(log, tx, row, link))
            event = fork.event if link.idx == fork.first else link.event
            fork.heads[link.idx] = hub.append(row.room, before, envelope.event_id(event), link.at_ms)
        return fork.heads[idx]


def _hash_before(log: Any, tx: Tx, row: RoomRow, link: Link) -> bytes:
    return bytes(log.hash_at(tx, row.pk, link.idx - 1) or hub.ZERO_HASH)


# --- a follower that lies -----------------------------------------------------------------------------------


class Liar(Villain):
    """Sends whatever might hurt, again and again."""

    def __init__(self, seed: int, tell: Tell) -> None:
        self.random = Random(f"liar {seed}")
        self.tell = tell
        self.withholds = self.random.random() < 0.3  # acknowledgements
        self.said: list[bytes] = []  # acknowledgements from before

    def tamper(self, services: Services) -> Services:
        """The same services with an exchange that lies."""
        made = LyingExchange(db=services.db, steps=services.exchange.steps, villain=self, services=services)
        return replace(services, exchange=made)


class LyingExchange(Exchange):
    """Lies to every peer it has a link with."""

    def __init__(self, *, db: Database, steps: Steps, villain: Liar, services: Services) -> None:
        super().__init__(db=db, steps=steps)
        self._villain, self._services = villain, services
        lies: dict[str, Callable[[Peer, RoomRow], Awaitable[None]]] = {
            "a wrong acknowledgement": self._wrong_ack, "an old acknowledgement": self._old_ack,
            "acknowledgements of others": self._acks_of_others,
            "forged posts": self._forged_posts, "an entry of a room it does not order": self._foreign_entry,
            "a refusal that is not its own": self._foreign_reject, "an accusation": self._accusation,
            "receipts of others": self._receipts, "noise": self._noise,
        }  # fmt: skip
        self._lies = lies
        if villain.withholds:
            self._work = tuple(step for step in self._work if step != steps.acks.say)  # type: ignore[assignment]

    async def _tend(self, peer: Peer) -> None:
        """In a fixed order, also at the end: a group would cancel its tasks as they lie in memory."""
        lying = asyncio.get_running_loop().create_task(self._lie(peer))
        try:
            await super()._tend(peer)
        finally:
            lying.cancel()
            with suppress(asyncio.CancelledError):
                await lying

    async def _lie(self, peer: Peer) -> None:
        random = self._villain.random
        while True:
            await asyncio.sleep(random.expovariate(0.7))
            known = self._db.view(lambda tx: sorted(self._services.rooms.everyone(tx), key=lambda one: one.room))
            rows = [row for row in known if row.state.members]
            if not rows or self._villain.over:
                continue
            row, name = random.choice(rows), random.choice(sorted(self._lies))
            self._villain.tell(f"tells {name}")
            with suppress(Rejected, RemoteError, TimeoutError):
                await self._lies[name](peer, row)

    async def _ask(self, peer: Peer, method: str, item: Struct) -> None:
        links = self.steps.acks.links
        assert links is not None
        await links.request(peer.nid, method, exchange.encode_item(item))

    async def _send(self, peer: Peer, *items: exchange.Item) -> None:
        def write(tx: Tx) -> None:
            for item in items:
                cls = exchange.CLASS_ROOM if isinstance(item, Entry | Submit) else exchange.CLASS_DIRECT
                followers = self.steps.followers
                followers._outbox.enqueue(tx, followers.pk(tx, peer.nid), cls, body=exchange.encode_item(item))
                followers._wake(tx, peer.nid)

        await self._db.write(write)

    # --- acknowledgements -------------------------------------------------------------------------------

    async def _wrong_ack(self, peer: Peer, row: RoomRow) -> None:
        random = self._villain.random
        head = random.choice((
            Head(1, row.head.idx, random.randbytes(32)), Head(1, row.head.idx + 5, row.head.hash), Head(7, row.head.idx, row.head.hash),
            Head(1, 1 << 40, row.head.hash),
        ))  # fmt: skip
        said = self.steps.acks._signer.ack(row.room, head)
        await self._ask(peer, exchange.ACKS, Acks((said, replace(said, nid=peer.nid), replace(said, nid=row.hub))))

    async def _old_ack(self, peer: Peer, row: RoomRow) -> None:
        said = self._villain.said
        said.append(exchange.encode_item(Acks((self.steps.acks._signer.ack(row.room, row.head),))))
        await self._ask(peer, exchange.ACKS, exchange.decode_acks(self._villain.random.choice(said[-20:])))

    async def _acks_of_others(self, peer: Peer, row: RoomRow) -> None:
        """All of them have it, believe me."""
        said = self.steps.acks._signer.ack(row.room, row.head)
        await self._ask(peer, exchange.ACKS, Acks(tuple(replace(said, nid=nid) for nid in nodes_of(row.state))))

    # --- posts and entries ------------------------------------------------------------------------------

    def _made(self, row: RoomRow, author: UserId, body: content.Body, kind: str) -> tuple[bytes, bytes, bytes]:
        """Event, salt, body."""
        random, raw = self._villain.random, content.encode_body(body)
        salt = random.randbytes(hub.SALT_BYTES)
        keys = self.steps.forwarding._signer
        event = envelope.make_event(
            room=row.room, author=author, device=DeviceId(random.randbytes(16)), nid=keys.nid, incarnation=keys.incarnation,
            author_seq=random.randint(1, 1 << 40), kind=kind, body_hash=hub.body_hash(salt, raw),
        )  # fmt: skip
        return event, salt, raw

    async def _forged_posts(self, peer: Peer, row: RoomRow) -> None:
        random, keys = self._villain.random, self.steps.forwarding._signer
        users = sorted(row.state.members)
        forged: list[exchange.Item] = []
        for author in (random.choice(users), UserId(f"nobody@{users[0].partition('@')[2]}")):
            event, salt, raw = self._made(row, author, content.Text(text="forged"), "text")
            forged.append(Submit(row.room, event, keys.sign_event(event), salt, raw))
            forged.append(Submit(row.room, event, random.randbytes(64), salt, raw))
        mine = [user for user in users if parse_user(user)[1] == keys.nid]
        other = random.choice(users)
        for body, kind in (
            (content.Kick(user=other), "kick"),
            (content.Join(), "join"),
            (content.Rename(name="Mine"), "rename"),
        ):
            event, salt, raw = self._made(row, random.choice(mine or users), body, kind)
            forged.append(Submit(row.room, event, keys.sign_event(event), salt, raw))
        again = self._db.view(lambda tx: list(self._services.log.links(tx, row.pk, max(1, row.head.idx - 3), 4)))
        forged += [
            Submit(row.room, one.event, one.signature or bytes(64), one.salt or bytes(16), one.body or b"")
            for one in again
        ]
        await self._send(peer, *forged)

    async def _foreign_entry(self, peer: Peer, row: RoomRow) -> None:
        """To whoever is there, as if this node ordered the room; to the hub itself, too."""
        keys, mine = self.steps.forwarding._signer, sorted(row.state.members)
        event, salt, raw = self._made(row, self._villain.random.choice(mine), content.Text(text="forged"), "text")
        head = hub.append(row.room, row.head, envelope.event_id(event), 1)
        signed = self.steps.catchup._signer.sign_head(row.room, head)
        await self._send(
            peer, Entry(row.room, head.epoch, head.idx, 1, head.hash, event, keys.sign_event(event), salt, raw, signed)
        )

    async def _foreign_reject(self, peer: Peer, row: RoomRow) -> None:
        """Posts of the peer's users that another hub has given a place, or will."""
        if row.hub == self.steps.catchup._signer.nid:
            return
        again = self._db.view(lambda tx: list(self._services.log.links(tx, row.pk, max(1, row.head.idx - 3), 4)))
        for link in again:
            event = EventId(hub.digest(link.event))
            signature = self.steps.submissions._signer.sign_reject(row.room, event, "forbidden")
            await self._send(peer, Reject(row.room, event, "forbidden", "no", signature))
        for user in sorted(row.state.invited):
            await self._send(peer, Withdraw(row.room, user))

    async def _accusation(self, peer: Peer, row: RoomRow) -> None:
        """Heads that the hub never signed."""
        head = SeenHead(1, row.head.idx, self._villain.random.randbytes(32), 1, bytes(64))
        mine = self.steps.catchup._signer.sign_head(row.room, Head(1, row.head.idx, head.hash))
        shown = (Shown(row.room, row.hub, head), Shown(row.room, row.hub, replace(head, signature=mine)))
        await self._ask(peer, exchange.SEEN, Seen(shown))

    async def _receipts(self, peer: Peer, row: RoomRow) -> None:
        marks = tuple(exchange.Mark(row.room, user, 1 << 40, 1 << 40, 1) for user in row.state.members)
        await self._ask(peer, exchange.MARKS, Marks(marks))

    async def _noise(self, peer: Peer, row: RoomRow) -> None:
        random, links = self._villain.random, self.steps.acks.links
        assert links is not None
        links.whisper(peer.nid, random.choice((exchange.TYPING, exchange.PRESENCE, "what")), random.randbytes(40))

        def write(tx: Tx) -> None:
            followers = self.steps.followers
            for cls in (exchange.CLASS_ROOM, exchange.CLASS_DIRECT, 9):
                followers._outbox.enqueue(tx, followers.pk(tx, peer.nid), cls, body=random.randbytes(60))
            followers._wake(tx, peer.nid)

        await self._db.write(write)
        for method in (
            exchange.LOG_RANGE,
            exchange.HEADS,
            exchange.ACKS,
            exchange.MARKS,
            exchange.PEOPLE,
            exchange.SEEN,
            "what",
        ):
            with suppress(Rejected, RemoteError):
                await links.request(peer.nid, method, random.randbytes(50))
        await self._ask(peer, exchange.LOG_RANGE, Range(row.room, 1))


def villain(theme: str, seed: int, tell: Tell) -> Villain | None:
    """The one of a theme."""
    if theme == "liar":
        return Liar(seed, tell)
    return TwoFaced(seed, tell) if theme == "two-faced" else None
