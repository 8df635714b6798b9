"""The canonical numbers of this relay: payload types and header extensions as rings, legs and pipes know them.

A device's own numbers (its offer chose them) are mapped to these at ingress, once; every leg of every subscriber then says the same,
so that a packet is put together once for all of them. The table is docs/spec/media.md, "Codecs and extensions".
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

# --- payload types --------------------------------------------------------------------------------------
OPUS: Final = 111
VP8: Final = 96
VP9: Final = 98
AV1: Final = 45
H264: Final = 102
RTX: Final = {VP8: 97, VP9: 99, AV1: 46, H264: 103}  # of each video codec (RFC 4588)
AUDIO_HZ: Final = 48_000
VIDEO_HZ: Final = 90_000

# --- header extensions (RFC 8285) -----------------------------------------------------------------------
AUDIO_LEVEL: Final = 1
ABS_SEND_TIME: Final = 3
MID: Final = 4
RID: Final = 5
REPAIRED_RID: Final = 6
DEPENDENCY_DESCRIPTOR: Final = 8
ABS_CAPTURE_TIME: Final = 9
PLAYOUT_DELAY: Final = 10
ORIENTATION: Final = 11
COPIED: Final = frozenset((DEPENDENCY_DESCRIPTOR, ABS_CAPTURE_TIME, PLAYOUT_DELAY, ORIENTATION))  # byte for byte
URIS: Final = {
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level": AUDIO_LEVEL,
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time": ABS_SEND_TIME,
    "urn:ietf:params:rtp-hdrext:sdes:mid": MID,
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id": RID,
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id": REPAIRED_RID,
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension": DEPENDENCY_DESCRIPTOR,
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time": ABS_CAPTURE_TIME,
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay": PLAYOUT_DELAY,
    "urn:3gpp:video-orientation": ORIENTATION,
}


class Line(Struct, frozen=True, kw_only=True):
    """What an offer of an up transport says of one track, in the device's own numbers; made by `sdp`, kept by `uplink`.

    `types`: payload type -> canonical one, of media; `repairs`: of RTX. `ids`: extension id -> canonical one. `ssrcs`: SSRC -> its RTX
    SSRC or 0, where the offer names them (browsers with simulcast do not). `rids`: of simulcast, lowest layer first; empty: one layer.
    """

    mid: str
    source: str  # mic, camera, screen, sound
    video: bool
    types: dict[int, int]
    repairs: dict[int, int]
    ids: dict[int, int]
    ssrcs: dict[int, int]
    rids: tuple[str, ...] = ()
