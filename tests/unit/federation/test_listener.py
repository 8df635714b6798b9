"""Who may link and who is sent away: old copies, blocked nodes, slow ones, too many strangers."""

from __future__ import annotations

import asyncio

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.services.ports import Candidate
from node.storage.peers import BLOCK
from node.wire import keys, s2s
from tests.links import identity
from tests.unit.federation.conftest import Town
from tests.unit.federation.proto_pair import hello
from tests.unit.federation.stranger import Simulate, Stranger, befriend, mallory


def test_an_older_copy_of_a_node_is_refused(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        newer = await Stranger.call(town, a, mallory(town, 2))
        newer.say(hello())
        await newer.hears_until(s2s.Ack)
        older = await Stranger.call(town, a, mallory(town, 1))
        [goaway] = await older.rest()
        assert isinstance(goaway, s2s.Goaway)
        assert goaway.reason == "superseded"
        assert s2s.decode_later(goaway.proof) == (mallory(town, 2).chain, mallory(town, 2).cert)
        row = a.db.view(lambda tx: a.peers.find(tx, newer_nid))
        assert row is not None
        assert row.incarnation == 2

    newer_nid = identity("mallory").nid
    simulate(story)


def test_a_node_from_an_old_backup_is_shown_its_later_state(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        now_s = town.clock.now_ms() // 1000
        a, b = await town.home("a", who=identity("a", incarnation=2, now_s=now_s)), await town.home("b")
        await a.knows(b)
        await b.knows(a, url=False)
        await a.federation.reach(b.nid)
        await town.stop(a)
        old = await town.home("a", who=identity("a", incarnation=1, now_s=now_s), life="backup")
        await old.knows(b)
        with pytest.raises(Rejected) as refused:
            await old.federation.reach(b.nid)
        assert refused.value.detail["reason"] == "superseded"
        [(chain, cert)] = old.hints.shown
        assert keys.check_identity(chain, cert, now_s=now_s).incarnation == 2

    simulate(story)


def test_a_second_op_key_at_one_incarnation_is_refused(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        first = await Stranger.call(town, a, mallory(town))
        first.say(hello())
        await first.hears_until(s2s.Ack)
        second = await Stranger.call(town, a, identity("mallory", copy="two", now_s=town.clock.now_ms() // 1000))
        assert await second.rest() == []

    simulate(story)


def test_a_blocked_node_is_told_and_not_served(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        pk = await befriend(town, a)
        await a.db.write(lambda tx: a.peers.set_policy(tx, pk, BLOCK))
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        peer.say(s2s.Msg(1, 1, b"x"))
        assert await peer.rest() == [s2s.Goaway("blocked", limits.BLOCKED_RETRY_S)]
        assert not a.noted()
        with pytest.raises(Rejected) as refused:
            await a.federation.reach(mallory(town).nid)
        assert refused.value.code is Code.NODE_BLOCKED

    simulate(story)


def test_strangers_have_a_number_of_links_together(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "STRANGERS_MAX", 2)
        a = await town.home("a")
        heard = []
        for name in ("x", "y", "z"):
            peer = await Stranger.call(town, a, identity(name, now_s=town.clock.now_ms() // 1000))
            peer.say(hello())
            heard.append(await peer.hears())
        assert isinstance(heard[0], s2s.Hello)
        assert isinstance(heard[1], s2s.Hello)
        assert heard[2] == s2s.Goaway("busy", limits.STRANGER_IDLE_S)

    simulate(story)


def test_a_slow_handshake_ends_and_half_open_ones_are_counted(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        sockets = [await town.street.open(Candidate(a.url, "test")) for _ in range(limits.HANDSHAKES_PER_NETWORK_MAX)]
        await asyncio.sleep(0.1)
        assert a.federation.listener.half_open == limits.HANDSHAKES_PER_NETWORK_MAX
        with pytest.raises(Rejected) as refused:
            a.federation.listener.admit("192.0.2.2")
        assert refused.value.code is Code.RATE_LIMITED
        before = town.loop.time()
        assert await sockets[0].receive() is None
        assert town.loop.time() - before < limits.HANDSHAKE_S + 1
        await asyncio.sleep(1)
        assert a.federation.listener.half_open == 0
        a.federation.listener.admit("192.0.2.2")

    simulate(story)


def test_a_stopping_node_says_so(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        a.federation.stop()
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("restarting", limits.LINK_RETRY_S)
        with pytest.raises(Rejected) as refused:
            a.federation.listener.admit("192.0.2.2")
        assert refused.value.code is Code.UPGRADING

    simulate(story)
