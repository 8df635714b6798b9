"""The links of a node in virtual time: who is dialled and why, which of two links stays, who is reached."""

from __future__ import annotations

import asyncio

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.storage.database import Tx
from node.storage.peers import ALLOW, BLOCK, OPEN
from node.wire import s2s
from tests.links import Home, identity
from tests.unit.federation.conftest import Town
from tests.unit.federation.proto_pair import hello
from tests.unit.federation.stranger import Simulate, Stranger, mallory


def test_both_dial_at_once_and_one_link_stays(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a)
        await asyncio.gather(a.post(b, b"1"), b.post(a, b"2"))
        await a.until(lambda: a.noted() and b.noted() and not a.waiting() and not b.waiting())
        await asyncio.sleep(30)
        for here, there in ((a, b), (b, a)):
            [link] = here.federation.open_links()
            assert link.dialled is (here.nid < there.nid)
            assert here.inbox.links == [("linked", there.nid)], "services see one link, whatever happens below"

    simulate(story)


def test_after_a_restart_the_backlog_goes_out_by_itself(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await town.stop(b)
        await a.post(b, *(b"%d" % n for n in range(100)))
        await town.stop(a)
        b = await town.home("b")
        a = await town.home("a")
        before = town.loop.time()
        await b.until(lambda: len(b.noted()) == 100)
        assert town.loop.time() - before < 5

    simulate(story)


@pytest.mark.slow
def test_a_peer_that_comes_back_after_hours_does_not_wait_for_a_back_off(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a)
        await a.post(b, b"first")
        await b.until(b.noted)
        await town.stop(b)
        await a.post(b, b"while away")
        await asyncio.sleep(3 * 3600)
        assert a.federation.dialling == [b.nid]
        b = await town.home("b")
        before = town.loop.time()
        await b.until(lambda: len(b.noted()) == 2)
        assert town.loop.time() - before < 5, "b dials whoever it was linked with, and a has something for it"

    simulate(story)


@pytest.mark.slow
def test_news_about_a_peer_ends_the_wait(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await town.stop(b)
        await a.post(b, b"x")
        await asyncio.sleep(3 * 3600)
        row = a.db.view(lambda tx: a.peers.find(tx, b.nid))
        assert row is not None
        assert "ConnectionRefused" in row.dial_error or "b.test" in row.dial_error
        b = await town.home("b", life="new disk")
        a.federation.nudge()
        before = town.loop.time()
        await b.until(b.noted)
        assert town.loop.time() - before < 2

    simulate(story)


@pytest.mark.slow
def test_a_link_is_made_anew_every_day(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "LINK_AGE_S", 600)
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a)
        await a.post(b, b"x")
        await b.until(b.noted)
        before = a.federation._links[b.nid]
        await asyncio.sleep(limits.LINK_AGE_S + 60)
        assert a.federation._links[b.nid] is not before
        assert a.inbox.links == [("linked", b.nid)] * 2  # no moment without a link
        await a.post(b, b"y")
        await b.until(lambda: len(b.noted()) == 2)

    simulate(story)


@pytest.mark.slow
def test_a_link_that_died_in_silence_is_found_by_the_heartbeat(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"x")
        await b.until(b.noted)
        [(socket, _)] = [pair for pair in town.street.open_sockets if not pair[0].over]
        socket.cut(ours=False, theirs=False)
        await a.post(b, b"y")
        before = town.loop.time()
        await b.until(lambda: b"y" in b.noted(), patience_s=200)
        assert town.loop.time() - before < 4 * limits.HEARTBEAT_S

    simulate(story)


def test_a_peer_that_lost_its_network_is_back_within_seconds(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        names = sorted("ab", key=lambda name: identity(name).nid)
        small, large = await town.home(names[0]), await town.home(names[1])
        await small.knows(large)
        await large.knows(small)
        await small.post(large, b"x")
        await large.until(large.noted)
        [(socket, _)] = [pair for pair in town.street.open_sockets if not pair[0].over]
        socket.cut(ours=False, theirs=True)  # the one that was dialled notices; the other one keeps a dead link
        await large.post(small, b"y")
        before = town.loop.time()
        await small.until(small.noted)
        assert town.loop.time() - before < 3 * limits.LINK_PROBE_S

    simulate(story)


def test_an_idle_stranger_is_sent_away_and_forgotten(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        before = town.loop.time()
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("idle")
        assert limits.STRANGER_IDLE_S <= town.loop.time() - before < limits.STRANGER_IDLE_S + 5
        await asyncio.sleep(1)
        assert a.db.view(a.peers.all) == []

    simulate(story)


def test_reach_says_who_is_there_or_why_not(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        with pytest.raises(Rejected) as refused:
            await a.federation.reach(b.nid)
        assert refused.value.code is Code.PEER_UNREACHABLE
        await a.knows(b)
        assert await a.federation.reach(b.nid) == b.nid
        assert await a.federation.reach(b.nid) == b.nid
        await a.db.write(lambda tx: a.peers.pin_domain(tx, "b.test", b.nid, 1, "test"))
        assert await a.federation.reach(None, domain="b.test") == b.nid
        for nid, domain in ((None, "unknown.test"), (a.nid, "")):
            with pytest.raises(Rejected):
                await a.federation.reach(nid, domain=domain)

    simulate(story)


def test_reach_finds_another_identity_at_the_address(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        c = identity("c")

        def note(tx: Tx) -> None:
            pk = a.peers.ensure(tx, c.nid, 1).pk
            a.peers.address_ok(tx, pk, b.url, "typed", 1, tls=False)

        await a.db.write(note)
        with pytest.raises(Rejected) as refused:
            await a.federation.reach(c.nid)
        assert refused.value.code is Code.PEER_UNREACHABLE
        assert not a.federation.open_links()

    simulate(story)


def test_several_who_want_the_same_node_make_one_link(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        assert await asyncio.gather(*(a.federation.reach(b.nid) for _ in range(10))) == [b.nid] * 10
        assert len(a.hints.hellos) == 1
        assert not a.federation._reaching

    simulate(story)


def test_two_nodes_that_reach_for_each_other_meet(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a)
        met = await asyncio.gather(a.federation.reach(b.nid), b.federation.reach(a.nid))
        assert tuple(met) == (b.nid, a.nid)

    simulate(story)


def test_where_only_allowed_nodes_are_talked_to_the_others_are_sent_away(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b, c = await town.home("a"), await town.home("b"), await town.home("c")
        for home in (b, c):
            await a.knows(home)
            await home.knows(a)
        await a.db.write(lambda tx: a.peers.set_policy(tx, pk_of(a, b, tx), ALLOW))
        await a.post(b, b"1")
        await a.post(c, b"1")
        await a.until(lambda: b.noted() and c.noted())
        a.allowed_only = True
        await a.until(lambda: not a.federation.linked(c.nid))
        assert a.federation.linked(b.nid)
        await c.post(a, b"2")
        await asyncio.sleep(60)
        assert not a.noted()
        with pytest.raises(Rejected) as refused:
            await a.federation.reach(c.nid)
        assert refused.value.code is Code.NODE_BLOCKED
        with pytest.raises(Rejected):
            await a.federation.reach(identity("nobody knows", now_s=0).nid)
        await a.federation.reach(c.nid, admit=True)
        c.federation.nudge(a.nid)
        await a.until(a.noted)

    simulate(story)


def test_admitting_does_not_lift_a_block(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        a.allowed_only = True
        await a.db.write(lambda tx: a.peers.set_policy(tx, pk_of(a, b, tx), BLOCK))
        with pytest.raises(Rejected) as refused:
            await a.federation.reach(b.nid, admit=True)
        assert refused.value.code is Code.NODE_BLOCKED

    simulate(story)


def test_a_node_that_is_no_longer_allowed_loses_its_link(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        a.allowed_only = True
        await a.federation.reach(b.nid, admit=True)
        await a.db.write(lambda tx: a.peers.set_policy(tx, pk_of(a, b, tx), OPEN))
        a.federation.nudge(b.nid)
        await a.until(lambda: not a.federation.linked(b.nid))

    simulate(story)


def pk_of(home: Home, other: Home, tx: Tx) -> int:
    row = home.peers.find(tx, other.nid)
    assert row is not None
    return row.pk
