"""Where a stream can be entered, for the codecs whose payload is only looked at for that: VP9, AV1, H264 (VP8 has vp8.py).

A sealed payload may look like anything: then a subscriber is let in at a wrong packet, asks for a key frame like any decoder, and gets
one. Never raises.
"""

from __future__ import annotations

from typing import Final

from node.media.proto import canonical

_IDR: Final = 5
_SPS: Final = 7
_STAP_A: Final = 24
_FU_A: Final = 28


def begins(codec: int, payload: bytes) -> bool:
    """Whether a key frame of the canonical payload type `codec` begins with this packet."""
    if not payload:
        return False
    if codec == canonical.VP9:  # draft-ietf-payload-vp9: not predicted, begins a frame, lowest spatial layer
        return payload[0] & 0x48 == 0x08 and _vp9_lowest(payload)
    if codec == canonical.AV1:  # av1-rtp-spec 4.4: N, a new coded video sequence
        return payload[0] & 0x88 == 0x08
    if codec == canonical.H264:
        return _h264(payload)
    return False


def _vp9_lowest(payload: bytes) -> bool:
    at = 1
    if payload[0] & 0x80:
        at += 2 if len(payload) > 1 and payload[1] & 0x80 else 1
    if not payload[0] & 0x20:
        return True
    return at < len(payload) and payload[at] >> 1 & 7 == 0


def _h264(payload: bytes) -> bool:
    kind = payload[0] & 31
    if kind == _FU_A:
        return len(payload) > 1 and bool(payload[1] & 0x80) and payload[1] & 31 == _IDR
    if kind == _STAP_A:
        return len(payload) > 3 and payload[3] & 31 in {_IDR, _SPS}
    return kind in {_IDR, _SPS}
