"""Whom to ask first: contacts of the last run, addresses heard over links, seeds of the configuration. In this order.

The list on disk is JSON, so that people can read it and nothing in it can run::

    {"v": 1, "contacts": [["<40 hex digits>", "203.0.113.7", 8444, 1764000000], …]}

with DHT id, address, UDP port and the unix second at which it last answered; at most 200, newest first, only contacts that
have proved themselves. It is replaced in one step. A list that cannot be read is an empty one: it is a hint, and a node
that starts without it asks its links and seeds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from node.base import limits
from node.discovery.proto.policy import ID_BYTES, Contact
from node.runtime.log import Log
from node.runtime.privatefile import write_private

log = Log("discovery.bootstrap")
VERSION: Final = 1
FILE_BYTES_MAX: Final = 64 * 1024
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_Port = Annotated[int, Meta(ge=1, le=0xFFFF)]
Endpoint = tuple[str, int]


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")]
    ip: str
    port: _Port
    seen_s: Annotated[int, Meta(ge=0)]


class _File(msgspec.Struct, frozen=True):
    v: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    contacts: list[_Entry]


class BootstrapList:
    """The list. `seeds` are ``host:port`` of the configuration; a host may be a name."""

    def __init__(self, path: Path | None, *, seeds: Sequence[str] = ()) -> None:
        self._path = path
        self._seeds = [seed for seed in map(parse_seed, seeds) if seed is not None]
        self._verified: OrderedDict[Endpoint, tuple[bytes, int]] = OrderedDict()  # oldest first: (id, seen)
        self._learned: OrderedDict[Endpoint, None] = OrderedDict()

    def load(self) -> int:
        """Reads the file, if there is a readable one. How many contacts it had."""
        for entry in reversed(self._read()):
            self._verified[entry.ip, entry.port] = (bytes.fromhex(entry.id), entry.seen_s)
        return len(self._verified)

    def save(self) -> None:
        """Replaces the file. Raises OSError."""
        if self._path is not None:
            contacts = [
                _Entry(node.hex(), *endpoint, seen_s) for endpoint, (node, seen_s) in reversed(self._verified.items())
            ]
            write_private(self._path, msgspec.json.encode(_File(VERSION, contacts)) + b"\n")

    def verified(self, contacts: Iterable[Contact], *, now_s: int) -> None:
        """These answered just now."""
        for contact in contacts:
            self._verified.pop(contact.endpoint, None)
            self._verified[contact.endpoint] = (contact.id, now_s)
        while len(self._verified) > limits.DHT_BOOTSTRAP_MAX:
            self._verified.popitem(last=False)

    def learn(self, ip: str, port: int) -> None:
        """A peer told over its link where its DHT node is. Ignored unless `ip` is an address."""
        if _is_address(ip) and 0 < port <= 0xFFFF:
            self._learned.pop((ip, port), None)
            self._learned[ip, port] = None
            if len(self._learned) > limits.DHT_BOOTSTRAP_MAX:
                self._learned.popitem(last=False)

    @property
    def size(self) -> int:
        """How many contacts are kept. Not a length: an empty list is still a list."""
        return len(self._verified)

    async def endpoints(self, family: int) -> list[Endpoint]:
        """Addresses of one family, in the order in which to ask them. Names are resolved now, once each."""
        found = dict.fromkeys(self._known(family))
        for host, port in self._seeds:
            found |= dict.fromkeys(await _resolve(host, port, family))
        return list(found)

    def _known(self, family: int) -> Iterator[Endpoint]:
        for endpoint in (*reversed(self._verified), *reversed(self._learned)):
            if ipaddress.ip_address(endpoint[0]).version == family:
                yield endpoint

    def _read(self) -> list[_Entry]:
        if self._path is None or not self._path.exists():
            return []
        try:
            data = self._path.read_bytes()
            if len(data) > FILE_BYTES_MAX:
                raise ValueError("too large")
            entries = msgspec.json.decode(data, type=_File).contacts
        except (OSError, ValueError, msgspec.DecodeError) as error:
            log.warning("The list of DHT contacts cannot be read; starting without it", reason=type(error).__name__)
            return []
        return [entry for entry in entries if _is_address(entry.ip)][: limits.DHT_BOOTSTRAP_MAX]


def parse_seed(text: str) -> tuple[str, int] | None:
    """(host, port) of ``host:port`` or ``[IPv6]:port``; None if it is neither."""
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) <= 0xFFFF:
        return None
    return host, int(port)


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and ipaddress.ip_address(text).compressed == text
    except ValueError:
        return False


async def _resolve(host: str, port: int, family: int) -> list[Endpoint]:
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, family=_FAMILIES[family], type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return [(str(address[0]), int(address[1])) for *_, address in infos]


assert ID_BYTES * 2 == 40
