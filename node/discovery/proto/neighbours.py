"""Who says by mDNS that they are in this network: a table of claims, pure.

mDNS is not signed, and everybody in the network can send anything: an entry is a *hint* (nid, address, port) and only the
handshake of a link shows whether it is true. What the rules here keep is that lies cost little and displace nothing:

* an entry is keyed by its instance name, which begins with the nid it claims; at most `LAN_CLAIMS_MAX` per nid;
* at most `LAN_ENTRIES_MAX` in all. When the table is full a newcomer is dropped, unless it claims a nid that we know: it
  then takes the place of the oldest unknown one. So a flood hides neither friends nor whoever was there before it;
* an entry lives `LAN_EXPIRY_S` after it was last heard, whatever lifetime its packets claim;
* a goodbye removes nothing by itself. It makes us ask, and whoever does not answer within `LAN_GOODBYE_S` is gone:
  a forged goodbye costs one packet.

TXT has three keys, in any order: ``v=1``, ``id=<52 characters>``, ``seq=<number of the present record>``. No names of
people or domains are in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final

from msgspec import Struct, structs

from node.base import limits
from node.base.ids import NodeId, format_node, parse_node
from node.runtime.targets import PORT_FREE_MIN, WEB_PORTS, Scope, Targets

_LATE_S: Final = (
    0.5  # answers to earlier questions are sent up to 0.12 s late (RFC 6762 section 6), even after a goodbye
)
SERVICE: Final = "_startalk._tcp.local."
VERSION: Final = "1"


class Claim(Struct, frozen=True, kw_only=True):
    """One instance as it was heard. Addresses are literals, a link-local one with its scope (``fe80::1%3``)."""

    instance: str
    nid: NodeId
    addresses: tuple[str, ...]
    port: int
    seq: int


class Neighbour(Struct, frozen=True, kw_only=True):
    """What people are shown: a node that says it is near."""

    nid: NodeId
    addresses: tuple[str, ...]
    first_seen_ms: int
    last_seen_ms: int


class _Entry(Struct, kw_only=True):
    claim: Claim
    first_seen_ms: int
    last_seen_ms: int
    heard_s: float  # monotonic
    leaving_s: float | None = None  # when a goodbye was heard


def instance_of(nid: NodeId) -> str:
    """The instance name of a node."""
    return f"{format_node(nid)}.{SERVICE}"


def own_txt(nid: NodeId, seq: int) -> dict[str | bytes, str | bytes | None]:
    """The TXT record of a node."""
    return {"v": VERSION, "id": format_node(nid), "seq": str(seq)}


def parse_claim(instance: str, txt: bytes, port: int, addresses: Iterable[str], *, targets: Targets) -> Claim | None:
    """What an instance claims, or None if it is none of ours or not in order."""
    if len(txt) > limits.LAN_TXT_BYTES_MAX or not _is_port(port):
        return None
    keys = _keys(txt)
    try:
        nid, seq = parse_node(keys.get("id", "")), int(keys.get("seq", ""))
    except ValueError:
        return None
    if keys.get("v") != VERSION or not 0 <= seq < limits.INTEGER_MAX:
        return None
    if not (instance.endswith("." + SERVICE) and instance.startswith(format_node(nid))):
        return None
    usable = tuple(text for text in dict.fromkeys(addresses) if _is_usable(text, targets))[: limits.LAN_ADDRESSES_MAX]
    return Claim(instance=instance, nid=nid, addresses=usable, port=port, seq=seq) if usable else None


def _is_port(port: int) -> bool:
    return port in WEB_PORTS or PORT_FREE_MIN <= port <= 65_535


def _keys(txt: bytes) -> dict[str, str]:
    """The strings of a TXT record (RFC 6763 section 6); the first of equal keys counts."""
    found: dict[str, str] = {}
    at = 0
    while at < len(txt):
        size = txt[at]
        key, _, value = txt[at + 1 : at + 1 + size].decode("ascii", "replace").partition("=")
        found.setdefault(key.lower(), value)
        at += 1 + size
    return found


def _is_usable(text: str, targets: Targets) -> bool:
    try:
        ip = ip_address(text)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.is_link_local and ip.scope_id is None:
        return False  # no way to say through which interface
    return targets.reachable(ip, scope=Scope.LAN)


class Neighbours:
    """The table. `known` says whether a nid is pinned here."""

    def __init__(self, *, known: Callable[[NodeId], bool]) -> None:
        self._known = known
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def heard(self, claim: Claim, *, now_s: float, now_ms: int) -> bool:
        """Enters or refreshes `claim`; True if it says something new, so that a link may be tried."""
        entry = self._entries.get(claim.instance)
        if entry is not None:
            new = entry.claim != claim
            entry.claim, entry.heard_s, entry.last_seen_ms = claim, now_s, now_ms
            if entry.leaving_s is not None and now_s - entry.leaving_s >= _LATE_S:
                entry.leaving_s = None
            return new
        if not self._has_room(claim.nid):
            return False
        self._entries[claim.instance] = _Entry(claim=claim, first_seen_ms=now_ms, last_seen_ms=now_ms, heard_s=now_s)
        return True

    def _has_room(self, nid: NodeId) -> bool:
        if len(self.of(nid)) >= limits.LAN_CLAIMS_MAX:
            return False
        if len(self._entries) < limits.LAN_ENTRIES_MAX:
            return True
        if not self._known(nid):
            return False
        for instance, entry in self._entries.items():
            if not self._known(entry.claim.nid):
                del self._entries[instance]
                return True
        return False

    def left(self, instance: str, *, now_s: float) -> None:
        """A goodbye was heard; the table is `stale` until the instance answers or is gone."""
        entry = self._entries.get(instance)
        if entry is not None and entry.leaving_s is None:
            entry.leaving_s = now_s

    def expire(self, now_s: float) -> None:
        """Removes who was silent for too long, or said goodbye and did not answer."""
        gone = [instance for instance, entry in self._entries.items() if _is_over(entry, now_s)]
        for instance in gone:
            del self._entries[instance]

    def stale(self, now_s: float) -> bool:
        """Whether everybody should be asked: somebody was silent for long, or is said to leave."""
        return any(
            entry.leaving_s is not None or now_s - entry.heard_s >= limits.LAN_REFRESH_S
            for entry in self._entries.values()
        )

    def of(self, nid: NodeId) -> tuple[Claim, ...]:
        """What is claimed about `nid`, the longest known first."""
        return tuple(entry.claim for entry in self._entries.values() if entry.claim.nid == nid)

    def nearby(self) -> tuple[Neighbour, ...]:
        """One line a nid, in the order of arrival."""
        found: dict[NodeId, Neighbour] = {}
        for entry in self._entries.values():
            claim, before = entry.claim, found.get(entry.claim.nid)
            if before is None:
                found[claim.nid] = Neighbour(
                    nid=claim.nid,
                    addresses=claim.addresses,
                    first_seen_ms=entry.first_seen_ms,
                    last_seen_ms=entry.last_seen_ms,
                )
            else:
                found[claim.nid] = structs.replace(
                    before,
                    addresses=tuple(dict.fromkeys((*before.addresses, *claim.addresses)))[: limits.LAN_ADDRESSES_MAX],
                    last_seen_ms=max(before.last_seen_ms, entry.last_seen_ms),
                )
        return tuple(found.values())


def _is_over(entry: _Entry, now_s: float) -> bool:
    if now_s - entry.heard_s >= limits.LAN_EXPIRY_S:
        return True
    return entry.leaving_s is not None and now_s - entry.leaving_s >= limits.LAN_GOODBYE_S
