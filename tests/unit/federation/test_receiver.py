"""From the peer to the disk: poison, fences, new numberings of the peer, back-pressure, a disk in trouble."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from node.base import limits
from node.base.errors import Code
from node.wire import s2s
from tests.sim.loop import HOST
from tests.unit.federation.conftest import Town
from tests.unit.federation.proto_pair import hello
from tests.unit.federation.stranger import Simulate, Stranger, befriend, mallory


def test_poison_goes_to_quarantine_and_the_queue_goes_on(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1", b"bad rule", b"2", b"bad signature", b"3", b"bug", b"4")
        await b.until(lambda: len(b.noted()) == 4)
        await a.until(lambda: len(a.returned()) == 3)
        assert b.noted() == [b"1", b"2", b"3", b"4"]
        assert a.returned() == [
            (b"bad rule", Code.NOT_MEMBER),
            (b"bad signature", Code.BAD_REQUEST),
            (b"bug", Code.INTERNAL),
        ]
        kept = b.db.view(lambda tx: tx.all("SELECT seq, code, body FROM quarantine ORDER BY seq"))
        assert [row[0] for row in kept] == [2, 4, 6]

    simulate(story)


def test_of_two_links_with_the_same_numbers_one_is_fenced(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        pk = await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        peer.say(s2s.Msg(1, 1, b"once"))
        await a.until(a.noted)
        await a.db.write(
            lambda tx: tx.execute("UPDATE peer_in SET last = 5 WHERE peer = ?", (pk,))
        )  # another link wrote
        peer.say(s2s.Msg(2, 1, b"again"))
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("fenced", limits.LINK_RETRY_S)
        assert a.noted() == [b"once"]

    simulate(story)


def test_a_peer_numbers_anew_once_in_ten_minutes(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        for run, wait_s in ((b"run 0001", 0), (b"run 0002", 0), (b"run 0002", limits.LINK_NEW_RUN_S)):
            await asyncio.sleep(wait_s)
            peer = await Stranger.call(town, a, mallory(town))
            peer.say(hello(run_out=run))
            peer.say(s2s.Msg(1, 1, run))
            if run == b"run 0002" and not wait_s:
                assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("new_run", limits.LINK_NEW_RUN_S)
            else:
                await a.until(lambda run=run: run in a.noted())  # type: ignore[misc]
            peer.socket.close()
        assert a.noted() == [b"run 0001", b"run 0002"]

    simulate(story)


def test_one_that_sends_faster_than_the_disk_is_not_read(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "LINK_WAITING_MAX", 10)
        a = await town.home("a")
        await befriend(town, a)
        town.loop.slow_disk[HOST.get()] = 1.0
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        for seq in range(1, limits.LINK_CREDIT + 1):
            peer.say(s2s.Msg(seq, 1, b"%d" % seq))
        await asyncio.sleep(1)
        [session] = a.federation._links.values()
        assert len(session.receiver._waiting) <= 11
        town.loop.slow_disk.clear()
        await a.until(lambda: len(a.noted()) == limits.LINK_CREDIT)

    simulate(story)


def test_a_turn_at_the_writer_is_bounded_in_bytes(simulate: Simulate) -> None:
    """What waits together is split into turns; one item above a share is a turn by itself."""

    async def story(town: Town) -> None:
        a = await town.home("a")
        pk = await befriend(town, a)
        sizes = [limits.BATCH_PEER_BYTES // 4] * 9 + [3 * limits.BATCH_PEER_BYTES, 1, 1]
        town.loop.slow_disk[HOST.get()] = 1.0
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        peer.say(s2s.Msg(1, 1, b"holds the disk while the others come"))
        for seq, size in enumerate(sizes, start=2):
            peer.say(s2s.Msg(seq, 1, bytes(size)))
        steps = [0]

        def seen() -> bool:
            [[last]] = a.db.view(lambda tx: tx.all("SELECT max(last) FROM peer_in WHERE peer = ?", (pk,)))
            last = last or 0
            if last != steps[-1]:
                steps.append(last)
            return last == len(sizes) + 1

        while not seen():
            await asyncio.sleep(0.1)
        for before, after in pairwise(steps):
            turn = [1, *sizes][before:after]
            assert len(turn) == 1 or sum(turn) <= limits.BATCH_PEER_BYTES
        assert len(steps) == 7, "1, three, three, three, the large one, the rest"

    simulate(story)


def test_bodies_of_poison_are_kept_at_a_bounded_rate(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        body = b"bad" + bytes(limits.QUARANTINE_BURST_BYTES // 8 - 3)

        def kept() -> list[int]:
            return [row[0] for row in a.db.view(lambda tx: tx.all("SELECT length(body) FROM quarantine ORDER BY id"))]

        for seq in range(1, 11):
            peer.say(s2s.Msg(seq, 1, body))
        await a.until(lambda: len(kept()) == 10)
        assert kept() == [len(body)] * 8 + [0, 0], "that it came, and why it was refused, is kept of all"
        await asyncio.sleep(len(body) / limits.QUARANTINE_BYTES_PER_S + 1)
        peer.say(s2s.Msg(11, 1, body))
        await a.until(lambda: len(kept()) == 11)
        assert kept()[-1] == len(body)

    simulate(story)


@pytest.mark.parametrize("who", ["known", "stranger"])
def test_whoever_is_of_no_use_is_slowed(simulate: Simulate, who: str) -> None:
    """A friend that sends poison, and a stranger that sends anything; what a friend sends is taken as it comes."""

    async def story(town: Town) -> None:
        a = await town.home("a")
        if who == "known":
            await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        more = limits.LINK_USELESS_PER_S

        async def acked(seq: int) -> None:
            cum = 0
            while cum < seq:
                heard = await peer.hears_until(s2s.Ack)
                assert isinstance(heard, s2s.Ack)
                cum = heard.cum

        async def send(first: int, number: int, body: bytes) -> float:
            began = town.loop.time()
            for seq in range(first, first + number):
                peer.say(s2s.Msg(seq, 1, body))
                if not seq % 64:
                    await acked(seq)
            await acked(first + number - 1)
            return town.loop.time() - began

        burst, useless = limits.LINK_USELESS_BURST, b"bad" if who == "known" else b"anything"
        quick = await send(1, burst, useless)
        slow = await send(burst + 1, more, useless)
        assert quick < 1 / 2 < slow, "the next second's worth takes a second, less the last batch"
        if who == "known":
            assert await send(burst + more + 1, 1, b"good") < 1
            assert await send(burst + more + 2, more, b"good") < 1 / 2

    simulate(story)


def test_a_disk_in_trouble_sends_peers_away_until_it_is_well(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        a.db.trouble, a.db._final = "The disk is on fire.", True
        peer.say(s2s.Msg(1, 1, b"x"))
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("read_only", limits.LINK_RETRY_S)
        later = await Stranger.call(town, a, mallory(town))
        later.say(hello())
        assert await later.hears_until(s2s.Goaway) == s2s.Goaway("read_only", limits.LINK_RETRY_S)
        a.db.trouble, a.db._final = "", False
        well = await Stranger.call(town, a, mallory(town))
        well.say(hello())
        await well.hears_until(s2s.Ack)
        well.say(s2s.Msg(1, 1, b"x"))
        await a.until(a.noted)

    simulate(story)
