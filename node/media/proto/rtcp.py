"""RTCP (RFC 3550, RFC 4585, RFC 5104; REMB is draft-alvestrand-rmcat-remb): the reports and wishes that a relay reads and says.

`parse` takes any bytes, is bounded and never raises: a compound packet with a broken length is nothing, an item of an unknown kind is
passed over. What is built here is one packet; a compound is their concatenation and begins with a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final, NamedTuple

from node.base import limits

SR: Final = 200
RR: Final = 201
SDES: Final = 202
BYE: Final = 203
RTPFB: Final = 205
PSFB: Final = 206
_NACK: Final = 1  # of RTPFB
_PLI: Final = 1  # of PSFB
_FIR: Final = 4
_AFB: Final = 15
_REMB: Final = b"REMB"
_CNAME: Final = 1
_REMB_MAX: Final = 1 << 40  # more is nonsense

_HEAD: Final = Struct("!BBH")
_SENDER: Final = Struct("!IQIII")
_BLOCK: Final = Struct("!IIIIII")
_WORD: Final = Struct("!I")
_PAIR: Final = Struct("!II")
_LOST: Final = Struct("!HH")


class Block(NamedTuple):
    """What a receiver says of one stream. `fraction` in 1/256, `lost` cumulative, `highest` extended sequence number, `jitter` in
    timestamp units; `last` and `delay` (1/65,536 s) are about the sender report it answers."""

    ssrc: int
    fraction: int
    lost: int
    highest: int
    jitter: int
    last: int
    delay: int


class SenderReport(NamedTuple):
    """`ntp` is 32.32 fixed point, `rtp` the same instant in timestamp units."""

    ssrc: int
    ntp: int
    rtp: int
    packets: int
    octets: int


class Blocks(NamedTuple):
    """The report blocks of a sender or receiver report."""

    blocks: tuple[Block, ...]


class Bye(NamedTuple):
    """These streams end."""

    ssrcs: tuple[int, ...]


class Nack(NamedTuple):
    """These packets are missing."""

    ssrc: int
    seqs: tuple[int, ...]


class KeyFrameWanted(NamedTuple):
    """PLI or FIR."""

    ssrc: int


class Remb(NamedTuple):
    """The receiver believes that this rate fits; bit/s of all its streams together."""

    bitrate: int


Item = SenderReport | Blocks | Bye | Nack | KeyFrameWanted | Remb


def parse(packet: bytes) -> list[Item]:
    """The items of a compound packet, in its order."""
    items: list[Item] = []
    at, size = 0, len(packet)
    for _ in range(limits.RTCP_PACKETS_MAX):
        if at == size:
            break
        if at + 4 > size:
            return []
        first, kind, words = _HEAD.unpack_from(packet, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > size:
            return []
        body = packet[at + 4 : end]
        if first & 0x20:  # padding, of the last packet
            if not body or not 0 < body[-1] <= len(body):
                return []
            body = body[: -body[-1]]
        _read(kind, first & 31, body, items)
        at = end
    return items


def _read(kind: int, count: int, body: bytes, items: list[Item]) -> None:
    if kind == SR and len(body) >= 24:
        items.append(SenderReport._make(_SENDER.unpack_from(body)))
        _read_blocks(body, 24, count, items)
    elif kind == RR and len(body) >= 4:
        _read_blocks(body, 4, count, items)
    elif kind == BYE:
        have = min(count, len(body) // 4)
        items.append(Bye(tuple(_WORD.unpack_from(body, 4 * index)[0] for index in range(have))))
    elif kind == RTPFB and count == _NACK and len(body) >= 12:
        items.append(Nack(_PAIR.unpack_from(body)[1], _seqs(body)))
    elif kind == PSFB and len(body) >= 8:
        _read_psfb(count, body, items)


def _read_blocks(body: bytes, at: int, count: int, items: list[Item]) -> None:
    blocks = []
    for start in range(at, min(at + 24 * count, len(body) - 23), 24):
        ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(body, start)
        lost = loss & 0xFFFFFF
        blocks.append(Block(ssrc, loss >> 24, lost - (lost >> 23 << 24), highest, jitter, last, delay))
    if blocks:
        items.append(Blocks(tuple(blocks)))


def _seqs(body: bytes) -> tuple[int, ...]:
    seqs: list[int] = []
    for start in range(8, len(body) - 3, 4):
        first, mask = _LOST.unpack_from(body, start)
        seqs.append(first)
        seqs.extend((first + 1 + bit) & 0xFFFF for bit in range(16) if mask >> bit & 1)
        if len(seqs) >= limits.NACK_SEQS_MAX:
            break
    return tuple(seqs[: limits.NACK_SEQS_MAX])


def _read_psfb(kind: int, body: bytes, items: list[Item]) -> None:
    ssrc = _PAIR.unpack_from(body)[1]
    if kind == _PLI:
        items.append(KeyFrameWanted(ssrc))
    elif kind == _FIR:
        wanted = range(8, min(len(body) - 7, 8 + 8 * limits.CALL_TRACKS_MAX), 8)
        items.extend(KeyFrameWanted(_WORD.unpack_from(body, start)[0]) for start in wanted)
    elif kind == _AFB and len(body) >= 16 and body[8:12] == _REMB:
        value = _WORD.unpack_from(body, 12)[0]
        items.append(Remb(min((value & 0x3FFFF) << (value >> 18 & 0x3F), _REMB_MAX)))


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEAD.pack(0x80 | count, kind, len(body) // 4) + body


def _block(block: Block) -> bytes:
    lost = min(max(block.lost, -0x800000), 0x7FFFFF) & 0xFFFFFF
    loss = block.fraction << 24 | lost
    return _BLOCK.pack(block.ssrc, loss, block.highest, block.jitter, block.last, block.delay)


def sender_report(report: SenderReport) -> bytes:
    """A sender report without blocks."""
    return _packet(SR, 0, _SENDER.pack(*report))


def receiver_report(ssrc: int, blocks: Sequence[Block]) -> bytes:
    """What `ssrc` received; at most 31 blocks."""
    return _packet(RR, len(blocks), _WORD.pack(ssrc) + b"".join(map(_block, blocks)))


def description(ssrc: int, cname: str) -> bytes:
    """SDES with a CNAME, of which at most 255 bytes are said."""
    name = cname.encode()[:255]
    chunk = _WORD.pack(ssrc) + bytes((_CNAME, len(name))) + name + b"\0"
    return _packet(SDES, 1, chunk + bytes(-len(chunk) % 4))


def bye(ssrcs: Sequence[int]) -> bytes:
    """The end of at most 31 streams."""
    return _packet(BYE, len(ssrcs), b"".join(map(_WORD.pack, ssrcs)))


def nack(sender: int, ssrc: int, seqs: Iterable[int]) -> bytes:
    """Asks for `seqs` again; numbers that lie within 16 share an item."""
    items: list[list[int]] = []
    for seq in seqs:
        distance = (seq - items[-1][0] - 1) & 0xFFFF if items else 0xFFFF
        if distance < 16:
            items[-1][1] |= 1 << distance
        else:
            items.append([seq, 0])
    return _packet(RTPFB, _NACK, _PAIR.pack(sender, ssrc) + b"".join(_LOST.pack(*item) for item in items))


def pli(sender: int, ssrc: int) -> bytes:
    """Asks for a key frame."""
    return _packet(PSFB, _PLI, _PAIR.pack(sender, ssrc))


def fir(sender: int, ssrc: int, number: int) -> bytes:
    """Asks for a key frame with a command that is repeated until it came; a new wish has a new `number` (8 bits)."""
    return _packet(PSFB, _FIR, _PAIR.pack(sender, 0) + _PAIR.pack(ssrc, (number & 0xFF) << 24))


def remb(sender: int, bitrate: int, ssrcs: Sequence[int]) -> bytes:
    """What fits, in bit/s, of these streams together."""
    exponent = max(bitrate.bit_length() - 18, 0)
    value = len(ssrcs) << 24 | exponent << 18 | bitrate >> exponent
    return _packet(PSFB, _AFB, _PAIR.pack(sender, 0) + _REMB + _WORD.pack(value) + b"".join(map(_WORD.pack, ssrcs)))
