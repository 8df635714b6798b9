"""Two nodes over a real loopback WebSocket: what is put into an outbox has its effect on the other node once."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
import uvloop

from node.base import limits
from node.base.errors import Code, Rejected
from node.runtime import tls
from node.runtime.clock import SystemClock
from node.wire import s2s
from tests.cast import stage
from tests.links import home, identity


async def test_items_whispers_and_questions_both_ways(tmp_path: Path) -> None:
    async with home(tmp_path, "a") as a, home(tmp_path, "b", listening=False) as b:
        await b.knows(a)
        await b.post(a, *(b"%d" % n for n in range(300)))
        await a.until(lambda: len(a.noted()) == 300)
        assert a.noted() == [b"%d" % n for n in range(300)]
        await a.post(b, b"back")  # b does not listen: the link it made serves both ways
        await b.until(lambda: b.noted() == [b"back"])
        await b.until(lambda: b.waiting() == 0)
        assert a.federation.linked(b.nid)
        assert await a.federation.request(b.nid, "echo", b"!") == b"echo!"
        assert await b.federation.request(a.nid, "ping", b"x") == b"x"
        with pytest.raises(Rejected) as refused:
            await b.federation.request(a.nid, "refuse", b"")
        assert refused.value.code is Code.NOT_HUB
        assert a.federation.whisper(b.nid, "typing", b"...")
        await b.until(lambda: b.inbox.whispers)
        assert b.inbox.whispers == [("typing", b"...")]


async def _bound_to_tls(folder: Path) -> None:
    certificate = tls.Certificate.own(folder, domain="", clock=SystemClock())
    async with home(folder, "a", context=certificate.context) as a, home(folder, "b", listening=False) as b:
        a.leaf = tls.fingerprint(folder / tls.FILE)
        pk = await b.knows(a)
        await b.federation.reach(a.nid)
        [address] = b.db.view(lambda tx: b.peers.addresses(tx, pk))
        assert address.tls == 1
        await b.post(a, *(b"%d" % n for n in range(1000)))
        await a.until(lambda: len(a.noted()) == 1000)
        b.federation.drop(a.nid)
        a.leaf = None  # as if somebody in between ended TLS and went on without it
        with pytest.raises(Rejected) as refused:
            await b.federation.reach(a.nid)
        assert refused.value.code is Code.KEY_CHANGED


async def test_a_node_behind_tls_is_bound_to_its_certificate(tmp_path: Path) -> None:
    await _bound_to_tls(tmp_path)


def test_the_same_on_the_loop_of_production(tmp_path: Path) -> None:
    uvloop.run(_bound_to_tls(tmp_path))


async def test_another_identity_at_the_address(tmp_path: Path) -> None:
    async with home(tmp_path, "a") as a, home(tmp_path, "b", listening=False) as b:
        other = identity("c")
        await b.db.write(
            lambda tx: b.peers.address_ok(tx, b.peers.ensure(tx, other.nid, 1).pk, a.url, "typed", 1, tls=False)
        )
        with pytest.raises(Rejected) as refused:
            await b.federation.reach(other.nid)
        assert refused.value.code is Code.PEER_UNREACHABLE
        assert not b.federation.open_links()
        assert not a.federation.open_links()


async def test_a_peer_that_floods_and_does_not_read_is_bounded(tmp_path: Path) -> None:
    async with home(tmp_path, "a") as a, home(tmp_path, "b", listening=False) as b:
        await b.knows(a)
        await b.federation.reach(a.nid)
        big = bytes(200 * 1024)
        await b.post(a, *(b"%03d" % n + big for n in range(100)))  # 20 MB
        await a.until(lambda: len(a.noted()) == 100)
        assert [body[:3] for body in a.noted()] == [b"%03d" % n for n in range(100)]
        await b.until(lambda: not b.waiting())


class TestTheDoorOfTheWebServer:
    """``GET /s2s`` of a whole node."""

    async def test_a_link_comes_through(self, tmp_path: Path) -> None:
        (tmp_path / "house").mkdir()
        async with (
            stage(tmp_path / "house") as node,
            home(tmp_path, "b", clock=node.clock, listening=False) as b,
        ):
            nid = node.services.identity.nid
            url = node.url.replace("http", "ws") + s2s.PATH
            await b.db.write(
                lambda tx: b.peers.address_ok(tx, b.peers.ensure(tx, nid, 1).pk, url, "typed", 1, tls=False)
            )
            assert await b.federation.reach(nid) == nid
            assert await b.federation.request(nid, "ping", b"x") == b"x"
            assert node.node.federation.linked(b.nid)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 400),
            (
                {
                    "Upgrade": "websocket",
                    "Connection": "Upgrade",
                    "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
                },
                415,
            ),
        ],
        ids=["no upgrade", "no subprotocol"],
    )
    async def test_anything_else_is_refused_before_the_upgrade(
        self, tmp_path: Path, headers: dict[str, str], status: int
    ) -> None:
        async with (
            stage(tmp_path) as node,
            aiohttp.ClientSession() as client,
            client.get(node.url + s2s.PATH, headers=headers) as answer,
        ):
            assert answer.status == status

    async def test_one_address_begins_a_bounded_number_of_handshakes(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as node, aiohttp.ClientSession() as client:
            statuses = []
            for _ in range(limits.HANDSHAKES_PER_MIN + 1):
                async with client.get(node.url + s2s.PATH) as answer:
                    statuses.append(answer.status)
            assert statuses[-1] == 429
