"""What every test may use: how hypothesis searches, a clock that stands still, a seed.

Bigger things (nodes, people, browsers) are made by the folder that needs them.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy

# A slow machine is no failure, so examples have no deadline. CI searches the same examples each time; a developer new ones.
settings.register_profile("developer", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("developer"), derandomize=True, print_blob=True)
settings.register_profile("deep", parent=settings.get_profile("developer"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "developer"))


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when the test says so."""
    return ManualClock()


@pytest.fixture
def entropy() -> SeededEntropy:
    """Randomness that is the same at each run."""
    return SeededEntropy("test")
