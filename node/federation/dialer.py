"""Dials: from a nid to a proved connection, by racing the addresses that the resolver names.

Candidates start 250 ms apart (RFC 8305) and the first whose handshake proves the nid wins; the others are dropped. What answers with
another identity only loses. Attempts at one address are spaced by a back-off of the address, whatever nid names it, so that records
cannot aim many nodes at a victim. Whoever dials without haste and finds all addresses *resting* is told how long they do.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import cached_property
from ipaddress import ip_address
from typing import Final, Protocol

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.federation.listener import shake
from node.federation.proto.backoff import Backoff
from node.federation.proto.handshake import Channel, Handshake, HandshakeRefused, OwnIdentity, Proven, Role
from node.federation.session import CLOSE_BAD_FRAME, LinkSocket
from node.runtime import dial
from node.runtime.clock import Clock
from node.runtime.dial import DialledSocket
from node.runtime.entropy import Entropy
from node.runtime.log import Log
from node.runtime.targets import IP, Scope, Targets, literal
from node.services.causes import Cause, Closed, NoName, cause_of, most_telling
from node.services.ports import Candidate, Resolver
from node.storage.database import Database
from node.storage.peers import PeerStore
from node.wire import s2s
from node.wire.address import Place
from node.wire.keys import Certified

ADDRESSES_REMEMBERED: Final = 4_096
UNREAD_BYTES_MAX: Final = limits.LINK_WAITING_BYTES_MAX
log = Log("federation.dialer")
Names = Callable[[str], Awaitable[Sequence[str]]]


class Dialled(Struct, frozen=True):
    """A connection whose other end is the node that was wanted."""

    socket: LinkSocket
    proven: Proven
    channel: Channel
    candidate: Candidate


class Resting(Rejected):
    """Nothing was tried: every address failed a moment ago and waits for its next turn."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(
            Code.PEER_UNREACHABLE,
            "The other node cannot be reached.",
            reason="its addresses failed a moment ago",
            cause=str(Cause.TIMEOUT),
        )
        self.wait_s = wait_s


class Opener(Protocol):
    """Makes sockets (`Connector`)."""

    async def open(self, candidate: Candidate) -> DialledSocket:
        """Connected and upgraded. Raises OSError, RemoteError."""


class Connector:
    """Sockets of the machine; every address that somebody else named passes `targets` first (runtime/targets.py)."""

    def __init__(self, *, targets: Targets, entropy: Entropy, names: Names | None = None, ca: str = "") -> None:
        """`names` looks host names up (None: as the machine does); `ca` is a file of further authorities."""
        self._ca = ca
        self._targets = targets
        self._entropy = entropy
        self._names = names

    @cached_property
    def _checked(self) -> ssl.SSLContext:
        context = dial.client_context(check=True)
        if self._ca:
            context.load_verify_locations(cafile=self._ca)
        return context

    @cached_property
    def _blind(self) -> ssl.SSLContext:
        return dial.client_context(check=False)

    async def open(self, candidate: Candidate) -> DialledSocket:
        """Raises OSError, RemoteError (`TargetRefused` among them)."""
        try:
            target = dial.parse_url(candidate.url)
        except ValueError as error:
            raise RemoteError(f"{error}") from None
        scope = Scope.LAN if candidate.lan else Scope.PUBLIC
        ip, port = await self._resolve(target.host, target.port, scope)
        return await dial.dial(
            target,
            subprotocol=s2s.SUBPROTOCOL,
            token_bytes=self._entropy.token_bytes,
            message_bytes_max=limits.LINK_MESSAGE_BYTES_MAX,
            unread_bytes_max=UNREAD_BYTES_MAX,
            context=(self._checked if candidate.check_certificate else self._blind) if target.secure else None,
            ip=ip,
            port=port,
        )

    async def _resolve(self, host: str, port: int, scope: Scope) -> tuple[str, int]:
        plain, _, zone = host.partition("%")
        address = literal(plain)
        if address is not None:
            self._targets.check(address, port, scope=scope, ports=None)
            return host, port
        pin = self._targets.pin(host)
        if pin is not None:
            return pin.ip, pin.port if pin.port and port == 443 else port
        assert not zone
        found: list[IP] = [ip_address(text.partition("%")[0]) for text in await self._lookup(host)]
        if not found:
            raise NoName("the name has no address")
        self._targets.check_all(found, port, scope=scope, ports=None)
        return str(found[0]), port

    async def _lookup(self, host: str) -> Sequence[str]:
        if self._names is not None:
            return await self._names(host)
        infos = await asyncio.get_running_loop().getaddrinfo(host, None)
        return [str(info[4][0]) for info in infos]


class KnownAddresses:
    """A resolver that knows only where a peer was before and what it is told. Implements `services.ports.Resolver`."""

    def __init__(self, *, db: Database, peers: PeerStore) -> None:
        self._db = db
        self._peers = peers

    async def find(self, *, nid: NodeId, places: Sequence[Place] = (), domain: str = "") -> AsyncIterator[Candidate]:
        """Stored addresses, then `places`, then the domain's usual one."""
        row = self._db.view(lambda tx: self._peers.find(tx, nid))
        if row is not None:
            for address in self._db.view(lambda tx: self._peers.addresses(tx, row.pk)):
                yield Candidate(address.url, address.source)
        for place in places:
            host = ip_address(place.ip)
            text = f"[{host}]" if host.version == 6 else f"{host}"
            for scheme in ("wss", "ws"):
                yield Candidate(f"{scheme}://{text}:{place.port}{s2s.PATH}", "link")
        if domain:
            yield Candidate(f"wss://{domain}{s2s.PATH}", "domain", check_certificate=True)

    async def who_owns(self, domain: str) -> NodeId:
        """Only pins are known here. Raises Rejected."""
        nid = self._db.view(lambda tx: self._peers.domain_owner(tx, domain))
        if nid is None:
            raise Rejected(Code.PEER_UNREACHABLE, "Nobody knows which node this domain names.")
        return nid


class _Spaced(Struct):
    backoff: Backoff
    not_before: float = 0.0
    held: bool = False


class Dialer:
    """Finds and proves. `accept` looks at a proved identity; `binding_required` tells whether a URL once had bound TLS."""

    def __init__(
        self,
        *,
        identity: OwnIdentity,
        resolver: Resolver,
        opener: Opener,
        clock: Clock,
        entropy: Entropy,
        accept: Callable[[Certified], None],
        binding_required: Callable[[NodeId, str], bool],
        failed: Callable[[NodeId, str], None],
    ) -> None:
        self._identity = identity
        self._resolver = resolver
        self._opener = opener
        self._clock = clock
        self._entropy = entropy
        self._accept = accept
        self._binding_required = binding_required
        self._failed = failed
        self._spaced: OrderedDict[str, _Spaced] = OrderedDict()

    async def dial(
        self, nid: NodeId, *, places: Sequence[Place] = (), domain: str = "", eager: bool = False
    ) -> Dialled:
        """The first proved connection. `eager`: somebody waits, addresses that failed are tried all the same.

        Raises Rejected: `peer_unreachable`, `Resting` among them, or `key_changed` when only other identities answered.
        """
        race = _Race()
        try:
            async with asyncio.timeout(limits.DIAL_S), asyncio.TaskGroup() as group:
                runners: list[asyncio.Task[None]] = []
                found = self._resolver.find(nid=nid, places=places, domain=domain)
                finding = group.create_task(self._start(nid, found, race, group, runners, eager=eager))
                while race.won is None and any(not task.done() for task in (finding, *runners)):
                    await race.wait(limits.DIAL_S)
                for task in (finding, *runners):
                    task.cancel()
        except TimeoutError:
            if race.won is None:
                race.failed("nobody answered in time", Cause.TIMEOUT)
        if race.won is None:
            raise race.refusal()
        return race.won

    async def _start(
        self,
        nid: NodeId,
        found: AsyncIterator[Candidate],
        race: _Race,
        group: asyncio.TaskGroup,
        runners: list[asyncio.Task[None]],
        *,
        eager: bool,
    ) -> None:
        """Starts a runner for each candidate, a little after the one before."""
        try:
            async for candidate in found:
                wait_s = 0.0 if eager else self._rest_s(candidate.url)
                if wait_s > 0:
                    race.rests(wait_s)
                    continue
                runners.append(group.create_task(self._attempt(nid, candidate, race)))
                await race.wait(limits.DIAL_STAGGER_MS / 1000)
        except (OSError, RemoteError, Rejected) as error:
            race.failed(str(error), cause_of(error))
        finally:
            race.news()

    async def prove(self, nid: NodeId, candidate: Candidate) -> None:
        """Whether `nid` answers there; nothing is kept open. Raises RemoteError, OSError, TimeoutError."""
        dialled = await self._connect(nid, candidate)
        dialled.socket.close()

    async def _attempt(self, nid: NodeId, candidate: Candidate, race: _Race) -> None:
        try:
            dialled = await self._connect(nid, candidate)
        except HandshakeRefused as error:
            race.lost(f"{candidate.url}: {error}", cause_of(error))
            self._space(candidate.url, nid)
        except (OSError, RemoteError, TimeoutError, ValueError) as error:  # ssl.SSLError is an OSError
            race.lost(f"{candidate.url}: {str(error) or type(error).__name__}", cause_of(error))
            self._space(candidate.url, nid)
        except Exception as error:  # noqa: BLE001 - the boundary of one address: somebody else named it, and it must not end the race
            log.error("An address could not be tried", error)
            race.lost(f"{candidate.url}: {type(error).__name__}", Cause.OTHER)
            self._space(candidate.url, nid)
        else:
            self._spaced.pop(candidate.url, None)
            if race.won is not None:
                dialled.socket.close()
                return
            race.win(dialled)

    async def _connect(self, nid: NodeId, candidate: Candidate) -> Dialled:
        async with asyncio.timeout(limits.DIAL_CONNECT_S):
            socket = await self._opener.open(candidate)
        handshake = Handshake(
            role=Role.INITIATOR,
            own=self._identity,
            target=nid,
            now_s=self._clock.now_ms() // 1000,
            accept=self._accept,
            binding=socket.certificate,
            binding_required=self._binding_required(nid, candidate.url),
        )
        try:
            async with asyncio.timeout(limits.HANDSHAKE_S):
                if not await shake(handshake, socket):
                    raise Closed("the other side closed during the handshake: another node is meant, or it refuses us")
        except BaseException:
            socket.close(CLOSE_BAD_FRAME)
            raise
        assert handshake.proven is not None
        assert handshake.channel is not None
        return Dialled(socket, handshake.proven, handshake.channel, candidate)

    # --- back-off by address ----------------------------------------------------------------------------

    def _rest_s(self, url: str) -> float:
        """Seconds until this address may be tried without haste; 0 or less: now."""
        spaced = self._spaced.get(url)
        return 0.0 if spaced is None else spaced.not_before - self._clock.monotonic()

    def _space(self, url: str, nid: NodeId) -> None:
        spaced = self._spaced.pop(url, None) or _Spaced(Backoff(self._entropy.uniform))
        spaced.not_before = self._clock.monotonic() + spaced.backoff.failed(seen_ago_s=0.0)
        self._spaced[url] = spaced
        if len(self._spaced) > ADDRESSES_REMEMBERED:
            self._spaced.popitem(last=False)
        self._failed(nid, url)

    def forgive(self, urls: Iterable[str] | None = None) -> None:
        """Something changed there, or (None) in our own network: these addresses, or all, may be tried at once."""
        if urls is None:
            self._spaced.clear()
            return
        for url in urls:
            if url in self._spaced:
                self._spaced[url].not_before = 0.0  # if it fails again it waits no shorter than it would have


class _Race:
    """Who came first, and what became of the others."""

    def __init__(self) -> None:
        self.won: Dialled | None = None
        self._errors: list[str] = []
        self._causes: list[Cause] = []
        self._resting: list[float] = []
        self._event = asyncio.Event()

    def win(self, dialled: Dialled) -> None:
        self.won = dialled
        self.news()

    def failed(self, error: str, cause: Cause) -> None:
        self._errors.append(error)
        self._causes.append(cause)

    def rests(self, wait_s: float) -> None:
        """An address is not tried yet."""
        self._resting.append(wait_s)

    def lost(self, error: str, cause: Cause) -> None:
        self.failed(error, cause)
        self.news()

    def news(self) -> None:
        """Whoever waits looks again."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, seconds: float) -> None:
        """Until somebody won or lost, or `seconds` passed."""
        if self.won is not None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return

    def refusal(self) -> Rejected:
        if self._resting and not self._errors:
            return Resting(max(limits.DIAL_DELAY_S_MIN, min(self._resting)))
        cause = str(most_telling(self._causes))
        if self._causes and all(one is Cause.OTHER_NODE for one in self._causes):
            return Rejected(
                Code.KEY_CHANGED,
                "Another identity answers at every known address of this node.",
                reason=self._errors[-1],
                cause=cause,
            )
        reason = "; ".join(self._errors[-3:]) or "no address is known"
        return Rejected(Code.PEER_UNREACHABLE, "The other node cannot be reached.", reason=reason[:400], cause=cause)
