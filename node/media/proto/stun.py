"""STUN as ICE uses it: binding requests and their answers (RFC 8489, RFC 8445 section 7), and nothing else.

A message is a header of 20 bytes and attributes in type, length, value, padded to 4 bytes. `parse` reads any bytes and gives None for
whatever is not a STUN message; it checks FINGERPRINT where there is one, and nothing secret. MESSAGE-INTEGRITY is an HMAC-SHA1 over
the message up to itself; `Message.verified` computes it, which is the dear part (some microseconds) and therefore comes last.

What follows MESSAGE-INTEGRITY is not protected by it: `parse` ignores all of it but FINGERPRINT.
"""

from __future__ import annotations

import hmac
import struct
from binascii import crc32
from typing import Final

from msgspec import Struct

COOKIE: Final = 0x2112A442
HEADER_BYTES: Final = 20
REQUEST: Final = 0x0001  # of the method Binding
INDICATION: Final = 0x0011
SUCCESS: Final = 0x0101
ERROR: Final = 0x0111
BYTES_MAX: Final = 548  # RFC 8489 section 6.1: without a known path MTU
ATTRIBUTES_MAX: Final = 24  # browsers send nine

USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
ERROR_CODE: Final = 0x0009
UNKNOWN_ATTRIBUTES: Final = 0x000A
XOR_MAPPED_ADDRESS: Final = 0x0020
PRIORITY: Final = 0x0024
USE_CANDIDATE: Final = 0x0025
FINGERPRINT: Final = 0x8028
ICE_CONTROLLED: Final = 0x8029
ICE_CONTROLLING: Final = 0x802A
_KNOWN: Final = frozenset(
    {USERNAME, MESSAGE_INTEGRITY, PRIORITY, USE_CANDIDATE, XOR_MAPPED_ADDRESS, ERROR_CODE, UNKNOWN_ATTRIBUTES}
)
_OPTIONAL: Final = 0x8000  # types from here on may be ignored

_HEADER: Final = struct.Struct("!HHI12s")
_FIELD: Final = struct.Struct("!HH")
_WORD: Final = struct.Struct("!I")
_FINGERPRINT_XOR: Final = 0x5354554E
_REASONS: Final = {400: b"Bad Request", 401: b"Unauthenticated", 420: b"Unknown Attribute", 487: b"Role Conflict"}

_MAPPED: Final = bytes(10) + b"\xff\xff"  # an IPv4 address on an IPv6 socket

Address = tuple[bytes, int]  # 4 or 16 bytes of IP, port


class Message(Struct, frozen=True, kw_only=True):
    """A parsed message. `attributes` are those before MESSAGE-INTEGRITY, the first of each type."""

    kind: int  # REQUEST, INDICATION, SUCCESS, ERROR
    transaction: bytes
    attributes: dict[int, bytes]
    unknown: tuple[int, ...]  # types that must be understood and are not
    signed: bytes  # what the integrity is computed over, with its length corrected; empty without one
    integrity: bytes

    def verified(self, password: bytes) -> bool:
        """MESSAGE-INTEGRITY is there and right. Compared in constant time."""
        return bool(self.signed) and hmac.compare_digest(hmac.digest(password, self.signed, "sha1"), self.integrity)

    @property
    def users(self) -> tuple[bytes, bytes]:
        """The two halves of USERNAME: the ufrag of whoever receives a request, and of whoever sent it; empty without."""
        receiver, _, sender = self.attributes.get(USERNAME, b"").partition(b":")
        return receiver, sender

    @property
    def priority(self) -> int:
        """PRIORITY, or 0."""
        value = self.attributes.get(PRIORITY, b"")
        return int.from_bytes(value, "big") if len(value) == 4 else 0


def parse(data: bytes) -> Message | None:
    """A Binding message in `data`, or None. Never raises."""
    if not HEADER_BYTES <= len(data) <= BYTES_MAX or len(data) % 4:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if cookie != COOKIE or length != len(data) - HEADER_BYTES or kind not in {REQUEST, INDICATION, SUCCESS, ERROR}:
        return None
    attributes: dict[int, bytes] = {}
    unknown: list[int] = []
    signed = integrity = b""
    at, seen = HEADER_BYTES, 0
    while at < len(data):
        type_, size = _FIELD.unpack_from(data, at)
        end = at + 4 + size
        seen += 1
        if end > len(data) or seen > ATTRIBUTES_MAX:
            return None
        value = data[at + 4 : end]
        if type_ == FINGERPRINT:
            if size != 4 or end != len(data) or _WORD.unpack(value)[0] != crc32(data[:at]) ^ _FINGERPRINT_XOR:
                return None
        elif signed:
            pass  # after the integrity: nobody vouches for it
        elif type_ == MESSAGE_INTEGRITY:
            if size != 20:
                return None
            signed = data[:2] + (end - HEADER_BYTES).to_bytes(2, "big") + data[4:at]
            integrity = value
        else:
            attributes.setdefault(type_, value)
            if type_ < _OPTIONAL and type_ not in _KNOWN:
                unknown.append(type_)
        at = end + -size % 4
    return Message(
        kind=kind,
        transaction=transaction,
        attributes=attributes,
        unknown=tuple(unknown),
        signed=signed,
        integrity=integrity,
    )


def build(kind: int, transaction: bytes, attributes: tuple[tuple[int, bytes], ...], password: bytes = b"") -> bytes:
    """A message with these attributes, MESSAGE-INTEGRITY if there is a password, and FINGERPRINT."""
    assert len(transaction) == 12
    body = b"".join(_FIELD.pack(type_, len(value)) + value + bytes(-len(value) % 4) for type_, value in attributes)
    if password:
        signed = _HEADER.pack(kind, len(body) + 24, COOKIE, transaction) + body
        body += _FIELD.pack(MESSAGE_INTEGRITY, 20) + hmac.digest(password, signed, "sha1")
    message = _HEADER.pack(kind, len(body) + 8, COOKIE, transaction) + body
    return message + _FIELD.pack(FINGERPRINT, 4) + _WORD.pack(crc32(message) ^ _FINGERPRINT_XOR)


def request(
    transaction: bytes, *, username: bytes, password: bytes, priority: int, controlling: int, nominate: bool
) -> bytes:
    """A connectivity check of a controlling agent; `controlling` is its tie-breaker."""
    nomination = ((USE_CANDIDATE, b""),) if nominate else ()
    attributes = (
        (USERNAME, username),
        (ICE_CONTROLLING, controlling.to_bytes(8, "big")),
        *nomination,
        (PRIORITY, priority.to_bytes(4, "big")),
    )
    return build(REQUEST, transaction, attributes, password)


def success(transaction: bytes, source: Address, password: bytes = b"") -> bytes:
    """The answer to a request that came from `source`."""
    return build(SUCCESS, transaction, ((XOR_MAPPED_ADDRESS, xor_address(source, transaction)),), password)


def error(transaction: bytes, code: int, password: bytes = b"", unknown: tuple[int, ...] = ()) -> bytes:
    """A refusal: 400, 401, 420 (with the types that were not understood) or 487."""
    value = bytes((0, 0, code // 100, code % 100)) + _REASONS[code]
    attributes: tuple[tuple[int, bytes], ...] = ((ERROR_CODE, value),)
    if unknown:
        attributes += ((UNKNOWN_ATTRIBUTES, b"".join(type_.to_bytes(2, "big") for type_ in unknown)),)
    return build(ERROR, transaction, attributes, password)


def error_code(message: Message) -> int:
    """Of an error response; 0 without a sound one."""
    value = message.attributes.get(ERROR_CODE, b"")
    return value[2] % 8 * 100 + value[3] if len(value) >= 4 else 0


def xor_address(address: Address, transaction: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS (RFC 8489 section 14.2). An IPv4 address in IPv6 clothes is shown as IPv4."""
    ip, port = address
    if len(ip) == 16 and ip.startswith(_MAPPED):
        ip = ip[12:]
    family = 1 if len(ip) == 4 else 2
    pad = _WORD.pack(COOKIE) + transaction
    hidden = bytes(a ^ b for a, b in zip(ip, pad, strict=False))
    return bytes((0, family)) + (port ^ COOKIE >> 16).to_bytes(2, "big") + hidden


def mapped_address(message: Message) -> Address | None:
    """XOR-MAPPED-ADDRESS of an answer."""
    value = message.attributes.get(XOR_MAPPED_ADDRESS, b"")
    if len(value) not in {8, 20} or value[1] != (1 if len(value) == 8 else 2):
        return None
    pad = _WORD.pack(COOKIE) + message.transaction
    ip = bytes(a ^ b for a, b in zip(value[4:], pad, strict=False))
    return ip, int.from_bytes(value[2:4], "big") ^ COOKIE >> 16
