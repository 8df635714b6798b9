"""The relay of calls, with what it has to know of this machine: where it listens, and which addresses devices are told.

Told are, the likeliest first: the addresses of this machine, the one the admin named (`media_host`), the one the router forwards, and
those that peers have reached this node by. A node whose listeners are all on loopback keeps its calls there too.
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
from node.runtime.clock import Clock
from node.runtime.config import Config

LOOPBACK: Final = "127.0.0.1"


class Outside(Struct):
    """What is known of the way from outside: what the router promised for the media port, which addresses peers came by."""

    mapped: Endpoint | None = None
    proven: Callable[[], tuple[str, ...]] = tuple


def loopback_only(config: Config) -> bool:
    """Nobody but this machine reaches the listeners, and no proxy stands before them."""
    https = config.https and not _is_loopback(config.https_host)
    http = config.http and (not _is_loopback(config.http_host) or bool(config.trusted_proxies))
    return not (https or http)


def relay(config: Config, clock: Clock, outside: Outside) -> Relay:
    """The relay of this node."""
    local = loopback_only(config)
    setting = Setting(
        on=config.calls,
        host=LOOPBACK if local else "",
        port=config.media_port,
        workers=config.media_workers,
        log_level=config.log_level,
        log_format=config.log_format,
    )
    return Relay(
        setting=setting,
        clock=clock,
        reachable=lambda: (Candidate(LOOPBACK, 0),) if local else reachable(config, outside),
    )


def reachable(config: Config, outside: Outside) -> tuple[Candidate, ...]:
    """Where devices reach the media port; port 0 stands for its own number."""
    hosts = [host for host in machine_addresses() if "%" not in host]
    found = dict.fromkeys(Candidate(host, 0) for host in hosts)
    if config.media_host:
        found[Candidate(config.media_host, 0)] = None
    if outside.mapped is not None and ipaddress.ip_address(outside.mapped.ip).is_global:
        port = outside.mapped.port
        found[Candidate(outside.mapped.ip, 0 if port == config.media_port else port)] = None
    found.update(dict.fromkeys(Candidate(host, 0) for host in outside.proven()))
    return tuple(found)[: limits.MEDIA_CANDIDATES_MAX] or (Candidate(LOOPBACK, 0),)


def public(addresses: Iterable[bytes]) -> tuple[str, ...]:
    """As text, those that mean the same everywhere."""
    read = (ipaddress.ip_address(address) for address in addresses)
    return tuple(str(address) for address in read if address.is_global)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
