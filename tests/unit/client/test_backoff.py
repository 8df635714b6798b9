"""Delays grow, never above the longest, and start small again after a success."""

from __future__ import annotations

from node.client.backoff import FIRST_S, LONGEST_S, Backoff
from node.runtime.entropy import SeededEntropy


class Highest(SeededEntropy):
    """Always the largest number."""

    def uniform(self, low: float, high: float) -> float:
        return high


def test_the_ceiling_doubles_up_to_the_longest() -> None:
    backoff = Backoff(entropy=Highest("x"))
    waits = [backoff.next_s() for _ in range(40)]
    assert waits[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert set(waits[7:]) == {LONGEST_S}
    backoff.reset()
    assert backoff.next_s() == FIRST_S


def test_what_the_node_asked_for_comes_on_top() -> None:
    assert Backoff(entropy=Highest("x")).next_s(1.0) == 1.0 + FIRST_S


def test_devices_do_not_come_back_together() -> None:
    waits = {Backoff(entropy=SeededEntropy(seed)).next_s() for seed in range(50)}
    assert len(waits) == 50
    assert all(0 <= wait <= FIRST_S for wait in waits)
