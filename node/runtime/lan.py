"""Under which names and addresses this machine may be reached by its neighbours. A guess for people and certificates.

An address is found by asking the kernel which one it would send from: connecting a UDP socket sends nothing.
"""

from __future__ import annotations

import re
import socket
from typing import Final

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_EVERY_ADDRESS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound
# Documentation networks follow the default route (RFC 5737, RFC 3849); the others find a LAN that has none.
_TARGETS: Final = (
    (socket.AF_INET, ("192.0.2.1", "192.168.255.254", "10.255.255.254", "172.31.255.254")),
    (socket.AF_INET6, ("2001:db8::1", "fd00::1")),
)


def origin(*, secure: bool, host: str, port: int, domain: str = "") -> str:
    """Like ``https://192.168.1.20:8443``: how neighbours reach a listener bound to `host`; TLS goes by the domain, if any."""
    name = domain if secure and domain else host
    if name in _EVERY_ADDRESS:
        name = (*own_addresses(), *host_names(), "localhost")[0] if secure else "127.0.0.1"
    shown = f"[{name}]" if ":" in name else name
    scheme, usual = ("https", 443) if secure else ("http", 80)
    return f"{scheme}://{shown}" if port == usual else f"{scheme}://{shown}:{port}"


def own_addresses() -> tuple[str, ...]:
    """IP addresses of this machine other than loopback and link-local, the likeliest first, IPv4 before IPv6."""
    found: dict[str, None] = {}
    for family, targets in _TARGETS:
        for target in targets:
            address = _source_of(family, target)
            if address and not address.startswith(("127.", "169.254.", "::1", "fe80:")):
                found[address] = None
    return tuple(found)


def host_names() -> tuple[str, ...]:
    """The machine's own name, and the one that mDNS gives it."""
    name = socket.gethostname().lower()
    if not _HOST_NAME.fullmatch(name) or name == "localhost":
        return ()
    return (name,) if "." in name else (name, f"{name}.local")


def _source_of(family: socket.AddressFamily, target: str) -> str:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""
