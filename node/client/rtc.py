"""One bundled WebRTC transport over aiortc's parts: ICE, DTLS, and RTP routed by SSRC alone.

`RTCPeerConnection` is not used: it cannot restart ICE, keeps a receiver for ever although its m-line was given to another stream, and
guesses by payload type where an unknown SSRC belongs, which mixes two people's voices. Its parts can do all of that. This is the only
file of the client that names what aiortc calls private; tests/unit/client/test_rtc.py names each, so that a new aiortc fails there.

DTLS talks to a `Path`, which hands it the datagrams of whichever ICE agent carries now: a restart makes a second agent and switches when
that one is connected, and DTLS never notices.
"""
# ruff: noqa: SLF001 - the one place for it, see above

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiortc import (
    MediaStreamTrack,
    RTCCertificate,
    RTCConfiguration,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCRtpReceiver,
)
from aiortc.rtcdtlstransport import RtpReceiver, RtpRouter
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import RtpPacket
from aiortc.sdp import MediaDescription

CONNECT_S: Final = 15.0  # until ICE and DTLS stand; the node gives a seat no longer either
CLOSE_S: Final = 2.0  # aiortc waits for threads and goodbyes; after this it is left to itself
ICE_SERVERS: Final = RTCConfiguration(iceServers=[]).iceServers  # the node is reached without help


class Router(RtpRouter):
    """Packets go to whom their SSRC was promised; others are dropped."""

    def route_rtp(self, packet: RtpPacket) -> RtpReceiver | None:
        """The receiver of this packet, if any."""
        return self.ssrc_table.get(packet.ssrc)


class Path:
    """What DTLS takes for its ICE transport."""

    role = "controlling"  # not asked for anything: the role of DTLS is set
    state = "completed"

    def __init__(self) -> None:
        self.agent: RTCIceTransport | None = None

    async def _recv(self) -> bytes:
        while True:
            agent = self.agent
            if agent is None:
                raise ConnectionError("There is no path yet.")
            try:
                return await agent._recv()
            except ConnectionError:
                if agent is self.agent:
                    raise

    async def _send(self, data: bytes) -> None:
        if self.agent is None:
            raise ConnectionError("There is no path yet.")
        await self.agent._send(data)


class Transport:
    """ICE and DTLS of one direction. `gather` before its description is said, `connect` when the other one is known."""

    def __init__(self, *, offers: bool) -> None:
        self.path = Path()
        self._offers = offers  # whoever offers controls ICE, and whoever talks to a lite agent
        self.lost = asyncio.Event()  # it carried and does not any more, or could not be set up
        self.dtls = RTCDtlsTransport(self.path, [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]
        self.dtls._rtp_router = Router()
        self.dtls.on("statechange", self._watch)
        self._agent: RTCIceTransport | None = None  # the newest, which may not carry yet
        self._remote = ""  # ufrag of the other side that the newest agent talks to

    @property
    def connected(self) -> bool:
        """Whether media can pass."""
        return bool(self.dtls.state == "connected")

    async def gather(self, *, restart: bool = False) -> None:
        """Makes an agent with its candidates if there is none, or a new one for a restart."""
        if self._agent is not None and not restart:
            return
        gatherer = RTCIceGatherer(iceServers=ICE_SERVERS)
        await gatherer.gather()
        agent = RTCIceTransport(gatherer)
        agent.on("statechange", lambda: self._watch_agent(agent))
        unused = None if self._agent is self.path.agent else self._agent
        self._agent, self._remote = agent, ""
        if unused is not None:
            await unused.stop()

    def describe(self, media: MediaDescription, role: str) -> None:
        """Writes this transport into an m-line."""
        assert self._agent is not None, "gather first"
        gatherer = self._agent.iceGatherer
        media.ice, media.ice_candidates = gatherer.getLocalParameters(), gatherer.getLocalCandidates()
        media.ice_candidates_complete = True
        media.dtls = self.dtls.getLocalParameters()
        media.dtls.role = role

    def is_restart(self, media: MediaDescription) -> bool:
        """Whether the other side has other ICE credentials than those in use."""
        return bool(self._remote) and media.ice is not None and media.ice.usernameFragment != self._remote

    async def connect(self, media: MediaDescription) -> None:
        """Connects to what the other side's m-line says; again after a restart. Sets `lost` when it fails."""
        agent = self._agent
        assert agent is not None, "gather first"
        assert media.ice is not None
        if self._remote == media.ice.usernameFragment:
            return
        self._remote = str(media.ice.usernameFragment)
        agent._connection.ice_controlling = self._offers or media.ice.iceLite
        try:
            async with asyncio.timeout(CONNECT_S):
                for candidate in media.ice_candidates:
                    await agent.addRemoteCandidate(candidate)
                await agent.addRemoteCandidate(None)
                await agent.start(media.ice)
                if agent.state != "completed":
                    raise ConnectionError("ICE found no path to the node.")
                await self._switch(agent)
                if self.dtls.state == "new" and media.dtls is not None:
                    self.dtls._set_role("client" if media.dtls.role in {"auto", "server"} else "server")
                    await self.dtls.start(media.dtls)
        except (ConnectionError, TimeoutError, OSError):
            self.lost.set()

    async def _switch(self, agent: RTCIceTransport) -> None:
        old, self.path.agent = self.path.agent, agent
        if old is not None and old is not agent:
            old.remove_all_listeners()
            await old.stop()

    def _watch(self) -> None:
        if self.dtls.state in {"closed", "failed"}:
            self.lost.set()

    def _watch_agent(self, agent: RTCIceTransport) -> None:
        if agent is self.path.agent and agent.state == "failed":
            self.lost.set()

    async def close(self) -> None:
        """Ends it; returns within `CLOSE_S`."""
        self.lost.set()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_S):
                await self.dtls.stop()
                for agent in {self._agent, self.path.agent} - {None}:
                    assert agent is not None
                    await agent.stop()


class Receiver:
    """One stream that arrives, decoded in a thread of its own once somebody wants it."""

    def __init__(self, kind: str, transport: Transport, own_ssrc: int) -> None:
        self.track: MediaStreamTrack = RemoteStreamTrack(kind=kind)
        self._transport = transport
        self._receiver = RTCRtpReceiver(kind, transport.dtls)
        self._receiver._track = self.track
        self._receiver._set_rtcp_ssrc(own_ssrc)

    async def start(self, parameters: RTCRtpReceiveParameters) -> None:
        """Takes the packets of the SSRCs in `parameters`, media and retransmissions."""
        await self._receiver.receive(parameters)
        router = self._transport.dtls._rtp_router
        for encoding in parameters.encodings:
            if encoding.rtx is not None:
                router.ssrc_table[encoding.rtx.ssrc] = self._receiver

    async def received(self) -> int:
        """Packets so far, of media and retransmissions."""
        report = await self._receiver.getStats()
        return sum(item.packetsReceived for item in report.values() if item.type == "inbound-rtp")

    async def stop(self) -> None:
        """Ends the track; returns within `CLOSE_S`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._receiver.stop()
        self.track.stop()
