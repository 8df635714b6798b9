"""Tests with network namespaces: skipped with a loud reason where these cannot be made, a failure in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.net.netns import REQUIRE, Internet, unavailable


@pytest.fixture
def internet(request: pytest.FixtureRequest, worker_id: str) -> Iterator[Internet]:
    """An empty Internet. The marker's arguments name further tools: ``@pytest.mark.netns("miniupnpd")``."""
    marker = request.node.get_closest_marker("netns")
    assert marker is not None, "a test with network namespaces has the marker netns"
    reason = unavailable(*marker.args)
    if reason and os.environ.get(REQUIRE) == "require":
        pytest.fail(f"{REQUIRE}=require, but {reason}")
    if reason:
        pytest.skip(reason)
    with Internet(worker_id[-3:].replace("ter", "m")) as net:
        yield net
