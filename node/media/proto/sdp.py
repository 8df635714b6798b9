"""Session descriptions of calls: a small parser and two builders over canonical tables (docs/spec/media.md).

*Up*: the device offers, we answer with the device's own payload types and extension ids; `Ingress` says how they map to the canonical
ones. *Down*: we offer canonical numbers, one m-line per forwarded track; what the answer accepts is in `Egress`.
BUNDLE and rtcp-mux only, ICE-lite, DTLS with SHA-256 or better. Whatever else comes is Rejected(bad_request) with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

OPUS: Final = 111
VP8: Final = 96
VP9: Final = 98
AV1: Final = 45
H264: Final = 102
RTX: Final[Mapping[int, int]] = {
    VP8: 97,
    VP9: 99,
    AV1: 46,
    H264: 103,
}  # canonical payload type -> that of its retransmission

AUDIO_LEVEL: Final = 1  # canonical ids of header extensions
ABS_SEND_TIME: Final = 3
MID: Final = 4
RID: Final = 5
REPAIRED_RID: Final = 6
DEPENDENCY: Final = 8
CAPTURE_TIME: Final = 9
PLAYOUT_DELAY: Final = 10
ORIENTATION: Final = 11


class Fingerprint(Struct, frozen=True, array_like=True):
    """Of a DTLS certificate: `algorithm` sha-256, sha-384 or sha-512, `value` in upper-case hex with colons."""

    algorithm: str
    value: str


class Candidate(Struct, frozen=True, array_like=True):
    """Where our port can be reached. `transport` udp or tcp (passive)."""

    host: str
    port: int
    transport: str = "udp"
    kind: str = "host"  # host, srflx


class Local(Struct, frozen=True, kw_only=True):
    """Our side of a transport."""

    ufrag: str
    pwd: str
    fingerprint: Fingerprint
    candidates: tuple[Candidate, ...]


class Remote(Struct, frozen=True, kw_only=True):
    """The device's side of a transport."""

    ufrag: str
    pwd: str
    fingerprints: tuple[Fingerprint, ...]
    setup: str  # actpass, active, passive


class Ingress(Struct, frozen=True, kw_only=True):
    """One m-line of an accepted up offer, as forwarding needs it. The device's numbers are the keys, ours the values."""

    mid: str
    kind: str  # audio, video
    active: bool  # the device may send on it now
    payloads: dict[int, int]  # also those of retransmissions
    extensions: dict[int, int]  # canonical ids
    rids: tuple[str, ...] = ()  # of simulcast, in the order of the offer; empty: one layer
    ssrcs: tuple[int, ...] = ()  # announced by a=ssrc, primary ones first
    repairs: dict[int, int] = {}  # ssrc of a retransmission -> the primary one (a=ssrc-group:FID)


class Line(Struct, frozen=True, kw_only=True):
    """One m-line of a down offer. Not active: the line is kept (`inactive`) until it is used again."""

    mid: str
    kind: str
    active: bool
    codec: int = OPUS  # canonical payload type
    ssrc: int = 0
    rtx_ssrc: int = 0  # 0: no retransmission
    stream: str = ""  # msid: lines with the same one are played in sync


class Egress(Struct, frozen=True, kw_only=True):
    """What the device accepted of one line of a down offer."""

    mid: str
    active: bool
    payloads: frozenset[int]  # canonical ones
    extensions: frozenset[int]


class Offer(Struct, frozen=True, kw_only=True):
    """An accepted up offer: hand `remote` to the transport, `ingress` to forwarding, `answer` to the device."""

    remote: Remote
    ingress: tuple[Ingress, ...]
    answer: str


class Answer(Struct, frozen=True, kw_only=True):
    """An accepted answer to a down offer."""

    remote: Remote
    egress: tuple[Egress, ...]


def answer(text: str, local: Local, *, session: int, version: int) -> Offer:
    """Answers the offer of an up transport. Raises Rejected(bad_request) with what is wrong."""
    raise NotImplementedError


def offer(lines: Sequence[Line], local: Local, *, session: int, version: int) -> str:
    """The offer of a down transport; lines in the order in which they were first used, never fewer than before."""
    raise NotImplementedError


def accept(text: str, lines: Sequence[Line]) -> Answer:
    """Reads the answer to `offer(lines, ...)`. Raises Rejected(bad_request) with what is wrong."""
    raise NotImplementedError
