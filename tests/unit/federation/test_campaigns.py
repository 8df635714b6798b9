"""A peer for whom something waits is dialled until it is there: no farewell, fault or restart leaves it to chance."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.federation.campaigns import Campaigns
from node.federation.session import Session
from node.runtime.entropy import SeededEntropy
from node.storage.database import Tx
from node.storage.outbox import Run
from node.storage.peers import BLOCK, OPEN, Peer, PeerRow
from node.wire import s2s
from tests.links import Home
from tests.unit.federation.conftest import Town
from tests.unit.federation.proto_pair import hello
from tests.unit.federation.stranger import Simulate, Stranger, mallory


def row_of(home: Home, nid: NodeId) -> PeerRow:
    row = home.db.view(lambda tx: home.peers.find(tx, nid))
    assert row is not None
    return row


async def set_policy(home: Home, other: Home, policy: str) -> None:
    pk = row_of(home, other.nid).pk
    await home.db.write(lambda tx: home.peers.set_policy(tx, pk, policy))


def test_what_was_under_way_when_the_peer_closed_an_idle_link_is_sent_on_the_next(simulate: Simulate) -> None:
    """Nobody dialled again: an idle link is not missed, and the item had woken a link that was there."""

    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1")
        await b.until(b.noted)
        b.federation._links[a.nid].end("idle")
        await a.post(b, b"2")
        await b.until(lambda: len(b.noted()) == 2)

    simulate(story)


def test_an_idle_link_that_nobody_needs_stays_closed(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1")
        await a.until(lambda: not a.waiting())
        b.federation._links[a.nid].end("idle")
        await asyncio.sleep(300)
        assert not a.federation.dialling
        assert not a.federation.linked(b.nid)

    simulate(story)


def test_what_waits_for_a_node_that_blocked_us_goes_out_when_it_does_no_longer(
    simulate: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "BLOCKED_RETRY_S", 900)
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a, url=False)
        await a.post(b, b"1")
        await b.until(b.noted)
        await set_policy(b, a, BLOCK)
        b.federation.drop(a.nid, "blocked")
        await a.post(b, b"2")
        await asyncio.sleep(60)
        await set_policy(b, a, OPEN)  # and b has no address of a
        await asyncio.sleep(2 * limits.DIAL_WANTED_S)
        await b.until(lambda: len(b.noted()) == 2, patience_s=2 * limits.BLOCKED_RETRY_S + 60)

    simulate(story)


def test_a_dial_that_ends_with_a_farewell_is_noted_with_its_word(simulate: Simulate) -> None:
    """The peers page said nothing: the address answered, so the dial counted as a success."""

    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a, url=False)
        await set_policy(b, a, BLOCK)
        await a.post(b, b"1")
        await a.until(lambda: row_of(a, b.nid).dial_error)
        assert row_of(a, b.nid).dial_error == "closed: blocked"
        await set_policy(b, a, OPEN)
        await a.federation.reach(b.nid)
        await a.until(lambda: not row_of(a, b.nid).dial_error)

    simulate(story)


def test_addresses_that_rest_do_not_hide_why_they_failed(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await town.stop(b)
        await a.post(b, b"1")
        for _ in range(40):
            await asyncio.sleep(20)
            assert row_of(a, b.nid).dial_error.startswith("refused: ")

    simulate(story)


@pytest.mark.slow
def test_news_of_a_peer_end_the_rest_of_the_addresses_where_it_was(simulate: Simulate) -> None:
    """A neighbour that came back to its old address was heard of at once, and dialled up to ten minutes later."""

    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await town.stop(b)
        await a.post(b, b"1")
        await asyncio.sleep(3 * 3600)
        b = await town.home("b", life="new disk")
        a.federation.nudge(b.nid)
        before = town.loop.time()
        await b.until(b.noted)
        assert town.loop.time() - before < 2

    simulate(story)


@pytest.mark.parametrize("asked", [False, True], ids=["a wait of our own", "a wait that the peer asked for"])
def test_something_new_for_a_peer_ends_a_long_wait_of_our_own(simulate: Simulate, *, asked: bool) -> None:
    """A peer that came back behind a router cannot dial us: what people wrote then waited up to an hour."""

    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        dials = list[float]()

        async def dial(nid: NodeId) -> Session:
            dials.append(town.clock.monotonic())
            raise Rejected(Code.PEER_UNREACHABLE, "Nobody is there.")

        campaigns = Campaigns(
            clock=town.clock, entropy=SeededEntropy("x"), spawn=a.federation._spawn, worth=lambda nid: row_of(a, nid),
            linked=lambda nid: False, dial=dial,
        )  # fmt: skip
        campaigns.begin(b.nid, delay_s=7200.0 if asked else 0.0)
        await asyncio.sleep(2 * 3600 - 60)
        campaigns._running[b.nid].backoff.failures = 20
        while (
            dials and town.clock.monotonic() - dials[-1] < limits.DIAL_WANTED_S
        ):  # a long wait, and some of it is over
            campaigns.begin(b.nid)
            await asyncio.sleep(1)
        before = len(dials)
        campaigns.begin(b.nid)
        await asyncio.sleep(1)
        assert len(dials) == (0 if asked else before + 1)

    simulate(story)


def test_a_fault_of_one_dial_ends_neither_its_campaign_nor_the_links_of_others(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b, c = await town.home("a"), await town.home("b"), await town.home("c")
        await a.knows(b)
        await a.knows(c)
        await a.post(c, b"1")
        await c.until(c.noted)
        finds = a.federation._resolver.find

        def broken(**asked: object) -> object:
            raise ZeroDivisionError

        a.federation._resolver.find = broken  # type: ignore[assignment, method-assign]
        await a.post(b, b"1")
        await asyncio.sleep(5)
        assert a.federation.linked(c.nid)
        assert a.federation.dialling == [b.nid]
        a.federation._resolver.find = finds  # type: ignore[method-assign]
        await b.until(b.noted)

    simulate(story)


def test_a_fault_of_one_link_ends_no_other(simulate: Simulate) -> None:
    """It ended the whole service, and with it the links of everybody, until that began anew."""

    async def story(town: Town) -> None:
        a, b, c = await town.home("a"), await town.home("b"), await town.home("c")
        await a.knows(b)
        await a.knows(c)
        await a.post(c, b"1")
        await c.until(c.noted)
        outbox, pk, faults = a.federation._desk.outbox, row_of(a, b.nid).pk, [1]
        peek = outbox.peek

        def broken(tx: Tx, peer_pk: int) -> Run | None:
            if peer_pk == pk and faults:
                faults.pop()
                raise ZeroDivisionError
            return peek(tx, peer_pk)

        outbox.peek = broken  # type: ignore[method-assign]
        link = a.federation._links[c.nid]
        await a.post(b, b"1")
        await b.until(b.noted)
        assert not faults
        assert a.federation._links[c.nid] is link
        assert link.up

    simulate(story)


def test_a_service_that_starts_again_dials_those_it_was_about_to_dial(simulate: Simulate) -> None:
    """A task that is cancelled before its first step runs no `finally`: its campaign stayed in the table, and none could begin."""

    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1")
        assert a.federation.dialling == [b.nid]
        task = town._tasks[a.url]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        town._tasks[a.url] = town.loop.create_task(a.federation.run(lambda: None))
        await b.until(b.noted)

    simulate(story)


def test_a_campaign_whose_task_never_ran_is_forgotten(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        nid = NodeId(bytes(32))
        spawned = list[asyncio.Task[None]]()

        def spawn(work: Coroutine[None, None, None]) -> None:
            spawned.append(asyncio.get_running_loop().create_task(work))

        async def dial(nid: NodeId) -> Session:
            raise AssertionError

        campaigns = Campaigns(
            clock=town.clock,
            entropy=SeededEntropy("x"),
            spawn=spawn,
            worth=lambda nid: None,
            linked=lambda nid: False,
            dial=dial,
        )
        campaigns.begin(nid)
        spawned[0].cancel()
        await asyncio.sleep(1)
        assert campaigns.peers == [nid]
        campaigns.forget()
        campaigns.begin(nid)
        await spawned[1]
        assert not campaigns.peers

    simulate(story)


def test_a_stranger_that_is_forgotten_while_it_comes_back_is_not_called_blocked(simulate: Simulate) -> None:
    """It would have stayed away for a day."""

    async def story(town: Town) -> None:
        a = await town.home("a")
        prove = a.federation._gate.prove

        async def forgotten(*given: object, **more: object) -> Peer:
            peer = await prove(*given, **more)  # type: ignore[arg-type]

            def forget(tx: Tx) -> None:
                a.peers.forget_stranger(tx, peer.pk)

            await a.db.write(forget)
            return peer

        a.federation._gate.prove = forgotten  # type: ignore[method-assign]
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        assert await peer.rest() == [s2s.Goaway("duplicate", 1)]

    simulate(story)


def test_a_stranger_that_calls_again_at_once_is_served(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        for _ in range(10):
            peer = await Stranger.call(town, a, mallory(town))
            peer.say(hello())
            assert await peer.hears_until(s2s.Ack) is not None
            peer.socket.close()
            again = await Stranger.call(town, a, mallory(town))
            again.say(hello())
            last = await again.hears_until(s2s.Ack)
            assert last is not None or again.socket.over
            again.socket.close()
            await asyncio.sleep(1)
        assert a.db.view(a.peers.all) == []

    simulate(story)
