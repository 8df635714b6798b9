"""The services of a node in four groups, each made on top of the one before: ground, people, posts, neighbours.

A group is a struct of what others need of it; making it is one function that reads from top to bottom.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

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
from node.services.errands import Errands
from node.services.exchange import Exchange, Steps
from node.services.feed import Feed
from node.services.focus import Focus
from node.services.followers import Followers
from node.services.forwarding import Forwarding
from node.services.gossip import Gossip
from node.services.home import Home
from node.services.identity import Identity
from node.services.invites import Invites
from node.services.login_throttle import LoginThrottle
from node.services.marking import Marking
from node.services.naming import Naming
from node.services.offers import Offers
from node.services.passwords import Passwords
from node.services.post import Post
from node.services.posting import Posting
from node.services.reach import Reach
from node.services.receipts import Receipts
from node.services.replicas import Replicas
from node.services.resending import Resending
from node.services.restoring import Restoring
from node.services.roomkeys import RoomKeys
from node.services.sessions import Sessions
from node.services.settings import Settings
from node.services.signals import Signals
from node.services.signers import Signers
from node.services.statements import Statements
from node.services.submissions import Submissions
from node.storage import database
from node.storage.database import Database, Tx
from node.storage.lock import DataLock
from node.storage.log import Log
from node.storage.outbox import Outbox
from node.storage.peers import PeerStore
from node.storage.rooms import Rooms
from node.storage.users import Users


class Ground(Struct, frozen=True, kw_only=True):
    """What everything stands on: the database and its tables, the node's keys, time and chance, settings, who listens."""

    config: Config
    data: Path
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    lock: DataLock
    db: Database
    identity: Identity
    keys: RoomKeys
    users: Users
    rooms: Rooms
    log: Log
    feed: Feed
    settings: Settings
    peers: PeerStore
    outbox: Outbox
    signers: Signers
    followers: Followers

    def budget(self, rate: str) -> Budget:
        """So many an hour."""
        return Budget(clock=self.clock, rates=self.settings, per_s=rate, burst=rate, scale=3600)


class People(Struct, frozen=True, kw_only=True):
    """Accounts and how one gets and uses one."""

    naming: Naming
    passwords: Passwords
    invites: Invites
    sessions: Sessions
    accounts: Accounts


class Posts(Struct, frozen=True, kw_only=True):
    """What people here write."""

    appender: Appender
    forwarding: Forwarding
    posting: Posting
    receipts: Receipts


class Neighbours(Struct, frozen=True, kw_only=True):
    """What other nodes say and are told."""

    contacts: Contacts
    reach: Reach
    signals: Signals
    calls: Calls
    exchange: Exchange


def ground(config: Config, data: Path, lock: DataLock, *, clock: Clock, entropy: Entropy) -> Ground:
    """Opens the database."""
    identity = Identity.open(data=data, clock=clock, entropy=entropy)
    db = Database(path=data / database.FILE, clock=clock)
    identity.on_fence(db.fence)
    users, peers, keys = Users(db), PeerStore(), RoomKeys(identity)
    rooms = Rooms(db, users)
    outbox = Outbox(clock=clock, entropy=entropy)
    signers = Signers(db=db, peers=peers, clock=clock)
    signers.learn(keys.cert, identity.cert.nbf)
    return Ground(
        config=config,
        data=data,
        clock=clock,
        entropy=entropy,
        metrics=Metrics(),
        lock=lock,
        db=db,
        identity=identity,
        keys=keys,
        users=users,
        rooms=rooms,
        log=Log(db),
        feed=Feed(),
        settings=Settings(db=db, clock=clock, domain=config.domain),
        peers=peers,
        outbox=outbox,
        signers=signers,
        followers=Followers(
            db=db, node=identity.nid, rooms=rooms, users=users, peers=peers, outbox=outbox, clock=clock
        ),
    )


def people(on: Ground) -> People:
    """Accounts."""
    naming = Naming(
        db=on.db,
        rooms=on.rooms,
        users=on.users,
        log=on.log,
        feed=on.feed,
        signer=on.keys,
        signers=on.signers,
        sender=on.followers,
        clock=on.clock,
    )
    passwords = Passwords(cost=on.config.password_cost, peppers=on.identity.pepper, entropy=on.entropy)
    invites = Invites(db=on.db, rooms=on.rooms, clock=on.clock, entropy=on.entropy, node=on.identity.nid)
    sessions = Sessions(db=on.db, clock=on.clock, entropy=on.entropy, devices=on.feed)
    accounts = Accounts(
        db=on.db,
        users=on.users,
        log=on.log,
        clock=on.clock,
        entropy=on.entropy,
        node=on.identity.nid,
        passwords=passwords,
        settings=on.settings,
        invites=invites,
        throttle=LoginThrottle(clock=on.clock, rates=on.settings),
        sessions=sessions,
        names=naming,
        metrics=on.metrics,
    )
    return People(naming=naming, passwords=passwords, invites=invites, sessions=sessions, accounts=accounts)


def posts(on: Ground, people: People) -> Posts:
    """Writing."""
    appender = Appender(db=on.db, rooms=on.rooms, log=on.log, users=on.users, feed=on.feed, followers=on.followers)
    forwarding = Forwarding(
        db=on.db,
        rooms=on.rooms,
        log=on.log,
        users=on.users,
        feed=on.feed,
        followers=on.followers,
        signer=on.keys,
        entropy=on.entropy,
    )
    posting = Posting(
        db=on.db,
        rooms=on.rooms,
        log=on.log,
        users=on.users,
        appender=appender,
        forwarding=forwarding,
        signer=on.keys,
        people=people.accounts,
        links=people.invites,
        rates=on.settings,
        clock=on.clock,
        entropy=on.entropy,
        metrics=on.metrics,
    )
    receipts = Receipts(db=on.db, rooms=on.rooms, log=on.log, feed=on.feed, clock=on.clock)
    return Posts(appender=appender, forwarding=forwarding, posting=posting, receipts=receipts)


def neighbours(on: Ground, people: People, posts: Posts) -> Neighbours:
    """Other nodes."""
    db, node = on.db, on.identity.nid
    replicas = Replicas(
        db=db,
        node=node,
        rooms=on.rooms,
        log=on.log,
        users=on.users,
        feed=on.feed,
        appender=posts.appender,
        signer=on.keys,
        signers=on.signers,
    )
    restoring = Restoring(db=db, marker=on.data / database.RESTORED, rooms=on.rooms, replicas=replicas, own=on.keys)
    on.identity.on_fence(restoring.suspect)
    acks = Acknowledging(
        db=db,
        rooms=on.rooms,
        log=on.log,
        feed=on.feed,
        signer=on.keys,
        signers=on.signers,
        nodes=on.followers,
        clock=on.clock,
    )
    reach = Reach(peers=on.peers)
    reach.acks = acks
    strangers = on.budget("requests_per_h")
    contacts = _contacts(on, people, posts)
    signals = Signals(db=db, node=node, rooms=on.rooms, feed=on.feed, nodes=on.followers)
    calls = _calls(on, people, posts)
    steps = Steps(
        followers=on.followers,
        forwarding=posts.forwarding,
        submissions=_submissions(on, people, posts),
        replicas=replicas,
        contacts=contacts,
        offers=Offers(node=node, users=on.users, people=people.accounts, feed=on.feed, strangers=strangers),
        catchup=CatchUp(
            db=db,
            rooms=on.rooms,
            log=on.log,
            signer=on.keys,
            signers=on.signers,
            nodes=on.followers,
            replicas=replicas,
        ),
        acks=acks,
        gossip=_gossip(on, replicas, restoring),
        marks=_marking(on, posts),
        names=people.naming,
        signals=signals,
        statements=Statements(db=db, peers=on.peers, own=on.identity, clock=on.clock),
        restoring=restoring,
        resending=Resending(db=db, outbox=on.outbox, followers=on.followers, signer=on.keys),
        calls=calls,
    )
    posts.posting.may_append = steps.submissions.may_append = restoring.check
    exchange = Exchange(db=db, steps=steps)
    posts.receipts.moved = exchange.nudge_all
    return Neighbours(contacts=contacts, reach=reach, signals=signals, calls=calls, exchange=exchange)


def _submissions(on: Ground, people: People, posts: Posts) -> Submissions:
    return Submissions(
        db=on.db,
        rooms=on.rooms,
        log=on.log,
        users=on.users,
        appender=posts.appender,
        followers=on.followers,
        signer=on.keys,
        people=people.accounts,
        links=people.invites,
        signers=on.signers,
        invitations=on.budget("invitations_per_h"),
        clock=on.clock,
    )


def _gossip(on: Ground, replicas: Replicas, restoring: Restoring) -> Gossip:
    return Gossip(
        db=on.db,
        node=on.identity.nid,
        rooms=on.rooms,
        log=on.log,
        signers=on.signers,
        sender=on.followers,
        give_up=replicas.give_up,
        own=on.identity,
        forgotten=restoring.shown,
        clock=on.clock,
    )


def _marking(on: Ground, posts: Posts) -> Marking:
    return Marking(
        db=on.db,
        node=on.identity.nid,
        rooms=on.rooms,
        users=on.users,
        log=on.log,
        peers=on.peers,
        store=posts.receipts,
        nodes=on.followers,
    )


def _contacts(on: Ground, people: People, posts: Posts) -> Contacts:
    contacts = Contacts(
        db=on.db,
        node=on.identity.nid,
        users=on.users,
        rooms=on.rooms,
        feed=on.feed,
        followers=on.followers,
        tokens=people.invites,
        people=people.accounts,
        asking=on.budget("requests_per_h"),
        strangers=on.budget("requests_per_h"),
        clock=on.clock,
    )

    def say(tx: Tx, account: int, device: int, room: RoomId, text: str) -> None:
        """What somebody wrote when they asked becomes their first message."""
        client_id = ClientId(on.entropy.uuid7(on.clock.now_ms()))
        body = content.encode_body(content.Text(text=text))
        posts.posting.post_in(tx, people.accounts.later(tx, account, device), Post(room, client_id, "text", body))

    contacts.say = say
    return contacts


def _calls(on: Ground, people: People, posts: Posts) -> Calls:
    db, node = on.db, on.identity.nid
    errands = Errands()
    focus = Focus(db=db, node=node, rooms=on.rooms, nodes=on.followers, limits=on.settings, clock=on.clock)
    entries = CallEntries(
        db=db,
        node=node,
        rooms=on.rooms,
        users=on.users,
        posting=posts.posting,
        accounts=people.accounts,
        clock=on.clock,
        entropy=on.entropy,
    )
    home = Home(
        db=db,
        node=node,
        rooms=on.rooms,
        users=on.users,
        feed=on.feed,
        focus=focus,
        entries=entries,
        errands=errands,
        clock=on.clock,
    )
    return Calls(
        db=db,
        focus=focus,
        home=home,
        entries=entries,
        errands=errands,
        forwarding=posts.forwarding,
        rates=on.settings,
        bounds=on.settings,
        clock=on.clock,
        entropy=on.entropy,
    )
