"""Everything behind the edges: the data directory and the services on it, made in the order of the layers.

The command line uses it by itself when no node runs.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from node.base.errors import ExitStatus, Fatal
from node.base.ids import ClientId, RoomId
from node.core import content
from node.runtime.clock import Clock
from node.runtime.config import Config
from node.runtime.entropy import Entropy
from node.runtime.metrics import Metrics
from node.services.accounts import Accounts
from node.services.acknowledging import Acknowledging
from node.services.appending import Appender
from node.services.budget import Budget
from node.services.callentries import CallEntries
from node.services.calls import Calls
from node.services.catchup import CatchUp
from node.services.contacts import Contacts
from node.services.exchange import Exchange, Steps
from node.services.feed import Feed
from node.services.focus import Focus
from node.services.followers import Followers
from node.services.forwarding import Forwarding
from node.services.gossip import Gossip
from node.services.heads import Heads
from node.services.identity import Identity
from node.services.introductions import Introductions
from node.services.invites import Invites
from node.services.login_throttle import LoginThrottle
from node.services.marking import Marking
from node.services.naming import Naming
from node.services.offers import Offers
from node.services.passwords import Passwords
from node.services.peers import Peers
from node.services.post import Post
from node.services.posting import Posting
from node.services.presence import Presence
from node.services.reach import Reach
from node.services.receipts import Receipts
from node.services.replicas import Replicas
from node.services.restoring import Restoring
from node.services.roomkeys import RoomKeys
from node.services.rooms import RoomBook
from node.services.sessions import Sessions
from node.services.settings import Settings
from node.services.signals import Signals
from node.services.signers import Signers
from node.services.statements import Statements
from node.services.submissions import Submissions
from node.services.successors import Successors
from node.services.sync import Sync
from node.storage import database
from node.storage.database import Database, Tx
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
    identity = Identity.open(data=data, clock=clock, entropy=entropy)
    db = Database(path=data / database.FILE, clock=clock)
    identity.on_fence(db.fence)
    users = Users(db)
    rooms = Rooms(db, users)
    log = Log(db)
    feed = Feed()
    settings = Settings(db=db, clock=clock, domain=config.domain)
    metrics = Metrics()
    peers = PeerStore()
    outbox = Outbox(clock=clock, entropy=entropy)
    node, keys = identity.nid, RoomKeys(identity)
    signers = Signers(db=db, peers=peers, clock=clock)
    signers.learn(keys.cert, identity.cert.nbf)
    followers = Followers(db=db, node=node, rooms=rooms, users=users, peers=peers, outbox=outbox, clock=clock)
    signals = Signals(db=db, node=node, rooms=rooms, feed=feed, nodes=followers)
    naming = Naming(
        db=db, rooms=rooms, users=users, log=log, feed=feed, signer=keys, signers=signers, sender=followers, clock=clock
    )
    reach = Reach(peers=peers)
    sync = Sync(db=db, rooms=rooms, log=log, users=users, clock=clock, nodes=reach)
    passwords = Passwords(cost=config.password_cost, peppers=identity.pepper, entropy=entropy)
    invites = Invites(db=db, rooms=rooms, clock=clock, entropy=entropy, node=node)
    sessions = Sessions(db=db, clock=clock, entropy=entropy, devices=feed)
    accounts = Accounts(
        db=db,
        users=users,
        log=log,
        clock=clock,
        entropy=entropy,
        node=node,
        passwords=passwords,
        settings=settings,
        invites=invites,
        throttle=LoginThrottle(clock=clock, rates=settings),
        sessions=sessions,
        names=naming,
        metrics=metrics,
    )
    appender = Appender(db=db, rooms=rooms, log=log, users=users, feed=feed, followers=followers)
    forwarding = Forwarding(
        rooms=rooms, log=log, users=users, feed=feed, followers=followers, signer=keys, entropy=entropy
    )
    posting = Posting(
        db=db,
        rooms=rooms,
        log=log,
        users=users,
        appender=appender,
        forwarding=forwarding,
        signer=keys,
        people=accounts,
        links=invites,
        rates=settings,
        clock=clock,
        entropy=entropy,
        metrics=metrics,
    )
    receipts = Receipts(db=db, rooms=rooms, log=log, feed=feed, clock=clock)
    replicas = Replicas(
        db=db, node=node, rooms=rooms, log=log, users=users, feed=feed, appender=appender, signers=signers
    )

    def strangers() -> Budget:
        return Budget(clock=clock, rates=settings, per_s="requests_per_h", burst="requests_per_h", scale=3600)

    contacts = Contacts(
        db=db,
        node=node,
        users=users,
        rooms=rooms,
        feed=feed,
        followers=followers,
        tokens=invites,
        people=accounts,
        asking=strangers(),
        strangers=strangers(),
        clock=clock,
    )

    def say(tx: Tx, account: int, device: int, room: RoomId, text: str) -> None:
        """What somebody wrote when they asked becomes their first message."""
        client_id = ClientId(entropy.uuid7(clock.now_ms()))
        body = content.encode_body(content.Text(text=text))
        posting.post_in(tx, accounts.later(tx, account, device), Post(room, client_id, "text", body))

    contacts.say = say
    restoring = Restoring(db=db, marker=data / database.RESTORED, rooms=rooms, replicas=replicas, own=keys)
    identity.on_fence(restoring.suspect)
    acks = Acknowledging(
        db=db, rooms=rooms, log=log, feed=feed, signer=keys, signers=signers, nodes=followers, clock=clock
    )
    reach.acks = acks
    calls = Calls(
        db=db,
        node=node,
        rooms=rooms,
        users=users,
        feed=feed,
        focus=Focus(db=db, node=node, rooms=rooms, nodes=followers, limits=settings, clock=clock),
        entries=CallEntries(db=db, posting=posting, accounts=accounts, clock=clock, entropy=entropy),
        forwarding=forwarding,
        rates=settings,
        limits_now=settings,
        clock=clock,
        entropy=entropy,
    )
    steps = Steps(
        followers=followers,
        forwarding=forwarding,
        submissions=Submissions(
            rooms=rooms,
            log=log,
            users=users,
            appender=appender,
            followers=followers,
            signer=keys,
            people=accounts,
            links=invites,
            signers=signers,
            invitations=Budget(
                clock=clock, rates=settings, per_s="invitations_per_h", burst="invitations_per_h", scale=3600
            ),
            clock=clock,
        ),
        replicas=replicas,
        contacts=contacts,
        offers=Offers(node=node, users=users, people=accounts, feed=feed, strangers=strangers()),
        catchup=CatchUp(db=db, rooms=rooms, log=log, signer=keys, signers=signers, nodes=followers, replicas=replicas),
        acks=acks,
        gossip=Gossip(
            db=db,
            node=node,
            rooms=rooms,
            log=log,
            signers=signers,
            sender=followers,
            give_up=replicas.give_up,
            own=identity,
            forgotten=restoring.shown,
            clock=clock,
        ),
        marks=Marking(
            db=db, node=node, rooms=rooms, users=users, log=log, peers=peers, store=receipts, nodes=followers
        ),
        names=naming,
        signals=signals,
        statements=Statements(db=db, peers=peers, own=identity, clock=clock),
        restoring=restoring,
        calls=calls,
    )
    posting.may_append = steps.submissions.may_append = restoring.check
    exchange = Exchange(db=db, steps=steps)
    receipts.moved = exchange.nudge_all
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
        sessions=sessions,
        accounts=accounts,
        feed=feed,
        sync=sync,
        receipts=receipts,
        presence=Presence(db=db, rooms=rooms, feed=feed, elsewhere=signals),
        posting=posting,
        book=RoomBook(db=db, rooms=rooms, users=users, sync=sync, feed=feed, clock=clock),
        heads=Heads(db=db, identity=identity),
        peers=peers,
        outbox=outbox,
        peer_book=Peers(db=db, store=peers, outbox=outbox, quarantine=Quarantine(), clock=clock),
        forwarding=forwarding,
        contacts=contacts,
        introductions=Introductions(db=db, node=node, peers=peers),
        successors=Successors(db=db, node=node, rooms=rooms, posting=posting, clock=clock, entropy=entropy),
        reach=reach,
        exchange=exchange,
        calls=calls,
    )
