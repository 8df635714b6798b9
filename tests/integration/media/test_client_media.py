"""The client's media against aiortc's own RTCPeerConnection, over real sockets: offers, answers, m-lines that come, go and change hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from aiortc import (
    AudioStreamTrack,
    MediaStreamError,
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)

from node.client.media import Down, Key, Up
from tests.cast import PATIENCE_S

pytestmark = pytest.mark.slow
A_MIC, A_CAMERA, B_CAMERA = (b"a", "mic"), (b"a", "camera"), (b"b", "camera")


@pytest.fixture
async def far() -> AsyncIterator[RTCPeerConnection]:
    """The other side."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    yield peer
    await peer.close()


async def frame_of(track: MediaStreamTrack) -> object:
    async with asyncio.timeout(PATIENCE_S):
        return await track.recv()


async def ends(track: MediaStreamTrack) -> None:
    """What was still waiting may come, then nothing more."""
    try:
        while True:
            await frame_of(track)
    except MediaStreamError:
        return


async def offered(far: RTCPeerConnection, down: Down, keys: Mapping[str, Key], *, change: str = "") -> None:
    """The far side offers, the client answers."""
    await far.setLocalDescription(await far.createOffer())
    sdp = far.localDescription.sdp
    if change:
        before, after = f"a=mid:{change}\r\n", f"a=mid:{change}\r\na=inactive\r\n"
        head, _, tail = sdp.partition(before)
        head = head[: head.rindex("a=sendonly\r\n")] + head[head.rindex("a=sendonly\r\n") + len("a=sendonly\r\n") :]
        sdp = head + after + tail
    answer = await down.answer(sdp, keys)
    await far.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await down.connect()


async def test_up_is_heard_and_seen(far: RTCPeerConnection) -> None:
    heard: list[MediaStreamTrack] = []
    far.on("track", heard.append)
    up = Up()
    try:
        assert up.put("mic", AudioStreamTrack())
        assert up.put("camera", VideoStreamTrack())
        assert not up.put("camera", VideoStreamTrack()), "another track of the same source needs no new offer"
        assert up.sources == {"0": "mic", "1": "camera"}
        await far.setRemoteDescription(RTCSessionDescription(await up.offer(), "offer"))
        await far.setLocalDescription(await far.createAnswer())
        await up.answered(far.localDescription.sdp)
        assert up.transport.connected
        assert [track.kind for track in heard] == ["audio", "video"]
        for track in heard:
            await frame_of(track)
    finally:
        await up.close()


async def test_down_takes_lines_that_come_go_and_change_hands(far: RTCPeerConnection) -> None:
    changes: list[None] = []
    down = Down(lambda: changes.append(None))
    try:
        far.addTransceiver(AudioStreamTrack(), "sendonly")
        far.addTransceiver(VideoStreamTrack(), "sendonly")
        await down.take(A_MIC)
        await down.take(A_CAMERA)
        await offered(far, down, {"0": A_MIC, "1": A_CAMERA})
        for key in (A_MIC, A_CAMERA):
            await frame_of(down.tracks[key])
        mic, first = down.tracks[A_MIC], down.tracks[A_CAMERA]

        far.addTransceiver(VideoStreamTrack(), "sendonly")
        await offered(far, down, {"0": A_MIC, "1": A_CAMERA, "2": B_CAMERA})
        assert down.tracks[A_MIC] is mic, "what did not change goes on"
        assert down.tracks[A_CAMERA] is first
        assert await down.received(B_CAMERA) == 0, "nobody took it"
        await down.take(B_CAMERA)
        await frame_of(down.tracks[B_CAMERA])

        await offered(far, down, {"0": A_MIC, "2": B_CAMERA}, change="1")
        assert set(down.tracks) == {A_MIC, B_CAMERA}
        await ends(first)

        await offered(far, down, {"0": A_MIC, "1": (b"c", "camera"), "2": B_CAMERA})
        await down.take((b"c", "camera"))
        await frame_of(down.tracks[b"c", "camera"])
        assert len(changes) == 4
    finally:
        await down.close()


async def test_what_is_no_sdp_is_refused_and_does_no_harm(far: RTCPeerConnection) -> None:
    down = Down(lambda: None)
    try:
        for text in (
            "",
            "v=0",
            "m=audio 9 RTP 1",
            "v=0\r\nm=video x y\r\n",
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF a\r\n",
        ):
            try:
                await down.answer(text, {})
            except ValueError:
                continue
        far.addTransceiver(AudioStreamTrack(), "sendonly")
        await down.take(A_MIC)
        await offered(far, down, {"0": A_MIC})
        await frame_of(down.tracks[A_MIC])
    finally:
        await down.close()


async def test_nobody_there_is_a_loss_and_closing_is_quick() -> None:
    up = Up()
    up.put("mic", AudioStreamTrack())
    offer = await up.offer()
    nowhere = offer.replace("a=setup:actpass", "a=setup:passive").replace("a=sendonly", "a=recvonly")
    lines = [line for line in nowhere.split("\r\n") if not line.startswith("a=candidate")]
    await up.answered("\r\n".join(lines))
    assert up.transport.lost.is_set()
    assert not up.transport.connected
    async with asyncio.timeout(PATIENCE_S):
        await up.close()


async def test_what_was_offered_and_never_answered_leaves_no_socket() -> None:
    up = Up()
    up.put("mic", AudioStreamTrack())
    first = await up.offer()
    again = await up.offer(restart=True)
    assert ufrag(first) != ufrag(again)
    await up.close()  # a socket that is left open fails the test as a warning


def ufrag(sdp: str) -> str:
    return next(line for line in sdp.split("\r\n") if line.startswith("a=ice-ufrag:"))
