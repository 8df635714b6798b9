"""Three ways to ask a router to let connections, or datagrams, in: PCP, NAT-PMP, UPnP. Each probes without changing anything, maps, unmaps.

A router is trusted as far as it must be: its answers come from its own address (the UDP sockets are connected, UPnP is
spoken with the machine that answered the search and no other), are bounded in size and time, and what it says about its
outer address is believed only as far as peers confirm it (reachability.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from msgspec import Struct

from node.base import limits
from node.base.errors import RemoteError
from node.discovery.gateway import own_address_towards
from node.discovery.proto import pmp
from node.discovery.wellknown import Fetcher
from node.runtime.entropy import Entropy
from node.runtime.outgoing import Ask, Route
from node.runtime.targets import IP, is_lan

if TYPE_CHECKING:
    from async_upnp_client.profiles.igd import IgdDevice

T = TypeVar("T")
_QUEUE: Final = 16
_DESCRIPTION: Final = "Startalk"
_UPNP_TRIES: Final = 3
_ANY: Final = IPv4Address(0)


class Granted(Struct, frozen=True):
    """A mapping: connections to `ip` and `port` outside arrive here for `lifetime_s` (0: until it is deleted)."""

    ip: str
    port: int
    lifetime_s: int


class Mapper(Protocol):
    """One way to ask."""

    @property
    def name(self) -> str:
        """For people."""

    async def probe(self) -> None:
        """Whether a router speaks this. Changes nothing. Raises RemoteError if none does."""

    async def map(self, internal: int, external: int) -> Granted:
        """Opens or renews; `external` is a wish. Raises RemoteError."""

    async def unmap(self, internal: int, external: int) -> None:
        """Takes it back. Raises RemoteError."""


# --- NAT-PMP and PCP ------------------------------------------------------------------------------------


class NatPmp:
    """RFC 6886."""

    name = "NAT-PMP"

    def __init__(self, *, gateway: IP, transport: pmp.Transport = "tcp", port: int = pmp.PORT) -> None:
        self._router = (str(gateway), port)
        self._transport = transport

    async def probe(self) -> None:
        """Raises RemoteError."""
        await self._address()

    async def map(self, internal: int, external: int) -> Granted:
        """Raises RemoteError."""
        mapped = await self._map(internal, external, limits.PORTMAP_LEASE_S)
        return Granted(str(await self._address()), mapped.port, mapped.lifetime_s)

    async def unmap(self, internal: int, external: int) -> None:
        """Raises RemoteError. The external port of a deletion is 0 (section 3.4)."""
        del external
        await self._map(internal, 0, 0)

    async def _address(self) -> IPv4Address:
        return await converse(self._router, lambda own: pmp.ask_address(), pmp.read_address, pmp.nat_pmp_waits())

    async def _map(self, internal: int, external: int, lifetime_s: int) -> pmp.Mapped:
        kind = self._transport
        packet = pmp.ask_map(internal=internal, external=external, lifetime_s=lifetime_s, transport=kind)

        def read(data: bytes) -> pmp.Mapped:
            return pmp.read_map(data, internal=internal, transport=kind)

        return await converse(self._router, lambda own: packet, read, pmp.nat_pmp_waits())


class Pcp:
    """RFC 6887. For IPv6 it opens a pinhole: the address stays, the router lets connections through."""

    name = "PCP"

    def __init__(
        self,
        *,
        gateway: IP,
        entropy: Entropy,
        source: str = "",
        transport: pmp.Transport = "tcp",
        port: int = pmp.PORT,
    ) -> None:
        """`source` is the own address to map; empty takes the one towards the router."""
        self._router = (str(gateway), port)
        self._transport = transport
        self._source = source
        self._nonce = entropy.token_bytes(pmp.NONCE_BYTES)

    async def probe(self) -> None:
        """Raises RemoteError. Any answer of version 2 will do: ANNOUNCE itself may be unsupported."""
        result = await converse(self._router, pmp.pcp_announce, pmp.read_pcp, pmp.pcp_waits(), source=self._source)
        if result == pmp.Result.UNSUPPORTED_VERSION:
            raise pmp.Refused(result)

    async def map(self, internal: int, external: int) -> Granted:
        """Raises RemoteError."""
        mapped = await self._map(internal, external, limits.PORTMAP_LEASE_S)
        return Granted(str(mapped.external), mapped.port, mapped.lifetime_s)

    async def unmap(self, internal: int, external: int) -> None:
        """Raises RemoteError."""
        await self._map(internal, external, 0)

    async def _map(self, internal: int, external: int, lifetime_s: int) -> pmp.Mapped:
        def ask(own: IP) -> bytes:
            return pmp.pcp_map(
                own=own,
                nonce=self._nonce,
                internal=internal,
                external=external,
                external_ip=None,
                lifetime_s=lifetime_s,
                transport=self._transport,
            )

        def read(data: bytes) -> pmp.Mapped:
            return pmp.read_pcp_map(data, nonce=self._nonce, internal=internal, transport=self._transport)

        return await converse(self._router, ask, read, pmp.pcp_waits(), source=self._source)


async def converse(
    router: tuple[str, int],
    ask: Callable[[IP], bytes],
    read: Callable[[bytes], T],
    waits: Iterable[float],
    *,
    source: str = "",
) -> T:
    """Asks until `read` takes an answer. `ask` is given the own address. Raises RemoteError, `pmp.Refused`."""
    loop = asyncio.get_running_loop()
    try:
        transport, ear = await loop.create_datagram_endpoint(
            _Ear, remote_addr=router, local_addr=(source, 0) if source else None
        )
    except OSError as error:
        raise RemoteError(f"The router cannot be asked ({error.strerror}).") from error
    try:
        packet = ask(ip_address(str(transport.get_extra_info("sockname")[0])))
        for wait_s in waits:
            transport.sendto(packet)
            try:
                async with asyncio.timeout(wait_s):
                    return await ear.answer(read)
            except TimeoutError:
                continue
        raise RemoteError("The router does not answer.")
    finally:
        transport.close()


class _Ear(asyncio.DatagramProtocol):
    """Answers on a connected UDP socket: the kernel lets only the router's through."""

    def __init__(self) -> None:
        self._heard: asyncio.Queue[bytes | OSError] = asyncio.Queue(_QUEUE)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Too many are dropped."""
        if not self._heard.full():
            self._heard.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """Nothing listens there."""
        if isinstance(exc, OSError) and not self._heard.full():
            self._heard.put_nowait(exc)

    async def answer(self, read: Callable[[bytes], T]) -> T:
        """The first one that `read` takes. Raises RemoteError if nothing listens there, `pmp.Refused`."""
        while True:
            heard = await self._heard.get()
            if isinstance(heard, OSError):
                raise RemoteError("The router does not speak this.")
            try:
                return read(heard)
            except pmp.Refused:
                raise
            except RemoteError:
                continue


# --- UPnP -----------------------------------------------------------------------------------------------


class Found(Struct, frozen=True):
    """A device that answered a search: where its description is, and the address that answered."""

    location: str
    address: str


Search = Callable[[], Awaitable[Sequence[Found]]]


async def ssdp_search() -> Sequence[Found]:
    """Internet gateways that answer in this network. Takes its full `SSDP_S`."""
    from async_upnp_client.profiles.igd import IgdDevice

    try:
        answers = await IgdDevice.async_search(timeout=limits.SSDP_S)
    except OSError:
        return ()
    return [
        Found(str(answer["location"]), str(answer.get("_host", ""))) for answer in answers if answer.get("location")
    ]


class Upnp:
    """UPnP Internet Gateway Device, versions 1 and 2. Its XML is parsed by a library that expands no entities."""

    name = "UPnP"

    def __init__(
        self, *, fetcher: Fetcher, entropy: Entropy, search: Search = ssdp_search, transport: pmp.Transport = "tcp"
    ) -> None:
        self._fetcher = fetcher
        self._protocol = transport.upper()
        self._entropy = entropy
        self._search = search
        self._device: IgdDevice | None = None
        self._own = ""

    async def probe(self) -> None:
        """Raises RemoteError."""
        for found in await self._search():
            try:
                await self._open(found)
            except RemoteError:
                continue
            return
        raise RemoteError("No router answers to UPnP.")

    async def _open(self, found: Found) -> None:
        from async_upnp_client.client_factory import UpnpFactory
        from async_upnp_client.exceptions import UpnpError
        from async_upnp_client.profiles.igd import IgdDevice

        router = _router_of(found)
        try:
            device = await UpnpFactory(_requester(self._fetcher, str(router)), non_strict=True).async_create_device(
                found.location
            )
        except UpnpError as error:
            raise RemoteError(f"The router describes itself badly ({type(error).__name__}).") from error
        self._device = IgdDevice(device, None)
        self._own = own_address_towards(router)

    async def map(self, internal: int, external: int) -> Granted:
        """Raises RemoteError. A port that is taken is replaced by a random one, a lease that is refused by none."""
        from async_upnp_client.exceptions import UpnpError

        lease_s = limits.PORTMAP_LEASE_S
        for _ in range(_UPNP_TRIES):
            try:
                await self._add(internal, external, lease_s)
                outside = await self._igd().async_get_external_ip_address()
                return Granted(str(ip_address(outside or "")), external, lease_s)
            except UpnpError as error:
                code = getattr(error, "error_code", None)
                if code == 725:  # OnlyPermanentLeasesSupported
                    lease_s = 0
                elif code == 718:  # ConflictInMappingEntry
                    external = int(self._entropy.uniform(20_000, 60_000))
                else:
                    raise RemoteError(f"The router refused ({type(error).__name__}).") from error
            except ValueError:
                raise RemoteError("The router does not say which outer address it has.") from None
        raise RemoteError("The router has no free port for us.")

    async def _add(self, internal: int, external: int, lease_s: int) -> None:
        await self._igd().async_add_port_mapping(
            remote_host=_ANY,
            external_port=external,
            protocol=self._protocol,
            internal_port=internal,
            internal_client=IPv4Address(self._own),
            enabled=True,
            description=_DESCRIPTION,
            lease_duration=timedelta(seconds=lease_s),
        )

    async def unmap(self, internal: int, external: int) -> None:
        """Raises RemoteError."""
        del internal
        from async_upnp_client.exceptions import UpnpError

        try:
            await self._igd().async_delete_port_mapping(
                remote_host=_ANY, external_port=external, protocol=self._protocol
            )
        except UpnpError as error:
            raise RemoteError(f"The router refused ({type(error).__name__}).") from error

    def _igd(self) -> IgdDevice:
        if self._device is None:
            raise RemoteError("No router answers to UPnP.")
        return self._device


def _router_of(found: Found) -> IPv4Address:
    """The router, if the description lies on the machine that answered, in this network. Raises RemoteError."""
    from urllib.parse import urlsplit

    try:
        host = ip_address(urlsplit(found.location).hostname or "")
    except ValueError:
        raise RemoteError("A router describes itself at a name.") from None
    same = str(host) == found.address
    if not isinstance(host, IPv4Address) or not same or not (is_lan(host) or host.is_loopback):
        raise RemoteError("A router describes itself at another machine.")
    return host


def _requester(fetcher: Fetcher, router: str) -> Any:
    """The library's way to do HTTP, through our own door and to `router` only."""
    from async_upnp_client.client import UpnpRequester
    from async_upnp_client.const import HttpRequest, HttpResponse
    from async_upnp_client.exceptions import UpnpConnectionError

    class Requester(UpnpRequester):
        async def async_http_request(self, http_request: HttpRequest) -> HttpResponse:
            try:
                answer = await fetcher.ask(
                    Ask(
                        url=http_request.url,
                        method=http_request.method,
                        headers=http_request.headers,
                        body=(http_request.body or "").encode(),
                        size_bytes_max=limits.UPNP_BYTES_MAX,
                        timeout_s=limits.PORTMAP_ANSWER_S,
                        route=Route(only=router),
                    )
                )
            except RemoteError as error:
                raise UpnpConnectionError(str(error)) from error
            return HttpResponse(answer.status, answer.headers, answer.body.decode("utf-8", "replace"))

    return Requester()
