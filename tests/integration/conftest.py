"""A node on loopback for each test of the HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.integration.house import House, house


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """A running node whose rates are high."""
    async with house(tmp_path / "node") as running:
        yield running


@pytest_asyncio.fixture
async def strict_home(tmp_path: Path) -> AsyncIterator[House]:
    """A running node with its default rates."""
    async with house(tmp_path / "node", relaxed=False) as running:
        yield running
