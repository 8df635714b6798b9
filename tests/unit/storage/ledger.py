"""A node's services on a fresh directory, and people who post to them directly: no sockets, no HTTP.

Real parts throughout: the database, the log, posting and its rules; only clock and randomness are given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from node.base.ids import ClientId, DeviceId, RoomId, UserId, make_user
from node.core.account import NodeRole
from node.core.content import Body, encode_body
from node.main import Services, open_services
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.actor import Actor
from node.services.post import Post
from node.services.settings import RATE_MAX, RATES, Change
from node.storage.accounts import AccountStore, NewAccount
from node.storage.database import Tx
from node.storage.log import Appended
from tests.unit.core.chronicle import KIND_OF

NAMES: Final = ("alice", "bob", "carol", "dave", "erin")


class Ledger:
    """Open it with `open`, close it with `close`."""

    def __init__(self, services: Services, clock: ManualClock) -> None:
        self.services = services
        self.clock = clock
        self.actors: dict[str, Actor] = {}
        self._count = 0

    @classmethod
    async def open(cls, folder: Path, *, seed: int = 1) -> Ledger:
        """Five accounts with one device each; rates are off."""
        clock = ManualClock()
        config = Config(data=str(folder / "data"))
        ledger = cls(open_services(config, clock=clock, entropy=SeededEntropy(seed)), clock)
        await ledger.services.db.write(ledger._seat)
        await ledger.free_rates()
        return ledger

    async def free_rates(self) -> None:
        """As the benchmarks do it."""
        await self.services.settings.change(Change(rates=dict.fromkeys(RATES, RATE_MAX)), actor="console")

    def _seat(self, tx: Tx) -> None:
        store = AccountStore(users=self.services.users)
        nid = self.services.identity.nid
        for number, name in enumerate(NAMES):
            user = make_user(name, nid)
            new = NewAccount(
                user=user, local=name, skeleton=name, name=name.title(), role=NodeRole.USER, password="", pepper=1, lang="", invited_by=0
            )  # fmt: skip
            pk = store.insert(tx, new, self.clock.now_ms())
            device = DeviceId(bytes([number]) * 16)
            tx.execute(
                "INSERT INTO devices (account, device, token_hash, created_ms, seen_ms) VALUES (?, ?, ?, 0, 0)",
                (pk, device, device),
            )
            row = tx.one("SELECT id FROM devices WHERE device = ?", (device,))
            assert row is not None
            self.actors[name] = Actor(
                user=user, user_pk=pk, account_role=NodeRole.USER, device=device, device_pk=row[0], local=name, name=name.title()
            )  # fmt: skip

    def user(self, name: str) -> UserId:
        """The id of one of the five."""
        return self.actors[name].user

    def command(self, room: bytes, body: Body, *, guests: tuple[str, ...] = ()) -> Post:
        """A post with a fresh client id."""
        self._count += 1
        client_id = ClientId(self._count.to_bytes(16, "big"))
        return Post(room, client_id, KIND_OF[type(body)], encode_body(body), tuple(self.user(g) for g in guests))

    async def post(self, name: str, room: bytes, body: Body, *, guests: tuple[str, ...] = ()) -> Appended:
        """Posts and waits until it is on disk. Raises Rejected."""
        return await self.services.posting.post(self.actors[name], self.command(room, body, guests=guests))

    async def direct(self, one: str, other: str) -> RoomId:
        """The direct chat of two."""
        return await self.services.posting.open_direct(self.actors[one], self.user(other))

    async def close(self) -> None:
        """Everything on disk."""
        await self.services.close()
