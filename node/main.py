"""The composition root: every object of a node is made here, in the order of the layers, and nowhere else.

`open_services` gives what works without sockets: the command line uses it when no node runs. `build` adds the edges.
`serve` is the whole life of ``startalk run``. The simulation builds its nodes with the same functions and its own clock,
entropy and loop.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from node.base.errors import ExitStatus, Fatal
from node.runtime import lifecycle
from node.runtime.clock import Clock, SystemClock
from node.runtime.config import Config
from node.runtime.entropy import Entropy, SystemEntropy
from node.runtime.metrics import Metrics
from node.services.accounts import Accounts
from node.services.feed import Feed
from node.services.identity import Identity
from node.services.invites import Invites
from node.services.login_throttle import LoginThrottle
from node.services.passwords import Passwords
from node.services.posting import Posting
from node.services.presence import Presence
from node.services.receipts import Receipts
from node.services.rooms import RoomBook
from node.services.settings import Settings
from node.services.sync import Sync
from node.storage import database
from node.storage.database import Database
from node.storage.lock import DataLock
from node.storage.log import Log
from node.storage.rooms import Rooms
from node.storage.users import Users

if TYPE_CHECKING:  # the edges are imported in `build`: verbs that need no sockets start faster without them
    from node.web.server import WebServer
    from node.web.socket import SocketDoor

SWITCH_INTERVAL_S: Final = 0.0005  # a commit that ends waits at most this long for the event loop to let go


class Services(Struct, frozen=True, kw_only=True):
    """A node without edges, holding its data directory."""

    config: Config
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    lock: DataLock
    db: Database
    identity: Identity
    rooms: Rooms
    log: Log
    users: Users
    settings: Settings
    passwords: Passwords
    invites: Invites
    accounts: Accounts
    feed: Feed
    sync: Sync
    receipts: Receipts
    presence: Presence
    posting: Posting
    book: RoomBook

    async def close(self) -> None:
        """Everything that was accepted is on disk, the directory is free."""
        self.receipts.flush()
        await self.db.close()
        self.passwords.close()
        self.lock.close()

    def abandon(self) -> None:
        """Lets go at once, as a crash would; for simulations of crashes."""
        self.db.abandon()
        self.passwords.close()
        self.lock.close()


class Node(Struct, frozen=True, kw_only=True):
    """A whole node; `parts` run under the supervisor in this order."""

    services: Services
    sockets: SocketDoor
    web: WebServer
    parts: tuple[lifecycle.Service, ...]


def open_services(config: Config, *, clock: Clock, entropy: Entropy) -> Services:
    """Opens or makes the data directory and the services on it. Raises Fatal with what to do."""
    data = config.folder
    _make_folder(data)
    lock = DataLock(data)
    try:
        return _open(config, data, lock, clock=clock, entropy=entropy)
    except BaseException:
        lock.close()
        raise


def _make_folder(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        text = f"The data directory {data} cannot be made ({error.strerror}). Check the path and its owner."
        raise Fatal(ExitStatus.DATA_UNWRITABLE, text) from error


def _open(config: Config, data: Path, lock: DataLock, *, clock: Clock, entropy: Entropy) -> Services:
    identity = Identity.open(data=data, clock=clock, entropy=entropy)
    db = Database(path=data / database.FILE, clock=clock)
    users = Users(db)
    rooms = Rooms(db, users)
    log = Log(db)
    feed = Feed()
    settings = Settings(db=db, clock=clock, domain=config.domain)
    metrics = Metrics()
    sync = Sync(db=db, rooms=rooms, log=log, users=users, clock=clock)
    passwords = Passwords(cost=config.password_cost, peppers=identity.pepper, entropy=entropy)
    invites = Invites(db=db, rooms=rooms, clock=clock, entropy=entropy, node=identity.nid)
    accounts = Accounts(
        db=db,
        users=users,
        log=log,
        clock=clock,
        entropy=entropy,
        node=identity.nid,
        passwords=passwords,
        settings=settings,
        invites=invites,
        throttle=LoginThrottle(clock=clock, rates=settings),
        devices=feed,
        names=feed,
    )
    posting = Posting(
        db=db,
        rooms=rooms,
        log=log,
        users=users,
        feed=feed,
        signer=identity,
        people=accounts,
        links=invites,
        rates=settings,
        clock=clock,
        entropy=entropy,
        metrics=metrics,
    )
    return Services(
        config=config,
        clock=clock,
        entropy=entropy,
        metrics=metrics,
        lock=lock,
        db=db,
        identity=identity,
        rooms=rooms,
        log=log,
        users=users,
        settings=settings,
        passwords=passwords,
        invites=invites,
        accounts=accounts,
        feed=feed,
        sync=sync,
        receipts=Receipts(db=db, rooms=rooms, log=log, feed=feed, clock=clock),
        presence=Presence(db=db, rooms=rooms, feed=feed),
        posting=posting,
        book=RoomBook(db=db, rooms=rooms, users=users, sync=sync, feed=feed, clock=clock),
    )
