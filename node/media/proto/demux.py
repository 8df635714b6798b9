"""What a datagram on the media port is, by its first byte (RFC 7983); RTCP is told from RTP by its second (RFC 5761)."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """Who reads it."""

    UNKNOWN = 0
    STUN = 1
    DTLS = 2
    RTP = 3
    RTCP = 4


def kind(packet: bytes | memoryview) -> Kind:
    """Of a datagram of any length; the hot loop of the mux has the same comparisons inline."""
    if len(packet) < 2:
        return Kind.UNKNOWN
    first = packet[0]
    if 127 < first < 192:
        return Kind.RTCP if 191 < packet[1] < 224 else Kind.RTP
    if first < 4:
        return Kind.STUN
    if 19 < first < 64:
        return Kind.DTLS
    return Kind.UNKNOWN
