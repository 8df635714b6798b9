"""Records of made-up nodes, for the tests of this folder."""

from __future__ import annotations

from ipaddress import ip_address

from node.base.ids import NodeId
from node.wire.location import LocBody, Spot
from node.wire.record import Record, make_loc, verify_record
from tests.links import identity

NOW_S = 1_700_000_000
NOW_MS = NOW_S * 1000


def nid_of(name: str) -> NodeId:
    """The nid that `name` always has."""
    return identity(name).nid


def spot(ip: str, port: int = 8443) -> Spot:
    """An address for a record."""
    made = ip_address(ip)
    return Spot(made.version, made.packed, port)


def raw_of(
    name: str, *, domain: str = "", spots: tuple[str, ...] = (), seq: int = NOW_MS, incarnation: int = 1
) -> bytes:
    """The location record of `name`, as sent."""
    who = identity(name, incarnation=incarnation)
    body = LocBody(domain=domain, addresses=tuple(spot(ip) for ip in spots))
    return make_loc(chain=who.chain, cert=who.cert, op_key=who.op_key, seq=seq, now_s=NOW_S, body=body)


def record_of(
    name: str, *, domain: str = "", spots: tuple[str, ...] = (), seq: int = NOW_MS, incarnation: int = 1
) -> Record:
    """The same, verified."""
    raw = raw_of(name, domain=domain, spots=spots, seq=seq, incarnation=incarnation)
    return verify_record(raw, now_s=NOW_S)
