"""A small reader of session descriptions (RFC 8866, RFC 8829): what browsers and aiortc write, and no more than the relay asks for.

`read` takes any text up to `SDP_BYTES_MAX` and gives a `Description`, or Rejected(bad_request) with what is wrong. Attributes that
nobody asks for are kept as they are and never looked at. aiortc's parser is not used: it drops rid and simulcast, and reaches the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected

PROFILE: Final = "UDP/TLS/RTP/SAVPF"
SENDS: Final = frozenset({"sendonly", "sendrecv"})
RECEIVES: Final = frozenset({"recvonly", "sendrecv"})
DIRECTIONS: Final = SENDS | RECEIVES | {"inactive"}
_MEDIA: Final = re.compile(r"(audio|video|application) ([0-9]{1,5})(?:/[0-9]+)? ([A-Za-z0-9/.+-]+) ([ -~]+)")
_MID: Final = re.compile(r"[A-Za-z0-9_.+/=-]{1,16}")
_ICE: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839 section 5.4
_PWD: Final = re.compile(r"[A-Za-z0-9+/]{22,256}")
_DIGESTS: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_HEX: Final = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2})*")
_MAP: Final = re.compile(r"([0-9]{1,3}) ([A-Za-z0-9.-]+)/([0-9]{1,6})(?:/([0-9]))?")


class Fingerprint(Struct, frozen=True, array_like=True):
    """Of a DTLS certificate: `algorithm` sha-256, sha-384 or sha-512, `value` in upper-case hex with colons."""

    algorithm: str
    value: str


class Codec(Struct, frozen=True):
    """One payload type of an m-line. `name` in lower case; `settings` are those of a=fmtp, `feedback` the values of a=rtcp-fb."""

    type: int
    name: str
    clock: int
    channels: int
    settings: dict[str, str]
    feedback: frozenset[str]


class Section(Struct, frozen=True, kw_only=True):
    """One m-line with its attributes; those that session and m-line both have are the m-line's."""

    kind: str  # audio, video, application
    port: int
    profile: str
    formats: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    mid: str
    direction: str

    @property
    def refused(self) -> bool:
        """Not to be used: port 0, unless it is bundled anyway (RFC 9143 section 6)."""
        return self.port == 0 and not self.has("bundle-only")

    def has(self, name: str) -> bool:
        """There is such an attribute."""
        return any(known == name for known, _ in self.attributes)

    def values(self, name: str) -> Iterator[str]:
        """All of that name."""
        return (value for known, value in self.attributes if known == name)

    def value(self, name: str) -> str:
        """The first of that name, or empty."""
        return next(self.values(name), "")


class Description(Struct, frozen=True, kw_only=True):
    """A whole one."""

    attributes: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    bundle: tuple[str, ...]  # mids

    def shared(self, section: Section, name: str) -> list[str]:
        """The values of an attribute that a section has from the session if it has none of its own."""
        return list(section.values(name)) or [value for known, value in self.attributes if known == name]


def wrong(text: str, **detail: str | int) -> Rejected:
    """What is refused here."""
    return Rejected(Code.BAD_REQUEST, f"The session description cannot be used: {text}.", **detail)


def read(text: str, *, sections_max: int) -> Description:
    """Reads a description. Raises Rejected(bad_request)."""
    if len(text) > limits.SDP_BYTES_MAX:
        raise wrong("it is too long", limit=limits.SDP_BYTES_MAX)
    session: list[tuple[str, str]] = []
    heads: list[re.Match[str]] = []
    attributes: list[list[tuple[str, str]]] = []
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0] != "v=0":
        raise wrong("it does not begin with v=0")
    for line in lines:
        if line.startswith("m="):
            head = _MEDIA.fullmatch(line[2:])
            if head is None:
                raise wrong("an m-line is not audio, video or application")
            if len(heads) == sections_max:
                raise wrong("it has too many m-lines", limit=sections_max)
            heads.append(head)
            attributes.append([])
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            (attributes[-1] if attributes else session).append((name, value))
        elif line and (len(line) < 2 or line[1] != "="):
            raise wrong("a line is no SDP")
    sections = tuple(_section(head, found) for head, found in zip(heads, attributes, strict=True))
    mids = [section.mid for section in sections]
    if len(set(mids)) != len(mids):
        raise wrong("two m-lines have one mid")
    groups = [value.split(" ")[1:] for name, value in session if name == "group" and value.startswith("BUNDLE ")]
    return Description(attributes=tuple(session), sections=sections, bundle=tuple(groups[0]) if groups else ())


def _section(head: re.Match[str], attributes: list[tuple[str, str]]) -> Section:
    mid = next((value for name, value in attributes if name == "mid"), "")
    if not _MID.fullmatch(mid):
        raise wrong("an m-line has no mid of 1 to 16 usual characters")
    return Section(
        kind=head[1],
        port=int(head[2]),
        profile=head[3],
        formats=tuple(head[4].split()),
        attributes=tuple(attributes),
        mid=mid,
        direction=next((name for name, _ in attributes if name in DIRECTIONS), "sendrecv"),
    )


def codecs(section: Section) -> list[Codec]:
    """What the m-line offers, in its order of preference; formats without a=rtpmap are left out."""
    names = {int(match[1]): match for value in section.values("rtpmap") if (match := _MAP.fullmatch(value))}
    settings = dict(_numbered(section, "fmtp"))
    feedback: dict[str, set[str]] = {}
    for value in section.values("rtcp-fb"):
        target, _, what = value.partition(" ")
        feedback.setdefault(target, set()).add(what)
    found = []
    for text in section.formats:
        match = names.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 4 else None
        if match is None or int(match[1]) > 127:
            continue
        type_ = int(match[1])
        found.append(
            Codec(
                type=type_,
                name=match[2].lower(),
                clock=int(match[3]),
                channels=int(match[4] or 1),
                settings=_settings(settings.get(type_, "")),
                feedback=frozenset(feedback.get(text, set()) | feedback.get("*", set())),
            )
        )
    return found


def _numbered(section: Section, name: str) -> Iterator[tuple[int, str]]:
    for value in section.values(name):
        number, _, rest = value.partition(" ")
        if number.isascii() and number.isdigit() and len(number) < 4:
            yield int(number), rest


def _settings(text: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in text.split(";"))
    return {name.lower(): value for name, _, value in pairs if name}


def extensions(section: Section) -> dict[int, str]:
    """Ids of header extensions and their URIs, of those for both directions or ours. Raises Rejected when an id is used twice."""
    found: dict[int, str] = {}
    for value in section.values("extmap"):
        number, _, rest = value.partition(" ")
        number, _, direction = number.partition("/")
        uri = rest.split(" ")[0]
        if not (number.isascii() and number.isdigit() and len(number) < 4 and 0 < int(number) < 256) or number == "15":
            continue
        if direction == "inactive":
            continue
        if int(number) in found:
            raise wrong("two header extensions have one id", mid=section.mid)
        found[int(number)] = uri
    return found


def layers(section: Section) -> tuple[str, ...]:
    """The rids of a=simulcast:send, the first of alternatives, in the order of the line; empty without simulcast."""
    known = {value.split(" ")[0] for value in section.values("rid") if value.split(" ")[1:2] == ["send"]}
    parts = section.value("simulcast").split(" ")
    if "send" not in parts[:-1]:
        return ()
    wanted = (each.split(",")[0].lstrip("~") for each in parts[parts.index("send") + 1].split(";"))
    rids = tuple(dict.fromkeys(rid for rid in wanted if rid in known and _MID.fullmatch(rid)))
    return rids if len(rids) > 1 else ()


def sources(section: Section) -> dict[int, int]:
    """SSRCs that are announced, each with that of its retransmissions or 0. Raises Rejected beyond `MEDIA_SSRCS_MAX`."""
    repairs: dict[int, int] = {}
    for value in section.values("ssrc-group"):
        parts = value.split(" ")
        if parts[0] == "FID" and len(parts) == 3 and (pair := _ssrcs(parts[1:])):
            repairs[pair[0]] = pair[1]
    named = dict.fromkeys(ssrc for value in section.values("ssrc") for ssrc in _ssrcs(value.split(" ")[:1]))
    if len(named) > limits.MEDIA_SSRCS_MAX:
        raise wrong("an m-line has too many sources", limit=limits.MEDIA_SSRCS_MAX)
    retransmissions = set(repairs.values())
    return {ssrc: repairs.get(ssrc, 0) for ssrc in named if ssrc not in retransmissions}


def _ssrcs(texts: list[str]) -> list[int]:
    if not all(text.isascii() and text.isdigit() and len(text) < 11 for text in texts):
        return []
    found = [int(text) for text in texts]
    return found if all(0 < ssrc < 1 << 32 for ssrc in found) else []


def credentials(description: Description, section: Section) -> tuple[str, str]:
    """ICE ufrag and password of a section. Raises Rejected."""
    ufrag, pwd = (next(iter(description.shared(section, name)), "") for name in ("ice-ufrag", "ice-pwd"))
    if not _ICE.fullmatch(ufrag) or not _PWD.fullmatch(pwd):
        raise wrong("ICE credentials are missing or malformed", mid=section.mid)
    return ufrag, pwd


def fingerprints(description: Description, section: Section) -> tuple[Fingerprint, ...]:
    """Of the certificate, SHA-256 or better. Raises Rejected when there is none."""
    found = []
    for value in description.shared(section, "fingerprint"):
        algorithm, _, digest = value.partition(" ")
        algorithm, digest = algorithm.lower(), digest.upper()
        if algorithm in _DIGESTS:
            if not _HEX.fullmatch(digest) or len(digest) != 3 * _DIGESTS[algorithm] - 1:
                raise wrong("a fingerprint is malformed", mid=section.mid)
            found.append(Fingerprint(algorithm, digest))
    if not found:
        raise wrong("there is no fingerprint of SHA-256 or better", mid=section.mid)
    return tuple(dict.fromkeys(found))
