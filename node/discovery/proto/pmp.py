"""NAT-PMP (RFC 6886) and PCP (RFC 6887): how a router is asked to let connections in. Codecs and retry times; no sockets.

NAT-PMP, to UDP port 5351 of the router, big-endian:

    external address    request   00 00
                        answer    00 80  result u16  epoch u32  address 4
    map TCP (UDP: 1)    request   00 02  reserved u16  internal port u16  wanted external port u16  lifetime u32
                        answer    00 82  result u16  epoch u32  internal port u16  external port u16  lifetime u32

PCP, to the same port, 60 bytes for MAP and 24 for ANNOUNCE:

    request   02  opcode  0000  lifetime u32  own address 16
    answer    02  opcode|80  00  result u8  lifetime u32  epoch u32  000000000000000000000000
    MAP       nonce 12  protocol u8  000000  internal port u16  external port u16  external address 16

IPv4 addresses stand in PCP as ``::ffff:a.b.c.d``. Lifetime 0 deletes. A router that speaks NAT-PMP only answers PCP with
version 0 and result 1. An answer is believed if it comes from the router's address and repeats nonce and ports.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

from msgspec import Struct

from node.base.errors import RemoteError
from node.runtime.targets import IP

PORT: Final = 5351
Transport = Literal["tcp", "udp"]
NONCE_BYTES: Final = 12
ANSWER_BYTES_MAX: Final = 1_100  # RFC 6887 section 7
_NAT_PMP: Final = 0
_PCP: Final = 2
_ANNOUNCE: Final = 0
_MAP: Final = 1
_ADDRESS_OP: Final = 0
_MAP_OPS: Final[dict[Transport, int]] = {"udp": 1, "tcp": 2}
_PROTOCOLS: Final[dict[Transport, int]] = {"tcp": 6, "udp": 17}  # IANA protocol numbers
_ANSWER: Final = 128


class Result(IntEnum):
    """Results that decide what to do; all others mean no."""

    OK = 0
    UNSUPPORTED_VERSION = 1


class Refused(RemoteError):
    """The router said no, with a result code."""

    def __init__(self, result: int) -> None:
        super().__init__(f"The router refused with result {result}.")
        self.result = result


class Mapped(Struct, frozen=True):
    """A mapping as granted; `external` None when the answer does not say (NAT-PMP)."""

    external: IP | None
    port: int
    lifetime_s: int
    epoch_s: int


def nat_pmp_waits() -> Iterator[float]:
    """Seconds to wait for an answer before asking again: 250 ms, doubled, nine times (RFC 6886 section 3.1)."""
    return (0.25 * 2**turn for turn in range(9))


def pcp_waits() -> Iterator[float]:
    """3 s, doubled (RFC 6887 section 8.1.1); given up after four, when every router has answered."""
    return (3.0 * 2**turn for turn in range(4))


# --- NAT-PMP --------------------------------------------------------------------------------------------


def ask_address() -> bytes:
    """What is your external address?"""
    return bytes((_NAT_PMP, _ADDRESS_OP))


def read_address(data: bytes) -> IPv4Address:
    """The answer to it. Raises RemoteError, Refused."""
    _check_nat_pmp(data, _ADDRESS_OP, 12)
    return IPv4Address(data[8:12])


def ask_map(*, internal: int, external: int, lifetime_s: int, transport: Transport = "tcp") -> bytes:
    """Map `external` to our `internal`; lifetime 0 deletes."""
    return struct.pack("!BBHHHI", _NAT_PMP, _MAP_OPS[transport], 0, internal, external, lifetime_s)


def read_map(data: bytes, *, internal: int, transport: Transport = "tcp") -> Mapped:
    """The answer to it. Raises RemoteError, Refused."""
    _check_nat_pmp(data, _MAP_OPS[transport], 16)
    epoch_s, port_in, port_out, lifetime_s = struct.unpack("!IHHI", data[4:16])
    if port_in != internal:
        raise RemoteError("The router answers about another port.")
    return Mapped(None, port_out, lifetime_s, epoch_s)


def _check_nat_pmp(data: bytes, op: int, size: int) -> None:
    if len(data) < 4 or len(data) > ANSWER_BYTES_MAX or data[0] != _NAT_PMP or data[1] != _ANSWER + op:
        raise RemoteError("This is no answer of NAT-PMP to what was asked.")
    (result,) = struct.unpack("!H", data[2:4])
    if result != Result.OK:
        raise Refused(result)
    if len(data) < size:
        raise RemoteError("The answer of the router is too short.")


# --- PCP ------------------------------------------------------------------------------------------------


def pcp_announce(own: IP) -> bytes:
    """Are you there? Creates nothing."""
    return struct.pack("!BBHI", _PCP, _ANNOUNCE, 0, 0) + _sixteen(own)


def pcp_map(
    *,
    own: IP,
    nonce: bytes,
    internal: int,
    external: int,
    external_ip: IP | None,
    lifetime_s: int,
    transport: Transport = "tcp",
) -> bytes:
    """Map `external` to our `internal`; the same nonce renews, lifetime 0 deletes."""
    assert len(nonce) == NONCE_BYTES
    wanted = external_ip or (IPv4Address(0) if own.version == 4 else IPv6Address(0))
    head = struct.pack("!BBHI", _PCP, _MAP, 0, lifetime_s) + _sixteen(own)
    return head + nonce + struct.pack("!B3xHH", _PROTOCOLS[transport], internal, external) + _sixteen(wanted)


def read_pcp(data: bytes) -> int:
    """The result of any PCP answer; `Result.UNSUPPORTED_VERSION` for one of NAT-PMP. Raises RemoteError."""
    if len(data) < 4 or len(data) > ANSWER_BYTES_MAX or not data[1] & _ANSWER:
        raise RemoteError("This is no answer of PCP.")
    if data[0] != _PCP:
        return Result.UNSUPPORTED_VERSION
    return data[3]


def read_pcp_map(data: bytes, *, nonce: bytes, internal: int, transport: Transport = "tcp") -> Mapped:
    """The answer to `pcp_map`. Raises RemoteError, Refused."""
    result = read_pcp(data)
    if data[0] == _PCP and data[1] != _ANSWER + _MAP:
        raise RemoteError("The router answers to something else.")
    if result != Result.OK:
        raise Refused(result)
    if len(data) < 60:
        raise RemoteError("The answer of the router is too short.")
    lifetime_s, epoch_s = struct.unpack("!II", data[4:12])
    protocol, port_in, port_out = struct.unpack("!B3xHH", data[36:44])
    if data[24:36] != nonce or protocol != _PROTOCOLS[transport] or port_in != internal:
        raise RemoteError("The router answers about another mapping.")
    return Mapped(_from_sixteen(data[44:60]), port_out, lifetime_s, epoch_s)


def _sixteen(ip: IP) -> bytes:
    return bytes(10) + b"\xff\xff" + ip.packed if ip.version == 4 else ip.packed


def _from_sixteen(data: bytes) -> IP:
    ip = IPv6Address(data)
    return ip.ipv4_mapped or ip_address(ip.packed)
