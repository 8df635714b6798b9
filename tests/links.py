"""Nodes reduced to their links: a database, keys, a federation service, a loopback listener, and an inbox that takes notes.

async with home(tmp_path, "a") as a, home(tmp_path, "b") as b:
    a.knows(b)
    await a.post(b, b"hello")
    await b.got(1)
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.federation.dialer import Connector, KnownAddresses, Opener
from node.federation.service import Federation
from node.runtime.clock import Clock, SystemClock
from node.runtime.entropy import Entropy, SeededEntropy
from node.runtime.net import FrameSocket
from node.runtime.targets import Exceptions, Targets
from node.storage import database
from node.storage.database import Database, Tx
from node.storage.outbox import DIRECT, ENTRY, Outbox, OutRow
from node.storage.peers import Peer, PeerStore
from node.wire import keys, s2s
from node.wire.keys import Chain, OpCert

PATIENCE_S = 20.0


class Who(Struct, frozen=True):
    """An identity for links. Implements `handshake.OwnIdentity`."""

    nid: NodeId
    chain: Chain
    cert: OpCert
    incarnation: int
    op_key: Ed25519PrivateKey
    noise_key: bytes


def identity(name: str, *, incarnation: int = 1, rotations: int = 0, copy: str = "", now_s: int = 1_700_000_000) -> Who:
    """The identity that `name` always has; another incarnation or copy has other keys."""
    entropy = SeededEntropy(f"identity {name}")
    phrase = entropy.token_bytes(keys.ENTROPY_BYTES)
    of_copy = SeededEntropy(f"copy {name} {incarnation} {rotations} {copy}")
    op = Ed25519PrivateKey.from_private_bytes(of_copy.token_bytes(32))
    chain = keys.make_chain(phrase, rotations)
    nid = keys.node_id(chain[0])
    public = op.public_key().public_bytes_raw()
    root = keys.derive_root(phrase, rotations)
    cert = keys.sign_cert(root, nid=nid, op=public, now_s=now_s, incarnation=incarnation)
    return Who(nid, chain, cert, incarnation, op, of_copy.token_bytes(32))


def rendered(row: OutRow) -> bytes | None:
    """Bytes of an entry; odd places concern the peer no more."""
    return None if row.idx % 2 else b"%d/%d/%d" % (row.cls, row.room, row.idx)


class Notebook:
    """An inbox that writes each item into a table, refuses bodies that begin with ``bad`` and fails at ``bug``."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.news = asyncio.Event()
        self.links: list[tuple[str, NodeId]] = []
        self.whispers: list[tuple[str, bytes]] = []
        self.served: Callable[[Peer, str, bytes], bytes] = lambda peer, method, args: method.encode() + args
        self.rendered: Callable[[OutRow], bytes | None] = rendered
        self.shared: set[NodeId] = set()
        self.record = b""

    async def make(self) -> None:
        """The tables."""

        def tables(tx: Tx) -> None:
            tx.execute(
                "CREATE TABLE IF NOT EXISTS noted (id INTEGER PRIMARY KEY, peer BLOB, class INTEGER, body BLOB) STRICT"
            )
            tx.execute("CREATE TABLE IF NOT EXISTS posted (id INTEGER PRIMARY KEY, body BLOB) STRICT")
            tx.execute("CREATE TABLE IF NOT EXISTS returned (id INTEGER PRIMARY KEY, body BLOB, code TEXT) STRICT")

            # A transaction that changes no row is not committed.
            tx.execute(
                "INSERT INTO settings (key, value) VALUES ('notebook', '') ON CONFLICT (key) DO UPDATE SET value = ''"
            )

        await self.db.write(tables)

    def prepare(self, peer: Peer, cls: int, body: bytes) -> object:
        if body.startswith(b"bad signature"):
            raise RemoteError("forged")
        return cls, body

    def apply(self, tx: Tx, peer: Peer, item: object) -> None:
        assert isinstance(item, tuple)
        cls, body = item
        if body.startswith(b"bad"):
            raise Rejected(Code.NOT_MEMBER, "No.")
        tx.execute("INSERT INTO noted (peer, class, body) VALUES (?, ?, ?)", (peer.nid, cls, body))
        if body.startswith(b"bug"):
            raise ZeroDivisionError

    def applied(self, peer: Peer, count: int) -> None:
        self.news.set()

    def nacked(self, tx: Tx, peer: Peer, cls: int, body: bytes, code: str) -> None:
        tx.execute("INSERT INTO returned (body, code) VALUES (?, ?)", (body, code))
        tx.after_commit(self.news.set)

    def linked(self, peer: Peer) -> None:
        self.links.append(("linked", peer.nid))
        self.news.set()

    def unlinked(self, peer: Peer) -> None:
        self.links.append(("unlinked", peer.nid))
        self.news.set()

    def whisper(self, peer: Peer, topic: str, body: bytes) -> None:
        self.whispers.append((topic, body))
        self.news.set()

    async def serve(self, peer: Peer, method: str, args: bytes) -> bytes:
        if method == "refuse":
            raise Rejected(Code.NOT_HUB, "Somebody else.")
        return self.served(peer, method, args)

    def render(self, tx: Tx, peer: Peer, rows: Sequence[OutRow]) -> list[bytes | None]:
        return [self.rendered(row) for row in rows]

    def share_room(self, peer: Peer, nid: NodeId) -> bool:
        return nid in self.shared

    def own_record(self) -> bytes:
        return self.record


class Listening:
    """Notes what hellos and farewells say of this node. Implements `session.Hints`."""

    def __init__(self) -> None:
        self.hellos: list[s2s.Hello] = []
        self.shown: list[tuple[Chain, OpCert]] = []

    def heard(self, peer: Peer, hello: s2s.Hello, *, dialled: bool) -> None:
        self.hellos.append(hello)

    def superseded(self, peer: Peer, chain: Chain, cert: OpCert) -> None:
        self.shown.append((chain, cert))


class Home:
    """One node."""

    def __init__(self, folder: Path, who: Who, *, clock: Clock, entropy: Entropy, opener: Opener | None = None) -> None:
        self.who = who
        self.clock = clock
        self.folder = folder
        self.db = Database(path=folder / database.FILE, clock=clock)
        self.peers = PeerStore()
        self.outbox = Outbox(clock=clock, entropy=entropy)
        self.inbox = Notebook(self.db)
        self.hints = Listening()
        self.allowed_only = False
        self.federation = Federation(
            hints=self.hints,
            allowed_only=lambda: self.allowed_only,
            db=self.db,
            peers=self.peers,
            outbox=self.outbox,
            inbox=self.inbox,
            identity=who,
            acquaintances=self.inbox,
            resolver=KnownAddresses(db=self.db, peers=self.peers),
            opener=opener
            or Connector(targets=Targets(exceptions=Exceptions.parse(allow=["127.0.0.0/8"])), entropy=entropy),
            clock=clock,
            entropy=entropy,
        )
        self.url = ""
        self.leaf: bytes | None = None

    @property
    def nid(self) -> NodeId:
        return self.who.nid

    async def listen(self, context: ssl.SSLContext | None = None) -> web.AppRunner:
        """A listener on loopback, like the one of `web.server`."""
        app = web.Application()
        app.router.add_get(s2s.PATH, self._link)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"{'wss' if context else 'ws'}://127.0.0.1:{port}{s2s.PATH}"
        return runner

    async def _link(self, request: web.Request) -> web.StreamResponse:
        address = request.remote or ""
        try:
            self.federation.listener.admit(address)
        except Rejected as error:
            return web.Response(status=error.http_status)
        ws = web.WebSocketResponse(
            protocols=(s2s.SUBPROTOCOL,), max_msg_size=limits.LINK_MESSAGE_BYTES_MAX, compress=False, timeout=0.1
        )
        await ws.prepare(request)
        assert request.transport is not None
        await self.federation.listener.handle(FrameSocket(ws, request.transport, address), self.leaf)
        return ws

    async def knows(self, other: Home, *, url: bool = True) -> int:
        """The number of `other` here; with its address."""

        def note(tx: Tx) -> int:
            pk = self.peers.ensure(tx, other.nid, self.clock.now_ms()).pk
            if url:
                self.peers.address_ok(tx, pk, other.url, "typed", 1, tls=False)
            return pk

        return await self.db.write(note)

    async def post(self, other: Home, *bodies: bytes, cls: int = DIRECT) -> None:
        """Puts items into the outbox and wakes the link."""

        def put(tx: Tx) -> None:
            pk = self.peers.ensure(tx, other.nid, self.clock.now_ms()).pk
            for body in bodies:
                self.outbox.enqueue(tx, pk, cls, body=body)
                tx.execute("INSERT INTO posted (body) VALUES (?)", (body,))

        await self.db.write(put)
        self.federation.wake(other.nid)

    async def refer(self, other: Home, room: int, *places: int) -> None:
        """The same by reference."""

        def put(tx: Tx) -> None:
            pk = self.peers.ensure(tx, other.nid, self.clock.now_ms()).pk
            for idx in places:
                self.outbox.enqueue(tx, pk, ENTRY, room_pk=room, idx=idx)

        await self.db.write(put)
        self.federation.wake(other.nid)

    def noted(self) -> list[bytes]:
        """Bodies in the order of their effect."""
        return [bytes(body) for (body,) in self.db.view(lambda tx: tx.all("SELECT body FROM noted ORDER BY id"))]

    def posted(self) -> list[bytes]:
        """What `post` put on disk."""
        return [bytes(body) for (body,) in self.db.view(lambda tx: tx.all("SELECT body FROM posted ORDER BY id"))]

    def returned(self) -> list[tuple[bytes, str]]:
        """What peers refused."""
        return [
            (bytes(b), c) for b, c in self.db.view(lambda tx: tx.all("SELECT body, code FROM returned ORDER BY id"))
        ]

    def waiting(self) -> int:
        """Rows in all outboxes."""
        row = self.db.view(lambda tx: tx.one("SELECT count(*) FROM outbox"))
        assert row is not None
        return int(row[0])

    async def until(self, true: Callable[[], Any], *, patience_s: float = PATIENCE_S) -> None:
        """Waits for news until something holds."""
        async with asyncio.timeout(patience_s):
            while not true():
                self.inbox.news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self.inbox.news.wait()


@asynccontextmanager
async def home(
    folder: Path,
    name: str,
    *,
    clock: Clock | None = None,
    who: Who | None = None,
    listening: bool = True,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Home]:
    """A node from start to end."""
    clock = clock or SystemClock()
    (folder / name).mkdir(exist_ok=True)
    made = Home(
        folder / name,
        who or identity(name, now_s=clock.now_ms() // 1000),
        clock=clock,
        entropy=SeededEntropy(f"home {name}"),
    )
    await made.inbox.make()
    async with asyncio.TaskGroup() as group:
        runner = await made.listen(context) if listening else None
        ready = asyncio.Event()
        task = group.create_task(made.federation.run(ready.set))
        await ready.wait()
        try:
            yield made
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if runner is not None:
                await runner.cleanup()
            await made.db.close()
