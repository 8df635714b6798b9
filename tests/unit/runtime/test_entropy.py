"""Fresh bytes, ids that sort by time, and a seed that replays."""

from __future__ import annotations

import pytest

from node.runtime.entropy import Entropy, SeededEntropy, SystemEntropy

SOURCES = (SystemEntropy(), SeededEntropy(7))


@pytest.mark.parametrize("entropy", SOURCES, ids=["system", "seeded"])
def test_an_id_carries_version_variant_and_time(entropy: Entropy) -> None:
    made = entropy.uuid7(1_700_000_000_123)
    assert len(made) == 16
    assert int.from_bytes(made[:6], "big") == 1_700_000_000_123
    assert made[6] >> 4 == 7
    assert made[8] >> 6 == 2


@pytest.mark.parametrize("entropy", SOURCES, ids=["system", "seeded"])
def test_ids_sort_by_time_and_differ(entropy: Entropy) -> None:
    made = [entropy.uuid7(now_ms) for now_ms in range(100)]
    assert made == sorted(made)
    assert len({entropy.uuid7(5) for _ in range(100)}) == 100


@pytest.mark.parametrize("entropy", SOURCES, ids=["system", "seeded"])
def test_sizes_and_ranges(entropy: Entropy) -> None:
    assert len(entropy.token_bytes(32)) == 32
    assert all(2.0 <= entropy.uniform(2.0, 3.0) <= 3.0 for _ in range(50))


def test_a_seed_replays() -> None:
    assert SeededEntropy(3).token_bytes(64) == SeededEntropy(3).token_bytes(64)
    assert SeededEntropy(3).token_bytes(64) != SeededEntropy(4).token_bytes(64)
