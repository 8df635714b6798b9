"""A pipe between the relays of two nodes, as far as it is pure: the two halves that make it, and the checks that find a way and keep it.

*Half*: what one side tells the other over the authenticated link between the nodes, and nobody else: where it may be reached, the ufrag and
password of its STUN, the key of what it sends (AES-128-GCM master key and salt), the number that stands before each datagram it wants
to get (`lane`), and the SSRC its reports come from. Every half has everything anew, so that no key is ever used for two pipes.

*Lane*: two calls of the same two nodes share ports and addresses; the eight bytes of the receiver's lane in front of each datagram tell them
apart. The first is 192 or more, which no other protocol on the port begins with (RFC 7983).

*Checks*: neither side is an ICE agent, both are known to each other. Each asks every address of the other by STUN with integrity, also those
that authenticated questions came from, and sends media only where an authenticated answer came from, for 30 s (RFC 7675). So a side behind
NAT is found by the other at the address its questions come from. Each side chooses its own way; nothing is nominated.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.media.proto import icelite, stun
from node.media.proto.sdp import Candidate

VERSION: Final = 1
LANE_BYTES: Final = 8
LANE_FIRST: Final = 192
KEY_BYTES: Final = 16
SALT_BYTES: Final = 12
_Word = Annotated[str, Meta(min_length=4, max_length=64, pattern=r"^[0-9A-Za-z+/]+$")]


class Half(Struct, frozen=True, array_like=True):
    """See above. Never shown: it is made of secrets."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    lane: Annotated[bytes, Meta(min_length=LANE_BYTES, max_length=LANE_BYTES)]
    ufrag: _Word
    pwd: Annotated[str, Meta(min_length=22, max_length=64, pattern=r"^[0-9A-Za-z+/]+$")]
    key: Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    ssrc: Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
    candidates: Annotated[tuple[Candidate, ...], Meta(max_length=limits.PIPE_CANDIDATES_MAX)]

    def __repr__(self) -> str:
        return f"Half({len(self.candidates)} candidates)"

    @property
    def master(self) -> bytes:
        """As SRTP takes it (RFC 7714)."""
        return self.key + self.salt


def make(token: Callable[[int], bytes], credentials: icelite.Credentials, candidates: Iterable[Candidate]) -> Half:
    """A fresh half; `token` gives random bytes."""
    lane = token(LANE_BYTES)
    places = tuple(candidate for candidate in candidates if candidate.transport == "udp")
    return Half(
        VERSION,
        bytes((lane[0] | LANE_FIRST,)) + lane[1:],
        credentials.ufrag,
        credentials.pwd,
        token(KEY_BYTES),
        token(SALT_BYTES),
        int.from_bytes(token(4), "big") or 1,
        places[: limits.PIPE_CANDIDATES_MAX],
    )


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Half)


def encode(half: Half) -> bytes:
    """To be said over the link."""
    return _encoder.encode(half)


def decode(data: bytes) -> Half:
    """The other side's half. Raises Rejected(bad_request); its text repeats nothing of the half."""
    if len(data) <= limits.CALL_HALF_BYTES_MAX:
        try:
            half = _decoder.decode(data)
        except (msgspec.DecodeError, ValueError):  # ValueError: text that is no text
            half = None
        if half is not None and half.lane[0] >= LANE_FIRST:
            return half
    raise Rejected(Code.BAD_REQUEST, "This is not half of a pipe that this node understands.")


def places(half: Half, *, loopback: bool) -> list[tuple[str, int]]:
    """Where the other side may be: IP addresses in canonical form, and ports. Names are not looked up, and what is no address of one
    machine is left out; so is this machine itself, unless it is reached by `loopback` only."""
    found: dict[tuple[str, int], None] = {}
    for candidate in half.candidates:
        try:
            ip = ipaddress.ip_address(candidate.host)
        except ValueError:
            continue
        if isinstance(ip, ipaddress.IPv6Address):
            ip = ip.ipv4_mapped or ip
        scoped = isinstance(ip, ipaddress.IPv6Address) and (ip.is_link_local or ip.scope_id is not None)
        wrong = ip.is_unspecified or ip.is_multicast or scoped or str(ip) == "255.255.255.255"
        if not wrong and 0 < candidate.port < 65_536 and (loopback or not ip.is_loopback):
            found[str(ip), candidate.port] = None
    return list(found)


class _Way:
    """One address of the other side."""

    __slots__ = ("answered_at", "asked_at", "due_at", "failures")

    def __init__(self, due_at: float) -> None:
        self.due_at = due_at
        self.asked_at = 0.0  # the last question, if it was not answered
        self.failures = 0  # questions without an answer, one after the other
        self.answered_at = float("-inf")


class Checks:
    """The ways of one pipe. `way` is where media may go now, None: nowhere."""

    def __init__(self, ours: Half) -> None:
        self._ours = ours
        self._theirs: Half | None = None
        self._ways: dict[Hashable, _Way] = {}
        self._waiting: OrderedDict[bytes, tuple[Hashable, float]] = OrderedDict()
        self._sent_at = float("-inf")
        self.way: Hashable | None = None
        self.rtt_s: float | None = None

    def begin(self, theirs: Half, paths: Iterable[Hashable], now: float) -> None:
        """The other half is known: its addresses are `paths`, the likeliest first."""
        self._theirs = theirs
        for path in paths:
            self._add(path, now)

    def _add(self, path: Hashable, now: float) -> None:
        if path not in self._ways and len(self._ways) < limits.PIPE_PATHS_MAX:
            self._ways[path] = _Way(now)

    # --- questions of the other side --------------------------------------------------------------------

    def receive(self, message: stun.Message, path: Hashable, shown: stun.Address, now: float) -> bytes:
        """The answer to a question from `path`, whose address is `shown`; empty if it is forged."""
        theirs = self._theirs
        password = self._ours.pwd.encode()
        if message.kind != stun.REQUEST or not message.verified(password):
            return b""
        if theirs is not None and message.users != (self._ours.ufrag.encode(), theirs.ufrag.encode()):
            return b""  # of a half that is no longer in use
        if message.unknown:
            return stun.error(message.transaction, 420, password, message.unknown)
        self._add(path, now)
        way = self._ways.get(path)
        if way is not None and way.answered_at < now - limits.PIPE_KEEPALIVE_S and way.failures:
            way.failures, way.due_at = 0, now  # somebody is there (again): ask at once
        return stun.success(message.transaction, shown, password)

    # --- our questions ----------------------------------------------------------------------------------

    def due(self, now: float, token: Callable[[int], bytes]) -> tuple[Hashable, bytes, bytes] | None:
        """(path, transaction, request) of the next question, if it is time for one. Questions are PIPE_PACE_S apart."""
        theirs = self._theirs
        if theirs is None or now < self._sent_at + limits.PIPE_PACE_S:
            return None
        path, way = min(self._ways.items(), key=lambda item: item[1].due_at, default=(None, None))
        if path is None or way is None or way.due_at > now:
            return None
        if way.asked_at:
            way.failures += 1
        way.asked_at = self._sent_at = now
        way.due_at = now + min(limits.PIPE_RETRY_S * 2 ** min(way.failures, 8), limits.PIPE_KEEPALIVE_S)
        transaction = token(12)
        self._waiting[transaction] = (path, now)
        if len(self._waiting) > limits.MEDIA_TRANSACTIONS_MAX:
            self._waiting.popitem(last=False)
        self._choose(now)
        user = f"{theirs.ufrag}:{self._ours.ufrag}".encode()
        return path, transaction, stun.build(stun.REQUEST, transaction, ((stun.USERNAME, user),), theirs.pwd.encode())

    @property
    def next_at(self) -> float:
        """When `due` is to be called again."""
        soonest = min((way.due_at for way in self._ways.values()), default=float("inf"))
        return max(soonest, self._sent_at + limits.PIPE_PACE_S)

    def answered(self, message: stun.Message, path: Hashable, now: float) -> bool:
        """An answer from `path`. False: nothing was asked there, or it is forged."""
        theirs, asked = self._theirs, self._waiting.get(message.transaction)
        if theirs is None or asked is None or message.kind != stun.SUCCESS or asked[0] != path:
            return False
        if not message.verified(theirs.pwd.encode()):
            return False
        del self._waiting[message.transaction]
        way = self._ways.get(path)
        if way is None:
            return False
        rtt = now - asked[1]
        self.rtt_s = rtt if self.rtt_s is None else self.rtt_s + (rtt - self.rtt_s) / 4
        way.answered_at, way.asked_at, way.failures = now, 0.0, 0
        way.due_at = now + limits.PIPE_KEEPALIVE_S
        self._choose(now)
        return True

    def tick(self, now: float) -> None:
        """Once a second: consent ends."""
        self._choose(now)

    def _choose(self, now: float) -> None:
        current = self._ways.get(self.way) if self.way is not None else None
        if current is not None and now - current.answered_at >= limits.MEDIA_CONSENT_S:
            current, self.way = None, None
        if current is not None and current.failures < limits.PIPE_FAILURES_MAX:
            return
        fresh = [
            (-way.answered_at, order, path)
            for order, (path, way) in enumerate(self._ways.items())
            if not way.failures and now - way.answered_at < 2 * limits.PIPE_KEEPALIVE_S
        ]
        if fresh:
            self.way = min(fresh)[2]
