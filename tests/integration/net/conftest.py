"""Tests with network namespaces: skipped with a reason where root may not make them; a missing tool is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.net.netns import Internet, missing, unavailable


@pytest.fixture
def internet(request: pytest.FixtureRequest, worker_id: str) -> Iterator[Internet]:
    """An empty Internet. The marker's arguments name further tools: ``@pytest.mark.netns("miniupnpd")``."""
    marker = request.node.get_closest_marker("netns")
    assert marker is not None, "a test with network namespaces has the marker netns"
    absent = [] if os.getuid() else missing(*marker.args)
    if absent:
        pytest.fail(f"{', '.join(absent)} not installed; tests/system_packages.sh does that")
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Internet(worker_id[-3:].replace("ter", "m")) as net:
        yield net
