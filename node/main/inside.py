"""Everything behind the edges: the data directory and the services on it, made in the order of the layers.

The command line uses it by itself when no node runs.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from node.base.errors import ExitStatus, Fatal
from node.main import parts
from node.runtime.clock import Clock
from node.runtime.config import Config
from node.runtime.entropy import Entropy
from node.runtime.metrics import Metrics
from node.services.accounts import Accounts
from node.services.calls import Calls
from node.services.contacts import Contacts
from node.services.exchange import Exchange
from node.services.feed import Feed
from node.services.forwarding import Forwarding
from node.services.heads import Heads
from node.services.identity import Identity
from node.services.introductions import Introductions
from node.services.invites import Invites
from node.services.passwords import Passwords
from node.services.peers import Peers
from node.services.posting import Posting
from node.services.presence import Presence
from node.services.reach import Reach
from node.services.receipts import Receipts
from node.services.rooms import RoomBook
from node.services.sessions import Sessions
from node.services.settings import Settings
from node.services.successors import Successors
from node.services.sync import Sync
from node.storage.database import Database
from node.storage.lock import DataLock
from node.storage.log import Log
from node.storage.outbox import Outbox
from node.storage.peers import PeerStore, Quarantine
from node.storage.rooms import Rooms
from node.storage.users import Users


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
    sessions: Sessions
    accounts: Accounts
    feed: Feed
    sync: Sync
    receipts: Receipts
    presence: Presence
    posting: Posting
    book: RoomBook
    heads: Heads
    peers: PeerStore
    outbox: Outbox
    peer_book: Peers
    forwarding: Forwarding
    contacts: Contacts
    introductions: Introductions
    successors: Successors
    reach: Reach
    exchange: Exchange
    calls: Calls

    async def close(self) -> None:
        """Everything that was accepted is on disk, the directory is free."""
        self.receipts.flush()
        try:
            await self.heads.sign()
        finally:
            await self.db.close()
            self.passwords.close()
            self.lock.close()

    def abandon(self) -> None:
        """Lets go at once, as a crash would; for simulations of crashes."""
        self.db.abandon()
        self.passwords.close()
        self.lock.close()


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
    on = parts.ground(config, data, lock, clock=clock, entropy=entropy)
    people = parts.people(on)
    posts = parts.posts(on, people)
    near = parts.neighbours(on, people, posts)
    db, node, rooms = on.db, on.identity.nid, on.rooms
    sync = Sync(db=db, rooms=rooms, log=on.log, users=on.users, clock=clock, nodes=near.reach)
    return Services(
        config=config,
        clock=clock,
        entropy=entropy,
        metrics=on.metrics,
        lock=lock,
        db=db,
        identity=on.identity,
        rooms=rooms,
        log=on.log,
        users=on.users,
        settings=on.settings,
        passwords=people.passwords,
        invites=people.invites,
        sessions=people.sessions,
        accounts=people.accounts,
        feed=on.feed,
        sync=sync,
        receipts=posts.receipts,
        presence=Presence(db=db, rooms=rooms, feed=on.feed, elsewhere=near.signals),
        posting=posts.posting,
        book=RoomBook(db=db, rooms=rooms, users=on.users, sync=sync, feed=on.feed, clock=clock),
        heads=Heads(db=db, identity=on.identity),
        peers=on.peers,
        outbox=on.outbox,
        peer_book=Peers(db=db, store=on.peers, outbox=on.outbox, quarantine=Quarantine(), clock=clock),
        forwarding=posts.forwarding,
        contacts=near.contacts,
        introductions=Introductions(db=db, node=node, peers=on.peers),
        successors=Successors(db=db, node=node, rooms=rooms, posting=posts.posting, clock=clock, entropy=entropy),
        reach=near.reach,
        exchange=near.exchange,
        calls=near.calls,
    )
