"""The body of a location record: domain, addresses and relays of a node. All of them are claims.

A msgpack map; an empty value is left out and keys come in this order:

=====  ===================================================================
``d``  domain in lower-case A-labels
``a``  at most 8 × [family 4 or 6, ip, port]
``r``  at most 3 × [nid of a relay, host, port]
``p``  protocol versions
``f``  flags: 1 public, 2 behind carrier NAT, 4 relays for others, 8 IPv6
=====  ===================================================================

`public_spots` keeps the claims that a stranger may make. Vectors: docs/spec/vectors/record.json.
"""

from __future__ import annotations

import ipaddress
from enum import IntFlag
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NODE_ID_BYTES
from node.wire import keys
from node.wire.address import check_domain
from node.wire.codec import encode

_WELL_KNOWN_PORTS: Final = frozenset({80, 443})
_PORT_MIN: Final = 1_024  # below are services that a record must not aim nodes at
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")  # the only IPv6 addresses that are handed out
_NOBODYS: Final = tuple(
    ipaddress.ip_network(net) for net in ("2001::/23", "2002::/16", "3fff::/20", "192.88.99.0/24")
)  # tunnels, which hide an IPv4 address, and what Python 3.11 does not yet know as documentation


class Flag(IntFlag):
    """Bits of ``f``; others are ignored."""

    PUBLIC = 1
    CGNAT = 2
    RELAY_OK = 4
    IPV6 = 8


_Byte = Annotated[int, Meta(ge=0, le=255)]
_Port = Annotated[int, Meta(ge=1, le=65_535)]
Host = Annotated[str, Meta(max_length=keys.DOMAIN_CHARS_MAX)]


class Spot(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An address of a node: family 4 with 4 bytes or 6 with 16, and a TCP port."""

    family: _Byte
    ip: Annotated[bytes, Meta(min_length=4, max_length=16)]
    port: _Port


class Relay(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A node that forwards for this one; `host` is a domain or an IP address."""

    nid: Annotated[bytes, Meta(min_length=NODE_ID_BYTES, max_length=NODE_ID_BYTES)]
    host: Host
    port: _Port


class LocBody(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Where a node is; all of it claims."""

    domain: Host = msgspec.field(default="", name="d")
    addresses: Annotated[tuple[Spot, ...], Meta(max_length=limits.RECORD_ADDRESSES_MAX)] = msgspec.field(
        default=(), name="a"
    )
    relays: Annotated[tuple[Relay, ...], Meta(max_length=limits.RECORD_RELAYS_MAX)] = msgspec.field(
        default=(), name="r"
    )
    versions: Annotated[tuple[_Byte, ...], Meta(max_length=limits.RECORD_VERSIONS_MAX)] = msgspec.field(
        default=(), name="p"
    )
    flags: _Byte = msgspec.field(default=0, name="f")


def shorten(body: LocBody) -> LocBody:
    """Without its last relay, or when there is none its last address."""
    if body.relays:
        return msgspec.structs.replace(body, relays=body.relays[:-1])
    assert body.addresses, "a domain of 253 characters fits beside four elements of a chain"
    return msgspec.structs.replace(body, addresses=body.addresses[:-1])


def decode_loc(data: bytes) -> LocBody:
    """What a record says, in its one spelling. Raises RemoteError, Rejected, msgspec.DecodeError."""
    body = _decode(data)
    if encode(body) != data:
        raise RemoteError("The body of the record is not spelt in the shortest way.")
    check_loc(body)
    return body


def check_loc(body: LocBody) -> None:
    """What the types alone do not say. Raises Rejected."""
    if body.domain:
        check_domain(body.domain)
    for spot in body.addresses:
        if (spot.family, len(spot.ip)) not in {(4, 4), (6, 16)}:
            raise Rejected(Code.BAD_REQUEST, "An address has family 4 and 4 bytes, or family 6 and 16.", field="a")
    for relay in body.relays:
        if not _is_address(relay.host):
            check_domain(relay.host)


def _is_address(host: str) -> bool:
    try:
        return str(ipaddress.ip_address(host)) == host and "%" not in host
    except ValueError:
        return False


def public_spots(spots: tuple[Spot, ...]) -> tuple[Spot, ...]:
    """The addresses that may leave a LAN and that a record from outside may name.

    Private, loopback, link-local, shared (100.64/10), multicast and reserved ones are dropped, so are IPv6 spellings of
    IPv4 addresses, and ports below 1,024 except 80 and 443: a record must not aim nodes at a router or a mail server.
    """
    return tuple(spot for spot in spots if _is_public(spot))


def _is_public(spot: Spot) -> bool:
    if len(spot.ip) not in {4, 16} or (spot.port < _PORT_MIN and spot.port not in _WELL_KNOWN_PORTS):
        return False
    ip = ipaddress.ip_address(spot.ip)
    if not ip.is_global or ip.is_multicast or ip.is_reserved or (ip.version == 6 and ip not in _GLOBAL_UNICAST):
        return False
    return not any(ip.version == net.version and ip in net for net in _NOBODYS)


_decode = msgspec.msgpack.Decoder(LocBody).decode
