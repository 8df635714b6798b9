"""The relay service with a real worker process: calls through it, its death, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from node.base import limits
from node.base.errors import Code, LocalError, Rejected
from node.base.ids import NodeId
from node.media import control
from node.media.child import start
from node.media.proto import canonical
from node.media.proto.sdp import Candidate
from node.media.service import Relay, Setting
from node.runtime.clock import SystemClock
from node.services.relay import Quality, Track, Wanted
from tests.integration.media.device import Device, local_of
from tests.polling import until
from tests.unit.media.proto import offers

pytestmark = pytest.mark.slow  # worker processes
CALL = b"c" * 16
ANNA, BERT = b"annaanna", b"bertbert"
LOOPBACK = "127.0.0.1"


class Events:
    """Notes what the relay tells."""

    def __init__(self) -> None:
        self.offers: dict[bytes, tuple[int, str, dict[str, Track]]] = {}
        self.states: list[tuple[bytes, bool]] = []
        self.sources: dict[bytes, tuple[str, ...]] = {}
        self.failures: list[bytes] = []

    def offered(self, call: bytes, seat: bytes, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        self.offers[seat] = (version, sdp, dict(tracks))

    async def newer(self, seat: bytes, version: int) -> None:
        await until(lambda: self.offers[seat][0] > version)

    def connected(self, call: bytes, seat: bytes, *, on: bool) -> None:
        self.states.append((seat, on))

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        self.sources[seat] = tuple(sources)

    def speakers(self, call: bytes, seats: Sequence[bytes]) -> None:
        pass

    def quality(self, call: bytes, seat: bytes, quality: Quality) -> None:
        pass

    def failed(self, call: bytes) -> None:
        self.failures.append(call)

    def pipe_wanted(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        pass


@asynccontextmanager
async def running(
    *, on: bool = True, workers: int = 1, idle_s: float = limits.MEDIA_IDLE_S
) -> AsyncIterator[tuple[Relay, Events]]:
    setting = Setting(on=on, workers=workers, host=LOOPBACK, port=0, log_level="error")
    relay = Relay(setting=setting, clock=SystemClock(), reachable=lambda: [Candidate(LOOPBACK, 0)], idle_s=idle_s)
    events = Events()
    relay.attach(events)
    ready = asyncio.Event()
    task = asyncio.get_running_loop().create_task(relay.run(ready.set))
    await ready.wait()
    try:
        yield relay, events
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def rtp(number: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 111, number, 960 * number, 1001) + b"voice" * 10


async def test_a_voice_goes_through_a_worker_process() -> None:
    async with running() as (relay, events), asyncio.TaskGroup() as tasks:
        assert (relay.standing.level, relay.standing.port) == (2, 0)
        await relay.seat(CALL, ANNA)
        await relay.seat(CALL, ANNA)
        await relay.seat(CALL, BERT)
        assert relay.standing.port > 0
        up, down = (Device(local_of(offers.CHROME), tasks) for _ in range(2))
        try:
            text = up.described(offers.whole(offers.audio("0"), bundle="0"))
            up.local = local_of(await relay.offer(CALL, ANNA, text, {"0": "mic"}))
            await up.connect()
            await until(lambda: (ANNA, True) in events.states)
            up.send_rtp(rtp(1))
            await until(lambda: events.sources.get(ANNA) == ("mic",))
            answered = 0
            while answered == 0 or Track(ANNA, "mic") not in events.offers[BERT][2].values():
                await events.newer(BERT, answered)
                answered, text, _ = events.offers[BERT]
                down.local = local_of(text)
                await relay.answer(CALL, BERT, answered, down.described(offers.reply(text)))
            await down.connect()
            for number in range(2, 60):
                up.send_rtp(rtp(number))
                await asyncio.sleep(0.01)
            await until(lambda: len(down.rtp) > 40)
            payload = down.rtp[-1]
            assert payload.endswith(b"voice" * 10)
            assert payload[1] & 0x7F == canonical.OPUS
            report = await relay.report()
            assert report.standing.level == 2
            assert [call.call for call in report.calls] == [CALL]
            assert {seat.seat: seat.tracks for seat in report.calls[0].seats}[ANNA] == (Track(ANNA, "mic"),)
            assert report.packets_in > 60
            assert report.cpu >= 0
        finally:
            up.close()
            down.close()
        relay.end(CALL)


async def test_the_node_itself_loads_no_library_of_calls() -> None:
    script = (
        "import sys, node.media.service; "
        "sys.exit(any(name in sys.modules for name in ('aiortc', 'aioice', 'av', 'pylibsrtp', 'cffi')))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == 0


async def test_refusals_of_the_worker_are_ours() -> None:
    async with running() as (relay, _):
        with pytest.raises(Rejected) as refused:
            await relay.offer(CALL, ANNA, "v=0", {})
        assert refused.value.code is Code.NOT_FOUND
        await relay.seat(CALL, ANNA)
        with pytest.raises(Rejected, match="no m-line") as refused:
            await relay.offer(CALL, ANNA, "v=0\r\n", {})
        assert refused.value.code is Code.BAD_REQUEST
        with pytest.raises(Rejected) as refused:
            await relay.offer(CALL, BERT, offers.CHROME, {"0": "mic"})
        assert refused.value.code is Code.NOT_FOUND
        for quiet in (relay.restart, relay.unseat):
            quiet(b"x" * 16, ANNA)
            quiet(CALL, b"nobody!!")
        relay.want(CALL, ANNA, [Wanted(Track(BERT, "mic"), 0)])
        relay.mute(CALL, ANNA, on=True)
        relay.end(b"x" * 16)
        assert len((await relay.report()).calls) == 1


async def test_a_worker_that_dies_takes_its_calls_and_another_takes_the_next() -> None:
    async with running() as (relay, events):
        await relay.seat(CALL, ANNA)
        (child,) = relay._children.values()
        os.kill(child.pid, signal.SIGKILL)
        await until(lambda: events.failures == [CALL])
        with pytest.raises(Rejected, match="moment"):
            await relay.seat(CALL, ANNA)
        await asyncio.sleep(limits.RESTART_DELAY_S_MIN)
        await relay.seat(CALL, ANNA)
        (fresh,) = relay._children.values()
        assert fresh.pid != child.pid
        assert events.failures == [CALL]


async def test_what_was_asked_of_a_dying_worker_is_refused() -> None:
    async with running() as (relay, events):
        await relay.seat(CALL, ANNA)
        (child,) = relay._children.values()
        os.kill(child.pid, signal.SIGSTOP)
        asked = [asyncio.ensure_future(relay.seat(CALL, bytes([at]) * 8)) for at in range(3)]
        await asyncio.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(outcome, Rejected)
            assert outcome.code is Code.UNAVAILABLE
        await until(lambda: events.failures == [CALL])


async def test_many_first_calls_at_once_start_one_worker() -> None:
    async with running() as (relay, _):
        await asyncio.gather(*(relay.seat(bytes([at]) * 16, ANNA) for at in range(5)))
        assert len(relay._children) == 1
        assert len((await relay.report()).calls) == 5


async def test_calls_are_spread_over_workers() -> None:
    async with running(workers=2) as (relay, _):
        for at in range(4):
            await relay.seat(bytes([at]) * 16, ANNA)
        assert sorted(len(child.calls) for child in relay._children.values()) == [2, 2]
        assert len({child.port for child in relay._children.values()}) == 2


async def test_a_worker_without_calls_ends() -> None:
    async with running(idle_s=0.05) as (relay, events):
        await relay.seat(CALL, ANNA)
        (child,) = relay._children.values()
        relay.end(CALL)
        await until(lambda: not relay._children and child.gone)
        assert not events.failures
        assert relay.standing.level == 2
        await relay.seat(CALL, ANNA)


async def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
        with pytest.raises(LocalError, match=f"UDP port {port} cannot be used"):
            await start(control.Begin(LOOPBACK, port, 0, "error", "text"))


async def test_a_worker_ends_with_its_node() -> None:
    child = await start(control.Begin(LOOPBACK, 0, 0, "error", "text"))
    listening = asyncio.ensure_future(child.listen(lambda frame: None))
    await asyncio.sleep(0)
    child._writer.close()
    async with asyncio.timeout(limits.MEDIA_START_S):
        await listening
    assert child._process.returncode == 0


async def test_a_signal_to_the_whole_group_leaves_the_end_to_the_node() -> None:
    async with running() as (relay, events):
        await relay.seat(CALL, ANNA)
        (child,) = relay._children.values()
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(child.pid, number)
        assert len((await relay.report()).calls) == 1
        assert not events.failures


async def test_calls_can_be_switched_off() -> None:
    async with running(on=False) as (relay, _):
        assert relay.standing.level == 0
        assert "off" in relay.standing.reason
        with pytest.raises(Rejected) as refused:
            await relay.seat(CALL, ANNA)
        assert refused.value.code is Code.UNAVAILABLE


async def test_a_worker_that_talks_nonsense_is_ended() -> None:
    child = await start(control.Begin(LOOPBACK, 0, 0, "error", "text"))
    child._reader.feed_data((limits.MEDIA_FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    async with asyncio.timeout(limits.MEDIA_START_S):
        await child.listen(lambda frame: None)
    assert child.gone
    with pytest.raises(Rejected):
        await child.ask(control.AskReport)
