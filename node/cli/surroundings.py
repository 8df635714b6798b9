"""The doctor's checks that only a running node can answer: other nodes and their clocks, the router, the domain, and whether
somebody who is linked reaches this node when asked to call back.

None of it is ever worse than a warning: a node that nobody can dial still sends and receives over the links it opens itself.
Every warning says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from node.base.errors import LocalError, Rejected
from node.cli.findings import Finding, Level

if TYPE_CHECKING:
    from node.client.admin import AdminClient
    from node.runtime.config import Config
    from node.wire import api

CLOCK_APART_MS: Final = 60_000  # people see messages in the wrong order from here on
SHOWN_CHARS: Final = 12
ROUTER_PAGE: Final = "docs/howto/run-at-home-behind-a-router.md"
RATE_LIMITED: Final = "rate_limited"


def look_around(admin: AdminClient, config: Config) -> Iterator[Finding]:
    """All of them; a node that stops meanwhile ends them with a finding."""
    try:
        peers = admin.peers()
        yield from check_clocks(peers)
        yield from check_queues(peers)
        reach = admin.reach()
        yield from check_standing(reach, config)
        yield from check_mapping(reach)
        if reach.domain:
            yield from check_domain(reach, admin.trace(reach.domain))
        if reach.port:
            yield from check_call_backs(admin.call_back(), peers, reach.port)
    except (Rejected, LocalError) as error:
        yield Finding(Level.WARN, f"The running node could not say more: {error}")


# --- other nodes ----------------------------------------------------------------------------------------


def check_clocks(peers: Sequence[api.peers.Peer]) -> Iterator[Finding]:
    """One clock that differs may be theirs; when most differ it is ours."""
    linked = [peer for peer in peers if peer.state == "linked"]
    if not linked:
        yield Finding(Level.OK, "No other node is linked now.")
        return
    apart = [peer for peer in linked if abs(peer.skew_ms) > CLOCK_APART_MS]
    if 2 * len(apart) > len(linked):
        yield Finding(
            Level.WARN,
            f"The clock of this machine differs from {len(apart)} of {len(linked)} linked nodes, from {_name(apart[0])} by "
            f"{_seconds(apart[0].skew_ms)}. Set it, for example with NTP.",
        )
        return
    for peer in apart:
        yield Finding(
            Level.WARN, f"The clock of {_name(peer)} is {_seconds(peer.skew_ms)} off; tell its admin to set it."
        )
    if not apart:
        most_ms = max(abs(peer.skew_ms) for peer in linked)
        yield Finding(
            Level.OK, f"The clock agrees with {_nodes(len(linked))} that are linked, within {_seconds(most_ms)}."
        )


def check_queues(peers: Sequence[api.peers.Peer]) -> Iterator[Finding]:
    """What waits because a node cannot be reached, and what we refused."""
    for peer in peers:
        if peer.queue_rows and peer.state != "linked":
            why = f" The last attempt: {peer.dial_error}." if peer.dial_error else ""
            yield Finding(
                Level.WARN,
                f"{peer.queue_rows} messages wait for {_name(peer)}, which is {peer.state}.{why} "
                f"Look with: startalk peer trace {peer.node[:SHOWN_CHARS]}",
            )
        if peer.refused:
            yield Finding(Level.WARN, f"{peer.refused} items of {_name(peer)} were refused as malformed or forged.")


# --- from outside ---------------------------------------------------------------------------------------


def check_standing(reach: api.peers.Reach, config: Config) -> Iterator[Finding]:
    """The verdict of node/discovery/reachability.py, and what to do about it."""
    match reach.standing:
        case "public":
            yield Finding(
                Level.OK,
                f"Public: two unrelated nodes have called back at {_listed(reach.published)}, which is published.",
            )
        case "unproved":
            yield Finding(
                Level.WARN,
                f"{_listed(reach.unproved)} looks public, but fewer than two unrelated nodes have called back there, so it is not "
                f"published yet. If that stays so while contacts elsewhere are linked, let TCP port {reach.port} in at the router.",
            )
        case "cgnat":
            yield Finding(
                Level.WARN,
                "Carrier-grade NAT: the provider shares its IPv4 addresses among customers, and no forwarding helps. Messages go over "
                f"the links that this node opens itself. For phones use IPv6, a VPN or a rented machine as proxy: {ROUTER_PAGE}",
            )
        case "no_https" if config.public_url or config.trusted_proxies:
            yield Finding(Level.OK, "HTTPS is left to a proxy.")
        case "no_https":
            yield Finding(Level.WARN, "HTTPS is off, so no other node can dial this one; set https = true.")
        case "private":
            yield Finding(
                Level.WARN,
                "Behind NAT, or in a network without Internet: this machine has private addresses only, and no router forwards to it. "
                f"Messages go over the links that this node opens itself. To be reachable: {ROUTER_PAGE}",
            )


def check_mapping(reach: api.peers.Reach) -> Iterator[Finding]:
    """What the router does for us."""
    if reach.mapping == "off":
        yield Finding(Level.OK, "The router is not asked to forward a port (portmap = false).")
    elif reach.outside:
        yield Finding(Level.OK, f"The router forwards {reach.outside} to this machine ({reach.mapping}).")
    else:
        level = Level.OK if reach.standing == "public" else Level.WARN
        yield Finding(
            level,
            f"The router forwards no port: {reach.mapping_problem or 'it was not asked yet'}. Switch UPnP or NAT-PMP on there, or forward "
            f"TCP port {reach.port} by hand and set portmap = false.",
        )


def check_domain(reach: api.peers.Reach, trace: api.peers.Trace) -> Iterator[Finding]:
    """Whether the domain names this node, and what it has to say for that."""
    said = {step.source: step for step in trace.steps if not step.url}
    web, zone = said.get("well-known"), said.get("txt")
    if web is not None and web.fine:
        yield Finding(Level.OK, f"https://{reach.domain}/.well-known/startalk: {web.text}.")
    else:
        why = f" ({web.text})" if web is not None else ""
        yield Finding(
            Level.WARN,
            f"The domain does not name this node{why}. https://{reach.domain}/.well-known/startalk must answer with a certificate that "
            f"browsers accept and: {reach.well_known or 'what this node serves there once it has signed its record'}",
        )
    if zone is not None and zone.fine:
        yield Finding(Level.OK, f"TXT: {zone.text}.")
    elif reach.txt:
        yield Finding(Level.OK, f"The zone may say as well: {reach.txt}")
    refusal = said.get("domain")
    if refusal is not None and not refusal.fine and web is not None and web.fine:
        yield Finding(Level.WARN, refusal.text)


def check_call_backs(
    calls: Sequence[api.peers.CallBack], peers: Sequence[api.peers.Peer], port: int
) -> Iterator[Finding]:
    """Linked nodes that were asked to connect to us at the address they see."""
    names = {peer.node: _name(peer) for peer in peers}
    for call in calls:
        name = names.get(call.node, call.node[:SHOWN_CHARS])
        if call.reached:
            yield Finding(Level.OK, f"{name} called back and reached this node at port {port}.")
        elif call.code == RATE_LIMITED:
            yield Finding(Level.OK, f"{name} has called back less than a minute ago; ask again later.")
        else:
            yield Finding(
                Level.WARN,
                f"{name} was asked to call back and did not reach port {port} at the address it sees: {call.text} "
                f"Let that port in at the router and the firewall: {ROUTER_PAGE}",
            )
    if not calls:
        yield Finding(Level.OK, "Nobody is linked who could be asked to call back.")


def _name(peer: api.peers.Peer) -> str:
    return peer.domain if peer.domain_state == "verified" else peer.node[:SHOWN_CHARS]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _seconds(duration_ms: int) -> str:
    return f"{abs(duration_ms) / 1000:.1f} s"


def _listed(addresses: Sequence[str]) -> str:
    return ", ".join(addresses)
