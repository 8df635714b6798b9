"""What this node may say about where it can be reached: only what others have shown to be true.

An address is *published* (put into the signed record) when it is public and at least `DIALBACKS_NEEDED` unrelated peers have
opened a connection to it within `DIALBACK_KEPT_S`. Unrelated means another nid and another network (/24 or /48): one friend
with two nodes, or one who lies, does not make a home reachable, and nobody can make us publish somebody else's address.

Behind a carrier's NAT (the router's outer address is private or shared, or is not what two unrelated peers see) no IPv4
address is published; the node then lives on reverse links, and flag 2 says so.

Pure: facts go in with the time, a verdict comes out.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address, ip_network

from msgspec import Struct

from node.base import limits
from node.base.ids import NodeId
from node.runtime.targets import IP, Targets
from node.wire.location import Flag, Spot

OBSERVERS_MAX = 64  # peers whose word about our address is remembered


class Endpoint(Struct, frozen=True, order=True):
    """An address and TCP port where this node might be reached."""

    ip: str
    port: int


class Witness(Struct, frozen=True):
    """A peer that can be asked to dial back, and the address it has."""

    nid: NodeId
    address: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What to put into the record, and what to ask next."""

    spots: tuple[Spot, ...]
    flags: Flag
    due: tuple[Endpoint, ...]  # public endpoints that need more dial-backs, now or before the present ones end


class _Word(Struct):
    network: str
    at_s: float
    ip: str = ""


class Reachability:
    """Collects the facts."""

    def __init__(self, *, targets: Targets) -> None:
        self._targets = targets
        self._own: tuple[Endpoint, ...] = ()
        self._mapped: Endpoint | None = None
        self._observed: dict[NodeId, _Word] = {}
        self._proved: dict[Endpoint, dict[NodeId, _Word]] = {}

    # --- facts ------------------------------------------------------------------------------------------

    def listening(self, endpoints: Iterable[Endpoint]) -> None:
        """Addresses of this machine, with the port that listens there."""
        self._own = tuple(endpoints)

    def mapped(self, endpoint: Endpoint | None) -> None:
        """What the router promised; None when there is no mapping."""
        self._mapped = endpoint

    def observed(self, witness: Witness, ip: str, *, now_s: float) -> None:
        """`witness` sees our connection come from `ip` (field 8 of its hello)."""
        self._observed.pop(witness.nid, None)
        self._observed[witness.nid] = _Word(_network(witness.address), now_s, ip)
        if len(self._observed) > OBSERVERS_MAX:
            del self._observed[next(iter(self._observed))]

    def dialled_back(self, witness: Witness, endpoint: Endpoint, *, now_s: float) -> None:
        """`witness` reached us at `endpoint`."""
        words = self._proved.setdefault(endpoint, {})
        words.pop(witness.nid, None)
        words[witness.nid] = _Word(_network(witness.address), now_s)
        if len(words) > OBSERVERS_MAX:
            del words[next(iter(words))]
        for stale in set(self._proved) - set(self._endpoints()):
            del self._proved[stale]

    def may_prove(self, witness: Witness, endpoint: Endpoint, *, now_s: float) -> bool:
        """Whether the word of `witness` would add something: it is outside and has not dialled lately."""
        word = self._proved.get(endpoint, {}).get(witness.nid)
        lately = word is not None and now_s - word.at_s < limits.DIALBACK_KEPT_S / 2
        return not lately and self._targets.reachable(ip_address(witness.address.partition("%")[0]))

    # --- conclusions ------------------------------------------------------------------------------------

    def verdict(self, *, now_s: float) -> Verdict:
        """What holds now."""
        cgnat = self._behind_carrier()
        public = [one for one in self._endpoints() if self._is_public(one) and not (cgnat and ":" not in one.ip)]
        proved = [one for one in public if self._is_proved(one, now_s, limits.DIALBACK_KEPT_S)]
        flags = Flag(0)
        if proved:
            flags |= Flag.PUBLIC
        if cgnat:
            flags |= Flag.CGNAT
        if any(":" in one.ip for one in proved):
            flags |= Flag.IPV6
        return Verdict(
            spots=tuple(_spot(one) for one in proved)[: limits.RECORD_ADDRESSES_MAX],
            flags=flags,
            due=tuple(one for one in public if not self._is_proved(one, now_s, limits.DIALBACK_KEPT_S / 2)),
        )

    def _endpoints(self) -> tuple[Endpoint, ...]:
        mapped = (self._mapped,) if self._mapped is not None else ()
        return tuple(dict.fromkeys((*mapped, *self._own)))

    def _is_public(self, endpoint: Endpoint) -> bool:
        return self._targets.reachable(ip_address(endpoint.ip))

    def _behind_carrier(self) -> bool:
        if self._mapped is None or ":" in self._mapped.ip:
            return False
        if not self._is_public(self._mapped):
            return True
        seen = self._agreed()
        return seen is not None and seen != ip_address(self._mapped.ip)

    def _agreed(self) -> IP | None:
        """The IPv4 address that at least two unrelated peers see and none contradicts."""
        words = [word for word in self._observed.values() if _is_four(word.ip)]
        if len({word.network for word in words}) < limits.DIALBACKS_NEEDED or len({word.ip for word in words}) != 1:
            return None
        return ip_address(words[0].ip)

    def _is_proved(self, endpoint: Endpoint, now_s: float, age_s_max: float) -> bool:
        words = [word for word in self._proved.get(endpoint, {}).values() if now_s - word.at_s < age_s_max]
        return len({word.network for word in words}) >= limits.DIALBACKS_NEEDED


def _is_four(text: str) -> bool:
    try:
        return isinstance(ip_address(text), IPv4Address)
    except ValueError:
        return False


def _network(address: str) -> str:
    ip = ip_address(address.partition("%")[0])
    return str(ip_network(f"{ip}/{24 if ip.version == 4 else 48}", strict=False))


def _spot(endpoint: Endpoint) -> Spot:
    ip = ip_address(endpoint.ip)
    return Spot(ip.version, ip.packed, endpoint.port)
