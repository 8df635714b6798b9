"""Who sends a request, and from where: listener, address, origin, session.

A session token comes as a cookie (browsers) or as ``Authorization: Bearer`` (bots, apps). Scripts never see the cookie.
Other sites can make a browser send it, so a request that changes something and leans on the cookie must also carry the
exact Origin of this node, ``Sec-Fetch-Site: same-origin`` where the browser sends it, and the header ``X-Startalk: 1``,
which no foreign page can set without CORS, which we never grant. A bearer token proves by itself.

Forwarded headers count only when the connection comes from a configured proxy. The admin socket needs no session: who
can open the file owns the node's files anyway.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, format_node
from node.core.account import NodeRole
from node.services.actor import Actor
from node.services.sessions import Sessions

Listener = Literal["https", "http", "admin"]
ADDRESSES_REMEMBERED: Final = 1_024  # parsing one costs more than the rest of finding the peer
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CLIENT_HEADER: Final = "X-Startalk"
_COOKIE_NODE_CHARS: Final = 8  # ports of one host share cookies, so the name tells nodes apart


class Peer(Struct, frozen=True):
    """The other end of a request. `origin` is how it addresses us; `local` means this machine, not through a proxy."""

    listener: Listener
    address: str
    origin: str
    secure: bool
    local: bool


class Auth:
    """Finds the peer and the session of requests. Implements `web.socket.SocketAuth`."""

    def __init__(
        self, *, sessions: Sessions, console: Actor, node: NodeId, trusted_proxies: Sequence[str] = ()
    ) -> None:
        """`console` is who the admin socket acts as."""
        self._sessions = sessions
        self._console = console
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in trusted_proxies]
        self._cookie = f"startalk-{format_node(node)[:_COOKIE_NODE_CHARS]}"

    def peer(self, request: web.Request) -> Peer:
        """Where the request comes from."""
        transport = request.transport
        if transport is None:
            raise Rejected(Code.BAD_REQUEST, "The connection is gone.")
        if isinstance(transport.get_extra_info("sockname"), (str, bytes)):
            return Peer("admin", "", "", secure=False, local=True)
        secure = transport.get_extra_info("sslcontext") is not None
        listener: Listener = "https" if secure else "http"
        address, forwarded = request.remote or "", "X-Forwarded-For" in request.headers
        if forwarded and self._is_proxy(address):
            address = self._forwarded_for(request, address)
            secure = secure or request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
        origin = f"{'https' if secure else 'http'}://{request.host.lower()}"
        return Peer(listener, address, origin, secure=secure, local=not forwarded and _is_loopback(address))

    def actor(self, request: web.Request, peer: Peer) -> Actor:
        """Who is signed in. Raises Rejected: `not_signed_in`, `cross_site`."""
        bearer = request.headers.get("Authorization", "")
        if bearer:
            scheme, _, token = bearer.partition(" ")
            if scheme.lower() != "bearer":
                raise Rejected(Code.NOT_SIGNED_IN, "Use the scheme Bearer with a session token.")
            return self._sessions.authenticate(token.strip())
        if peer.listener == "admin":
            return self._console
        cookie = request.cookies.get(self._name(peer))
        if cookie is None:
            raise Rejected(Code.NOT_SIGNED_IN, "You are not signed in.")
        if request.method not in SAFE_METHODS:
            self.check_site(request, peer)
        return self._sessions.authenticate(cookie)

    def socket_actor(self, request: web.Request) -> Actor:
        """Who opens a device socket. With a cookie the Origin must be ours, since a foreign page may open sockets."""
        peer = self.peer(request)
        if peer.listener == "admin" and "Authorization" not in request.headers:
            raise Rejected(Code.FORBIDDEN, "The node itself has no devices; sign in as a person.")
        if "Authorization" not in request.headers or "Origin" in request.headers:
            _check_origin(request, peer)
        return self.actor(request, peer)

    def check_site(self, request: web.Request, peer: Peer) -> None:
        """Raises Rejected with `cross_site` unless our own page sends this."""
        _check_origin(request, peer)
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise _cross_site()
        if request.headers.get(CLIENT_HEADER) != "1":
            raise Rejected(Code.CROSS_SITE, f"Send the header {CLIENT_HEADER}: 1.")

    @staticmethod
    def is_browser(request: web.Request) -> bool:
        """Whether a page may be behind the request, so that its site must be checked even without a session."""
        return any(name in request.headers for name in ("Origin", "Sec-Fetch-Site", "Cookie"))

    def set_cookie(self, response: web.Response, peer: Peer, token: str) -> None:
        """Signs the browser in."""
        response.set_cookie(
            self._name(peer),
            token,
            max_age=limits.SESSION_ABSOLUTE_S,
            path="/",
            secure=peer.secure,
            httponly=True,
            samesite="Lax",
        )

    def clear_cookie(self, response: web.Response, peer: Peer) -> None:
        """Signs the browser out."""
        response.del_cookie(self._name(peer), path="/", secure=peer.secure, httponly=True, samesite="Lax")

    def _name(self, peer: Peer) -> str:
        return f"__Host-{self._cookie}" if peer.secure else self._cookie

    def _is_proxy(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self._proxies)

    def _forwarded_for(self, request: web.Request, address: str) -> str:
        """The nearest address that is not one of our proxies: what stands further left may be invented."""
        hops = [hop.strip() for line in request.headers.getall("X-Forwarded-For") for hop in line.split(",")]
        for hop in reversed(hops):
            address = hop
            if not self._is_proxy(hop):
                break
        return address


def require_role(actor: Actor, roles: frozenset[NodeRole], needed: NodeRole) -> None:
    """Raises Rejected with `role_too_low`."""
    if actor.account_role not in roles:
        who = "the owner of this node" if needed is NodeRole.OWNER else "admins of this node"
        raise Rejected(Code.ROLE_TOO_LOW, f"Only {who} can do this.", role_needed=needed.value)


def is_loopback_host(origin: str) -> bool:
    """Whether people on other machines cannot follow a link with this origin."""
    host = urlsplit(origin).hostname or ""
    return host == "localhost" or _is_loopback(host)


def _check_origin(request: web.Request, peer: Peer) -> None:
    if request.headers.get("Origin", "").lower() != peer.origin:
        raise _cross_site()


def _cross_site() -> Rejected:
    return Rejected(Code.CROSS_SITE, "This request comes from another site; open the node's own page.")


@functools.lru_cache(maxsize=ADDRESSES_REMEMBERED)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
