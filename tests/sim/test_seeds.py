"""The simulation, many seeds. A seed that fails is replayed with the one command it prints, and joins seeds.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.nodes import run as many
from tests.sim.run import Outcome, run

SEEDS = 220
SEEDS_OF_NODES = 520
BLOCK = 10
KNOWN = Path(__file__).with_name("seeds.txt")


def known() -> list[str]:
    """Seeds that once failed."""
    return [line.split()[0] for line in KNOWN.read_text().splitlines() if line and not line.startswith("#")]


def blocks(seed: str | None, seeds: int | None) -> list[list[str]]:
    """The seeds of this run: those that once failed come first. ``n7`` is a world of many nodes."""
    if seed is not None:
        return [[seed]]
    again = [] if seeds is not None else known()
    plan = [f"n{number}" for number in range(1, (seeds or SEEDS_OF_NODES) + 1)]
    plan += [f"{number}" for number in range(1, (seeds or SEEDS) + 1)]
    plan = again + [name for name in plan if name not in again]
    return [plan[start : start + BLOCK] for start in range(0, len(plan), BLOCK)]


def outcome_of(seed: str) -> Outcome:
    """A world of one node, or of many."""
    return many.run(int(seed[1:])) if seed.startswith("n") else run(int(seed))


@pytest.mark.slow
def test_seeds(block: list[str]) -> None:
    for seed in block:
        outcome = outcome_of(seed)
        told = "\n".join((*outcome.story, *outcome.complaints[:10]))
        assert not outcome.complaints, f"{told}\n\nreplay it with:  make sim SEED={seed}\n"
        assert outcome.entries > 0


@pytest.mark.slow
def test_a_seed_replays_exactly() -> None:
    first, again = run(7), run(7)
    assert (first.trace, first.story, first.entries) == (again.trace, again.story, again.entries)
    assert run(8).trace != first.trace


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4, 2])  # honest, a hub with two histories, a liar
def test_a_world_of_many_nodes_replays_exactly(seed: int) -> None:
    first, again = many.run(seed), many.run(seed)
    assert (first.trace, first.story, first.entries) == (again.trace, again.story, again.entries)
    assert many.run(5).trace != first.trace


@pytest.mark.slow
def test_worlds_are_not_dull() -> None:
    """The seeds meet what they are there for."""
    outcomes = [run(seed) for seed in range(1, 9)]
    story = "\n".join(line for outcome in outcomes for line in outcome.story)
    for event in (
        "crash, commit",
        "torn",
        "restart",
        "stops reading",
        "a bad neighbour",
        "notices False, node notices False",
        "the clock is off",
    ):
        assert event in story, f"no {event!r} in eight worlds"
    assert sum(outcome.entries for outcome in outcomes) > 1_500


@pytest.mark.slow
def test_worlds_of_many_nodes_are_not_dull() -> None:
    """The seeds meet what they are there for."""
    outcomes = [many.run(seed) for seed in range(1, 21)]
    story = "\n".join(line for outcome in outcomes for line in outcome.story)
    for event in (
        "crash, commit",
        "torn",
        "split",
        "nothing gets from",
        "is late",
        "notice False False",
        "the clock is off by 7200.0 s",
        "the disk is full",
        "all dial at once",
        "never reach each other",
        "shows another entry",
        "tells forged posts",
    ):
        assert event in story, f"no {event!r} in twenty worlds"
    assert sum(outcome.entries for outcome in outcomes) > 4_000
