"""The UDP socket of a worker: of IPv6 that takes IPv4 too where the system has it, else of IPv4. Of two IPv6 addresses of a
network the kernel is told to send from the lasting one, which is the one that devices were told."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from node.base import limits

_IPV6_ADDR_PREFERENCES: Final = 72  # RFC 5014; Python has no names for them
_IPV6_PREFER_SRC_PUBLIC: Final = 2
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32


def packed(host: str) -> bytes:
    """The bytes of a textual IP address; IPv4 in IPv6 clothes as IPv4."""
    host = host.partition("%")[0]
    if ":" not in host:
        return socket.inet_aton(host)
    ip = socket.inet_pton(socket.AF_INET6, host)
    return ip[12:] if ip.startswith(bytes(10) + b"\xff\xff") else ip


def bind(host: str, port: int) -> socket.socket:
    """A UDP socket for `UdpMux`. An empty host: every address of both families, or of IPv4 where there is no IPv6. Raises OSError."""
    if not host:
        with suppress(OSError):
            return _bound(socket.AF_INET6, "::", port)
        host = "0.0.0.0"  # noqa: S104 - a server
    return _bound(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            with suppress(OSError):
                made.setsockopt(socket.IPPROTO_IPV6, _IPV6_ADDR_PREFERENCES, _IPV6_PREFER_SRC_PUBLIC)
        for plain, force in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
            with suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, plain, limits.MEDIA_BUFFER_BYTES)
            with suppress(OSError):  # beyond net.core.rmem_max, for those who may
                made.setsockopt(socket.SOL_SOCKET, force, limits.MEDIA_BUFFER_BYTES)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
