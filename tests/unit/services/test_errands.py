"""Work beside the loop: results, refusals and faults are answered; while nothing runs, nothing is begun."""

from __future__ import annotations

import asyncio

import pytest

from node.base.errors import Code, Rejected, RemoteError
from node.services.errands import Errands


async def answer_of(errands: Errands, failure: Exception | None) -> object:
    """What somebody who waits is told."""
    told: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        if failure is not None:
            raise failure
        return "done"

    errands.submit(work(), lambda result, error: told.set_result(result if error is None else error))
    return await told


async def test_a_result_is_answered() -> None:
    errands = Errands()
    async with errands.running():
        assert await answer_of(errands, None) == "done"


@pytest.mark.parametrize("failure", [RemoteError("odd"), TimeoutError(), ConnectionError()], ids=repr)
async def test_a_silent_node_is_a_refusal(failure: Exception) -> None:
    errands = Errands()
    async with errands.running():
        told = await answer_of(errands, failure)
        assert isinstance(told, Rejected)
        assert told.code is Code.PEER_OFFLINE


@pytest.mark.parametrize("failure", [Rejected(Code.GONE, "Over."), ZeroDivisionError()], ids=repr)
async def test_refusals_and_faults_are_handed_on_and_the_others_go_on(failure: Exception) -> None:
    errands = Errands()
    async with errands.running():
        assert await answer_of(errands, failure) is failure
        assert await answer_of(errands, None) == "done"


async def test_nothing_begins_while_nothing_runs() -> None:
    errands = Errands()
    told = await answer_of(errands, None)
    assert isinstance(told, Rejected)
    assert told.code is Code.UNAVAILABLE
    async with errands.running():
        pass
    assert isinstance(await answer_of(errands, None), Rejected)
