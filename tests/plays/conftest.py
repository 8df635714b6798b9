"""Who is on stage in every play."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from node.client import Client
from tests.cast import Node, stage
from tests.tape import Tape


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """The node everybody is on."""
    async with stage(tmp_path / "node") as running:
        yield running


@pytest_asyncio.fixture
async def alice(node: Node) -> Client:
    return await node.person("alice")


@pytest_asyncio.fixture
async def bob(node: Node) -> Client:
    return await node.person("bob")


@pytest_asyncio.fixture
async def carol(node: Node) -> Client:
    return await node.person("carol")


@pytest_asyncio.fixture
async def bob_phone(node: Node, bob: Client) -> Client:
    return await node.device(bob, "phone")


@pytest_asyncio.fixture
async def alice_phone(node: Node, alice: Client) -> Client:
    return await node.device(alice, "phone")


@pytest.fixture
def tape(node: Node) -> Tape:
    """A relay that writes down what it is told."""
    made = Tape()
    node.services.calls.attach(made)
    return made
