"""The VP8 payload descriptor (RFC 7741 section 4.2): the part of a sealed video packet that stays clear.

A relay reads it to know where pictures begin, which are key frames and which may be left out, and rewrites two counters in place when
it leaves out pictures or goes over to another layer. The picture itself is read for its size only, and only in a key frame, whose first
ten bytes senders leave clear. What is no readable descriptor is nobody's business and passes untouched.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

_SIZE: Final = Struct("<HH")
_START_CODE: Final = b"\x9d\x01\x2a"


class Picture(NamedTuple):
    """What one packet says. Offsets count from the beginning of the payload; -1: not there. `first`: a picture begins here.
    `tid`: temporal layer. `sync`: its layer can be entered here. `width` in pixels, of a key frame, 0 otherwise."""

    first: bool
    key: bool
    pid: int = -1
    pid_at: int = -1
    pid_mask: int = 0
    tl0: int = -1
    tl0_at: int = -1
    tid: int = 0
    sync: bool = False
    width: int = 0


def read(payload: bytes) -> Picture | None:
    """The descriptor at the head of `payload`, or None if it is none."""
    try:
        return _read(payload)
    except IndexError:  # too short for what it says it has
        return None


def _read(payload: bytes) -> Picture | None:
    head = payload[0]
    if head & 0x40:  # reserved: something else
        return None
    at = 1
    pid = pid_at = tl0 = tl0_at = -1
    mask = tid = 0
    sync = False
    if head & 0x80:
        flags = payload[1]
        at = 2
        if flags & 0x80:
            pid_at, mask = at, 0x7F
            pid = payload[at] & 0x7F
            if payload[at] & 0x80:
                at += 1
                mask = 0x7FFF
                pid = pid << 8 | payload[at]
            at += 1
        if flags & 0x40:
            tl0_at, tl0 = at, payload[at]
            at += 1
        if flags & 0x30:
            if flags & 0x20:
                tid, sync = payload[at] >> 6, bool(payload[at] & 0x20)
            at += 1
    first = head & 0x17 == 0x10  # S, and partition 0
    key = not payload[at] & 1 and first
    width = 0
    if key and payload[at + 3 : at + 6] == _START_CODE and at + 10 <= len(payload):
        width = _SIZE.unpack_from(payload, at + 6)[0] & 0x3FFF
    return Picture(first, key, pid, pid_at, mask, tl0, tl0_at, tid, sync, width)


def rewrite(packet: memoryview | bytearray, at: int, picture: Picture, pid_shift: int, tl0_shift: int) -> None:
    """Adds to the counters of the descriptor at offset `at` of an outgoing packet; their widths stay."""
    if picture.pid_at >= 0:
        pid = (picture.pid + pid_shift) & picture.pid_mask
        place = at + picture.pid_at
        if picture.pid_mask == 0x7F:
            packet[place] = pid
        else:
            packet[place] = 0x80 | pid >> 8
            packet[place + 1] = pid & 0xFF
    if picture.tl0_at >= 0:
        packet[at + picture.tl0_at] = (picture.tl0 + tl0_shift) & 0xFF
