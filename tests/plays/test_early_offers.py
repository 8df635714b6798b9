"""The relay offers a seat its down transport at once; the focus of the call may be far away. The offer waits, it is not lost."""

from __future__ import annotations

from typing import Any

import pytest

from node.services.seats import OFFERS_KEPT, Table
from node.wire import calling
from tests.cast import befriend
from tests.plays.test_calls_across import Town, town

__all__ = ["town"]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("caller", [0, 1], ids=["hub is near", "hub is far"])
async def test_an_offer_that_is_quicker_than_the_focus_reaches_the_device(
    town: Town,
    monkeypatch: pytest.MonkeyPatch,
    caller: int,
) -> None:
    tapes = town.tapes[:2]
    for tape in tapes:

        async def seat(call: bytes, seat: bytes, tape: Any = tape, made: Any = tape.seat, **more: int) -> None:
            await made(call, seat, **more)
            tape.events.offered(call, seat, 1, f"offer for {seat.hex()}", {})

        monkeypatch.setattr(tape, "seat", seat)
    room = await befriend(town.people[caller], town.people[1 - caller])
    hers, his = town.phones[caller], town.phones[1 - caller]
    mine = await hers.start(room)
    await his.ring()
    theirs = await his.join(mine.call)
    await hers.until(lambda: [one.sdp for one in hers.offers] == [f"offer for {mine.seat.hex()}"])
    await his.until(lambda: [one.sdp for one in his.offers] == [f"offer for {theirs.seat.hex()}"])


def test_offers_for_nobody_are_forgotten() -> None:
    table = Table()
    for number in range(10 * OFFERS_KEPT):
        table.keep_offer(calling.CallOffer(b"c" * 16, number.to_bytes(8, "big"), 1, "", {}))
    assert len(table._early) == OFFERS_KEPT
