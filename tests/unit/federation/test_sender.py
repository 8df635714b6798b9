"""From the outbox to the peer: bytes at the time of sending, gaps, new numberings, outboxes that are over their bounds."""

from __future__ import annotations

import asyncio

import pytest

from node.base import limits
from node.base.errors import Code
from node.storage.outbox import DIRECT, HEAD, OutRow
from tests.unit.federation.conftest import Town
from tests.unit.federation.stranger import Simulate


def test_rows_by_reference_get_their_bytes_when_they_are_sent(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.refer(b, 7, 1, 2, 3, 4, 5, 7, 9)  # odd ones concern nobody any more
        await a.post(b, b"direct")
        await a.refer(b, 7, 11)
        await b.until(lambda: len(b.noted()) == 3)
        assert b.noted() == [b"0/7/2", b"0/7/4", b"direct"]
        await a.until(lambda: not a.waiting())

    simulate(story)


def test_an_entry_that_cannot_be_made_holds_up_nothing(simulate: Simulate) -> None:
    """The pump failed at it, and again after every link: nothing behind it reached that peer any more."""

    def broken(row: OutRow) -> bytes | None:
        return b"%d" % (row.idx // (row.idx - 4))

    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        a.inbox.rendered = broken
        await a.refer(b, 7, 2, 4, 6)
        await a.post(b, b"behind it")
        await b.until(lambda: len(b.noted()) == 3)
        assert b.noted() == [b"-1", b"3", b"behind it"]
        await a.until(lambda: not a.waiting())

    simulate(story)


@pytest.mark.slow
def test_an_outbox_over_its_bounds_says_so(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "OUTBOX_ROWS_MAX", 10)
        a, b = await town.home("a"), await town.home("b")
        pk = await a.knows(b)
        await town.stop(b)
        await a.refer(b, 7, *range(2, 42, 2))
        await a.post(b, *(b"%d" % n for n in range(8)))
        await asyncio.sleep(1300)
        assert a.returned() == [(b"%d" % n, Code.UNDELIVERABLE) for n in range(3)]
        rows = a.db.view(lambda tx: a.outbox.page(tx, pk, 0, 100))
        assert [(row.cls, row.idx) for row in rows] == [(HEAD, 40)] + [(DIRECT, 0)] * 5
        b = await town.home("b")
        a.federation.nudge()
        await b.until(lambda: len(b.noted()) == 6)
        assert b.noted() == [b"2/7/40", b"3", b"4", b"5", b"6", b"7"]
        await a.until(lambda: not a.waiting())

    simulate(story)


def test_a_peer_that_lost_its_database_gets_what_still_waits(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1", b"2")
        await a.until(lambda: b.noted() and not a.waiting())
        await town.stop(b)
        await a.post(b, b"3")
        b = await town.home("b", life="empty disk")
        await b.until(b.noted)
        assert b.noted() == [b"3"]

    simulate(story)


def test_a_node_that_lost_its_numbers_begins_a_new_run(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1", b"2")
        await b.until(lambda: len(b.noted()) == 2)
        await a.until(lambda: not a.waiting())
        await asyncio.sleep(limits.LINK_NEW_RUN_S)
        await town.stop(a)
        # An old backup: the run is the same, the numbers are behind what b has.
        a = await town.home("a")
        session_pk = await a.knows(b)
        await a.db.write(lambda tx: tx.execute("UPDATE outbox_runs SET next = 1 WHERE peer = ?", (session_pk,)))
        await a.post(b, b"after the restore")
        await b.until(lambda: len(b.noted()) == 3)
        assert b.noted()[-1] == b"after the restore"

    simulate(story)


def test_refused_entries_go_back_with_their_bytes_and_oversized_ones_stay_at_home(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        a.inbox.rendered = lambda row: {2: b"bad entry", 4: bytes(limits.LINK_BODY_BYTES_MAX + 1)}.get(row.idx, b"fine")
        await a.refer(b, 7, 2, 4, 6)
        await a.until(lambda: a.returned() and not a.waiting())
        assert a.returned() == [(b"bad entry", Code.NOT_MEMBER)]
        assert b.noted() == [b"fine"]

    simulate(story)


@pytest.mark.slow
def test_credit_that_ends_at_a_gap(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "LINK_CREDIT", 2)
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.refer(b, 7, *range(1, 60))
        await b.until(lambda: len(b.noted()) == 29)
        await a.until(lambda: not a.waiting())

    simulate(story)
