"""The hub signs the heads of its rooms: once a minute for rooms that grew, and at the end.

A busy room costs one signature a minute, not one for each message: the chain makes the head cover everything before it. Whoever
changes the database afterwards cannot sign a head for what they made of it; ``startalk doctor --verify-log`` sees that.
A follower that needs a head sooner will ask `sign`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from node.base import limits
from node.base.errors import Rejected
from node.services.identity import Identity
from node.storage import heads
from node.storage.database import Database

SIGNED_AT_ONCE: Final = 100  # 53 us each: the loop is held 5 ms at most


class Heads:
    """A `runtime.lifecycle.Service`."""

    name = "heads"

    def __init__(self, *, db: Database, identity: Identity) -> None:
        self._db = db
        self._identity = identity

    async def run(self, ready: Callable[[], None]) -> None:
        """Signs from time to time."""
        ready()
        while True:
            await asyncio.sleep(limits.SIGN_HEADS_S)
            await self.sign()

    async def sign(self) -> None:
        """Signs every head that lacks it; a disk that refuses writes is asked again next time."""
        hub = self._identity.nid
        while not self._db.trouble and (found := self._db.view(lambda tx: heads.unsigned(tx, hub, SIGNED_AT_ONCE))):
            signed = [(room, self._identity.sign_head(room.room, room.head)) for room in found]
            try:
                await self._db.write(lambda tx, signed=signed: heads.put(tx, signed))  # type: ignore[misc]
            except Rejected:
                return
