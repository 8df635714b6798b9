"""The client of ``admin.sock`` against a small server: what it sends, and that it never hangs or crashes on an answer."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import msgspec
import pytest

from node.base.errors import Code, LocalError, Rejected
from node.client.admin import AdminClient, NotRunning
from node.wire import api

INFO = api.account.NodeInfo(name="Casa", domain="", node="a" * 52, version="0", registration="invite", setup="done")
Answer = tuple[int, bytes]
Serve = Callable[[Answer], list[tuple[str, str, dict[str, str], bytes]]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Answers every request alike, and notes them."""
    answer: list[Answer] = []
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append((self.command, self.path, dict(self.headers), body))
            status, content = answer[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _reply  # noqa: N815 - the names http.server looks for

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "admin.sock"), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def start(reply: Answer) -> list[tuple[str, str, dict[str, str], bytes]]:
        answer[:] = [reply]
        return seen

    yield start
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_question_and_its_answer(tmp_path: Path, serve: Serve) -> None:
    seen = serve((200, msgspec.json.encode(INFO)))
    assert AdminClient(tmp_path).get("/node", api.account.NodeInfo) == INFO
    method, path, headers, body = seen[0]
    assert (method, path, body) == ("GET", "/api/v1/node", b"")
    assert "X-Startalk" not in headers


def test_changes_carry_the_header_that_pages_elsewhere_cannot_send(tmp_path: Path, serve: Serve) -> None:
    seen = serve((200, b"{}"))
    admin = AdminClient(tmp_path)
    admin.post("/logout", api.base.Empty(), api.base.Empty, token="secret")
    admin.patch("/me", api.account.ChangeMe(name="x"), api.base.Empty)
    assert [(method, headers["X-Startalk"]) for method, _, headers, _ in seen] == [("POST", "1"), ("PATCH", "1")]
    assert seen[0][2]["Authorization"] == "Bearer secret"
    assert "Authorization" not in seen[1][2]
    assert msgspec.json.decode(seen[1][3])["name"] == "x"


def test_a_refusal_is_the_node_s_own(tmp_path: Path, serve: Serve) -> None:
    problem = api.base.Problem(code="rate_limited", text="Slow down.", detail={"retry_after_s": 3})
    serve((429, msgspec.json.encode(api.base.Failure(error=problem))))
    with pytest.raises(Rejected) as refusal:
        AdminClient(tmp_path).get("/node", api.account.NodeInfo)
    assert (refusal.value.code, refusal.value.text) == (Code.RATE_LIMITED, "Slow down.")
    assert refusal.value.detail == {"retry_after_s": 3}


def test_a_code_of_a_newer_node_is_kept_as_a_sentence(tmp_path: Path, serve: Serve) -> None:
    serve((400, msgspec.json.encode(api.base.Failure(error=api.base.Problem(code="brand_new", text="Do this.")))))
    with pytest.raises(Rejected, match="Do this") as refusal:
        AdminClient(tmp_path).get("/node", api.account.NodeInfo)
    assert refusal.value.code is Code.INTERNAL


@pytest.mark.parametrize(
    "answer",
    [(200, b""), (200, b"<html>"), (200, b"[]"), (404, b"nothing"), (500, b"{}")],
    ids=str,
)
def test_an_answer_nobody_expects_is_one_sentence(tmp_path: Path, serve: Serve, answer: Answer) -> None:
    serve(answer)
    with pytest.raises(LocalError, match="unexpected"):
        AdminClient(tmp_path).get("/node", api.account.NodeInfo)


def test_bad_health_is_told_and_not_raised(tmp_path: Path, serve: Serve) -> None:
    health = api.admin.Health(status="read_only", reason="The disk is full.", version="0", uptime_s=1)
    serve((503, msgspec.json.encode(health)))
    assert AdminClient(tmp_path).health() == health


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        AdminClient(tmp_path).health()


def test_a_socket_that_a_crash_left_behind(tmp_path: Path) -> None:
    server = socketserver.UnixStreamServer(str(tmp_path / "admin.sock"), BaseHTTPRequestHandler)
    server.server_close()
    with pytest.raises(NotRunning):
        AdminClient(tmp_path).health()


def test_a_path_too_long_for_a_socket_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="too long"):
        AdminClient(tmp_path / ("x" * 120)).health()
