"""Options of ``make sim``: one seed, or how many. Seeds of many nodes are called n1, n2, …"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", default=None, help="replay this seed of the simulation: 7, or n7 for many nodes")
    parser.addoption("--seeds", type=int, default=None, help="try this many seeds of one node, and of many")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Seeds go in blocks, so that workers share them."""
    if "block" in metafunc.fixturenames:
        from tests.sim.test_seeds import blocks

        config = metafunc.config
        chosen = blocks(config.getoption("--seed", None), config.getoption("--seeds", None))
        metafunc.parametrize("block", chosen, ids=[f"{block[0]}-{block[-1]}" for block in chosen])
