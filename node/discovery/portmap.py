"""Keeps a port open in the router, for as long as the node runs: of HTTPS (TCP), of calls and of the DHT (UDP).

PCP, NAT-PMP and UPnP are looked for at once; the first of them, in this order, that a router speaks and grants is used. The
lease is renewed at half of its time with the same outer port, and taken back at the end. A router that starts anew has forgotten it
and tells nobody, so it is asked again every `PORTMAP_WATCH_S` however long the lease is. A mapping that ends, because the router is
silent, refuses or is another one, is looked for anew, soon at first. What the router grants is a promise: whether connections arrive is
for peers to say (reachability.py).

For IPv6 nothing is translated; if the router speaks PCP it is asked for a pinhole to our first public address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from msgspec import Struct

from node.base import limits
from node.base.errors import RemoteError
from node.discovery.gateway import default_gateway, default_gateway_6
from node.discovery.mappers import Granted, Mapper, NatPmp, Pcp, Upnp
from node.discovery.proto.pmp import Transport
from node.discovery.reachability import Endpoint
from node.discovery.wellknown import Fetcher
from node.runtime.entropy import Entropy
from node.runtime.log import Log
from node.runtime.targets import is_public

log = Log("discovery.portmap")
_NOT_ASKED: Final = "not asked yet"


class Status(Struct, frozen=True, kw_only=True):
    """For the doctor and the admin page."""

    method: str = ""
    outside: Endpoint | None = None
    problem: str = _NOT_ASKED


def mappers_here(*, fetcher: Fetcher, entropy: Entropy, transport: Transport = "tcp") -> tuple[Mapper, ...]:
    """The ways to ask in the network this machine is in now, the preferred one first."""
    gateway = default_gateway()
    small: tuple[Mapper, ...] = (
        (
            Pcp(gateway=gateway, entropy=entropy, transport=transport),
            NatPmp(gateway=gateway, transport=transport),
        )
        if gateway is not None
        else ()
    )
    return (*small, Upnp(fetcher=fetcher, entropy=entropy, transport=transport))


def pinholes_here(addresses: Sequence[str], *, entropy: Entropy, transport: Transport = "tcp") -> tuple[Mapper, ...]:
    """The way to ask for a pinhole to the first public IPv6 address of `addresses`."""
    gateway = default_gateway_6()
    for text in addresses:
        ip = ip_address(text)
        if gateway is not None and isinstance(ip, IPv6Address) and is_public(ip):
            return (Pcp(gateway=gateway, entropy=entropy, source=text, transport=transport),)
    return ()


class PortMap:
    """Runs while `run` runs."""

    def __init__(
        self,
        *,
        port: Callable[[], int],
        mappers: Callable[[], Sequence[Mapper]],
        changed: Callable[[Endpoint | None], None],
        pinholes: Callable[[], Sequence[Mapper]] = tuple,
    ) -> None:
        """`port` is the one to open, 0 while there is none; `changed` hears of each new outer endpoint and its loss."""
        self._port = port
        self._mappers = mappers
        self._pinholes = pinholes
        self._changed = changed
        self._moved = asyncio.Event()
        self.status = Status()

    def moved(self) -> None:
        """The machine is in another network now."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; then takes back what was granted."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hold(self._mappers, shown=True))
            group.create_task(self._hold(self._pinholes, shown=False))

    async def _hold(self, ways: Callable[[], Sequence[Mapper]], *, shown: bool) -> None:
        """One mapping after the other."""
        wait_s = limits.PORTMAP_RETRY_S
        while True:
            moved, port = self._moved, self._port()
            if not port:
                await _pause(moved, limits.LAN_WATCH_S)
                continue
            held = await self._open(ways(), port, moved, shown=shown)
            wait_s = limits.PORTMAP_AGAIN_S if held else min(2 * wait_s, limits.PORTMAP_RETRY_S)
            await _pause(moved, wait_s)

    async def _open(self, mappers: Sequence[Mapper], port: int, moved: asyncio.Event, *, shown: bool) -> bool:
        """One mapping from its search to its loss, the network's change or our end; False when none was granted."""
        left = list(mappers)
        while (mapper := await _speaking(left)) is not None:
            left = left[left.index(mapper) + 1 :]
            try:
                granted = await _timed(mapper.map(port, port))
            except RemoteError as error:
                log.info("The router refused a mapping", method=mapper.name, reason=str(error))
                self._show(Status(problem=f"{mapper.name}: {error}"), shown=shown)
                continue
            await self._keep(mapper, port, granted, moved, shown=shown)
            return True
        if self.status.problem == _NOT_ASKED:
            self._show(Status(problem="no router here maps ports"), shown=shown)
        return False

    async def _keep(self, mapper: Mapper, port: int, granted: Granted, moved: asyncio.Event, *, shown: bool) -> None:
        external = granted.port
        try:
            while True:
                outside = Endpoint(granted.ip, granted.port)
                self._show(Status(method=mapper.name, outside=outside, problem=""), shown=shown)
                if await _pause(moved, _renewal_s(granted.lifetime_s)):
                    return
                granted = await _timed(mapper.map(port, external))
                external = granted.port
        except RemoteError as error:
            log.warning("The router did not renew the mapping", method=mapper.name, reason=str(error))
        finally:
            self._show(Status(problem="the mapping ended"), shown=shown)
            await _take_back(mapper, port, external)

    def _show(self, status: Status, *, shown: bool) -> None:
        if not shown:
            return
        before, self.status = self.status, status
        if before.outside != status.outside:
            if status.outside is not None:
                log.info("The router forwards a port", method=status.method, port=status.outside.port)
            self._changed(status.outside)


def _renewal_s(lifetime_s: int) -> float:
    """When to ask again; 0 is a mapping without an end, which a router that starts anew forgets all the same."""
    half = (lifetime_s or limits.PORTMAP_LEASE_S) / 2
    return max(limits.PORTMAP_RENEW_S_MIN, min(half, limits.PORTMAP_WATCH_S))


async def _pause(moved: asyncio.Event, seconds: float) -> bool:
    """Whether the network changed meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            await moved.wait()
    except TimeoutError:
        return False
    return True


async def _speaking(mappers: Sequence[Mapper]) -> Mapper | None:
    """The first of `mappers` that a router speaks. All are probed at once, for at most `PORTMAP_SEARCH_S`."""
    async with asyncio.TaskGroup() as group:
        probes = [group.create_task(_probe(mapper)) for mapper in mappers]
        for mapper, probe in zip(mappers, probes, strict=True):
            if await probe:
                for other in probes:
                    other.cancel()
                return mapper
    return None


async def _probe(mapper: Mapper) -> bool:
    try:
        async with asyncio.timeout(limits.PORTMAP_SEARCH_S):
            await mapper.probe()
    except (RemoteError, TimeoutError):
        return False
    return True


async def _timed(mapping: Coroutine[Any, Any, Granted]) -> Granted:
    try:
        async with asyncio.timeout(limits.PORTMAP_ANSWER_S):
            return await mapping
    except TimeoutError:
        raise RemoteError("The router does not answer.") from None


async def _take_back(mapper: Mapper, port: int, external: int) -> None:
    try:
        async with asyncio.timeout(limits.PORTMAP_GOODBYE_S):
            await mapper.unmap(port, external)
    except (RemoteError, TimeoutError):
        log.info("The router keeps the mapping until its lease ends", method=mapper.name)
