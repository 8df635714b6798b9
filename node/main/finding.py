"""How a node is found and finds others: mDNS, well-known, TXT, DHT, who knows whom, the router; joined to the links.

Links and discovery need each other, so one is handed over as a call that is answered once both exist. What a setting switches off is
not made.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from node.discovery.bootstrap import BootstrapList
from node.discovery.dht import Dht
from node.discovery.domains import Domains
from node.discovery.gossip import PeerGossip
from node.discovery.lan import Lan, machine_addresses
from node.discovery.memory import PeerMemory
from node.discovery.outlook import Outlook
from node.discovery.portmap import PortMap, mappers_here, pinholes_here
from node.discovery.proto.pmp import Transport
from node.discovery.reachability import Endpoint, Reachability, Witness
from node.discovery.resolver import Resolver
from node.discovery.service import Discovery
from node.discovery.wellknown import WellKnown, Zone
from node.discovery.witnesses import LinkWitnesses
from node.federation.service import Federation
from node.main.inside import Services
from node.main.media import Outside, loopback_only, public
from node.runtime.outgoing import Outgoing
from node.runtime.targets import Targets
from node.services.wellknown import WellKnownPage
from node.wire.record import Verifier

BOOTSTRAP_FILE = "bootstrap.json"


class Finding(Struct, frozen=True, kw_only=True):
    """What the other edges need of it. `dht` is None when it is switched off."""

    discovery: Discovery
    resolver: Resolver
    witnesses: LinkWitnesses
    page: WellKnownPage
    outlook: Outlook
    domains: Domains
    dht: Dht | None


def find(
    services: Services,
    targets: Targets,
    links: Callable[[], Federation],
    port: Callable[[], int],
    outside: Outside,
) -> Finding:
    """Makes it all; `port` is the one that peers outside would use, 0 without HTTPS; `outside` learns of the way to calls."""
    config, clock, nid = services.config, services.clock, services.identity.nid
    outgoing = Outgoing(targets=targets, ca=config.net_ca)
    verify = Verifier()
    memory = PeerMemory(db=services.db, peers=services.peers, clock=clock, moved=lambda peer: links().nudge(peer))
    lan = _lan(services, targets, memory, links, port, lambda: made.seq) if config.mdns else None
    dht = _dht(services, lambda: made.record) if config.dht else None
    resolver = Resolver(
        clock=clock,
        targets=targets,
        memory=memory,
        verify=verify,
        lan=lan,
        web=WellKnown(fetcher=outgoing, clock=clock, verify=verify),
        zone=Zone(),
        dht=dht,
        gossip=PeerGossip(links=links),
    )

    def observed(witness: Witness, ip: str) -> None:
        made.observed(witness, ip)

    def mapped(endpoint: Endpoint | None) -> None:
        made.mapped(endpoint)

    witnesses = LinkWitnesses(links=links, observed=observed)
    portmap = _portmap(services, outgoing, "tcp", port, mapped) if config.portmap else None
    datagrams = [_portmap(services, outgoing, "udp", lambda: config.dht_port)] if config.portmap and config.dht else []
    if config.portmap and config.calls and config.media_port and not loopback_only(config):

        def media_mapped(endpoint: Endpoint | None) -> None:
            outside.mapped = endpoint

        datagrams.append(_portmap(services, outgoing, "udp", lambda: config.media_port, media_mapped))
    made = Discovery(
        clock=clock,
        resolver=resolver,
        reachability=Reachability(targets=targets),
        maker=services.identity,
        domain=config.domain,
        port=port,
        lan=lan,
        portmap=portmap,
        datagrams=datagrams,
        boards=[dht] if dht is not None else [],
        dialback=witnesses,
        network_changed=lambda: links().nudge(),
        published=lambda raw: _serve_dht(dht, made),
    )
    outside.proven = lambda: public(made.verdict().spots)
    services.exchange.record = lambda: made.record or b""
    page = WellKnownPage(nid=nid, domain=config.domain, public_url=config.public_url, record=lambda: made.record)
    outlook = Outlook(discovery=made, page=page, domain=config.domain, port=port, links=links)
    domains = Domains(links=links, owners=resolver, pins=services.peer_book, verify=verify, clock=clock)
    return Finding(
        discovery=made, resolver=resolver, witnesses=witnesses, page=page, outlook=outlook, domains=domains, dht=dht
    )


def _lan(
    services: Services,
    targets: Targets,
    memory: PeerMemory,
    links: Callable[[], Federation],
    port: Callable[[], int],
    seq: Callable[[], int],
) -> Lan:
    return Lan(
        nid=services.identity.nid,
        clock=services.clock,
        targets=targets,
        port=port,
        seq=seq,
        known=memory.knows,
        found=lambda nid: links().nudge(nid),
    )


def _portmap(
    services: Services,
    outgoing: Outgoing,
    transport: Transport,
    port: Callable[[], int],
    changed: Callable[[Endpoint | None], None] = lambda endpoint: None,
) -> PortMap:
    """Keeps one port open in the router."""
    return PortMap(
        port=port,
        mappers=lambda: mappers_here(fetcher=outgoing, entropy=services.entropy, transport=transport),
        changed=changed,
        pinholes=lambda: pinholes_here(machine_addresses(), entropy=services.entropy, transport=transport),
    )


def _serve_dht(dht: Dht | None, discovery: Discovery) -> None:
    """Who can be reached from outside keeps records of others; the rest only asks."""
    if dht is not None:
        dht.be_client(not discovery.verdict().spots)


def _dht(services: Services, record: Callable[[], bytes | None]) -> Dht:
    config = services.config
    return Dht(
        clock=services.clock,
        entropy=services.entropy,
        bootstrap=BootstrapList(config.folder / BOOTSTRAP_FILE, seeds=config.bootstrap),
        own_record=record,
        port=config.dht_port,
        client=True,
    )
