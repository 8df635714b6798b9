"""Nodes that begin and end together."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from node.base.errors import Code, ExitStatus, Fatal, Rejected
from node.cli.demo import House
from node.cli.troupe import run
from node.runtime import config
from node.storage.lock import is_locked

pytestmark = pytest.mark.slow
QUIET = "https = false\nhttp_port = 0\nmdns = false\ndht = false\nportmap = false\n"


def house(folder: Path, settings: str = QUIET) -> House:
    folder.mkdir()
    (folder / config.FILE).write_text(settings)
    return House(domain=folder.name, folder=folder, port=0, https_port=0, people=())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
async def test_a_signal_ends_all_in_order(tmp_path: Path, number: signal.Signals) -> None:
    houses = [house(tmp_path / name) for name in ("a.test", "b.test")]
    opened: list[bool] = []

    async def opening() -> None:
        opened.extend(is_locked(one.folder) for one in houses)
        os.kill(os.getpid(), number)

    await run(houses, opening)
    assert opened == [True, True]
    assert not any(is_locked(one.folder) for one in houses)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_one_that_cannot_start_ends_the_others(tmp_path: Path) -> None:
    houses = [house(tmp_path / "a.test"), house(tmp_path / "b.test", "https_port = 'many'\n")]
    with pytest.raises(Fatal, match=r"b\.test ended with status 2.*https_port") as fault:
        await run(houses, never)
    assert fault.value.status is ExitStatus.FAILED
    assert not is_locked(houses[0].folder)


async def test_an_opening_that_fails_ends_all(tmp_path: Path) -> None:
    async def opening() -> None:
        raise Rejected(Code.PEER_UNREACHABLE, "The other node cannot be reached.")

    one = house(tmp_path / "a.test")
    with pytest.raises(Fatal, match="cannot be reached"):
        await run([one], opening)
    assert not is_locked(one.folder)


async def never() -> None:
    raise AssertionError("not all of them serve")
