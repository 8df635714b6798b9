"""The scene of every story with a liar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.integration.hostile.villain import Scene, scene


@pytest_asyncio.fixture
async def stage_set(tmp_path: Path) -> AsyncIterator[Scene]:
    """Two honest nodes and a liar."""
    async with scene(tmp_path) as made:
        yield made
