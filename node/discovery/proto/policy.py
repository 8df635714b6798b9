"""Whom the DHT believes, how much, and how often.

Anybody may send a datagram, invent an id and write any address into an answer. Four rules keep that cheap to refuse:

* **Ids are bound to addresses** (the idea of BEP 42). The first 21 bits of a DHT id are those of
  ``SHA-256("id" ‖ ip ‖ r)``, `r` being the last 3 bits of the id, `ip` the 4 bytes of an IPv4 address or the first 8 of an
  IPv6 address (whoever has one IPv6 address has its /64). An address has eight places in the key space and no other, so
  standing beside a key takes thousands of addresses instead of a loop.
* **A network counts twice at most** (`network_of`: /24 or /48) among the nodes a look-up asks: neighbours are cheap, too.
* **A source is charged before it is served** (`Rates`: token buckets), and gets at most three times what it sent until a
  token shows that it reads what is sent to its address (`Tokens`).
* **No single peer says who we are** (`Votes`): our external address is what two peers of unrelated networks saw.

A DHT id names a place in this hash table and nothing else. It is no identity: that is the nid inside a record.
Nothing here knows a socket, a clock or a random source: `now` is seconds that never go back, fresh bytes are handed in.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from node.base import limits
from node.wire.location import Spot, public_spots

ID_BYTES: Final = 20
TOKEN_BYTES: Final = 8
BOUND_BITS: Final = 21
R_MASK: Final = 0b111
PORT_MIN: Final = 1024  # below are services of others, at which nobody shall aim us

_HEAD_BYTES: Final = 3  # hold the 21 bound bits
_FREE_BITS: Final = 8 * _HEAD_BYTES - BOUND_BITS
_FREE_MASK: Final = (1 << _FREE_BITS) - 1
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Contact(NamedTuple):
    """A node of the DHT: 20 bytes of id, canonical text of its address, UDP port."""

    id: bytes
    ip: str
    port: int

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where datagrams go."""
        return self.ip, self.port

    @property
    def place(self) -> int:
        """The id as a number: distances are XORs of these."""
        return int.from_bytes(self.id, "big")


@lru_cache(maxsize=8_192)
def packed(ip: str) -> bytes:
    """4 or 16 bytes of an address. Raises ValueError."""
    return ipaddress.ip_address(ip).packed


def unpacked(data: bytes) -> str:
    """The canonical text of 4 or 16 bytes. Raises ValueError."""
    if len(data) == 4:
        return f"{data[0]}.{data[1]}.{data[2]}.{data[3]}"
    return ipaddress.IPv6Address(data).compressed


@lru_cache(maxsize=8_192)
def network_of(ip: str) -> bytes:
    """The /24 or /48 of an address: what one operator gets for little money."""
    raw = packed(ip)
    return raw[:3] if len(raw) == 4 else raw[:6]


def source_of(ip: str) -> bytes:
    """Who is charged for a datagram: an IPv4 address or an IPv6 /64."""
    return packed(ip)[:8]


@lru_cache(maxsize=8_192)
def _head(ip: str, r: int) -> int:
    return (
        int.from_bytes(hashlib.sha256(b"id" + source_of(ip) + bytes([r])).digest()[:_HEAD_BYTES], "big") >> _FREE_BITS
    )


def make_id(ip: str, noise: bytes) -> bytes:
    """An id that `ip` may have; the free bits are those of `noise` (20 fresh bytes)."""
    assert len(noise) == ID_BYTES
    head = _head(ip, noise[-1] & R_MASK) << _FREE_BITS | int.from_bytes(noise[:_HEAD_BYTES], "big") & _FREE_MASK
    return head.to_bytes(_HEAD_BYTES, "big") + noise[_HEAD_BYTES:]


def is_bound(node: bytes, ip: str) -> bool:
    """Whether `ip` may have this id."""
    return int.from_bytes(node[:_HEAD_BYTES], "big") >> _FREE_BITS == _head(ip, node[-1] & R_MASK)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which contacts are believed.

    `lan` is for a network without Internet: private addresses count, any id will do, and a network may hold any number of
    nodes. `public` names address ranges that count as public although they are not (tests and benchmarks on loopback).
    """

    lan: bool = False
    public: tuple[Network, ...] = ()

    def allows(self, contact: Contact) -> bool:
        """Whether this may be a node of the DHT at all."""
        if len(contact.id) != ID_BYTES or not PORT_MIN <= contact.port <= 0xFFFF:
            return False
        if self.lan:
            return _is_unicast(contact.ip)
        return self.is_public(contact.ip) and is_bound(contact.id, contact.ip)

    def is_public(self, ip: str) -> bool:
        """Whether an address is reachable from everywhere."""
        return _is_global(ip) or any(_within(ip, network) for network in self.public)

    def network_of(self, contact: Contact) -> bytes:
        """What counts as one operator: on a LAN each endpoint, elsewhere its /24 or /48."""
        return repr(contact.endpoint).encode() if self.lan else network_of(contact.ip)


@lru_cache(maxsize=8_192)
def _is_global(ip: str) -> bool:
    """As for the addresses in records: no other spelling of an IPv4 address either."""
    raw = packed(ip)
    return bool(public_spots((Spot(4 if len(raw) == 4 else 6, raw, PORT_MIN),)))


@lru_cache(maxsize=8_192)
def _is_unicast(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return not (address.is_multicast or address.is_unspecified or address.is_link_local)


@lru_cache(maxsize=8_192)
def _within(ip: str, network: Network) -> bool:
    return ipaddress.ip_address(ip) in network


class Rates:
    """Token buckets by source; the source heard longest ago is forgotten first."""

    def __init__(self, *, per_s: float = limits.DHT_REQUESTS_PER_S, burst: float = limits.DHT_REQUESTS_BURST) -> None:
        self._per_s, self._burst = per_s, burst
        self._sources: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # (tokens, at)

    def allow(self, ip: str, *, now: float) -> bool:
        """Takes one token of this source, if it has one."""
        source = source_of(ip)
        tokens, at = self._sources.pop(source, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_s)
        allowed = tokens >= 1
        self._sources[source] = (tokens - allowed, now)
        if len(self._sources) > limits.DHT_SOURCES_MAX:
            self._sources.popitem(last=False)
        return allowed

    def __len__(self) -> int:
        return len(self._sources)


class Tokens:
    """Proof that a source reads what is sent to its address: HMAC-SHA-256(secret of 5 minutes, ip), 8 bytes.

    Nothing is kept per source. The secret before the present one still counts, so a token lives 5 to 10 minutes.
    """

    def __init__(self, *, fresh: Callable[[], bytes]) -> None:
        self._fresh = fresh
        self._secrets = [fresh(), fresh()]  # present, previous
        self._since: float | None = None

    def make(self, ip: str, *, now: float) -> bytes:
        """The token for this address."""
        self._turn(now)
        return self._mac(self._secrets[0], ip)

    def check(self, token: bytes, ip: str, *, now: float) -> bool:
        """Whether we gave it to this address, lately."""
        self._turn(now)
        return any(hmac.compare_digest(token, self._mac(secret, ip)) for secret in self._secrets)

    def _turn(self, now: float) -> None:
        if self._since is None:
            self._since = now
        age = now - self._since
        if age >= 2 * limits.DHT_TOKEN_S:  # nobody asked meanwhile: both are too old
            self._secrets, self._since = [self._fresh(), self._fresh()], now
        elif age >= limits.DHT_TOKEN_S:
            self._secrets, self._since = [self._fresh(), self._secrets[0]], self._since + limits.DHT_TOKEN_S

    @staticmethod
    def _mac(secret: bytes, ip: str) -> bytes:
        return hmac.digest(secret, packed(ip), "sha256")[:TOKEN_BYTES]


class Votes:
    """Where peers say they see us. Unrelated peers must agree, and more of them than name any other address."""

    def __init__(self, *, policy: Policy, needed: int = 2) -> None:
        self._policy = policy
        self._needed = needed
        self._seen: OrderedDict[bytes, str] = OrderedDict()  # by network: one operator, one vote
        self.address: str | None = None

    def cast(self, voter: Contact, seen_ip: str) -> bool:
        """Counts one answer to a request of ours. Whether `address` changed."""
        if not self._policy.lan and not self._policy.is_public(seen_ip):
            return False
        network = self._policy.network_of(voter)
        self._seen.pop(network, None)
        self._seen[network] = seen_ip
        if len(self._seen) > limits.DHT_VOTERS_MAX:
            self._seen.popitem(last=False)
        return self._count()

    def _count(self) -> bool:
        (first, votes), *rest = Counter(self._seen.values()).most_common(2)
        tie = bool(rest) and rest[0][1] == votes
        if votes < self._needed or tie or first == self.address:
            return False
        self.address = first
        return True


def allowance(size_bytes: int, *, reserved_bytes: int = 0) -> int:
    """How large an answer to an unproven source may be: three times its request, less what else we send it for that."""
    return max(0, limits.DHT_AMPLIFICATION_MAX * size_bytes - reserved_bytes)
