"""Class 14 of the threat list: a DHT in which others lie, with real sockets on loopback addresses.

Small networks and few look-ups, so that each story takes seconds; `make bench-dht` tells the same ones at length, with
figures. What holds in every one of them: nothing forged is ever returned, nothing raises, and what a caller has seen
(`min_seq`) is never undercut.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from bench import dht_floods
from bench.dht import Cell, Tally, Trial
from bench.dht_village import Home, Village
from node.base import limits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


async def attacked(cell: Cell, *, lookups: int = 40, seed: int = 7) -> Tally:
    tally = Tally()
    await Trial(cell, seed, tally, lookups=lookups).run()
    assert tally.results["forged"] == 0
    assert tally.results.total() == lookups
    assert max(tally.seconds) < limits.DHT_LOOKUP_S + 1
    return tally


@pytest.fixture
async def village() -> AsyncIterator[Village]:
    """Twenty honest nodes."""
    made = Village(seed=5)
    await made.grow(["honest"] * 20)
    await made.settle()
    yield made
    made.close()
    await asyncio.sleep(0)


async def test_without_attack_and_with_churn_everything_is_found() -> None:
    tally = await attacked(Cell(name="none", what="", nodes=30, homes=8))
    assert tally.pct("ok") == 100


@pytest.mark.parametrize("attack", ["forge", "stale", "stale+collude", "crash", "sink"])
async def test_a_third_of_the_network_lies(attack: str) -> None:
    tally = await attacked(Cell(name=attack, what="", nodes=30, attack=attack, share=0.3, homes=8))
    assert tally.pct("ok") >= 95


@pytest.mark.parametrize("attack", ["forge", "crash"])
async def test_half_of_the_network_lies_and_nothing_is_forged(attack: str) -> None:
    tally = await attacked(Cell(name=attack, what="", nodes=30, attack=attack, share=0.5, homes=8))
    assert tally.pct("ok") >= 90


async def test_old_records_never_undercut_a_pin() -> None:
    cell = Cell(name="pin", what="", nodes=30, attack="stale+collude", share=0.5, min_seq=2, homes=8)
    tally = await attacked(cell)
    assert tally.results["stale"] == 0
    assert tally.pct("ok") >= 90


@pytest.mark.parametrize("attack", ["forge", "sink", "stale"])
async def test_twenty_ids_beside_the_key_are_nowhere_because_addresses_do_not_allow_them(attack: str) -> None:
    tally = await attacked(Cell(name=attack, what="", nodes=30, attack=attack, beside=20, homes=3))
    assert tally.pct("ok") == 100


async def test_ids_that_addresses_do_allow_are_two_of_a_network() -> None:
    cell = Cell(name="ground", what="", nodes=30, attack="sink", beside=20, ground_from=512, homes=3)
    tally = await attacked(cell)
    assert tally.pct("ok") >= 90


# --- floods -----------------------------------------------------------------------------------------------------


async def test_stores_without_proof_or_truth_store_nothing(village: Village) -> None:
    assert await dht_floods.stores(village) == 0


async def test_valid_records_of_sources_without_proof_are_not_stored(village: Village) -> None:
    assert await dht_floods.valid_stores(village) == 0


async def test_pings_grow_no_table(village: Village) -> None:
    assert await dht_floods.pings(village) == 0
    assert await dht_floods.silent_pings(village) == 0


async def test_answers_that_nobody_asked_for_grow_no_table(village: Village) -> None:
    assert await dht_floods.answers(village) == 0


async def test_a_flooded_node_still_finds(village: Village) -> None:
    assert await dht_floods.lookups(village) == 20


async def test_nobody_is_sent_more_than_three_times_what_was_sent_in_its_name(village: Village) -> None:
    await village.alive[7].put_record(Home(1, now_s=village.clock.now_ms() // 1000).version(1))
    assert 0 < await dht_floods.reflection(village) <= limits.DHT_AMPLIFICATION_MAX


async def test_noise_ends_no_node(village: Village) -> None:
    victim = village.alive[3]
    with dht_floods.stranger(village.address()) as source:
        noise = (bytes([number & 1]) + os.urandom(20 + number % 1_379) for number in range(dht_floods.PACKETS))
        await dht_floods.pour(source, victim, noise)
    protocol = victim.servers[4].protocol
    assert protocol is not None
    assert protocol.dropped.total() >= 0.9 * dht_floods.PACKETS, protocol.dropped
    home = Home(2, now_s=village.clock.now_ms() // 1000)
    assert await victim.put_record(home.version(1)) == 19
