"""A node that lies: a real identity and a real link to a real node, over which it says whatever a test wants.

    async with scene(tmp_path) as s:
        assert await s.villain.gives(Ask(…)) == ["forbidden"]    # the codes of what was refused, in order
        await s.quiet()                                           # nothing was stored, the honest room goes on

`FalseRoom` orders a group as a hub would and leaves out, changes or adds what the test says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from node.base.errors import Rejected
from node.base.ids import DeviceId, EventId, NodeId, RoomId, UserId, make_user
from node.client import Client
from node.core import content, hub
from node.core.content import Body
from node.core.hub import Head
from node.federation.session import Session
from node.services.roomkeys import RoomKeys
from node.storage.database import Tx
from node.wire import envelope, exchange
from node.wire.exchange import Entry, Offer, SignerCert, Submit
from tests.cast import Node, acquaint, group, hears, joined, offered, stage
from tests.links import Home, Who, home, identity

SALT: Final = bytes(16)
# Tables that remember who spoke and what was refused; everything else must be as before.
OF_LINKS: Final = frozenset(
    {
        "peers",
        "peer_addresses",
        "peer_in",
        "outbox",
        "outbox_runs",
        "quarantine",
        "refusals",
        "sqlite_sequence",
        "settings",
    }
)


class Villain:
    """The liar, linked with its victim."""

    def __init__(self, own: Home, victim: Node) -> None:
        self.home = own
        self.victim = victim
        self.keys = RoomKeys(own.who)
        self._told = 0
        own.inbox.served = self._serve
        self.answers: dict[str, Callable[[bytes], bytes]] = {}
        self.asked: list[str] = []

    @property
    def nid(self) -> NodeId:
        return self.home.nid

    def user(self, local: str = "mallory") -> UserId:
        return make_user(local, self.nid)

    def _serve(self, peer: object, method: str, args: bytes) -> bytes:
        self.asked.append(method)
        if method in self.answers:
            return self.answers[method](args)
        match method:
            case exchange.HEADS:
                return exchange.encode_item(exchange.Heads(()))
            case exchange.PEOPLE:
                return exchange.encode_item(exchange.Profiles(()))
            case exchange.LOG_RANGE:
                return exchange.encode_item(exchange.RangePage((), 0))
            case _:
                return b""

    async def meet(self) -> None:
        """Opens the link."""
        url = self.victim.url.replace("http", "ws") + "/s2s"
        own = self.home

        def note(tx: Tx) -> None:
            pk = own.peers.ensure(tx, self.victim.nid, 1).pk
            own.peers.address_ok(tx, pk, url, "typed", 1, tls=False)

        await own.db.write(note)
        await own.federation.reach(self.victim.nid)
        await self.home.until(lambda: self.victim.node.federation.linked(self.nid))

    @property
    def session(self) -> Session:
        return self.home.federation._links[self.victim.nid]

    async def gives(self, *items: Struct | bytes, cls: int | None = None) -> list[str]:
        """Sends items and waits until each is acknowledged; the codes of the refused ones."""
        own, victim = self.home, self.victim.nid

        def put(tx: Tx) -> None:
            pk = own.peers.ensure(tx, victim, 1).pk
            for item in items:
                body = item if isinstance(item, bytes) else exchange.encode_item(item)
                room = isinstance(item, exchange.RoomItem)
                own.outbox.enqueue(tx, pk, int(not room) if cls is None else cls, body=body)

        await own.db.write(put)
        own.federation.wake(victim)
        await own.until(lambda: own.waiting() == 0, patience_s=60)
        codes = [code for _, code in own.returned()]
        fresh, self._told = codes[self._told :], len(codes)
        return fresh

    async def asks(self, method: str, args: Struct | bytes) -> bytes:
        """The answer to a request. Raises Rejected."""
        raw = args if isinstance(args, bytes) else exchange.encode_item(args)
        return await self.home.federation.request(self.victim.nid, method, raw)

    async def code_of(self, method: str, args: Struct | bytes) -> str:
        """Why a request is refused; empty when it is answered."""
        try:
            await self.asks(method, args)
        except Rejected as refusal:
            return refusal.code.value
        return ""

    def event(
        self,
        room: RoomId | None,
        author: UserId,
        body: Body,
        kind: str,
        *,
        nid: NodeId | None = None,
        incarnation: int = 1,
        seq: int = 1,
    ) -> bytes:
        """The signed part of an event."""
        return envelope.make_event(
            room=room, author=author, device=DeviceId(bytes(16)), nid=nid or self.nid, incarnation=incarnation,
            author_seq=seq, kind=kind, body_hash=hub.body_hash(SALT, content.encode_body(body)),
        )  # fmt: skip

    def submit(
        self, room: RoomId, author: UserId, body: Body, kind: str, *, key: Ed25519PrivateKey | None = None, **more: int
    ) -> Submit:
        """A submission, signed by its own key unless another one is given."""
        event = self.event(room, author, body, kind, **more)  # type: ignore[arg-type]
        signature = envelope.sign_event(key or self.home.who.op_key, event)
        return Submit(room, event, signature, SALT, content.encode_body(body))


class FalseRoom:
    """A group that the villain orders."""

    def __init__(self, villain: Villain, name: str = "Trap", *, seq: int = 1) -> None:
        self.villain = villain
        self.head = Head()
        self._seq = seq
        first = content.Create(name=name)
        self.created = villain.event(None, villain.user(), first, "create", seq=seq)
        self.room = RoomId(envelope.event_id(self.created))
        self.name = name
        self.log: list[Entry] = [self.seal(self.created, first)]

    def offer(self, user: UserId, by: UserId | None = None) -> Offer:
        return Offer(self.room, self.name, 1, by or self.villain.user(), "Mallory", user, 1)

    def say(self, author: UserId, body: Body, kind: str, **more: int) -> Entry:
        """The next entry, of an event that the villain makes."""
        self._seq += 1
        event = self.villain.event(self.room, author, body, kind, seq=self._seq, **more)  # type: ignore[arg-type]
        return self.seal(event, body)

    def seal(
        self, event: bytes, body: Body | None, *, signature: bytes | None = None, salt: bytes = SALT, raw: bytes = b"",
        signers: tuple[SignerCert, ...] = (), head: bytes | None = None,
    ) -> Entry:  # fmt: skip
        """The next entry of the chain, with a signed head."""
        at_ms = self.villain.victim.clock.now_ms()
        self.head = hub.append(self.room, self.head, envelope.event_id(event), at_ms)
        made = content.encode_body(body) if body is not None else raw
        signed = self.villain.keys.sign_head(self.room, self.head) if head is None else head
        return Entry(
            self.room,
            self.head.epoch,
            self.head.idx,
            at_ms,
            self.head.hash,
            event,
            signature,
            salt,
            made,
            signed,
            signers,
        )

    async def lure(self, person: Client) -> None:
        """`person` accepts an invitation and is in."""
        assert await self.villain.gives(self.offer(person.user)) == []
        await offered(person, self.room)
        await person.accept(self.room)
        own = self.villain.home
        await own.until(lambda: any(self._is_join(raw) for raw in own.noted()))
        join = next(exchange.decode_room_item(raw) for raw in own.noted() if self._is_join(raw))
        assert isinstance(join, Submit)
        invited = self.say(self.villain.user(), content.Invite(user=person.user), "invite")
        self.log += [invited, self.seal(join.event, None, signature=join.signature, salt=join.salt, raw=join.body)]
        assert await self.villain.gives(*self.log) == []
        await joined(person, self.room)

    def _is_join(self, raw: bytes) -> bool:
        try:
            item = exchange.decode_room_item(raw)
        except Rejected:
            return False
        return isinstance(item, Submit) and item.room == self.room


class Scene:
    """Two honest nodes with a common group, and the villain that is linked with the first."""

    def __init__(self, a: Node, b: Node, alice: Client, bob: Client, room: RoomId, villain: Villain) -> None:
        self.a, self.b, self.alice, self.bob, self.room, self.villain = a, b, alice, bob, room, villain
        self.said: list[str] = []
        self.before = rows(a)

    def remember(self) -> None:
        """What is stored from now on counts."""
        self.before = rows(self.a)

    async def quiet(self) -> None:
        """Nothing was stored beyond what links remember, and the honest room goes on."""
        assert changed(self.before, rows(self.a)) == {}
        await self.goes_on()

    async def goes_on(self) -> None:
        """The honest room carries a message each way."""
        for who, where in ((self.alice, self.bob), (self.bob, self.alice)):
            self.said.append(f"{len(self.said)}")
            await who.say(self.room, self.said[-1])
            await hears(where, self.room, *self.said)
        self.before = rows(self.a)

    def count(self, sql: str, *args: object) -> int:
        row = self.a.services.db.view(lambda tx: tx.one(sql, args))
        assert row is not None
        return int(row[0])


def rows(node: Node) -> dict[str, int]:
    """How many rows each table has."""

    def look(tx: Tx) -> dict[str, int]:
        names = [name for (name,) in tx.all("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for name in names:
            row = tx.one(f'SELECT count(*) FROM "{name}"')
            assert row is not None
            found[name] = int(row[0])
        return found

    return node.services.db.view(look)


def changed(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Tables outside of links that grew or shrank, and by how much."""
    return {
        name: after[name] - before.get(name, 0)
        for name in after
        if name not in OF_LINKS and after[name] != before.get(name, 0)
    }


@asynccontextmanager
async def villain_of(folder: Path, node: Node, name: str = "mallory", who: Who | None = None) -> AsyncIterator[Villain]:
    """A liar linked with `node`."""
    now_s = node.clock.now_ms() // 1000
    async with home(folder, name, clock=node.clock, who=who or identity(name, now_s=now_s), listening=False) as own:
        villain = Villain(own, node)
        await villain.meet()
        yield villain


@asynccontextmanager
async def scene(folder: Path, *, relaxed: bool = True) -> AsyncIterator[Scene]:
    """From the first honest word to the last."""
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(stage(folder / "a", relaxed=relaxed))
        b = await stack.enter_async_context(stage(folder / "b"))
        await acquaint(a, b)
        alice, bob = await a.person("alice"), await b.person("bob")
        room = await group(alice, bob)
        villain = await stack.enter_async_context(villain_of(folder, a))
        made = Scene(a, b, alice, bob, room, villain)
        await made.goes_on()
        await asyncio.sleep(0.3)  # names and acknowledgements of the beginning
        made.remember()
        yield made


def event_id_of(entry: Entry) -> EventId:
    """Of the event in an entry."""
    return envelope.event_id(entry.event)
