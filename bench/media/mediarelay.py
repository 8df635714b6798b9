"""aiortc's MediaRelay as a process that is told what to do by lines of JSON: it decodes each track and encodes it for each subscriber.

``{"do": "publish"|"subscribe"|"answer", "name": ..., "sdp": ..., "from": [...]}`` is answered by ``{"sdp": ..., "tracks": {mid: [name,
source]}}``. Run with ``python -m bench.media.mediarelay``; `MediaRelay` below is the side that tells.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Self

from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc import rtcdtlstransport as dtls
from aiortc.contrib import media

from bench.media import process
from bench.media.relays import Offer


class MediaRelay:
    """Talks to that process."""

    name = "mediarelay"

    async def __aenter__(self) -> Self:
        command = [sys.executable, "-m", "bench.media.mediarelay"]
        self._process = process.start(command, out=subprocess.PIPE)
        self._talking = asyncio.Lock()  # answers come in the order of the lines
        return self

    async def __aexit__(self, *_: object) -> None:
        process.end(self._process)

    @property
    def pids(self) -> list[int]:
        """The one."""
        return [self._process.pid]

    async def publish(self, name: str, sdp: str, sources: Mapping[str, str]) -> str:
        """The answer to the offer of a publisher."""
        answer = await self._tell({"do": "publish", "name": name, "sdp": sdp, "sources": dict(sources)})
        return str(answer["sdp"])

    async def subscribe(self, name: str, publishers: list[str]) -> Offer:
        """An offer of everything these publishers send."""
        answer = await self._tell({"do": "subscribe", "name": name, "from": publishers})
        tracks = {mid: (whose.encode(), source) for mid, (whose, source) in answer["tracks"].items()}
        return Offer(handle=name, sdp=answer["sdp"], tracks=tracks)

    async def answer(self, handle: object, sdp: str) -> None:
        """The subscriber's answer."""
        await self._tell({"do": "answer", "name": handle, "sdp": sdp})

    async def _tell(self, line: dict[str, Any]) -> dict[str, Any]:
        child = self._process
        assert child.stdin is not None
        assert child.stdout is not None
        out = child.stdout
        async with self._talking:
            child.stdin.write(json.dumps(line).encode() + b"\n")
            child.stdin.flush()
            answer = await asyncio.get_running_loop().run_in_executor(None, out.readline)
        return dict(json.loads(answer))


class _Server:
    """The process."""

    def __init__(self) -> None:
        self._relay = media.MediaRelay()
        self._peers: dict[str, RTCPeerConnection] = {}
        self._tracks: dict[str, dict[str, MediaStreamTrack]] = {}

    def _peer(self, name: str) -> RTCPeerConnection:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._peers[name] = peer
        return peer

    async def take(self, line: dict[str, Any]) -> dict[str, Any]:
        """One line."""
        if line["do"] == "publish":
            return await self._publish(line)
        if line["do"] == "subscribe":
            return await self._subscribe(line)
        await self._peers[line["name"]].setRemoteDescription(RTCSessionDescription(line["sdp"], "answer"))
        return {}

    async def _publish(self, line: dict[str, Any]) -> dict[str, Any]:
        peer = self._peer(line["name"])
        tracks = self._tracks[line["name"]] = {}
        await peer.setRemoteDescription(RTCSessionDescription(line["sdp"], "offer"))
        for transceiver in peer.getTransceivers():
            tracks[line["sources"][transceiver.mid]] = transceiver.receiver.track
        await peer.setLocalDescription(await peer.createAnswer())
        return {"sdp": peer.localDescription.sdp}

    async def _subscribe(self, line: dict[str, Any]) -> dict[str, Any]:
        peer, sources = self._peer(line["name"]), []
        for whose in line["from"]:
            for source, track in self._tracks[whose].items():
                peer.addTransceiver(self._relay.subscribe(track), "sendonly")
                sources.append((whose, source))
        await peer.setLocalDescription(await peer.createOffer())
        mids = [transceiver.mid for transceiver in peer.getTransceivers()]
        return {"sdp": peer.localDescription.sdp, "tracks": dict(zip(mids, sources, strict=True))}


async def _main() -> None:
    dtls.SRTP_PROFILES[:] = [dtls.SRTP_AEAD_AES_128_GCM]
    server, loop = _Server(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await server.take(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
