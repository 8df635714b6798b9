"""Which stream of a pipe is what: said inside the pipe by the side that sends, over and over, in full.

A pipe carries no descriptions. Its sender says for each track of the seats of its node which layers there are, how wide and how dear they
are, and under which SSRCs they travel now (0: not sent, nobody there wants it). It says so when something changes, soon once more, and
each second; so nothing has to be acknowledged, a lost datagram heals, and a receiver that knows nothing learns everything within a
second. It goes the same way as the media, under the same keys, so it is never late by more than the way is long. (The link between the nodes would
do too, but it may be a TCP connection through a third machine, behind which every change of a layer would wait.)

A datagram is one RTCP APP packet (RFC 3550 section 6.7) named ``PIPE``, with the bytes of a msgpack array of `TrackSaid` behind two bytes
of their length. One that does not hold all tracks says nothing of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct as Packing
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from node.base import limits
from node.media.proto import canonical

APP: Final = 204
_NAME: Final = b"PIPE"
_HEAD: Final = Packing("!BBHI4sH")
_CODECS: Final = frozenset({canonical.OPUS, *canonical.RTX})
VIDEO: Final = frozenset({"camera", "screen"})
WIDTH_MAX: Final = 8_192  # of a wish between nodes (node/wire/focus.py)
_Ssrc = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]


class LayerSaid(Struct, frozen=True, array_like=True):
    """`run` is another number whenever the stream begins anew; a stream that only changed its SSRC keeps it."""

    key: Annotated[int, Meta(ge=0, lt=limits.LAYERS_MAX)]
    run: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
    ssrc: _Ssrc
    repair: _Ssrc
    width: Annotated[int, Meta(ge=0, le=WIDTH_MAX)]
    kbps: Annotated[int, Meta(ge=0, le=1_000_000)]
    temporal: Annotated[int, Meta(ge=0, le=7)]


class TrackSaid(Struct, frozen=True, array_like=True):
    """`codec` is a canonical payload type."""

    seat: Annotated[bytes, Meta(min_length=8, max_length=8)]
    source: Annotated[str, Meta(pattern="^(mic|camera|screen|sound)$")]
    codec: Annotated[int, Meta(ge=0, le=127)]
    layers: Annotated[tuple[LayerSaid, ...], Meta(max_length=limits.LAYERS_MAX)]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[TrackSaid])


def say(ssrc: int, tracks: Iterable[TrackSaid]) -> list[bytes]:
    """The datagrams for `tracks`, one also if there are none; `ssrc` is the sender's of reports."""
    datagrams: list[bytes] = []
    group: list[TrackSaid] = []
    size = 0
    for track in tracks:
        more = len(_encoder.encode(track))
        if group and size + more > limits.PIPE_SAID_BYTES_MAX:
            datagrams.append(_datagram(ssrc, group))
            group, size = [], 0
        group.append(track)
        size += more
    if group or not datagrams:
        datagrams.append(_datagram(ssrc, group))
    return datagrams


def _datagram(ssrc: int, tracks: Sequence[TrackSaid]) -> bytes:
    body = _encoder.encode(tracks)
    pad = -(2 + len(body)) % 4
    words = 2 + (2 + len(body) + pad) // 4
    return _HEAD.pack(0x80, APP, words, ssrc, _NAME, len(body)) + body + bytes(pad)


def read(packet: bytes) -> list[TrackSaid] | None:
    """What a datagram says, or None if it is another one or broken. Never raises."""
    if len(packet) < _HEAD.size or len(packet) > limits.MEDIA_DATAGRAM_BYTES_MAX:
        return None
    first, kind, words, _, name, size = _HEAD.unpack_from(packet)
    if first != 0x80 or kind != APP or name != _NAME or 4 * words + 4 != len(packet):
        return None
    body = packet[_HEAD.size :]
    if size > len(body):
        return None
    try:
        said = _decoder.decode(body[:size])
    except (msgspec.DecodeError, ValueError):
        return None
    return said if all(_sound(track) for track in said) else None


def _sound(track: TrackSaid) -> bool:
    keys = {layer.key for layer in track.layers}
    video = track.source in VIDEO
    return len(keys) == len(track.layers) and track.codec in _CODECS and video == (track.codec != canonical.OPUS)
