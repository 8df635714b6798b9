"""The relay of calls, with what it has to know of this machine: where it listens, and which addresses devices are told.

Told are, the likeliest first: the addresses of this machine, those the admin named (`media_hosts`), the one the router forwards, and
those that peers have reached this node by; then the HTTPS port, for networks that block UDP. A node whose listeners are all on loopback keeps its calls there too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from node.base import limits
from node.discovery.lan import machine_addresses
from node.discovery.reachability import Endpoint
from node.media.proto.sdp import Candidate
from node.media.service import Relay, Setting
from node.runtime import lan
from node.runtime.clock import Clock
from node.runtime.config import Config
from node.wire.location import Spot

LOOPBACK: Final = "127.0.0.1"


class Outside(Struct):
    """What is known of the way from outside: what the router promised for the media port, by which addresses peers came, and the HTTPS
    port, which takes media over TCP (0: none)."""

    mapped: Endpoint | None = None
    proven: Callable[[], tuple[Endpoint, ...]] = tuple
    https_port: Callable[[], int] = int


def loopback_only(config: Config) -> bool:
    """Nobody but this machine reaches the listeners, and no proxy stands before them."""
    https = config.https and not _is_loopback(config.https_host)
    http = config.http and (not _is_loopback(config.http_host) or bool(config.trusted_proxies))
    return not (https or http)


def relay(config: Config, clock: Clock, outside: Outside) -> Relay:
    """The relay of this node."""
    setting = Setting(
        on=config.calls,
        host=LOOPBACK if loopback_only(config) else "",
        port=config.media_port,
        workers=config.media_workers,
        log_level=config.log_level,
        log_format=config.log_format,
    )
    return Relay(setting=setting, clock=clock, reachable=lambda: reachable(config, outside))


def reachable(config: Config, outside: Outside) -> tuple[Candidate, ...]:
    """Where devices reach the media port, by UDP and then by TCP; port 0 stands for its own number."""
    port = outside.https_port()
    if loopback_only(config):
        over_tcp = (Candidate(LOOPBACK, port, "tcp"),) if port and config.https_host == LOOPBACK else ()
        return (Candidate(LOOPBACK, 0), *over_tcp)
    hosts = [host for host in _own() if "%" not in host]
    named = config.media_hosts
    udp = [Candidate(host, 0) for host in (*hosts, *named)]
    if outside.mapped is not None and ipaddress.ip_address(outside.mapped.ip).is_global:
        mapped = outside.mapped.port
        udp.append(Candidate(outside.mapped.ip, 0 if mapped == config.media_port else mapped))
    proven = outside.proven()
    udp += [Candidate(endpoint.ip, 0) for endpoint in proven]
    tcp = [Candidate(host, port, "tcp") for host in (*hosts, *named) if port and _listens(config.https_host, host)]
    tcp = [*(Candidate(endpoint.ip, endpoint.port, "tcp") for endpoint in proven if port), *tcp]
    udp = list(dict.fromkeys(udp))[: limits.MEDIA_CANDIDATES_MAX] or [Candidate(LOOPBACK, 0)]
    return (*udp, *list(dict.fromkeys(tcp))[: limits.MEDIA_TCP_CANDIDATES_MAX])


def _own() -> tuple[str, ...]:
    try:
        return machine_addresses()
    except OSError:  # a sandbox that does not show the interfaces
        return lan.own_addresses()


def _listens(listener: str, host: str) -> bool:
    """A listener on `listener` is reached at `host`."""
    every = {"": True, "::": ":" in host, "0.0.0.0": ":" not in host}  # noqa: S104 - compared, not bound
    return every.get(listener, listener == host)


def public(spots: Iterable[Spot]) -> tuple[Endpoint, ...]:
    """Those whose address means the same everywhere."""
    read = [(ipaddress.ip_address(spot.ip), spot.port) for spot in spots]
    return tuple(Endpoint(str(address), port) for address, port in read if address.is_global)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
