"""`Client.calls` on a whole node with its real relay: one calls, the other answers, both hear; losses and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest
from aiortc import AudioStreamTrack

from bench.media import stream
from bench.media.wiring import open_relay
from node.base.errors import Code
from node.base.ids import RoomId
from node.client import Call, CallEnded, Client, Rang
from node.core import content
from tests.cast import PATIENCE_S, Node, group, refuses, sees, stage
from tests.integration.media.peers import Eyes, sees_frames

pytestmark = pytest.mark.slow


@asynccontextmanager
async def house(data: Path) -> AsyncIterator[Node]:
    """A node that carries calls; its media port is on the address that aiortc can reach."""
    relay, close, _ = await open_relay(data)
    try:
        async with stage(data / "node") as node:
            node.services.calls.attach(relay)
            yield node
    finally:
        await close()


async def rings(client: Client) -> bytes:
    """The call that rings at the device."""
    await sees(client, lambda: bool(client.calls.rings))
    return next(iter(client.calls.rings))


async def hears(call: Call, source: str) -> object:
    """A frame of somebody else's `source`."""
    async with asyncio.timeout(PATIENCE_S):
        await call.until(lambda: bool(call.others(source)))
        track = await call.hear(*call.others(source)[0])
        return await track.recv()


def log(client: Client, room: RoomId) -> list[content.Call]:
    return [entry.body for entry in client.rooms[room].entries.values() if isinstance(entry.body, content.Call)]


async def test_two_call_and_hear_each_other(tmp_path: Path) -> None:
    async with house(tmp_path) as node:
        alice, bob = await node.person("alice"), await node.person("bob")
        room = await alice.open_direct(bob.user)
        async with alice.calls.start(room, say={"mic": AudioStreamTrack()}) as hers:
            ringing = await rings(bob)
            assert ringing == hers.id
            await bob.calls.ringing(ringing)
            async with bob.calls.join(ringing, say={"mic": AudioStreamTrack()}) as his:
                assert not bob.calls.rings
                for call in (hers, his):
                    assert isinstance(await hears(call, "mic"), av.AudioFrame)
                await hers.until(lambda: len(hers.participants) == 1 and hers.participants[0].state == "live")
                assert hers.participants[0].user == bob.user
                assert hers.participants[0].mic
                await his.raise_hand(up=True)
                await hers.until(lambda: hers.participants[0].hand)
                assert await hers.received(*hers.others("mic")[0]) > 0
            async with asyncio.timeout(PATIENCE_S):
                assert await hers.ended()
        await sees(alice, lambda: any(entry.state == "end" for entry in log(alice, room)))


async def test_a_picture_is_added_in_the_middle_and_a_third_comes(tmp_path: Path) -> None:
    pictures = stream.load(Path("build") / "tests" / "stream.msgpack")
    async with house(tmp_path) as node, asyncio.TaskGroup() as tasks:
        alice, bob, carol = [await node.person(name) for name in ("alice", "bob", "carol")]
        room = await group(alice, bob, carol)
        async with alice.calls.start(room, media="video", targets=[bob.user], say={"mic": AudioStreamTrack()}) as hers:
            async with bob.calls.join(await rings(bob)) as his:
                await hears(his, "mic")
                await hers.say("camera", stream.camera(pictures))
                await his.until(lambda: bool(his.others("camera")))
                eyes = Eyes(await his.hear(*his.others("camera")[0]), tasks)
                await sees_frames(eyes, 30)
                await sees(carol, lambda: carol.calls.of(room) is not None)
                async with carol.calls.join(hers.id, say={"mic": AudioStreamTrack()}) as third:
                    assert isinstance(await hears(third, "camera"), av.VideoFrame)
                    await his.until(lambda: len(his.others("mic")) == 2)
                await his.until(lambda: len(his.others("mic")) == 1)
            eyes.task.cancel()


async def test_a_lost_device_socket_comes_back_to_its_seat(tmp_path: Path) -> None:
    async with house(tmp_path) as node:
        alice, bob = await node.person("alice"), await node.person("bob")
        room = await alice.open_direct(bob.user)
        async with (
            alice.calls.start(room, say={"mic": AudioStreamTrack()}) as hers,
            bob.calls.join(await rings(bob), say={"mic": AudioStreamTrack()}) as his,
        ):
            await hears(hers, "mic")
            await hears(his, "mic")
            await bob.drop()
            async with asyncio.timeout(PATIENCE_S):
                await his.until(lambda: his.joins == 2)
            assert not his.over
            await hears(hers, "mic")
            await hears(his, "mic")
            assert [seat.user for seat in hers.participants] == [bob.user]


async def test_no_is_no_on_every_device_and_ends_the_call(tmp_path: Path) -> None:
    async with house(tmp_path) as node:
        alice, bob = await node.person("alice"), await node.person("bob")
        phone = await node.device(bob)
        room = await alice.open_direct(bob.user)
        async with alice.calls.start(room) as hers:
            await rings(phone)
            await bob.calls.decline(await rings(bob))
            async with asyncio.timeout(PATIENCE_S):
                assert await hers.ended() == "declined"
            await sees(phone, lambda: not phone.calls.rings)
        await refuses(Code.NOT_FOUND, _enter(bob, hers.id))


async def _enter(client: Client, call: bytes) -> None:
    async with client.calls.join(call):
        pass


async def test_events_tell_of_a_call(tmp_path: Path) -> None:
    async with house(tmp_path) as node:
        alice, bob = await node.person("alice"), await node.person("bob")
        room = await alice.open_direct(bob.user)
        events = bob.events()
        async with alice.calls.start(room):
            pass  # and gives up
        heard: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            async for event in events:
                if isinstance(event, Rang):
                    assert event.ring.by == alice.user
                    heard.append("rang")
                if isinstance(event, CallEnded):
                    heard.append(event.over.reason)
                    break
        assert heard == ["rang", "cancelled"]


async def test_an_error_in_the_block_leaves_the_call_and_comes_out_as_it_is(tmp_path: Path) -> None:
    async with house(tmp_path) as node:
        alice, bob = await node.person("alice"), await node.person("bob")
        room = await alice.open_direct(bob.user)
        with pytest.raises(ZeroDivisionError):
            await _stumble(alice, bob, room)
        await sees(bob, lambda: not bob.calls.rings)


async def _stumble(caller: Client, callee: Client, room: RoomId) -> None:
    async with caller.calls.start(room, say={"mic": AudioStreamTrack()}):
        await rings(callee)
        raise ZeroDivisionError
