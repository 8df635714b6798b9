"""``startalk peer`` beside a node that answers from a script: what is asked of it, and what people see."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from node.base.errors import ExitStatus
from node.base.ids import NodeId, format_node
from node.cli.peer import _ago, _clock, _duration
from node.client.admin import BASE, SOCKET

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Startalk

BOB, BELLA, CAROL = (format_node(NodeId(raw)) for raw in (bytes(32), bytes(31) + b"\x80", b"\x42" * 32))
WORDS: Final = "one two three four five six seven eight nine ten eleven twelve"


def peer(node: str, **more: Any) -> dict[str, Any]:
    return {
        "node": node, "domain": "", "domain_state": "", "policy": "open", "state": "offline", "path": "", "seen_ms": 0,
        "rtt_ms": None, "skew_ms": 0, "queue_rows": 0, "queue_bytes": 0, "under_way": 0, "refused": 0, "rotations": 0,
        "incarnation": 1, "dialled_ms": 0, "dial_cause": "", "dial_error": "", "addresses": [], "safety": WORDS, **more,
    }  # fmt: skip


class Script(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The admin socket of a node that knows three others. `asked` is what was changed or measured."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Answering)
        self.asked: list[tuple[str, str, Any]] = []
        self.peers = [
            peer(BOB, domain="b.example", domain_state="verified", state="linked", path="out wss://b.example/s2s", rtt_ms=4.25,
                 skew_ms=-7_200_000, queue_rows=3, queue_bytes=2048, refused=1),
            peer(BELLA, dial_error="connection refused"),
            peer(CAROL, policy="block", domain="c.example", domain_state="claimed", seen_ms=1),
        ]  # fmt: skip
        self.steps = [
            {"source": "well-known", "url": "", "cause": "", "text": "names it", "fine": True, "at_ms": 1.0, "took_ms": 0.0},
            {"source": "domain", "url": "wss://b.example/s2s", "cause": "", "text": "the node answers here", "fine": True, "at_ms": 2.0,
             "took_ms": 1500.0},
        ]  # fmt: skip

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if (method, path) == ("GET", "/admin/peers"):
            return 200, {"peers": self.peers}
        if method != "GET":
            self.asked.append((method, path, body))
        if path == "/admin/trace":
            return 200, {"node": BOB, "steps": self.steps}
        if path.endswith("/ping"):
            return 200, {"rtt_ms": 2.0}
        if path == "/admin/peers" and body == {"address": "nobody.example"}:
            text = "This domain does not say which node it has."
            return 502, {"error": {"code": "peer_unreachable", "text": text}}
        return 200, next((one for one in self.peers if one["node"] in path), self.peers[0])


class Answering(BaseHTTPRequestHandler):
    server: Script

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, content = self.server.answer(
            self.command, self.path.removeprefix(BASE), json.loads(sent) if sent else None
        )
        raw = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - their names

    def address_string(self) -> str:
        return "admin"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """Quiet."""


@pytest.fixture
def script(data: Path) -> Iterator[Script]:
    data.mkdir()
    with Script(data / SOCKET) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_list(startalk: Startalk, script: Script) -> None:
    said = startalk("peer", "list")
    assert said.status == 0, said.err
    head, bob, bella, carol = said.out.splitlines()
    assert head.split("  ")[0] == "STATE"
    assert bob.split()[:3] == ["linked", "b.example", BOB[:12]]
    for part in ("we dialled wss://b.example/s2s", "now", "4.2 ms", "2 h behind", "3 (2 KiB)"):
        assert part in bob, part
    assert bella.split()[0] == "offline"
    assert "never" in bella
    assert bella.endswith("connection refused")
    assert carol.startswith("blocked")
    assert "c.example (claimed)" in carol
    script.peers = []
    assert startalk("peer", "list").out == "No other node is known here.\n"


def test_json(startalk: Startalk, script: Script) -> None:
    assert [one["node"] for one in json.loads(startalk("peer", "list", "--json").out)] == [BOB, BELLA, CAROL]
    assert json.loads(startalk("peer", "add", "b.example", "--json").out)["safety"] == WORDS
    assert json.loads(startalk("peer", "ping", "b.example", "-n", "2", "--json").out)["rtt_ms"] == [2.0, 2.0]
    assert json.loads(startalk("peer", "trace", "b.example", "--json").out)["steps"] == script.steps


def test_add_prints_the_words(startalk: Startalk, script: Script) -> None:
    said = startalk("peer", "add", "bob@b.example")
    assert said.status == 0, said.err
    assert script.asked == [("POST", "/admin/peers", {"address": "bob@b.example"})]
    assert f"b.example answers: {BOB}" in said.out
    assert said.out.split()[-12:] == WORDS.split()


def test_add_says_why_not(startalk: Startalk, script: Script) -> None:
    said = startalk("peer", "add", "nobody.example")
    assert (said.status, said.err) == (
        ExitStatus.FAILED, "startalk: This domain does not say which node it has.\n",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["c.example", CAROL, CAROL[:8], CAROL[:8].upper()])
def test_a_node_has_several_names(startalk: Startalk, script: Script, name: str) -> None:
    said = startalk("peer", "unblock", name, "--yes")
    assert said.status == 0, said.err
    assert script.asked == [("PATCH", f"/admin/peers/{CAROL}", {"policy": "open"})]


def test_block(startalk: Startalk, script: Script) -> None:
    said = startalk("peer", "block", "b.example", "--yes")
    assert (said.status, said.out) == (0, "b.example is blocked.\n")
    assert script.asked == [("PATCH", f"/admin/peers/{BOB}", {"policy": "block"})]


def test_allow(startalk: Startalk, script: Script) -> None:
    said = startalk("peer", "allow", "b.example")
    assert (said.status, said.out) == (0, "b.example is allowed.\n")
    assert script.asked == [("PATCH", f"/admin/peers/{BOB}", {"policy": "allow"})]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("block", "b.example"), "--yes"),
        (("block", BOB[:8], "--yes"), "fits 2 nodes"),
        (("block", "d.example", "--yes"), "No node called"),
        (("ping", "aa"), "No node called"),
    ],
)
def test_refused_before_anything_is_changed(
    startalk: Startalk, script: Script, arguments: tuple[str, ...], says: str
) -> None:
    said = startalk("peer", *arguments)
    assert (said.status, says in said.err) == (ExitStatus.FAILED, True)
    assert not script.asked


def test_ping(startalk: Startalk, script: Script) -> None:
    said = startalk("peer", "ping", "b.example", "--count", "3")
    assert said.status == 0, said.err
    assert [path for _, path, _ in script.asked] == [f"/admin/peers/{BOB}/dial", *[f"/admin/peers/{BOB}/ping"] * 3]
    assert said.out.count("2.0 ms") == 6
    assert "least 2.0 ms" in said.out


def test_trace(startalk: Startalk, script: Script) -> None:
    said = startalk("peer", "trace", "b.example")
    assert said.status == 0, said.err
    assert "1.50 s" in said.out
    assert "It can be reached." in said.out
    script.steps[1]["fine"] = False
    said = startalk("peer", "trace", CAROL[:8])
    assert said.status == ExitStatus.FAILED
    assert "It answered nowhere." in said.out
    assert script.asked[-1] == ("POST", "/admin/trace", {"address": CAROL})


def test_without_a_running_node(startalk: Startalk) -> None:
    for verb in (["list"], ["add", "b.example"], ["block", "b.example", "--yes"], ["ping", "b.example"]):
        said = startalk("peer", *verb)
        assert said.status == ExitStatus.FAILED
        assert "No node answers" in said.err


def test_times() -> None:
    assert [_ago(ms, 200_000_000) for ms in (0, 199_999_500, 199_900_000, 190_000_000, 1)] == [
        "never", "0 s ago", "1 min ago", "2 h ago", "2 d ago",
    ]  # fmt: skip
    assert [_clock(ms) for ms in (999, -999, 1_000, -61_000)] == ["", "", "1 s ahead", "1 min behind"]
    assert [_duration(ms) for ms in (0.04, 999, 1_000)] == ["0.0 ms", "999.0 ms", "1.00 s"]
