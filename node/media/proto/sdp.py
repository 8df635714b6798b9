"""Session descriptions of calls: builders over the canonical tables (docs/spec/media.md); the parser is sdpread.py.

*Up*: the device offers, we answer with the device's own payload types and extension ids; a `canonical.Line` says how they map to
ours. *Down*: we offer canonical numbers, one m-line per forwarded track; what the answer accepts is in `Egress`.
BUNDLE and rtcp-mux only, ICE-lite, DTLS with SHA-256 or better. Whatever else comes is Rejected(bad_request) with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from node.media.proto import canonical


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


class Offer(Struct, frozen=True, kw_only=True):
    """An accepted up offer: hand `remote` to the transport, `lines` to forwarding, `answer` to the device. Lines that the device
    does not send on now are answered and left out of `lines`."""

    remote: Remote
    lines: tuple[canonical.Line, ...]
    answer: str


class DownLine(Struct, frozen=True, kw_only=True):
    """One m-line of a down offer. Not active: the line is kept (`inactive`) until it is used again."""

    mid: str
    video: bool
    active: bool
    codec: int = canonical.OPUS  # canonical payload type
    ssrc: int = 0
    rtx_ssrc: int = 0  # 0: no retransmission
    stream: str = ""  # msid: lines with the same one are played in sync


class Egress(Struct, frozen=True, kw_only=True):
    """What the device accepted of one line of a down offer."""

    mid: str
    active: bool
    payloads: frozenset[int]  # canonical ones, of media and retransmissions
    ids: frozenset[int]  # canonical ones, of header extensions


class Answer(Struct, frozen=True, kw_only=True):
    """An accepted answer to a down offer."""

    remote: Remote
    egress: tuple[Egress, ...]


def answer(text: str, sources: Mapping[str, str], local: Local, *, session: int, version: int) -> Offer:
    """Answers the offer of an up transport; `sources` by mid. Raises Rejected(bad_request) with what is wrong."""
    raise NotImplementedError


def offer(lines: Sequence[DownLine], local: Local, *, session: int, version: int) -> str:
    """The offer of a down transport; lines in the order in which they were first used, never fewer than before."""
    raise NotImplementedError


def accept(text: str, lines: Sequence[DownLine]) -> Answer:
    """Reads the answer to `offer(lines, ...)`. Raises Rejected(bad_request) with what is wrong."""
    raise NotImplementedError
