"""A hub that shows two histories: here really two live copies of one node, each with a follower of its own. Once the followers have a
link, they hold a proof, take nothing more from that hub, and their people see it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from node.client import Client
from node.storage import database, heads
from node.wire import exchange
from tests.cast import PASSWORD, Node, acquaint, group, hears, sees, stage


def _forget(data: Path, peer: Node) -> None:
    """The stopped node does not know any more where `peer` is, so it will not dial it."""
    with sqlite3.connect(data / database.FILE) as db:
        db.execute("DELETE FROM peer_addresses WHERE peer = (SELECT id FROM peers WHERE nid = ?)", (peer.nid,))
    db.close()


async def _again(stack: AsyncExitStack, node: Node, local: str) -> Client:
    return await stack.enter_async_context(Client.login(node.url, local=local, password=PASSWORD))


@pytest.mark.slow
async def test_followers_who_meet_prove_that_their_hub_lied(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(stage(tmp_path / "b"))
        c = await stack.enter_async_context(stage(tmp_path / "c"))
        bob, carol = await b.person("bob"), await c.person("carol")
        async with stage(tmp_path / "a") as a:
            await acquaint(a, b, c)
            room = await group(await a.person("alice"), bob, carol)
        shutil.copytree(tmp_path / "a", tmp_path / "copy", ignore=shutil.ignore_patterns("lock", "*.sock"))
        _forget(tmp_path / "a", c)
        _forget(tmp_path / "copy", b)
        one = await stack.enter_async_context(stage(tmp_path / "a"))
        other = await stack.enter_async_context(stage(tmp_path / "copy"))
        alice, double = await _again(stack, one, "alice"), await _again(stack, other, "alice")
        for follower, hub in ((b, one), (c, other)):
            await follower.forget_addresses(hub)
            await follower.learn(hub)
        await alice.say(room, "to Bob")
        await double.say(room, "to Carol")
        await hears(bob, room, "to Bob")
        await hears(carol, room, "to Carol")
        await b.node.federation.reach(c.nid)
        await sees(bob, lambda: bob.rooms[room].card.trouble == "forked")
        await sees(carol, lambda: carol.rooms[room].card.trouble == "forked")
        row = b.services.db.view(lambda tx: b.services.rooms.peek(tx, room))
        assert row is not None
        raw = b.services.db.view(lambda tx: heads.proof_of(tx, row.pk))
        assert raw is not None
        proof = exchange.decode_proof(raw)
        assert (proof.room, proof.hub) == (room, one.nid)
        assert proof.fork != proof.one.hash
