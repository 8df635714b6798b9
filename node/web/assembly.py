"""The web layer put together: resources, table, authentication, server. Called by node/main.py with the services of a node.

`Doorway` comes in two steps because they need each other: the device socket (web/socket.py) asks `auth` who opens it, and
the server needs the device socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from node.base.ids import NodeId
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.metrics import Metrics
from node.services.accounts import Accounts
from node.services.invites import Invites
from node.services.ports import PhraseKeeper
from node.services.posting import Posting
from node.services.receipts import Receipts
from node.services.rooms import RoomBook
from node.services.settings import Settings
from node.services.sync import Sync
from node.storage.database import Database
from node.web.api.account import AccountResource
from node.web.api.admin import AdminResource
from node.web.api.door import DoorResource, Greeter
from node.web.api.links import Origins
from node.web.api.people import PeopleResource
from node.web.api.rooms import RoomResource
from node.web.api.setup import SetupResource
from node.web.auth import Auth
from node.web.endpoints import Endpoint, Table, declared
from node.web.errors import Failures
from node.web.openapi import Documentation
from node.web.server import Listener, Sockets, WebServer
from node.web.static import FOLDER, Static
from node.web.throttle import ApiThrottle

RESOURCES: Final = (DoorResource, AccountResource, PeopleResource, RoomResource, SetupResource, AdminResource)


class WebServices(Struct, frozen=True, kw_only=True):
    """What the web layer talks to."""

    db: Database
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    node: NodeId
    accounts: Accounts
    invites: Invites
    settings: Settings
    phrase: PhraseKeeper
    book: RoomBook
    posting: Posting
    sync: Sync
    receipts: Receipts


def endpoints() -> list[Endpoint]:
    """Every row of the table, without a node; for the documentation and the types of the web UI."""
    return [row for resource in RESOURCES for row in declared(resource)]


def make_auth(services: WebServices, *, trusted_proxies: Sequence[str] = ()) -> Auth:
    """First step: who is who. The device socket needs it."""
    return Auth(accounts=services.accounts, node=services.node, trusted_proxies=trusted_proxies)


def make_server(
    services: WebServices,
    *,
    auth: Auth,
    sockets: Sockets,
    listeners: Sequence[Listener],
    public_host: str = "",
    metrics_token: str = "",
    webui: Path = FOLDER,
) -> WebServer:
    """Second step: everything else. `public_host` is the domain or the LAN address that others use."""
    origins = Origins(public=lambda: server.public_origin)
    greeter = Greeter(
        accounts=services.accounts, settings=services.settings, phrase=services.phrase, node=services.node
    )
    resources = (
        DoorResource(
            greeter=greeter, accounts=services.accounts, invites=services.invites, settings=services.settings
        ),
        AccountResource(greeter=greeter, accounts=services.accounts),
        PeopleResource(accounts=services.accounts),
        RoomResource(
            book=services.book,
            posting=services.posting,
            sync=services.sync,
            receipts=services.receipts,
            invites=services.invites,
            origins=origins,
        ),
        SetupResource(phrase=services.phrase, settings=services.settings),
        AdminResource(
            accounts=services.accounts, invites=services.invites, settings=services.settings, origins=origins
        ),
    )
    assert tuple(type(resource) for resource in resources) == RESOURCES, "the documentation describes what is served"
    metrics = services.metrics
    server = WebServer(
        listeners=listeners,
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
        documentation=Documentation(rows=endpoints()),
        static=Static(folder=webui),
        db=services.db,
        clock=services.clock,
        metrics=metrics,
        metrics_token=metrics_token,
        public_host=public_host,
    )
    return server
