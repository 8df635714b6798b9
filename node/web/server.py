"""The web server: owns every TCP listener and the admin socket, and what all answers have in common.

*Around each request*: limits on headers, no compressed bodies, refusals and faults as JSON (web/errors.py), security
headers on everything, numbers for the metrics. *Inside*: the table of endpoints under ``/api/v1``, the device socket at ``/c2s``,
``/health``, ``/metrics``, the documentation, and the web UI for the rest.

`run` binds, serves and, when cancelled, stops in order: no new connections, device sockets are told, running
requests get `DRAIN_S` to end. The listeners are plain `asyncio` servers, so a simulation may replace the network below.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import hmac
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from msgspec import Struct

import node
from node.base import limits
from node.base.errors import Code, ExitStatus, Fatal, LocalError, Rejected
from node.runtime.clock import Clock
from node.runtime.log import Log
from node.runtime.metrics import Metrics
from node.runtime.net import FrameSocket
from node.services.ports import PeerDoor
from node.services.relay import StreamDoor
from node.storage.database import Database
from node.web.auth import Auth
from node.web.endpoints import Table, allowed_methods
from node.web.errors import JSON, Failures, answer
from node.web.openapi import Documentation
from node.web.peek import PeekServer, bind
from node.web.static import Static
from node.wire import api, s2s

KEEPALIVE_S: Final = 75.0
API: Final = "/api/{tail:.*}"
ANY: Final = "/{tail:.*}"
CATCH_ALL: Final = frozenset({"/api/{tail}", "/{tail}"})  # as the router calls them
_HOST: Final = re.compile(r"[a-z0-9.:\[\]-]{1,262}")
_CSP: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'{sockets}; "
    "style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; manifest-src 'self'; "
    "frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=(self)",
}
HOSTS_REMEMBERED: Final = 64  # names under which somebody asked
_log = Log("web.server")


class Listener(Struct, frozen=True, kw_only=True):
    """Where to listen: `host` and `port` with or without `tls`, or a Unix socket at `path`. `setting` is named in errors."""

    name: str
    setting: str = ""
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None
    path: Path | None = None


class Bound(Struct, frozen=True):
    """A listener that listens; `port` is the real one."""

    name: str
    host: str
    port: int
    secure: bool


class Sockets(Protocol):
    """Device sockets (`web.socket.SocketDoor`)."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """``GET /c2s``."""

    def stop(self) -> None:
        """Tells every device that the node goes."""


class WebServer:
    """A `runtime.lifecycle.Service`. `table` has the endpoints, `sockets` answers ``/c2s``."""

    name = "web"

    def __init__(
        self,
        *,
        listeners: Sequence[Listener],
        table: Table,
        sockets: Sockets,
        auth: Auth,
        failures: Failures,
        documentation: Documentation,
        static: Static,
        db: Database,
        clock: Clock,
        metrics: Metrics,
        metrics_token: str = "",
        peers: PeerDoor | None = None,
        well_known: Callable[[], dict[str, str | int] | None] = lambda: None,
        leaf: Callable[[], bytes | None] = lambda: None,
        streams: StreamDoor | None = None,
    ) -> None:
        """`peers` takes links of other nodes, `streams` what comes to an HTTPS port without TLS; `leaf` is SHA-256 of the TLS certificate that is served now."""
        self._listeners = tuple(listeners)
        self._table = table
        self._sockets = sockets
        self._auth = auth
        self._failures = failures
        self._documentation = documentation
        self._static = static
        self._db = db
        self._clock = clock
        self._metrics = metrics
        self._metrics_token = metrics_token
        self._peers = peers
        self._leaf = leaf
        self._streams = streams
        self._well_known = well_known
        self._started = clock.monotonic()
        self._stopping = False
        self.bound: tuple[Bound, ...] = ()

    # --- life -------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        """Binds, calls ``ready()``, serves until cancelled. Raises Fatal when a port is taken."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=limits.DRAIN_S,
        )
        await runner.setup()
        servers: list[asyncio.Server | PeekServer] = []
        try:
            for listener in self._listeners:
                servers.append(await self._listen(listener, runner))  # noqa: PERF401 - those that listen are closed below
            self.bound = tuple(
                _bound(listener, server) for listener, server in zip(self._listeners, servers, strict=True)
            )
            for bound in self.bound:
                _log.info("listening", listener=bound.name, host=bound.host, port=bound.port)
            async with asyncio.TaskGroup() as tasks:
                peeking = [server for server in servers if isinstance(server, PeekServer)]
                for peek in peeking:
                    peek.serve(tasks)
                ready()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    for peek in peeking:
                        peek.close()
        finally:
            self._stopping = True
            for each in servers:
                each.close()
            self._sockets.stop()
            if self._peers is not None:
                self._peers.stop()
            await runner.cleanup()
            self._forget_socket_files()

    async def _listen(self, listener: Listener, runner: web.AppRunner) -> asyncio.Server | PeekServer:
        loop = asyncio.get_running_loop()
        manager = runner.server
        assert manager is not None
        protocol = functools.partial(
            _Connection,
            manager,
            loop=loop,
            failures=self._failures,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            tcp_keepalive=False,  # every connection here has a time-out of its own, hours before that of the kernel
            max_line_size=limits.HEADER_LINE_BYTES_MAX,
            max_field_size=limits.HEADER_LINE_BYTES_MAX,
            auto_decompress=False,
        )
        try:
            if listener.path is not None:
                listener.path.unlink(missing_ok=True)  # left by a crash; the data lock says that no other node uses it
                server = await loop.create_unix_server(protocol, str(listener.path))
                listener.path.chmod(0o600)
                return server
            if listener.tls is not None and self._streams is not None:
                sockets = await bind(listener.host, listener.port)
                return PeekServer(sockets, tls=listener.tls, factory=protocol, door=self._streams)
            return await loop.create_server(
                protocol,
                listener.host,
                listener.port,
                ssl=listener.tls,
                ssl_handshake_timeout=limits.FIRST_REQUEST_S if listener.tls else None,
                backlog=1024,
                reuse_address=True,
            )
        except OSError as error:
            raise _cannot_listen(listener, error) from error

    def _forget_socket_files(self) -> None:
        for listener in self._listeners:
            if listener.path is not None:
                listener.path.unlink(missing_ok=True)

    # --- the application --------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        app = web.Application(
            middlewares=[self._shell], client_max_size=limits.JSON_BODY_BYTES_MAX, handler_args={"access_log": None}
        )
        app.router.add_routes(self._table.routes())
        app.router.add_routes(
            [
                web.get("/c2s", self._sockets.handle, allow_head=False),
                *([web.get(s2s.PATH, self._link, allow_head=False)] if self._peers is not None else []),
                web.get("/health", self._health),
                web.get("/.well-known/startalk", self._introduce),
                web.get("/metrics", self._scrape),
                *self._documentation.routes(),
                web.route("*", API, self._unknown),
                web.get(ANY, self._static.handle),
            ]
        )
        app.on_response_prepare.append(self._dress)
        return app

    @web.middleware
    async def _shell(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Around every request."""
        began = self._clock.monotonic()
        response = await self._answer(request, handler)
        self._metrics.requests.inc(of=f"{response.status // 100}xx")
        self._metrics.request_seconds.observe(self._clock.monotonic() - began)
        return response

    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            _check_request(request)
            return await handler(request)
        except Rejected as error:
            return self._failures.refusal(error)
        except web.HTTPException as error:
            return self._failures.http(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of the application: whatever it was, it gets an id
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else ""
            return self._failures.fault(error, method=request.method, route=route)

    async def _dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """Headers of every answer, files too. That a socket opens shows nothing a browser could misuse."""
        headers = response.headers
        headers.popall("Server", None)
        if isinstance(response, web.WebSocketResponse):
            return
        headers.update(_HEADERS)
        headers["Content-Security-Policy"] = self._policy(request)
        if request.path.startswith("/api/"):
            headers.setdefault("Cache-Control", "no-store")

    def _policy(self, request: web.Request) -> str:
        secure = self._auth.peer(request).secure if request.transport is not None else True
        return _csp(request.host, secure=secure)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        allowed = await allowed_methods(request.app, request, CATCH_ALL)
        if allowed:
            response = self._failures.refusal(
                Rejected(Code.METHOD_NOT_ALLOWED, "This address does not know this method.")
            )
            response.headers["Allow"] = ", ".join(sorted(allowed))
            return response
        raise Rejected(Code.NOT_FOUND, "There is nothing at this address.")

    # --- other nodes ------------------------------------------------------------------------------------

    async def _link(self, request: web.Request) -> web.StreamResponse:
        """``GET /s2s`` with an upgrade: a link of another node. Who it is shows inside; cookies mean nothing here."""
        assert self._peers is not None
        peer = self._auth.peer(request)
        if peer.listener == "admin":
            raise Rejected(Code.FORBIDDEN, "Nodes do not come through the admin socket.")
        self._peers.admit(peer.address)
        ws = web.WebSocketResponse(
            protocols=(s2s.SUBPROTOCOL,), max_msg_size=limits.LINK_MESSAGE_BYTES_MAX, compress=False, timeout=1.0
        )
        if not ws.can_prepare(request).ok:
            raise Rejected(Code.BAD_REQUEST, "This address speaks WebSocket only.")
        if s2s.SUBPROTOCOL not in request.headers.get("Sec-WebSocket-Protocol", ""):
            raise Rejected(Code.UNSUPPORTED, f"Ask for the subprotocol {s2s.SUBPROTOCOL}.")
        await ws.prepare(request)
        transport = request.transport
        if transport is not None:
            # A proxy in between has seen our certificate; the peer has seen the proxy's.
            bound = transport.get_extra_info("sslcontext") is not None and peer.address == (request.remote or "")
            await self._peers.handle(FrameSocket(ws, transport, peer.address), self._leaf() if bound else None)
        return ws

    # --- for machines -----------------------------------------------------------------------------------

    async def _health(self, request: web.Request) -> web.StreamResponse:
        """200 while everything works, 503 with the reason otherwise."""
        reason = self._db.trouble
        health = api.admin.Health(
            status="stopping" if self._stopping else "read_only" if reason else "ok",
            reason=reason,
            version=node.__version__,
            uptime_s=int(self._clock.monotonic() - self._started),
        )
        return answer(health, status=200 if health.status == "ok" else 503)

    async def _introduce(self, request: web.Request) -> web.StreamResponse:
        """Which node this domain is, for other nodes; the same for everybody."""
        body = self._well_known()
        if body is None:
            raise Rejected(Code.NOT_FOUND, "This node has no domain, or says nothing about itself yet.")
        return web.json_response(body, headers={"Cache-Control": "max-age=300"})

    async def _scrape(self, request: web.Request) -> web.StreamResponse:
        """Numbers for Prometheus: to this machine, or to whoever has the scrape token."""
        if not self._may_scrape(request):
            raise Rejected(Code.FORBIDDEN, "Metrics are for this machine, or with the scrape token.")
        body, content_type = self._metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    def _may_scrape(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        wanted = f"Bearer {self._metrics_token}"
        if self._metrics_token and hmac.compare_digest(given.encode(), wanted.encode()):
            return True
        return self._auth.peer(request).local


class _Connection(RequestHandler):
    """A connection whose bytes are not HTTP gets a short JSON answer and no hint at what parses it."""

    def __init__(self, manager: web.Server, *, failures: Failures, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._failures = failures
        self._impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Whoever connects must ask something soon; between requests the keep-alive time counts."""
        super().connection_made(transport)
        self._impatience = self._loop.call_later(limits.FIRST_REQUEST_S, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The timer must not outlive the connection."""
        if self._impatience is not None:
            self._impatience.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Called by the library for malformed requests and for what escaped the application."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun already")
        if status >= 500:
            failure = self._failures.fault(exc or LocalError("unknown"), method=request.method, route="")
        else:
            failure = self._failures.refusal(Rejected(Code.BAD_REQUEST, "This request is not valid HTTP."))
        response = _Plain(body=failure.body, status=failure.status, content_type=JSON, headers=_HEADERS)
        response.force_close()
        return response


@functools.lru_cache(maxsize=HOSTS_REMEMBERED)
def _csp(host: str, *, secure: bool) -> str:
    """The policy of a page that was asked for under this name, which it may open sockets to."""
    host = host.lower()
    if not _HOST.fullmatch(host):
        return _CSP.format(sockets="")
    return _CSP.format(sockets=f" {'wss' if secure else 'ws'}://{host}")


class _Plain(web.Response):
    """An answer that does not say which library made it."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


def _check_request(request: web.Request) -> None:
    """What the parser does not bound. Raises Rejected."""
    if sum(len(name) + len(value) for name, value in request.raw_headers) > limits.HEADERS_BYTES_MAX:
        raise Rejected(Code.TOO_LARGE, "The headers are larger than 16 KiB.", limit=limits.HEADERS_BYTES_MAX)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Rejected(Code.UNSUPPORTED, "Send the body without compression.", field="content-encoding")


def _bound(listener: Listener, server: asyncio.Server | PeekServer) -> Bound:
    if listener.path is not None:
        return Bound(listener.name, str(listener.path), 0, secure=False)
    host, port = server.sockets[0].getsockname()[:2]
    return Bound(listener.name, str(host), int(port), secure=listener.tls is not None)


def _cannot_listen(listener: Listener, error: OSError) -> Fatal:
    if listener.path is not None:
        text = f"The admin socket {listener.path} cannot be made ({error.strerror}). Use a data directory with a shorter path."
        return Fatal(ExitStatus.DATA_UNWRITABLE, text)
    where = f"{listener.host}:{listener.port}"
    setting = f"Choose another one with the setting '{listener.setting}'." if listener.setting else ""
    if error.errno == errno.EADDRINUSE:
        return Fatal(ExitStatus.PORT_IN_USE, f"Port {listener.port} on {listener.host} is in use already. {setting}")
    if error.errno == errno.EACCES:
        return Fatal(ExitStatus.FAILED, f"The system does not let this user listen on {where}. {setting}")
    return Fatal(ExitStatus.FAILED, f"Nobody can listen on {where} ({error.strerror}). {setting}")
