"""What a domain says about the node that it names: ``https://<domain>/.well-known/startalk`` and a TXT record.

    {"v": 1, "id": "<52 characters>", "record": "<base64url of the signed record>", "url": "wss://casa.example/s2s"}
    _startalk.casa.example.  TXT  "v=1;id=<52 characters>;s=<seq>"

The first proves that whoever holds the domain's web server and certificate names this nid now; the record inside shows that
the nid names the domain as well, and where it is. The second is the word of the zone's owner, and a proof only with DNSSEC,
which a resolver here cannot see; so it never suffices alone. For a node that is pinned already both give addresses only.

Bytes, time and redirects are bounded (no other host); everything malformed is a RemoteError.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from node.base import limits
from node.base.errors import Rejected, RemoteError
from node.base.ids import NodeId, parse_node
from node.runtime.clock import Clock
from node.runtime.outgoing import Answer, Ask
from node.wire.address import check_domain
from node.wire.location import LocBody
from node.wire.record import Record, Verifier

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

PATH: Final = "/.well-known/startalk"
LABEL: Final = "_startalk"
LINK_PATH: Final = "/s2s"
_TXT: Final = re.compile(r"v=1;id=([a-z2-7]{52});s=([0-9]{1,16})")
_LINK: Final = re.compile(r"wss://([a-z0-9.-]{1,253})(?::([1-9][0-9]{0,4}))?/s2s")


class Announced(Struct, frozen=True):
    """What a well-known body says, verified: `nid` and `domain` name each other."""

    domain: str
    nid: NodeId
    record: Record
    url: str  # wss://host[:port]/s2s; empty if it names none we may use


class ZoneWord(Struct, frozen=True):
    """What a TXT record says."""

    nid: NodeId
    seq: int


class Fetcher(Protocol):
    """Does one HTTP request (`runtime.outgoing.Outgoing`)."""

    async def ask(self, asked: Ask) -> Answer:
        """Raises RemoteError."""


class _Body(Struct, frozen=True):
    v: int
    id: str
    record: str
    url: str = ""


def parse_body(body: bytes, *, domain: str, now_s: int, verify: Verifier) -> Announced:
    """The content of a well-known answer of `domain`. Raises RemoteError."""
    try:
        read = _decode(body)
        nid = parse_node(read.id)
        raw = base64.b64decode(read.record + "=" * (-len(read.record) % 4), altchars=b"-_", validate=True)
    except (msgspec.DecodeError, ValueError, binascii.Error, RecursionError):
        raise RemoteError("The well-known answer is malformed.") from None
    if read.v != 1:
        raise RemoteError("The well-known answer has a version that is not known here.")
    record = verify(raw, now_s=now_s)
    if record.nid != nid:
        raise RemoteError("The well-known answer names another node than its record.")
    if not isinstance(record.body, LocBody) or record.body.domain != domain:
        raise RemoteError("The record in the well-known answer does not name this domain.")
    return Announced(domain, nid, record, link_url(read.url))


def link_url(text: str) -> str:
    """`text` if it is the URL of links to a node with a name, otherwise nothing."""
    found = _LINK.fullmatch(text)
    if not found:
        return ""
    try:
        check_domain(found[1])
    except Rejected:
        return ""
    return text


def parse_txt(texts: Sequence[str]) -> ZoneWord | None:
    """What the TXT records of a name say; None if none is ours. Raises RemoteError if two differ or one is malformed."""
    ours = {text for text in texts if text.startswith("v=1;") or ";id=" in text}
    if not ours:
        return None
    found = _TXT.fullmatch(next(iter(ours))) if len(ours) == 1 else None
    if not found:
        raise RemoteError("The TXT record of this domain is malformed, or there are several.")
    try:
        return ZoneWord(parse_node(found[1]), int(found[2]))
    except ValueError:
        raise RemoteError("The TXT record of this domain names no node.") from None


class WellKnown:
    """Fetches what a domain publishes."""

    def __init__(self, *, fetcher: Fetcher, clock: Clock, verify: Verifier) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._verify = verify

    async def fetch(self, domain: str) -> Announced:
        """Raises RemoteError for whatever is wrong: no answer, no node there, a forbidden target, a forged record."""
        answer = await self._fetcher.ask(
            Ask(
                url=f"https://{domain}{PATH}",
                headers={"Accept": "application/json"},
                size_bytes_max=limits.WELL_KNOWN_BYTES_MAX,
                timeout_s=limits.WELL_KNOWN_S,
                redirects_max=1,
            )
        )
        if answer.status != 200:
            raise RemoteError(f"The domain answered with status {answer.status}.")
        return parse_body(answer.body, domain=domain, now_s=self._clock.now_ms() // 1000, verify=self._verify)


class Zone:
    """Asks the machine's name servers for TXT records."""

    def __init__(self, *, nameservers: Sequence[str] = (), port: int = 53) -> None:
        """Without `nameservers` those of the machine; it may have none, in a LAN without Internet."""
        self._nameservers = nameservers
        self._port = port

    async def ask(self, domain: str) -> ZoneWord | None:
        """The word of the zone's owner, None if there is none. Raises RemoteError for a malformed one."""
        import dns.exception  # dnspython is 2 MiB, and most nodes are never told a domain
        import dns.rdatatype

        try:
            resolver = self._resolver()
            answer = await resolver.resolve(
                f"{LABEL}.{domain}.", dns.rdatatype.TXT, search=False, lifetime=limits.TXT_LOOKUP_S
            )
        except (dns.exception.DNSException, OSError):
            return None
        return parse_txt([text for item in answer if (text := _text(getattr(item, "strings", ())))])

    def _resolver(self) -> Resolver:
        from dns.asyncresolver import Resolver

        resolver = Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = list(self._nameservers)
            resolver.port = self._port
        return resolver


def _text(parts: Sequence[bytes]) -> str:
    joined = b"".join(parts)
    return joined.decode("ascii", "replace") if len(joined) <= limits.TXT_BYTES_MAX else ""


def host_of(url: str) -> tuple[str, int]:
    """(host, port) of what `link_url` let pass."""
    parts = urlsplit(url)
    assert parts.hostname
    return parts.hostname, parts.port or 443


_decode = msgspec.json.Decoder(_Body).decode
