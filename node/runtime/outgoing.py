"""Outgoing HTTP to targets that somebody else named: the only door, see targets.py for the rule. Links have theirs in dial.py.

    name --resolve--> all addresses --check each--> connect to one of the checked ones --check again--> socket

aiohttp asks our resolver for every connection (no cache), which checks all addresses of the name; and makes every socket
through `_Gate.socket`, which checks the very address the kernel is told to connect to. So a name that changes between
check and connection (rebinding), a literal, a redirect or a proxy variable finds no way around: proxies of the
environment are not used at all, and a redirect is a new target with all checks.

Answers are bounded in bytes and time, and compressed ones are refused: nobody inflates for strangers.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from node.base import limits
from node.base.errors import RemoteError
from node.runtime.targets import IP, WEB_PORTS, Pin, TargetRefused, Targets, host_name, literal

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class FetchFailed(RemoteError):
    """Nobody answered, or not as asked."""


class Route(Struct, frozen=True, kw_only=True):
    """What one kind of caller may do."""

    ports: frozenset[int] = WEB_PORTS
    only: str = ""  # this address and no other, whatever it is and at any port: a router that answered us


class Ask(Struct, frozen=True, kw_only=True):
    """One HTTP request."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes = b""
    size_bytes_max: int
    timeout_s: float
    redirects_max: int = 0
    same_host: bool = True  # a redirect may not lead to another host
    route: Route = Route()


class Answer(Struct, frozen=True):
    """What came back; `url` is where it came from in the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


Names = Callable[[str], Awaitable[Sequence[str]]]


async def system_names(name: str) -> Sequence[str]:
    """All addresses of a host name, as the machine knows them. Raises OSError."""
    infos = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


class Outgoing:
    """Makes the connections. Holds nothing but a TLS context."""

    def __init__(self, *, targets: Targets, ca: str = "", names: Names | None = None) -> None:
        """`ca` names a file of further certificate authorities (PEM); `names` looks host names up."""
        self.targets = targets
        self._names = names or system_names
        self._ca = ca

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """For servers that have to show a certificate; reading all authorities takes a tenth of a second."""
        context = ssl.create_default_context()
        if self._ca:
            context.load_verify_locations(cafile=Path(self._ca))
        return context

    async def ask(self, asked: Ask) -> Answer:
        """One request and its redirects. Raises TargetRefused, or FetchFailed for everything that went wrong there."""
        try:
            url = self._checked(_web_url(asked.url, asked.route), asked.route)
            async with asyncio.timeout(asked.timeout_s), self._session(asked.route) as session:
                return await self._follow(session, url, asked)
        except TimeoutError:
            raise FetchFailed(f"There was no answer within {asked.timeout_s:g} s.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed(f"The request failed: {type(error).__name__}.") from error

    def _checked(self, url: URL, route: Route) -> URL:
        """`url`, whose host, if a literal, is allowed; a name is checked when it is resolved. Raises TargetRefused."""
        assert url.host
        assert url.port
        if (ip := literal(url.host)) is not None:
            self._gate(route).check(ip, url.port)
        return url

    def _gate(self, route: Route) -> _Gate:
        return _Gate(self.targets, route, self._names)

    async def _follow(self, session: aiohttp.ClientSession, url: URL, asked: Ask) -> Answer:
        for _ in range(asked.redirects_max + 1):
            async with session.request(
                asked.method,
                url,
                headers={"Accept-Encoding": "identity", **asked.headers},
                data=asked.body or None,
                allow_redirects=False,
            ) as response:
                if response.status not in _REDIRECTS or "Location" not in response.headers:
                    body = await _read(response, asked.size_bytes_max)
                    return Answer(response.status, dict(response.headers), body, str(url))
                target = url.join(URL(response.headers["Location"]))
            _check_redirect(url, target, asked)
            url = self._checked(_web_url(str(target), asked.route), asked.route)
        raise FetchFailed(f"There were more than {asked.redirects_max} redirects.")

    @asynccontextmanager
    async def _session(self, route: Route) -> AsyncIterator[aiohttp.ClientSession]:
        """An aiohttp session whose every connection obeys `route`."""
        gate = self._gate(route)
        connector = aiohttp.TCPConnector(
            resolver=gate,
            use_dns_cache=False,
            force_close=True,
            ssl=True if route.only else self._tls,  # routers speak plain HTTP
            socket_factory=gate.socket,
            happy_eyeballs_delay=limits.DIAL_STAGGER_MS / 1000,
        )
        async with aiohttp.ClientSession(
            connector=connector, trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            yield session


class _Gate(AbstractResolver):
    """Resolver and maker of sockets of one session."""

    def __init__(self, targets: Targets, route: Route, names: Names) -> None:
        self._targets = targets
        self._route = route
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of `host`, if all of them are allowed. Raises TargetRefused, OSError."""
        name = host_name(host)
        pin = self._targets.pin(name)
        found = [_pinned(pin, port)] if pin else [(ip, port) for ip in await self._lookup(name)]
        for ip, to in found:
            self.check(ip, to)
        return [_result(name, ip, to) for ip, to in found]

    async def _lookup(self, name: str) -> list[IP]:
        found = await self._names(name)
        if len(found) > limits.NAME_ADDRESSES_MAX:
            raise TargetRefused(f"The name has more than {limits.NAME_ADDRESSES_MAX} addresses.")
        return [ip_address(text) for text in found]

    def check(self, ip: IP, port: int) -> None:
        """Raises TargetRefused unless this session may connect there."""
        if self._route.only:
            if ip != ip_address(self._route.only):
                raise TargetRefused("The target is not the machine that was asked for.")
            return
        self._targets.check(ip, port, ports=self._route.ports)

    def socket(self, info: Any) -> socket.socket:
        """The socket for one address, which is checked here for the last time."""
        family, kind, proto, _, place = info
        self.check(_address_of(place), place[1])
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        return made

    async def close(self) -> None:
        """Nothing is held."""


def _address_of(place: tuple[Any, ...]) -> IP:
    host, scope = str(place[0]), place[3] if len(place) > 3 else 0
    found = literal(f"{host}%{scope}" if scope and "%" not in host else host)
    if found is None:
        raise TargetRefused("The target is not an address.")
    return found


def _pinned(pin: Pin, port: int) -> tuple[IP, int]:
    return ip_address(pin.ip), pin.port if pin.port and port == 443 else port


def _result(name: str, ip: IP, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=name,
        host=str(ip),
        port=port,
        family=socket.AF_INET if ip.version == 4 else socket.AF_INET6,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def _web_url(text: str, route: Route) -> URL:
    plain = frozenset({"http"}) if route.only else frozenset()
    return _url(text, frozenset({"https"}) | plain)


def _url(text: str, schemes: frozenset[str]) -> URL:
    """A URL without surprises: one of `schemes`, no user, a host that is a name or a proper literal."""
    if len(text) > limits.URL_CHARS_MAX or not text.isascii() or not text.isprintable() or "\\" in text or " " in text:
        raise TargetRefused("The target is not a URL in its usual spelling.")
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise TargetRefused("The target is not a URL.") from None
    if url.scheme not in schemes:
        raise TargetRefused(f"The target is not a URL of {' or '.join(sorted(schemes))}.")
    if not url.host or not port or url.user is not None or url.password is not None:
        raise TargetRefused("The target names a user, or no host.")
    if literal(url.host) is None:
        host_name(url.host)
    return url


def _check_redirect(before: URL, after: URL, asked: Ask) -> None:
    if asked.same_host and (after.host, after.port) != (before.host, before.port):
        raise TargetRefused("A redirect to another host is not followed here.")
    if before.scheme == "https" and after.scheme != "https":
        raise TargetRefused("A redirect from https to something weaker is not followed.")


async def _read(response: aiohttp.ClientResponse, size_max: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchFailed("The answer is compressed, which was not asked for.")
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > size_max:
            raise FetchFailed(f"The answer has more than {size_max} bytes.")
    return bytes(body)
