"""Two nodes' relays with their own worker processes, joined by a pipe, as the services of the nodes do it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.media.service import Relay
from node.services.relay import Track, Wanted
from tests.integration.media.device import Device, local_of
from tests.integration.media.test_relay import ANNA, BERT, CALL, Events, rtp, running
from tests.polling import until
from tests.unit.media.proto import offers

A, B = NodeId(b"a" * 32), NodeId(b"b" * 32)


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Relay, Events, Relay, Events]]:
    async with AsyncExitStack() as stack:
        a, a_events = await stack.enter_async_context(running())
        b, b_events = await stack.enter_async_context(running())

        def wanted(call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
            assert node == A
            a.pipe_want(call, B, tracks)

        b_events.pipe_wanted = wanted  # type: ignore[method-assign]
        yield a, a_events, b, b_events


async def join(a: Relay, b: Relay) -> None:
    """As services.pipes does."""
    ours = await a.pipe(CALL, B)
    theirs = await b.pipe(CALL, A)
    await b.pipe_joined(CALL, A, ours)
    await a.pipe_joined(CALL, B, theirs)


async def hears(b: Relay, events: Events, device: Device) -> None:
    answered = 0
    while answered == 0 or Track(ANNA, "mic") not in events.offers[BERT][2].values():
        await events.newer(BERT, answered)
        answered, text, _ = events.offers[BERT]
        device.local = local_of(text)
        await b.answer(CALL, BERT, answered, device.described(offers.reply(text)))
    await device.connect()


async def test_a_voice_crosses_two_worker_processes_and_a_dead_one_is_joined_anew() -> None:
    async with two() as (a, a_events, b, b_events), asyncio.TaskGroup() as tasks:
        b.pipe_tracks(CALL, A, [Track(ANNA, "mic")])  # said before there is anything of the call
        await a.seat(CALL, ANNA)
        await b.seat(CALL, BERT)
        await join(a, b)
        up, down = (Device(local_of(offers.CHROME), tasks) for _ in range(2))
        again = Device(local_of(offers.CHROME), tasks)
        try:
            text = up.described(offers.whole(offers.audio("0"), bundle="0"))
            up.local = local_of(await a.offer(CALL, ANNA, text, {"0": "mic"}))
            await up.connect()
            await until(lambda: (ANNA, True) in a_events.states)
            up.send_rtp(rtp(1))
            await hears(b, b_events, down)
            for number in range(2, 100):
                up.send_rtp(rtp(number))
                await asyncio.sleep(0.01)
            await until(lambda: len(down.rtp) > 40)
            assert down.rtp[-1].endswith(b"voice" * 10)
            [call] = (await b.report()).calls
            assert len(call.pipes) == 1
            # The worker of the hearing node dies: its device comes again, and so does the pipe.
            (child,) = b._children.values()
            os.kill(child.pid, signal.SIGKILL)
            await until(lambda: b_events.failures == [CALL])
            await asyncio.sleep(limits.RESTART_DELAY_S_MIN)
            b_events.offers.clear()
            await b.seat(CALL, BERT)
            await until(lambda: BERT in b_events.offers)
            await join(a, b)
            await hears(b, b_events, again)
            for number in range(100, 200):
                up.send_rtp(rtp(number))
                await asyncio.sleep(0.01)
            await until(lambda: len(again.rtp) > 40)
        finally:
            for device in (up, down, again):
                device.close()


async def test_halves_that_cannot_be_are_refused() -> None:
    async with running() as (relay, _):
        with pytest.raises(Rejected) as refused:
            await relay.pipe(CALL, B)
        assert refused.value.code is Code.NOT_FOUND
        await relay.seat(CALL, ANNA)
        with pytest.raises(Rejected) as refused:
            await relay.pipe_joined(CALL, B, await relay.pipe(CALL, A))
        assert refused.value.code is Code.NOT_FOUND
        half = await relay.pipe(CALL, B)
        for wrong in (b"", b"nonsense", half[:-1], half + bytes(limits.CALL_HALF_BYTES_MAX)):
            with pytest.raises(Rejected) as refused:
                await relay.pipe_joined(CALL, B, wrong)
            assert refused.value.code is Code.BAD_REQUEST
        await relay.pipe_joined(CALL, B, half)  # its own: nobody answers there, nothing breaks
        with pytest.raises(Rejected):
            await relay.pipe_joined(CALL, B, half)
        relay.pipe_closed(CALL, B)
        relay.pipe_closed(CALL, B)
        assert len((await relay.report()).calls) == 1


async def test_there_are_no_more_nodes_than_seats() -> None:
    async with running() as (relay, _):
        await relay.seat(CALL, ANNA)
        for number in range(limits.SEATS_PER_CALL_MAX):
            await relay.pipe(CALL, NodeId(bytes((number,)) * 32))
        with pytest.raises(Rejected) as refused:
            await relay.pipe(CALL, B)
        assert refused.value.code is Code.LIMIT_REACHED
        relay.pipe_tracks(CALL, B, [Track(BERT, "mic")])
        relay.pipe_want(CALL, B, [Wanted(Track(ANNA, "mic"), 1)])
        assert len((await relay.report()).calls) == 1
