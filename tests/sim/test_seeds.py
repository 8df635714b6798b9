"""The simulation, many seeds. A seed that fails is replayed with the one command it prints, and joins seeds.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.run import run

SEEDS = 220
BLOCK = 10
KNOWN = Path(__file__).with_name("seeds.txt")


def known() -> list[int]:
    """Seeds that once failed."""
    return [int(line.split()[0]) for line in KNOWN.read_text().splitlines() if line and not line.startswith("#")]


def blocks(seed: int | None, seeds: int | None) -> list[list[int]]:
    """The seeds of this run."""
    if seed is not None:
        return [[seed]]
    again = [] if seeds is not None else known()
    plan = again + [number for number in range(1, (seeds or SEEDS) + 1) if number not in again]
    return [plan[start : start + BLOCK] for start in range(0, len(plan), BLOCK)]


@pytest.mark.slow
def test_seeds(block: list[int]) -> None:
    for seed in block:
        outcome = run(seed)
        told = "\n".join((*outcome.story, *outcome.complaints[:10]))
        assert not outcome.complaints, f"{told}\n\nreplay it with:  make sim SEED={seed}\n"
        assert outcome.entries > 0


@pytest.mark.slow
def test_a_seed_replays_exactly() -> None:
    first, again = run(7), run(7)
    assert (first.trace, first.story, first.entries) == (again.trace, again.story, again.entries)
    assert run(8).trace != first.trace


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
