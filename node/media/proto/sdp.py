"""Session descriptions of calls: builders over the canonical tables (docs/spec/media.md); the parser is sdpread.py.

*Up*: the device offers, we answer with the device's own payload types and extension ids; a `canonical.Line` says how they map to
ours. *Down*: we offer canonical numbers, one m-line per forwarded track; what the answer accepts is in `Egress`.
BUNDLE and rtcp-mux only, ICE-lite, DTLS with SHA-256 or better. Whatever else comes is Rejected(bad_request) with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from node.base import limits
from node.media.proto import canonical, sdpread
from node.media.proto.sdpread import Codec, Description, Fingerprint, Section, wrong

KINDS: Final = {"mic": "audio", "sound": "audio", "camera": "video", "screen": "video"}
LINES_MAX: Final = 2 * limits.CALL_TRACKS_MAX  # of an up offer: a browser keeps m-lines that it stopped to use
_VIDEO: Final = ("vp8", "h264", "vp9", "av1")  # the first that a device has is used
_TYPES: Final = {"vp8": canonical.VP8, "vp9": canonical.VP9, "av1": canonical.AV1, "h264": canonical.H264}
_NAMES: Final = {
    canonical.OPUS: "opus/48000/2",
    canonical.VP8: "VP8/90000",
    canonical.VP9: "VP9/90000",
    canonical.AV1: "AV1/90000",
    canonical.H264: "H264/90000",
}
_SETTINGS: Final = {
    canonical.OPUS: "minptime=10;useinbandfec=1",
    canonical.VP9: "profile-id=0",
    canonical.H264: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
}
_BASELINE: Final = re.compile(r"42[0-9a-f]{4}")
_SPEECH: Final = "minptime=10;useinbandfec=1;usedtx=1"  # what a device is asked to send
_MUSIC: Final = "minptime=10;useinbandfec=1;stereo=1;maxaveragebitrate=128000"
_FEEDBACK: Final = ("nack", "nack pli", "ccm fir", "goog-remb")
_COMMON: Final = frozenset({canonical.ABS_SEND_TIME, canonical.MID})
_EXTENSIONS: Final = {
    "audio": _COMMON | {canonical.AUDIO_LEVEL},
    "video": _COMMON | {canonical.RID, canonical.REPAIRED_RID} | canonical.COPIED,
}
_UPLINK_ONLY: Final = frozenset({canonical.RID, canonical.REPAIRED_RID})
_URIS: Final = {number: uri for uri, number in canonical.URIS.items()}


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


# --- up -------------------------------------------------------------------------------------------------


def remote_of(text: str) -> Remote:
    """Who offers. Another ufrag than before asks for a restart, which comes before `answer`. Raises Rejected(bad_request)."""
    description = sdpread.read(text, sections_max=LINES_MAX)
    return _remote(description, _used(description))


def answer(text: str, sources: Mapping[str, str], local: Local, *, session: int, version: int) -> Offer:
    """Answers the offer of an up transport; `sources` by mid. Raises Rejected(bad_request) with what is wrong."""
    description = sdpread.read(text, sections_max=LINES_MAX)
    used = _used(description)
    remote = _remote(description, used)
    if remote.setup == "passive":
        raise wrong("the node answers, so a=setup has to be actpass or active")
    _check_sources(description, sources)
    lines: list[canonical.Line] = []
    body: list[str] = []
    for section in description.sections:
        if section not in used:
            body += [f"m={section.kind} 0 {section.profile} {' '.join(section.formats)}", "c=IN IP4 0.0.0.0"]
            body += [f"a=mid:{section.mid}", "a=inactive"]
            continue
        source = sources.get(section.mid, "") if section.direction in sdpread.SENDS else ""
        line, written = _answered(section, source)
        if source:
            lines.append(line)
        first = section is used[0]
        body += _head(section.kind, written.formats, local, setup="passive", candidates=first)
        body += [f"a=mid:{section.mid}", "a=recvonly" if source else "a=inactive", *written.attributes]
    if len({ssrc for line in lines for ssrc in line.ssrcs}) != sum(len(line.ssrcs) for line in lines):
        raise wrong("two m-lines have one source")
    mixed = ["a=extmap-allow-mixed"] if any(name == "extmap-allow-mixed" for name, _ in description.attributes) else []
    group = " ".join(section.mid for section in used)
    text = _text([*_session(session, version, group), *mixed, *body])
    return Offer(remote=remote, lines=tuple(lines), answer=text)


class _Written(Struct, frozen=True):
    """The part of an answered m-line that depends on what was offered."""

    formats: tuple[int, ...]
    attributes: tuple[str, ...]


def _used(description: Description) -> list[Section]:
    """The m-lines that are answered with a port: media that is not refused. Raises Rejected."""
    used = [section for section in description.sections if section.kind != "application" and not section.refused]
    if not used:
        raise wrong("no m-line is in use")
    for section in used:
        if section.profile != sdpread.PROFILE:
            raise wrong(f"only {sdpread.PROFILE} is spoken here", mid=section.mid)
        if section.mid not in description.bundle:
            raise wrong("every m-line has to be in one BUNDLE group", mid=section.mid)
        if not section.has("rtcp-mux"):
            raise wrong("rtcp-mux is needed", mid=section.mid)
    return used


def _check_sources(description: Description, sources: Mapping[str, str]) -> None:
    kinds = {section.mid: section.kind for section in description.sections}
    for mid, source in sources.items():
        if source not in KINDS or KINDS[source] != kinds.get(mid):
            raise wrong(f"there is no m-line for the {source} at this mid", mid=mid)
    if len(set(sources.values())) != len(sources):
        raise wrong("a source has two m-lines")


def _remote(description: Description, used: Sequence[Section]) -> Remote:
    ufrag, pwd = sdpread.credentials(description, used[0])
    setup = next(iter(description.shared(used[0], "setup")), "")
    if setup not in {"actpass", "active", "passive"}:
        raise wrong("a=setup is missing", mid=used[0].mid)
    return Remote(ufrag=ufrag, pwd=pwd, fingerprints=sdpread.fingerprints(description, used[0]), setup=setup)


def _answered(section: Section, source: str) -> tuple[canonical.Line, _Written]:
    codecs = sdpread.codecs(section)
    codec = _chosen(section, codecs)
    repair = next((each for each in codecs if each.name == "rtx" and each.settings.get("apt") == str(codec.type)), None)
    known = _EXTENSIONS[section.kind]
    ids = {
        number: canonical.URIS[uri]
        for number, uri in sdpread.extensions(section).items()
        if canonical.URIS.get(uri) in known
    }
    rids = sdpread.layers(section)[: limits.LAYERS_MAX] if section.kind == "video" else ()
    type_ = canonical.OPUS if section.kind == "audio" else _TYPES[codec.name]
    line = canonical.Line(
        mid=section.mid,
        source=source,
        video=section.kind == "video",
        types={codec.type: type_},
        repairs={} if repair is None or section.kind == "audio" else {repair.type: canonical.RTX[type_]},
        ids=ids,
        ssrcs=sdpread.sources(section) if source else {},
        rids=rids,
    )
    attributes = [f"a=extmap:{number} {_URIS[number_here]}" for number, number_here in ids.items()]
    if section.has("rtcp-rsize"):
        attributes.append("a=rtcp-rsize")
    attributes += _codec_lines(codec.type, type_, _asked(codec, type_, source), codec.feedback)
    if line.repairs and repair is not None:
        attributes += [f"a=rtpmap:{repair.type} rtx/90000", f"a=fmtp:{repair.type} apt={codec.type}"]
    if rids:
        attributes += [*(f"a=rid:{rid} recv" for rid in rids), f"a=simulcast:recv {';'.join(rids)}"]
    return line, _Written((codec.type, *line.repairs), tuple(attributes))


def _chosen(section: Section, codecs: Sequence[Codec]) -> Codec:
    if section.kind == "audio":
        for codec in codecs:
            if (codec.name, codec.clock, codec.channels) == ("opus", 48_000, 2):
                return codec
        raise wrong("Opus is not offered", mid=section.mid)
    for name in _VIDEO:
        offered = [codec for codec in codecs if codec.name == name and codec.clock == 90_000 and _plain(codec)]
        if offered:
            return max(offered, key=lambda codec: codec.settings.get("profile-level-id", "").startswith("42e0"))
    raise wrong("none of VP8, H264, VP9 and AV1 is offered in a profile that every device has", mid=section.mid)


def _plain(codec: Codec) -> bool:
    """A variant that every browser decodes."""
    if codec.name == "h264":
        baseline = _BASELINE.fullmatch(codec.settings.get("profile-level-id", "").lower())
        return bool(baseline) and codec.settings.get("packetization-mode") == "1"
    return codec.settings.get("profile-id", "0") == "0" and codec.settings.get("profile", "0") == "0"


def _asked(codec: Codec, type_: int, source: str) -> str:
    """The a=fmtp of an answer."""
    if type_ == canonical.OPUS:
        return _MUSIC if source == "sound" else _SPEECH
    if type_ == canonical.H264:
        return f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={codec.settings['profile-level-id']}"
    return _SETTINGS.get(type_, "")


# --- down -----------------------------------------------------------------------------------------------


def offer(lines: Sequence[DownLine], local: Local, *, session: int, version: int) -> str:
    """The offer of a down transport; lines in the order in which they were first used, never fewer than before."""
    body: list[str] = []
    for at, line in enumerate(lines):
        kind = "video" if line.video else "audio"
        repair = canonical.RTX[line.codec] if line.video else 0
        formats = (line.codec, repair) if repair else (line.codec,)
        body += _head(kind, formats, local, setup="actpass", candidates=at == 0)
        body += [f"a=mid:{line.mid}", "a=sendonly" if line.active else "a=inactive"]
        body += [f"a=extmap:{number} {_URIS[number]}" for number in _downward(kind)]
        body += ["a=rtcp-rsize"]
        body += _codec_lines(line.codec, line.codec, _SETTINGS.get(line.codec, ""), frozenset(_FEEDBACK))
        if repair:
            body += [f"a=rtpmap:{repair} rtx/90000", f"a=fmtp:{repair} apt={line.codec}"]
        if line.active:
            body += _source_lines(line)
    group = " ".join(line.mid for line in lines)
    return _text([*_session(session, version, group), "a=extmap-allow-mixed", *body])


def accept(text: str, lines: Sequence[DownLine]) -> Answer:
    """Reads the answer to `offer(lines, ...)`. Raises Rejected(bad_request) with what is wrong."""
    description = sdpread.read(text, sections_max=len(lines))
    if [section.mid for section in description.sections] != [line.mid for line in lines]:
        raise wrong("it does not answer the m-lines that were offered")
    remote = _remote(description, _used(description))
    if remote.setup == "actpass":
        raise wrong("an answer has to choose: a=setup is active or passive")
    pairs = zip(description.sections, lines, strict=True)
    return Answer(remote=remote, egress=tuple(_accepted(section, line) for section, line in pairs))


def _accepted(section: Section, line: DownLine) -> Egress:
    kind = "video" if line.video else "audio"
    if section.kind != kind:
        raise wrong("an m-line is answered by another kind", mid=line.mid)
    offered = {line.codec, canonical.RTX[line.codec]} if line.video else {line.codec}
    payloads = frozenset(codec.type for codec in sdpread.codecs(section)) & offered
    known = sdpread.extensions(section).items()
    ids = frozenset(number for number, uri in known if number in _downward(kind) and _URIS[number] == uri)
    received = not section.refused and section.direction in sdpread.RECEIVES
    return Egress(mid=line.mid, active=line.active and received and line.codec in payloads, payloads=payloads, ids=ids)


def _downward(kind: str) -> list[int]:
    return sorted(_EXTENSIONS[kind] - _UPLINK_ONLY)


def _source_lines(line: DownLine) -> Iterator[str]:
    stream = line.stream or "-"
    yield f"a=msid:{stream} {stream}-{line.mid}"
    if line.rtx_ssrc:
        yield f"a=ssrc-group:FID {line.ssrc} {line.rtx_ssrc}"
    for ssrc in (line.ssrc, line.rtx_ssrc):
        if ssrc:
            yield f"a=ssrc:{ssrc} cname:{stream}"


# --- both -----------------------------------------------------------------------------------------------


def _session(session: int, version: int, group: str) -> list[str]:
    return [
        "v=0",
        f"o=- {session} {version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        f"a=group:BUNDLE {group}",
        "a=msid-semantic: WMS *",
    ]


def _head(kind: str, formats: Sequence[int], local: Local, *, setup: str, candidates: bool) -> Iterator[str]:
    yield f"m={kind} 9 {sdpread.PROFILE} {' '.join(map(str, formats))}"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=ice-ufrag:{local.ufrag}"
    yield f"a=ice-pwd:{local.pwd}"
    yield f"a=fingerprint:{local.fingerprint.algorithm} {local.fingerprint.value}"
    yield f"a=setup:{setup}"
    yield "a=rtcp-mux"
    if candidates:
        for at, candidate in enumerate(local.candidates):
            yield _candidate(at, candidate)
        yield "a=end-of-candidates"


def _candidate(at: int, candidate: Candidate) -> str:
    """RFC 8839 section 5.1, RFC 6544 section 4.5; what comes first is preferred, UDP before TCP."""
    tcp = candidate.transport == "tcp"
    priority = (90 if tcp else 126) << 24 | (65_535 - at) << 8 | 255
    tail = f"typ {candidate.kind}"
    if candidate.kind != "host":
        tail += " raddr 0.0.0.0 rport 0"
    if tcp:
        tail += " tcptype passive"
    return f"a=candidate:{at + 1} 1 {candidate.transport} {priority} {candidate.host} {candidate.port} {tail}"


def _codec_lines(type_: int, codec: int, settings: str, feedback: frozenset[str]) -> list[str]:
    lines = [f"a=rtpmap:{type_} {_NAMES[codec]}"]
    if settings:
        lines.append(f"a=fmtp:{type_} {settings}")
    if codec != canonical.OPUS:
        lines += [f"a=rtcp-fb:{type_} {each}" for each in _FEEDBACK if each in feedback]
    return lines


def _text(lines: Sequence[str]) -> str:
    return "\r\n".join(lines) + "\r\n"
