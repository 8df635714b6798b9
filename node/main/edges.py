"""The edges around the services: listeners, links to other nodes, what finds them. Imported only by a node that runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from node.base.errors import RemoteError
from node.main.inside import Services
from node.runtime import lan, lifecycle, tls
from node.runtime.clock import Clock
from node.runtime.config import Config
from node.runtime.targets import Exceptions, Targets
from node.services.budget import Budget
from node.services.identity import Identity, ShownCert
from node.storage.peers import Peer
from node.wire import keys, s2s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.discovery.domains import Domains
    from node.discovery.service import Discovery
    from node.discovery.witnesses import LinkWitnesses
    from node.federation.service import Federation
    from node.main.finding import Finding
    from node.web.auth import Auth
    from node.web.errors import Failures
    from node.web.server import Bound, Listener, WebServer
    from node.web.socket import SocketDoor

ADMIN_SOCKET: Final = "admin.sock"
KEYS: Final = "keys"
TLS_FOLDER: Final = "tls"


class Node(Struct, frozen=True, kw_only=True):
    """A whole node; `parts` run under the supervisor in this order."""

    services: Services
    sockets: SocketDoor
    web: WebServer
    federation: Federation
    discovery: Discovery
    parts: tuple[lifecycle.Service, ...]


def build(services: Services) -> Node:
    """The edges around `services`."""
    from node.main.finding import find
    from node.main.media import Outside, relay
    from node.main.resources import resources
    from node.web.api.door import Greeter
    from node.web.api.links import Origins
    from node.web.endpoints import Table, declared
    from node.web.openapi import Documentation
    from node.web.server import WebServer
    from node.web.static import Static
    from node.web.throttle import ApiThrottle

    config, metrics = services.config, services.metrics
    auth = _auth(services)
    sockets = _sockets(services, auth)
    certificate = _certificate(config, services.clock) if config.https else None
    greeter = Greeter(
        accounts=services.accounts, settings=services.settings, phrase=services.identity, node=services.identity.nid
    )
    shown = Origins(public=lambda: origins(config, server.bound)[0])
    targets = Targets(exceptions=Exceptions.parse(allow=config.net_allow, hosts=config.net_hosts))
    outside = Outside(https_port=lambda: _outside_port(server))
    finding = find(services, targets, links=lambda: federation, port=lambda: _outside_port(server), outside=outside)
    media = relay(config, services.clock, outside)
    services.calls.attach(media)
    federation = _federation(services, targets, finding)
    table = resources(services, greeter=greeter, origins=shown, finding=finding, federation=federation)
    server = WebServer(
        listeners=_listeners(config, certificate),
        table=Table(resources=table, auth=auth, throttle=ApiThrottle(clock=services.clock, rates=services.settings)),
        sockets=sockets,
        auth=auth,
        failures=_failures(services),
        documentation=Documentation(rows=[row for resource in table for row in declared(type(resource))]),
        static=Static(),
        db=services.db,
        clock=services.clock,
        metrics=metrics,
        metrics_token=config.metrics_token,
        peers=federation.listener,
        streams=media if config.calls else None,
        leaf=lambda: None if certificate is None else certificate.leaf,
        well_known=finding.page.body,
    )
    _gauges(services, sockets)
    tls_parts = () if certificate is None else (certificate,)
    found = (finding.discovery,) if finding.dht is None else (finding.dht, finding.discovery)
    parts = (
        services.heads,
        media,
        services.calls,
        sockets,
        *tls_parts,
        services.exchange,
        server,
        *found,
        finding.domains,
        federation,
    )
    return Node(
        services=services, sockets=sockets, web=server, federation=federation, discovery=finding.discovery, parts=parts
    )


def _auth(services: Services) -> Auth:
    from node.web.auth import Auth

    return Auth(
        sessions=services.sessions,
        console=services.accounts.console(),
        node=services.identity.nid,
        trusted_proxies=services.config.trusted_proxies,
    )


def _failures(services: Services) -> Failures:
    from node.web.errors import Failures

    metrics = services.metrics
    return Failures(
        entropy=services.entropy,
        count=lambda code: metrics.refusals.inc(of=code),
        count_fault=metrics.internal_errors.inc,
    )


def _federation(services: Services, targets: Targets, finding: Finding) -> Federation:
    """Links to other nodes, joined to the services that fill and empty them."""
    from node.federation.dialer import Connector
    from node.federation.service import Federation

    federation = Federation(
        db=services.db,
        peers=services.peers,
        outbox=services.outbox,
        inbox=services.exchange,
        identity=services.identity,
        acquaintances=services.exchange,
        resolver=finding.resolver,
        opener=Connector(targets=targets, entropy=services.entropy, ca=services.config.net_ca),
        clock=services.clock,
        entropy=services.entropy,
        hints=_Hints(finding.witnesses, finding.domains, services.identity),
        allowed_only=lambda: services.settings.allowed_only,
    )
    services.exchange.attach(federation)
    services.peer_book.attach(federation)
    services.exchange.drop_by(federation)
    services.reach.links = services.introductions.links = federation
    services.introductions.pins = services.peer_book
    return federation


class _Hints:
    """Implements `federation.session.Hints`: what hellos say about us goes to those who keep it."""

    def __init__(self, witnesses: LinkWitnesses, domains: Domains, identity: Identity) -> None:
        self._witnesses = witnesses
        self._domains = domains
        self._identity = identity

    def heard(self, peer: Peer, hello: s2s.Hello, *, dialled: bool) -> None:
        """A peer said hello."""
        self._witnesses.heard(peer, hello, dialled=dialled)
        self._domains.heard(peer.nid)

    def superseded(self, peer: Peer, chain: keys.Chain, cert: keys.OpCert) -> None:
        """A peer shows a later state of this node."""
        with suppress(RemoteError):  # a lie, which stops nobody
            self._identity.note_later_state(ShownCert(chain, cert))


def _outside_port(server: WebServer) -> int:
    """The port of the HTTPS listener, once it is bound; 0 without one."""
    return next((bound.port for bound in server.bound if bound.secure), 0)


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
        calls=services.calls,
        call_frames=Budget(
            clock=services.clock, rates=services.settings, per_s="call_frames_per_s", burst="call_frames_per_s"
        ),
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
    calls = services.calls
    gauge("startalk_calls", "Calls this node knows of.", lambda: len(calls.known))
    gauge("startalk_call_seats", "Devices here that are in a call.", lambda: sum(len(one.mine) for one in calls.known))
    gauge(
        "startalk_relay_level",
        "2: fast path of the media relay, 1: portable path, 0: no calls.",
        lambda: calls.standing.level,
    )
    gauge("startalk_read_only", "1 while writes are refused.", lambda: float(bool(db.trouble)))


def origins(config: Config, bound: Sequence[Bound]) -> tuple[str, ...]:
    """Like ``https://192.168.1.20:8443``: the one to give to others first, the one for this machine last."""
    return tuple(
        lan.origin(secure=listener.secure, host=listener.host, port=listener.port, domain=config.domain)
        for listener in bound
        if listener.port
    )
