"""For an admin who asks why: how long the way to a node takes, and how it is looked for.

A ping goes over the open link and back. A trace asks every source of addresses as a dial would, tells what each of them said, and
tries every address by a handshake that is dropped at once, while links stay as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from msgspec import Struct

from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId, format_node, parse_node, parse_user
from node.runtime.clock import Clock
from node.services.causes import Cause, cause_of
from node.services.ports import Candidate, Place, Word
from node.wire.address import DomainAddress, KeyAddress, check_domain, parse_address, parse_link

PING: Final = "ping"
PING_BODY: Final = bytes(16)
TRACE_S: Final = 25  # a person waits for it, and the command line for 30 s
DOMAIN: Final = "domain"


class Step(Struct, frozen=True, kw_only=True):
    """One line of a trace: what a source said (`url` is empty), or what happened at an address."""

    source: str
    url: str = ""
    cause: str = ""  # why an address failed, in one word
    text: str
    fine: bool
    at_ms: float  # since the trace began
    took_ms: float = 0.0


class Trace(Struct, frozen=True, kw_only=True):
    """`nid` is None when nobody says which node is meant."""

    nid: NodeId | None
    steps: tuple[Step, ...]


class Explainer(Protocol):
    """The resolver (`discovery.resolver.Resolver`)."""

    def explain(
        self, *, nid: NodeId | None, places: Sequence[Place] = (), domain: str = ""
    ) -> AsyncGenerator[Candidate | Word | NodeId]:
        """Addresses, and what each source said; first of all, without `nid`, the one that `domain` names. Raises Rejected."""


class Links(Protocol):
    """Links to other nodes (`federation.service.Federation`)."""

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        """The peer's answer. Raises Rejected."""

    async def prove(self, nid: NodeId, candidate: Candidate) -> None:
        """Whether `nid` answers there; nothing is kept open. Raises RemoteError, OSError, TimeoutError."""


class Probe:
    """Answers for the admin of this node."""

    def __init__(self, *, clock: Clock, own: NodeId, resolver: Explainer, links: Links) -> None:
        self._clock = clock
        self._own = own
        self._resolver = resolver
        self._links = links

    async def ping(self, nid: NodeId) -> float:
        """Milliseconds over the link and back. Raises Rejected, `peer_offline` without one."""
        began = self._clock.monotonic()
        await self._links.request(nid, PING, PING_BODY)
        return (self._clock.monotonic() - began) * 1000

    async def trace(self, text: str) -> Trace:
        """Of a nid, domain, address or link. A domain that names this node leads no further. Raises Rejected if it is none
        of them, or this node's own id."""
        nid, domain, places = _aim(text.strip())
        if nid == self._own:
            raise Rejected(Code.CONFLICT, "This is the address of this very node.")
        walk = _Walk(self._clock, self._own, self._links)
        try:
            async with asyncio.timeout(TRACE_S), asyncio.TaskGroup() as group:
                await walk.follow(self._resolver.explain(nid=nid, places=places, domain=domain), nid, group)
        except TimeoutError:
            walk.add("", f"not finished within {TRACE_S} s")
        return Trace(nid=nid or walk.nid, steps=tuple(sorted(walk.steps, key=lambda step: step.at_ms)))


class _Walk:
    """A trace under way."""

    def __init__(self, clock: Clock, own: NodeId, links: Links) -> None:
        self._clock = clock
        self._own = own
        self._links = links
        self._began = clock.monotonic()
        self.steps: list[Step] = []
        self.nid: NodeId | None = None

    async def follow(
        self, looking: AsyncGenerator[Candidate | Word | NodeId], nid: NodeId | None, group: asyncio.TaskGroup
    ) -> None:
        """Notes what is said, and tries each address at once."""
        self.nid = nid
        try:
            async with aclosing(looking):
                async for said in looking:
                    match said:
                        case Word(source, text, fine):
                            self.add(source, text, fine=fine)
                        case Candidate():
                            assert self.nid is not None, "addresses are of a node"
                            group.create_task(self._try(self.nid, said))
                        case _:
                            self.nid = said
                            self.add(DOMAIN, f"names {format_node(said)}", fine=True)
                            if said == self._own:
                                return
        except Rejected as refusal:
            self.add(DOMAIN, refusal.text)

    def add(self, source: str, text: str, *, fine: bool = False) -> None:
        """A source has spoken."""
        self.steps.append(Step(source=source, text=text, fine=fine, at_ms=self._now_ms()))

    async def _try(self, nid: NodeId, candidate: Candidate) -> None:
        at_ms, text, fine, cause = self._now_ms(), "unfinished", False, ""
        try:
            await self._links.prove(nid, candidate)
            text, fine = "the node answers here", True
        except TimeoutError:
            text, cause = "nobody answers in time", Cause.TIMEOUT
        except (RemoteError, OSError, ValueError) as error:
            text, cause = str(error) or type(error).__name__, cause_of(error)
        finally:
            self.steps.append(
                Step(
                    source=candidate.source,
                    url=candidate.url,
                    cause=cause,
                    text=text,
                    fine=fine,
                    at_ms=at_ms,
                    took_ms=self._now_ms() - at_ms,
                )
            )

    def _now_ms(self) -> float:
        return (self._clock.monotonic() - self._began) * 1000


def _aim(text: str) -> tuple[NodeId | None, str, tuple[Place, ...]]:
    """(nid, domain, places) of what somebody typed. Raises Rejected."""
    if "/i#" in text:
        host, invitation = parse_link(text)
        return NodeId(invitation.nid), host, invitation.addresses
    if "@" not in text:
        try:
            return parse_node(text), "", ()
        except ValueError:
            return None, check_domain(text.lower()), ()
    try:
        return parse_user(text)[1], "", ()
    except ValueError:
        pass
    match parse_address(text):
        case KeyAddress(_, nid):
            return nid, "", ()
        case DomainAddress(_, domain):
            return None, domain, ()
