"""Where this node may connect to when somebody else names the target: a peer, a record, a link that a user pasted.

A node stands inside a home network, so an address it was handed is a way to make it speak to the router, the printer or
its own admin socket. The rule is therefore by address and port, after the name was resolved, and there is no list of bad
names: everything is refused that is not an ordinary public unicast address.

======================  ===================================================================================
IPv4                    all but the special-purpose networks of RFC 6890 (private, loopback, link-local, CGNAT,
                        documentation, benchmarking, multicast, reserved) and 6to4 relays
IPv6                    2000::/3 only, without Teredo, ORCHID, documentation and 6to4; what carries an IPv4
                        address inside (mapped, compatible, NAT64) lies outside of 2000::/3 or is one of these
ports                   80, 443, those that a boot setting registers, and for links also 1,024 and above
======================  ===================================================================================

Exceptions are made by the owner in the boot file (`net_allow`, `net_hosts`), and by `Scope.LAN` for an address that mDNS
showed for a node we know or pair with: it may be private or link-local, never loopback.

A literal has one spelling, that of `ipaddress`; decimal, octal, hexadecimal and short forms, which the C library would
take, are refused by name even when they mean a public address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self

from msgspec import Struct

from node.base.errors import RemoteError

IP = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

WEB_PORTS: Final = frozenset({80, 443})
PORT_FREE_MIN: Final = 1024  # below, a node takes 80 and 443 only: everything else there belongs to somebody
_SPECIAL_4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_GLOBAL_6: Final = IPv6Network("2000::/3")
_SPECIAL_6: Final = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_LAN: Final = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
)  # fmt: skip
CGNAT: Final = IPv4Network("100.64.0.0/10")
_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class TargetRefused(RemoteError):
    """This node does not connect there; the text says where and why."""


class Scope(Enum):
    """How far a target may be away."""

    PUBLIC = "public"  # the Internet
    LAN = "lan"  # the Internet, and the networks this machine is in


def is_public(ip: IP) -> bool:
    """Whether `ip` is an ordinary unicast address of the Internet."""
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _SPECIAL_4)
    return ip.scope_id is None and ip in _GLOBAL_6 and not any(ip in network for network in _SPECIAL_6)


def is_lan(ip: IP) -> bool:
    """Whether `ip` is private or link-local: what a neighbour in the same network has."""
    return any(ip in network for network in _LAN if network.version == ip.version)


def literal(host: str) -> IP | None:
    """`host` as an address in its one spelling (scope allowed, no brackets); None if it is a name.

    Raises TargetRefused for what a C library might take for an address: its last label is a number.
    """
    try:
        return ip_address(host)
    except ValueError:
        if ":" in host or "%" in host or _NUMBER.fullmatch(host.lower().rstrip(".").rpartition(".")[2]):
            raise TargetRefused("The target is not an address in its usual spelling.") from None
        return None


def host_name(text: str) -> str:
    """A host name in lower case without final dot. Raises TargetRefused for anything else."""
    name = text.lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise TargetRefused("The target is not a host name.")
    return name


class Pin(Struct, frozen=True):
    """Where a name of `net_hosts` leads. With a port, that port stands for 443 and is all that is allowed there; without
    (0), the address is allowed like one in `net_allow`."""

    ip: str
    port: int


class Exceptions(Struct, frozen=True, kw_only=True):
    """What the owner allows beyond the rule."""

    networks: tuple[Network, ...] = ()
    hosts: Mapping[str, Pin] = {}

    @classmethod
    def parse(cls, *, allow: Iterable[str] = (), hosts: Iterable[str] = ()) -> Self:
        """From `net_allow` (networks) and `net_hosts` (``name=address`` or ``name=address:port``). Raises ValueError."""
        return cls(
            networks=tuple(ip_network(text, strict=False) for text in allow),
            hosts=dict(_parse_pin(text) for text in hosts),
        )


def _parse_pin(text: str) -> tuple[str, Pin]:
    name, equals, place = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise ValueError(f"'{text}' is not of the form name=address or name=address:port")
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::([0-9]{1,5}))?", place)
    plain = re.fullmatch(r"([0-9.]+)(?::([0-9]{1,5}))?", place)
    ip, port = (bracketed or plain).groups() if bracketed or plain else (place, None)  # type: ignore[union-attr]
    number = int(port or 0)
    if number > 65_535:
        raise ValueError(f"'{text}' names port {number}; a port is below 65536")
    return name, Pin(str(ip_address(ip)), number)


class Targets(Struct, frozen=True, kw_only=True):
    """The rule of one node: what is public, and its owner's exceptions."""

    exceptions: Exceptions = Exceptions()

    def check(
        self, ip: IP, port: int, *, scope: Scope = Scope.PUBLIC, ports: frozenset[int] | None = WEB_PORTS
    ) -> None:
        """Raises TargetRefused unless a connection to `ip` and `port` is allowed.

        `ports` None is the rule of links: 80, 443, and 1,024 and above.
        """
        if any(pin.port == port and ip == ip_address(pin.ip) for pin in self.exceptions.hosts.values()):
            return
        if not self.reachable(ip, scope=scope):
            raise TargetRefused("The target is not a public address, and net_allow does not list it.")
        if not (port in (ports or WEB_PORTS) or (ports is None and PORT_FREE_MIN <= port <= 65_535)):
            raise TargetRefused(f"Port {port} of a target is not one this node connects to.")

    def reachable(self, ip: IP, *, scope: Scope = Scope.PUBLIC) -> bool:
        """Whether the rule allows this address."""
        if is_public(ip) or (scope is Scope.LAN and is_lan(ip)):
            return True
        networks = self.exceptions.networks
        return any(network.version == ip.version and ip in network for network in networks) or any(
            not pin.port and ip == ip_address(pin.ip) for pin in self.exceptions.hosts.values()
        )

    def check_all(
        self, ips: Sequence[IP], port: int, *, scope: Scope = Scope.PUBLIC, ports: frozenset[int] | None = WEB_PORTS
    ) -> None:
        """`check` of every address of one name: a name that leads inside and outside is refused as a whole."""
        for ip in ips:
            self.check(ip, port, scope=scope, ports=ports)

    def pin(self, name: str) -> Pin | None:
        """Where the owner says that `name` is."""
        return self.exceptions.hosts.get(name)
