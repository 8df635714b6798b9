"""The node's own HTTP API over ``admin.sock``, for the command line: as the node's owner, without a password.

Who may open the socket (mode 0600) owns the node's files anyway. Plain and blocking, on the standard library: a verb
makes a few requests one after the other and should start at once.
"""

from __future__ import annotations

import http.client
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from node.base.errors import Code, LocalError, Rejected
from node.wire import api

SOCKET: Final = "admin.sock"
BASE: Final = "/api/v1"
TIMEOUT_S: Final = 40.0  # a password hash on a small machine takes a second, an unreachable node half a minute
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
T = TypeVar("T")


class NotRunning(LocalError):
    """Nobody listens on the socket."""


class AdminClient:
    """Requests to the node that runs on a data directory."""

    def __init__(self, data: Path) -> None:
        self._path = data / SOCKET

    def get(self, path: str, answer: type[T]) -> T:
        """GET of ``/api/v1`` + `path`. Raises Rejected (as the node refused), NotRunning, LocalError."""
        return self._call("GET", path, None, answer)

    def post(self, path: str, body: msgspec.Struct, answer: type[T], *, token: str = "") -> T:
        """POST, as above; with `token` as that session instead of the owner."""
        return self._call("POST", path, body, answer, token)

    def patch(self, path: str, body: msgspec.Struct, answer: type[T]) -> T:
        """PATCH, as above."""
        return self._call("PATCH", path, body, answer)

    def health(self) -> api.admin.Health:
        """What ``/health`` says, also when that is bad news. Raises NotRunning, LocalError."""
        _, content = self._exchange("GET", "/health", b"", "")
        return _decode(content, api.admin.Health)

    # --- other nodes ------------------------------------------------------------------------------------

    def peers(self) -> list[api.peers.Peer]:
        """Every node that is known there, linked ones first."""
        return self.get("/admin/peers", api.peers.Peers).peers

    def peer(self, node: str) -> api.peers.Peer:
        """One of them, with its addresses and safety words. Raises Rejected with `not_found`."""
        return self.get(f"/admin/peers/{node}", api.peers.Peer)

    def meet(self, address: str) -> api.peers.Peer:
        """Connects to the node of a domain, address, id or link. Raises Rejected."""
        return self.post("/admin/peers", api.people.Meet(address=address), api.peers.Peer)

    def dial(self, node: str) -> api.peers.Peer:
        """Connects to a known node. Raises Rejected."""
        return self.post(f"/admin/peers/{node}/dial", api.base.Empty(), api.peers.Peer)

    def set_policy(self, node: str, policy: Literal["open", "allow", "block"]) -> api.peers.Peer:
        """Blocks a node or talks to it again. Raises Rejected."""
        return self.patch(f"/admin/peers/{node}", api.peers.ChangePeer(policy=policy), api.peers.Peer)

    def ping(self, node: str) -> float:
        """Milliseconds to a linked node and back. Raises Rejected with `peer_offline`."""
        return self.post(f"/admin/peers/{node}/ping", api.base.Empty(), api.peers.PingPeer).rtt_ms

    def trace(self, address: str) -> api.peers.Trace:
        """How the node of a domain, address, id or link is looked for. Raises Rejected."""
        return self.post("/admin/trace", api.people.Meet(address=address), api.peers.Trace)

    def reach(self) -> api.peers.Reach:
        """How the node looks from outside."""
        return self.get("/admin/reach", api.peers.Reach)

    def call_back(self) -> list[api.peers.CallBack]:
        """Whether linked nodes reach it."""
        return self.post("/admin/reach/call-back", api.base.Empty(), api.peers.CallBacks).calls

    def _call(self, method: str, path: str, body: msgspec.Struct | None, answer: type[T], token: str = "") -> T:
        sent = b"" if body is None else msgspec.json.encode(body)
        status, content = self._exchange(method, BASE + path, sent, token)
        if status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(content)
        return _decode(content, answer)

    def _exchange(self, method: str, target: str, body: bytes, token: str) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path)
        headers = {"Content-Type": "application/json", "X-Startalk": "1"} if method != "GET" else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, target, body=body or None, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(ANSWER_BYTES_MAX)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(f"No node answers at {self._path}.") from error
        except (OSError, http.client.HTTPException) as error:
            raise LocalError(f"The node at {self._path} does not answer properly ({error}).") from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a socket in the file system. Its host is only a name in the request."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Opens the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def _decode(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise LocalError(f"The node answered something unexpected ({error}); is it of another version?") from error


def _refusal(content: bytes) -> Rejected:
    problem = _decode(content, api.base.Failure).error
    code = Code(problem.code) if problem.code in set(Code) else Code.INTERNAL
    return Rejected(code, problem.text, **problem.detail)
