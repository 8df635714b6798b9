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
from node.base.ids import ClientId, RoomId
from node.core import content
from node.runtime import lan, lifecycle, tls
from node.runtime.clock import Clock, SystemClock
from node.runtime.config import Config
from node.runtime.entropy import Entropy, SystemEntropy
from node.runtime.metrics import Metrics
from node.runtime.targets import Exceptions, Targets
from node.services.accounts import Accounts
from node.services.acknowledging import Acknowledging
from node.services.appending import Appender
from node.services.budget import Budget
from node.services.catchup import CatchUp
from node.services.contacts import Contacts
from node.services.exchange import Exchange, Steps
from node.services.feed import Feed
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
from node.services.roomkeys import RoomKeys
from node.services.rooms import RoomBook
from node.services.sessions import Sessions
from node.services.settings import Settings
from node.services.signals import Signals
from node.services.signers import Signers
from node.services.submissions import Submissions
from node.services.sync import Sync
from node.storage import database
from node.storage.database import Database, Tx
from node.storage.lock import DataLock
from node.storage.log import Log
from node.storage.outbox import Outbox
from node.storage.peers import PeerStore, Quarantine
from node.storage.rooms import Rooms
from node.storage.users import Users

if TYPE_CHECKING:  # the edges are imported in `build`: verbs that need no sockets start faster without them
    from collections.abc import Callable, Sequence

    from node.federation.service import Federation
    from node.web.auth import Auth
    from node.web.server import Bound, Listener, WebServer
    from node.web.socket import SocketDoor

ADMIN_SOCKET: Final = "admin.sock"
KEYS: Final = "keys"
TLS_FOLDER: Final = "tls"
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
    reach: Reach
    exchange: Exchange

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


class Node(Struct, frozen=True, kw_only=True):
    """A whole node; `parts` run under the supervisor in this order."""

    services: Services
    sockets: SocketDoor
    web: WebServer
    federation: Federation
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
    replicas = Replicas(node=node, rooms=rooms, log=log, users=users, feed=feed, appender=appender, signers=signers)
    contacts = Contacts(
        db=db,
        node=node,
        users=users,
        rooms=rooms,
        feed=feed,
        followers=followers,
        tokens=invites,
        people=accounts,
        asking=Budget(clock=clock, rates=settings, per_s="requests_per_h", burst="requests_per_h", scale=3600),
        clock=clock,
    )

    def say(tx: Tx, account: int, device: int, room: RoomId, text: str) -> None:
        """What somebody wrote when they asked becomes their first message."""
        client_id = ClientId(entropy.uuid7(clock.now_ms()))
        body = content.encode_body(content.Text(text=text))
        posting.post_in(tx, accounts.later(tx, account, device), Post(room, client_id, "text", body))

    contacts.say = say
    acks = Acknowledging(
        db=db, rooms=rooms, log=log, feed=feed, signer=keys, signers=signers, nodes=followers, clock=clock
    )
    reach.acks = acks
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
            clock=clock,
        ),
        replicas=replicas,
        contacts=contacts,
        offers=Offers(node=node, users=users, people=accounts, feed=feed),
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
            clock=clock,
        ),
        marks=Marking(
            db=db, node=node, rooms=rooms, users=users, log=log, peers=peers, store=receipts, nodes=followers
        ),
        names=naming,
        signals=signals,
    )
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
        reach=reach,
        exchange=exchange,
    )


def build(services: Services) -> Node:
    """The edges around `services`."""
    from node.web.api.account import AccountResource
    from node.web.api.admin import AdminResource
    from node.web.api.contacts import ContactResource
    from node.web.api.door import DoorResource, Greeter
    from node.web.api.links import Origins
    from node.web.api.peers import PeerResource
    from node.web.api.people import PeopleResource
    from node.web.api.rooms import RoomResource
    from node.web.api.setup import SetupResource
    from node.web.auth import Auth
    from node.web.endpoints import Table, declared
    from node.web.errors import Failures
    from node.web.openapi import Documentation
    from node.web.server import WebServer
    from node.web.static import Static
    from node.web.throttle import ApiThrottle

    config, metrics = services.config, services.metrics
    auth = Auth(
        sessions=services.sessions,
        console=services.accounts.console(),
        node=services.identity.nid,
        trusted_proxies=config.trusted_proxies,
    )
    sockets = _sockets(services, auth)
    certificate = _certificate(config, services.clock) if config.https else None
    greeter = Greeter(
        accounts=services.accounts, settings=services.settings, phrase=services.identity, node=services.identity.nid
    )
    shown = Origins(public=lambda: origins(config, server.bound)[0])
    accounts, invites, settings = services.accounts, services.invites, services.settings
    resources = (
        DoorResource(
            greeter=greeter, accounts=accounts, sessions=services.sessions, invites=invites, settings=settings
        ),
        AccountResource(greeter=greeter, accounts=accounts, sessions=services.sessions),
        PeopleResource(accounts=accounts),
        RoomResource(
            book=services.book,
            posting=services.posting,
            sync=services.sync,
            receipts=services.receipts,
            invites=invites,
            origins=shown,
        ),
        ContactResource(
            db=services.db,
            contacts=services.contacts,
            introductions=services.introductions,
            invites=invites,
            posting=services.posting,
            forwarding=services.forwarding,
            origins=shown,
        ),
        PeerResource(node=services.identity.nid, peers=services.peer_book, introductions=services.introductions),
        SetupResource(phrase=services.identity, settings=settings),
        AdminResource(origins=shown, accounts=accounts, invites=invites, settings=settings),
    )
    federation = _federation(services)
    server = WebServer(
        listeners=_listeners(config, certificate),
        table=Table(
            resources=resources, auth=auth, throttle=ApiThrottle(clock=services.clock, rates=services.settings)
        ),
        sockets=sockets,
        auth=auth,
        failures=Failures(
            entropy=services.entropy,
            count=lambda code: metrics.refusals.inc(of=code),
            count_fault=metrics.internal_errors.inc,
        ),
        documentation=Documentation(rows=[row for resource in resources for row in declared(type(resource))]),
        static=Static(),
        db=services.db,
        clock=services.clock,
        metrics=metrics,
        metrics_token=config.metrics_token,
        peers=federation.listener,
    )
    _gauges(services, sockets)
    tls_parts = () if certificate is None else (certificate,)
    parts = (services.heads, sockets, *tls_parts, services.exchange, federation, server)
    return Node(services=services, sockets=sockets, web=server, federation=federation, parts=parts)


def _federation(services: Services) -> Federation:
    """Links to other nodes, joined to the services that fill and empty them."""
    from node.federation.dialer import Connector, KnownAddresses
    from node.federation.service import Federation

    config = services.config
    exceptions = Exceptions.parse(allow=config.net_allow, hosts=config.net_hosts)
    federation = Federation(
        db=services.db,
        peers=services.peers,
        outbox=services.outbox,
        inbox=services.exchange,
        identity=services.identity,
        acquaintances=services.exchange,
        resolver=KnownAddresses(db=services.db, peers=services.peers),
        opener=Connector(targets=Targets(exceptions=exceptions), entropy=services.entropy, ca=config.net_ca),
        clock=services.clock,
        entropy=services.entropy,
    )
    services.exchange.attach(federation)
    services.peer_book.attach(federation)
    services.reach.links = services.introductions.links = federation
    return federation


def _sockets(services: Services, auth: Auth) -> SocketDoor:
    from node.web.session import Desk
    from node.web.socket import SocketDoor

    requests = Budget(
        clock=services.clock, rates=services.settings, per_s="api_per_session_per_s", burst="api_per_session_burst"
    )
    desk = Desk(
        db=services.db,
        rooms=services.rooms,
        feed=services.feed,
        sync=services.sync,
        posting=services.posting,
        requests=requests,
        receipts=services.receipts,
        presence=services.presence,
        clock=services.clock,
        metrics=services.metrics,
        node=services.identity.nid,
        settings=services.settings,
    )
    return SocketDoor(desk=desk, auth=auth)


def _listeners(config: Config, certificate: tls.Certificate | None) -> list[Listener]:
    from node.web.server import Listener

    found = []
    if certificate is not None:
        found.append(
            Listener(
                name="https",
                setting="https_port",
                host=config.https_host,
                port=config.https_port,
                tls=certificate.context,
            )
        )
    if config.http:
        found.append(Listener(name="http", setting="http_port", host=config.http_host, port=config.http_port))
    return [*found, Listener(name="admin", path=config.folder / ADMIN_SOCKET)]


def _certificate(config: Config, clock: Clock) -> tls.Certificate:
    if config.tls_cert:
        return tls.Certificate.given(Path(config.tls_cert), Path(config.tls_key))
    return tls.Certificate.own(config.folder / KEYS / TLS_FOLDER, domain=config.domain, clock=clock)


def _gauges(services: Services, sockets: SocketDoor) -> None:
    db, gauge = services.db, services.metrics.gauge
    gauge("startalk_device_sockets", "Open device sockets.", lambda: sockets.count)
    gauge("startalk_writes_waiting", "Transactions that wait for their batch.", lambda: db.waiting)
    gauge("startalk_commits_total", "Commits, each with one sync of the disk.", lambda: db.commits)
    gauge("startalk_writes_total", "Transactions that were answered.", lambda: db.writes)
    gauge("startalk_read_only", "1 while writes are refused.", lambda: float(bool(db.trouble)))


def origins(config: Config, bound: Sequence[Bound]) -> tuple[str, ...]:
    """Like ``https://192.168.1.20:8443``: the one to give to others first, the one for this machine last."""
    return tuple(
        lan.origin(secure=listener.secure, host=listener.host, port=listener.port, domain=config.domain)
        for listener in bound
        if listener.port
    )


class Started(Struct, frozen=True, kw_only=True):
    """What a person wants to know once the node serves. `origins` begins with the one for others; `owner_token` opens the
    owner's account while there is none."""

    name: str
    node: str
    origins: tuple[str, ...]
    owner_token: str | None


async def serve(config: Config, announce: Callable[[Started], None]) -> ExitStatus:
    """A node from start to orderly end. Raises Fatal when it cannot start or must stop."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    services = open_services(config, clock=SystemClock(), entropy=SystemEntropy())
    try:
        node = build(services)
        owner_token = await services.invites.owner_invite()
        supervisor = lifecycle.Supervisor(
            node.parts, clock=services.clock, entropy=services.entropy, metrics=services.metrics
        )

        def started() -> None:
            announce(
                Started(
                    name=services.settings.name,
                    node=services.identity.text,
                    origins=origins(config, node.web.bound),
                    owner_token=owner_token,
                )
            )

        with lifecycle.signals(supervisor.stop):
            status = await supervisor.run(started)
        if supervisor.fault is not None:
            raise supervisor.fault
        return status
    finally:
        await services.close()
