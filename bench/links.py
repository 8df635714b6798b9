"""Many small nodes that only keep a link open: identity, database and federation service, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from node.base.ids import NodeId
from node.federation.dialer import Connector, KnownAddresses
from node.federation.service import Federation
from node.runtime.clock import SystemClock
from node.runtime.entropy import SystemEntropy
from node.runtime.net import FrameSocket
from node.runtime.targets import Exceptions, Targets
from node.storage.database import Database, Tx
from node.storage.outbox import Outbox, OutRow
from node.storage.peers import Peer, PeerStore
from node.wire import keys, s2s
from node.wire.keys import Chain, OpCert


class Who(Struct, frozen=True):
    """An identity for links. Implements `federation.proto.handshake.OwnIdentity`."""

    nid: NodeId
    chain: Chain
    cert: OpCert
    incarnation: int
    op_key: Ed25519PrivateKey
    noise_key: bytes


class Deaf:
    """An inbox that nothing reaches. Implements `services.ports.PeerInbox` and `federation.queries.Acquaintances`."""

    def prepare(self, peer: Peer, cls: int, body: bytes) -> object:
        """Takes anything."""
        return body

    def apply(self, tx: Tx, peer: Peer, item: object) -> None:
        """Does nothing."""

    def applied(self, peer: Peer, count: int) -> None:
        """Does nothing."""

    def nacked(self, tx: Tx, peer: Peer, cls: int, body: bytes, code: str) -> None:
        """Does nothing."""

    def linked(self, peer: Peer) -> None:
        """Does nothing."""

    def unlinked(self, peer: Peer) -> None:
        """Does nothing."""

    def whisper(self, peer: Peer, topic: str, body: bytes) -> None:
        """Does nothing."""

    async def serve(self, peer: Peer, method: str, args: bytes) -> bytes:
        """Says nothing, well-formed: no heads, no names."""
        return b"\x91\x90"

    def render(self, tx: Tx, peer: Peer, rows: Sequence[OutRow]) -> list[bytes | None]:
        """Has nothing."""
        return [None for _ in rows]

    def share_room(self, peer: Peer, nid: NodeId) -> bool:
        """Shares nothing."""
        return False

    def own_record(self) -> bytes:
        """Publishes nothing."""
        return b""


def _identity() -> Who:
    entropy, clock = SystemEntropy(), SystemClock()
    phrase = entropy.token_bytes(keys.ENTROPY_BYTES)
    op = Ed25519PrivateKey.from_private_bytes(entropy.token_bytes(32))
    chain = keys.make_chain(phrase, 0)
    nid = keys.node_id(chain[0])
    cert = keys.sign_cert(
        keys.derive_root(phrase, 0), nid=nid, op=op.public_key().public_bytes_raw(), now_s=clock.now_ms() // 1000, incarnation=1
    )  # fmt: skip
    return Who(nid, chain, cert, 1, op, entropy.token_bytes(32))


class Idler(Struct, kw_only=True):
    """One small node."""

    who: Who
    db: Database
    federation: Federation


def _peer(folder: Path, number: int) -> Idler:
    clock, entropy, store = SystemClock(), SystemEntropy(), PeerStore()
    db, who = Database(path=folder / f"{number}.db", clock=clock), _identity()
    federation = Federation(
        db=db, peers=store, outbox=Outbox(clock=clock, entropy=entropy), inbox=Deaf(), identity=who, acquaintances=Deaf(),
        resolver=KnownAddresses(db=db, peers=store),
        opener=Connector(targets=Targets(exceptions=Exceptions.parse(allow=["127.0.0.0/8"])), entropy=entropy),
        clock=clock, entropy=entropy,
    )  # fmt: skip
    return Idler(who=who, db=db, federation=federation)


class Idlers:
    """All of them behind one loopback listener: peer k at ``/k/s2s``. They wait to be dialled."""

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir(parents=True)
        self.peers = [_peer(folder, k) for k in range(number)]
        self.port = 0

    @property
    def linked(self) -> int:
        """How many have a link."""
        return sum(bool(peer.federation.open_links()) for peer in self.peers)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Takes links meanwhile."""
        app = web.Application()
        app.router.add_get("/{number}/s2s", self._link)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.port = runner.addresses[0][1]
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(peer.federation.run(lambda: None)) for peer in self.peers]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
        await runner.cleanup()
        for peer in self.peers:
            await peer.db.close()

    async def _link(self, request: web.Request) -> web.StreamResponse:
        peer = self.peers[int(request.match_info["number"])]
        ws = web.WebSocketResponse(protocols=(s2s.SUBPROTOCOL,), compress=False, timeout=0.1)
        await ws.prepare(request)
        assert request.transport is not None
        await peer.federation.listener.handle(FrameSocket(ws, request.transport, request.remote or ""), None)
        return ws
