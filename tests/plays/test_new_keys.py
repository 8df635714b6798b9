"""A node gets a new op key while posts of its people wait for another node: they are signed again and arrive once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from node.client import Client
from node.main import open_services
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from tests.cast import PASSWORD, acquaint, group, hears, sees, stage

pytestmark = pytest.mark.slow


async def test_what_waits_is_signed_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        async with stage(tmp_path / "b") as b:
            words = b.services.identity.phrase()
            a = await stack.enter_async_context(stage(tmp_path / "a"))
            await acquaint(a, b)
            alice, bob = await a.person("alice"), await b.person("bob")
            room = await group(alice, bob)
            await a.services.peer_book.set_policy(b.nid, "block")
            waiting = await bob.say(room, "before the new key")
            assert waiting.idx == 0
        config = Config(data=str(tmp_path / "b"), password_cost="small")
        services = open_services(config, clock=ManualClock(), entropy=SeededEntropy("new key"))
        services.identity.renew(words, entropy=SeededEntropy("new op key"))
        await services.close()
        await a.services.peer_book.set_policy(b.nid, "open")
        b = await stack.enter_async_context(stage(tmp_path / "b"))
        await b.learn(a)
        b.node.federation.nudge(a.nid)
        await hears(alice, room, "before the new key")
        again = await stack.enter_async_context(Client.login(b.url, local="bob", password=PASSWORD))
        await again.say(room, "and after")
        await hears(alice, room, "before the new key", "and after")
        await sees(again, lambda: not again.waiting)


async def test_an_identity_that_its_owner_ended_is_trusted_no_more(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(stage(tmp_path / "a"))
        async with stage(tmp_path / "b") as b:
            words = b.services.identity.phrase()
            await acquaint(a, b)
            alice, bob = await a.person("alice"), await b.person("bob")
            room = await group(alice, bob)
        config = Config(data=str(tmp_path / "b"), password_cost="small")
        services = open_services(config, clock=ManualClock(), entropy=SeededEntropy("end"))
        services.identity.revoke(words)
        await services.close()
        b = await stack.enter_async_context(stage(tmp_path / "b"))
        await a.forget_addresses(b)
        await b.learn(a)
        b.node.federation.wake(a.nid)
        async with asyncio.timeout(20):
            while a.services.peer_book.get(b.nid).policy != "block" or a.node.federation.linked(b.nid):
                await asyncio.sleep(0.02)
        assert a.services.peer_book.get(b.nid).domain_state == "revoked"
        again = await stack.enter_async_context(Client.login(b.url, local="bob", password=PASSWORD))
        assert (await again.say(room, "do you still hear me?")).idx == 0
        assert alice.rooms[room].texts() == []
