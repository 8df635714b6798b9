"""``python -m tests.sim --seed 7`` replays one seed and tells its story; ``--seeds 1000 --first 1`` tries many. Seeds of many nodes
are called n1, n2, …; ``--nodes`` tries them."""

from __future__ import annotations

import argparse
import sys
import time

from tests.sim import run as one
from tests.sim.nodes import run as many
from tests.sim.run import Outcome


def main() -> int:
    """Number of seeds that failed, at most 1 as a status."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", help="replay this one and print its story")
    parser.add_argument("--seeds", type=int, default=200, help="how many to try")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--nodes", action="store_true", help="worlds of many nodes")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        outcome = run(chosen.seed)
        print(*outcome.story, sep="\n")
        return tell(outcome, "n" if chosen.seed.startswith("n") else "")
    failed, began = 0, time.perf_counter()
    entries = restarts = 0
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        outcome = run(f"n{seed}" if chosen.nodes else f"{seed}")
        entries, restarts = entries + outcome.entries, restarts + outcome.restarts
        if outcome.complaints:
            failed += tell(outcome, "n" if chosen.nodes else "")
    took = time.perf_counter() - began
    print(f"{chosen.seeds} seeds in {took:.1f} s, {entries} entries, {restarts} restarts, {failed} failed")
    return min(failed, 1)


def run(seed: str) -> Outcome:
    """A world of one node, or of many."""
    return many.run(int(seed[1:])) if seed.startswith("n") else one.run(int(seed))


def tell(outcome: Outcome, kind: str) -> int:
    """Prints one outcome; 1 if it is bad."""
    print(
        f"seed {kind}{outcome.seed}: {outcome.entries} entries, {outcome.frames} frames, {outcome.restarts} restarts, "
        f"{outcome.virtual_s:.0f} virtual s, trace {outcome.trace}, {len(outcome.complaints)} complaints"
    )
    for text in outcome.complaints[:20]:
        print("  ", text)
    return 1 if outcome.complaints else 0


sys.exit(main())
