"""RTP packets as a relay sees them (RFC 3550, RFC 8285, RFC 4588): where things are, never what they mean.

*In*: `layout` says where extensions and payload begin and end, `scan` reads the few extensions that matter. Both take any bytes and
never raise: what is no RTP has no layout.

*Out*: every packet of every leg begins with the same 24 bytes::

    12  fixed header         V=2 X=1, marker and canonical payload type, sequence, timestamp, SSRC
     4  extension header     0xBEDE, words
     4  mid                  id 4, one to three characters, zero padding
     4  abs-send-time        id 3, 24 bits, stamped by us
     .  copied extensions    whole words, the same for all legs
     .  payload

so that the fan-out loop packs `HEAD` and copies the rest, which is one slice for all legs. An element longer than 16 bytes (a
dependency descriptor that carries its structure) does not fit one-byte elements; such a packet is `wide` and takes `wide_head`.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

from node.media.proto import canonical

FIXED: Final = Struct("!BBHII")  # first byte, marker and payload type, sequence, timestamp, SSRC
FIXED_BYTES: Final = 12
HEAD: Final = Struct("!BBHIIIII")  # FIXED, extension header, mid, abs-send-time
HEAD_BYTES: Final = 24
FIRST: Final = 0x90  # version 2, with extensions, no padding, no CSRC
ONE_BYTE: Final = 0xBEDE
TWO_BYTE: Final = 0x1000
ONE_BYTE_HEAD: Final = ONE_BYTE << 16 | 2  # plus the words of copied extensions
SEND_TIME: Final = (canonical.ABS_SEND_TIME << 4 | 2) << 24  # element head of abs-send-time, plus its 24 bits
ELEMENTS_MAX: Final = 16  # of one packet that are looked at; browsers send at most eight
_PROFILE: Final = Struct("!HH")
_SHORT: Final = Struct("!H")


class Layout(NamedTuple):
    """Offsets in a packet; extensions are `packet[elements:payload]` (none: equal), the payload is `packet[payload:end]`."""

    profile: int
    elements: int
    payload: int
    end: int


class Extensions(NamedTuple):
    """What `scan` found. `level`: 0 (loud) to 127 (silence), -1: not said. `copied`: encoded anew under canonical ids, whole words."""

    mid: bytes = b""
    rid: bytes = b""
    repaired: bytes = b""
    level: int = -1
    copied: bytes = b""
    wide: bool = False


NONE: Final = Extensions()


def layout(packet: memoryview | bytes, size: int) -> Layout | None:
    """Where things are in the first `size` bytes, or None if they are no RTP packet."""
    if size < FIXED_BYTES or packet[0] >> 6 != 2:
        return None
    first = packet[0]
    at = elements = FIXED_BYTES + 4 * (first & 15)
    profile = 0
    if first & 0x10:
        if at + 4 > size:
            return None
        profile, words = _PROFILE.unpack_from(packet, at)
        elements = at + 4
        at = elements + 4 * words
    end = size
    if first & 0x20:
        padding = packet[size - 1]
        if not padding:
            return None
        end -= padding
    if at > end:
        return None
    return Layout(profile, elements, at, end)


def elements(packet: memoryview | bytes, where: Layout) -> list[tuple[int, int, int]]:
    """(id, offset, length) of the extension elements, as far as they are well-formed; at most ELEMENTS_MAX."""
    found: list[tuple[int, int, int]] = []
    at, end = where.elements, where.payload
    two = where.profile & 0xFFF0 == TWO_BYTE
    if not two and where.profile != ONE_BYTE:
        return found
    while at < end and len(found) < ELEMENTS_MAX:
        head = packet[at]
        at += 1
        if not head:  # padding
            continue
        if two:
            if at >= end:
                break
            number, length = head, packet[at]
            at += 1
        else:
            number, length = head >> 4, (head & 15) + 1
            if number == 15:  # "stop here"
                break
        if at + length > end:
            break
        found.append((number, at, length))
        at += length
    return found


def scan(packet: memoryview | bytes, where: Layout, ids: Mapping[int, int]) -> Extensions:
    """The extensions of a packet whose sender numbers them by `ids` (its id -> the canonical one)."""
    if where.elements == where.payload:
        return NONE
    mid = rid = repaired = b""
    level = -1
    copied: list[tuple[int, bytes]] = []
    for number, at, length in elements(packet, where):
        match ids.get(number, 0):
            case canonical.AUDIO_LEVEL:
                level = packet[at] & 0x7F if length else -1
            case canonical.MID:
                mid = bytes(packet[at : at + length])
            case canonical.RID:
                rid = bytes(packet[at : at + length])
            case canonical.REPAIRED_RID:
                repaired = bytes(packet[at : at + length])
            case copy if copy in canonical.COPIED:
                copied.append((copy, bytes(packet[at : at + length])))
    if not copied:
        return Extensions(mid, rid, repaired, level)
    wide = any(not 0 < len(data) <= 16 for _, data in copied)
    return Extensions(mid, rid, repaired, level, encode(copied, wide=wide), wide)


def encode(items: list[tuple[int, bytes]], *, wide: bool) -> bytes:
    """Extension elements in the one-byte or (`wide`) two-byte form, padded to whole words."""
    if wide:
        block = b"".join(bytes((number, len(data))) + data for number, data in items)
    else:
        block = b"".join(bytes((number << 4 | len(data) - 1,)) + data for number, data in items)
    return block + bytes(-len(block) % 4)


def mid_word(mid: str) -> int:
    """The second word of the extensions of a leg: its mid of one to three characters."""
    name = mid.encode()
    assert 1 <= len(name) <= 3, mid
    return int.from_bytes(bytes((canonical.MID << 4 | len(name) - 1,)) + name + bytes(3 - len(name)), "big")


def send_time_word(now: float) -> int:
    """The third word: abs-send-time, 6.18 fixed point seconds of any steady clock."""
    return SEND_TIME | (int(now * 262_144) & 0xFFFFFF)


def wide_head(mark_type: int, seq: int, timestamp: int, ssrc: int, mid: str, send_time: int, copied: bytes) -> bytes:
    """Everything before the payload, in two-byte elements. `send_time` is the word of `send_time_word`."""
    own = [(canonical.MID, mid.encode()), (canonical.ABS_SEND_TIME, (send_time & 0xFFFFFF).to_bytes(3, "big"))]
    block = encode(own, wide=True) + copied
    return FIXED.pack(FIRST, mark_type, seq, timestamp, ssrc) + _PROFILE.pack(TWO_BYTE, len(block) // 4) + block


def original(packet: memoryview | bytes, where: Layout) -> int:
    """The sequence number that an RTX packet repeats (its payload begins with it), or -1 if it is padding."""
    if where.end - where.payload < 2:
        return -1
    seq: int = _SHORT.unpack_from(packet, where.payload)[0]
    return seq


def unwrap(seq: int, reference: int) -> int:
    """The index of 16 bits `seq` that lies nearest to the index `reference`."""
    return reference + ((seq - reference + 0x8000) & 0xFFFF) - 0x8000
