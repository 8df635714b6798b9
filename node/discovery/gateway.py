"""Which router leads out of this network, read from the kernel's tables (Linux); None elsewhere or when there is none."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from node.runtime.targets import IP

_ROUTES_4: Final = Path("/proc/net/route")
_ROUTES_6: Final = Path("/proc/net/ipv6_route")
_UP: Final = 0x1
_GATEWAY: Final = 0x2


def default_gateway() -> IPv4Address | None:
    """The IPv4 router."""
    return parse_routes(_read(_ROUTES_4))


def default_gateway_6() -> IPv6Address | None:
    """The IPv6 router, usually link-local with its scope."""
    return parse_routes_6(_read(_ROUTES_6))


def own_address_towards(ip: IP) -> str:
    """The address of this machine that `ip` would see; empty if there is no way. Sends nothing."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(ip), 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def parse_routes(text: str) -> IPv4Address | None:
    """The gateway of the default route with the lowest metric in ``/proc/net/route``."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and fields[1] == "00000000" and fields[7] == "00000000":
            flags = int(fields[3], 16)
            if flags & _UP and flags & _GATEWAY:
                gateway = IPv4Address(struct.pack("<I", int(fields[2], 16)))
                found.append((int(fields[6]), gateway))
    return min(found)[1] if found else None


def parse_routes_6(text: str) -> IPv6Address | None:
    """The same of ``/proc/net/ipv6_route``; a link-local gateway carries the name of its interface."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        default = len(fields) == 10 and int(fields[0], 16) == 0 and fields[1] == "00" and int(fields[4], 16) != 0
        if default and int(fields[8], 16) & _GATEWAY:
            gateway = IPv6Address(bytes.fromhex(fields[4]))
            scoped = IPv6Address(f"{gateway}%{fields[9]}") if gateway.is_link_local else gateway
            found.append((int(fields[5], 16), str(scoped)))
    return IPv6Address(min(found)[1]) if found else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
