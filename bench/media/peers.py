"""The peers of the benchmark: the client's own media (node/client/media.py) as publishers, and subscribers that cost next to nothing.

A counting subscriber reads its socket itself and looks at what SRTP leaves in clear (SSRC, sequence number, marker): so thirty-two of them,
or fifty thousand packets a second, do not make the peers the limit. Each 64th packet is decrypted all the same, which must succeed. One
*watching* subscriber of each run takes the whole way through aiortc, decodes, and tells when each frame came. All report each second what
a browser reports: how many packets came, and that there is bandwidth.
"""
# ruff: noqa: SLF001 - a load generator reaches into aiortc for speed; the program itself does so in node/client/rtc.py only

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import av
import pylibsrtp
from aiortc import MediaStreamError, MediaStreamTrack
from aiortc import rtcdtlstransport as dtls
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    is_rtcp,
    pack_remb_fci,
)

from bench.media.relays import Key, Offer, Relay
from bench.media.stream import TAIL, Stream, barcode, camera, microphone
from node.client.media import Down, Up
from node.client.rtc import Transport

SO_RCVBUFFORCE: Final = 33  # not in Python's socket module
DECRYPT_EVERY: Final = 64
REPORT_EVERY_S: Final = 1.0
BANDWIDTH: Final = 400_000_000  # bits/s that a subscriber says it can take: more than any run sends
SOCKET_BYTES: Final = 4 << 20  # what is counted must not be lost in the peers' own sockets
CONNECT_S: Final = 20.0
LEVEL_DBOV: Final = -20  # somebody who speaks
PACKET_BYTES: Final = 1_100  # of the packet-rate run
PER_FRAME: Final = 4
Encoding = Callable[[RTCRtpCodecParameters], Coroutine[Any, Any, RTCEncodedFrame | None]]
_HEAD: Final = struct.Struct("!BBHII")


def same_profile() -> None:
    """All DTLS of this process uses AES-128-GCM, so that every relay does."""
    dtls.SRTP_PROFILES[:] = [dtls.SRTP_AEAD_AES_128_GCM]


def speak(up: Up) -> None:
    """Says how loud the microphone is, which aiortc does only for what it encodes itself; in large calls only the loudest are heard."""
    for line in up._lines:
        if line.source == "mic":
            line.sender._next_encoded_frame = _louder(line.sender._next_encoded_frame)  # type: ignore[assignment, method-assign]


def _louder(inner: Encoding) -> Encoding:
    async def loud(codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:
        frame = await inner(codec)
        if frame is not None:
            frame.audio_level = LEVEL_DBOV
        return frame

    return loud


class Silence(MediaStreamTrack):
    """A camera that never has a picture: its SSRC is free for `Publisher.blast`."""

    kind = "video"

    async def recv(self) -> av.Packet[Any]:
        """Never comes."""
        never: asyncio.Future[av.Packet[Any]] = asyncio.get_running_loop().create_future()
        return await never


class Publisher:
    """Sends the stream, or blank packets at a rate."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.up = Up()
        self.sent = 0
        self.sent_at: dict[int, float] = {}  # by number of the frame
        self.tails: dict[bytes, float] = {}  # by the end of the encoded frame

    async def connect(self, relay: Relay, tracks: dict[str, MediaStreamTrack]) -> None:
        """Offers and begins to send."""
        for source, track in tracks.items():
            self.up.put(source, track)
        speak(self.up)
        offer = await self.up.offer()
        await self.up.answered(await relay.publish(self.name, offer, self.up.sources))
        if not self.up.transport.connected:
            raise RuntimeError(f"the publisher cannot connect to {relay.name}")
        self.counted()

    def counted(self) -> None:
        """Counts what leaves from now on."""
        inner = self.up.transport.dtls._send_rtp

        async def send(data: bytes) -> None:
            self.sent += not is_rtcp(data)
            await inner(data)

        self.up.transport.dtls._send_rtp = send  # type: ignore[method-assign]

    def tracks(self, stream: Stream) -> dict[str, MediaStreamTrack]:
        """A microphone and a camera that play `stream`."""
        return {"mic": microphone(stream), "camera": camera(stream, self._left)}

    def _left(self, number: int, data: bytes) -> None:
        self.sent_at[number] = self.tails[data[-TAIL:]] = time.monotonic()

    async def blast(self, per_s: int, until: Callable[[], bool]) -> None:
        """Sends blank VP8 packets of `PACKET_BYTES` on the camera's SSRC, `per_s` of them, as long as not `until()`."""
        line = next(line for line in self.up._lines if line.source == "camera")
        protect, path = self.up.transport.dtls._tx_srtp.protect, self.up.transport.path.agent
        assert path is not None
        ssrc, began, count = line.sender._ssrc, time.monotonic(), 0
        mid = line.mid.encode()
        extension = (bytes([4 << 4 | len(mid) - 1]) + mid).ljust(4, b"\0")
        head = b"\xbe\xde" + struct.pack("!H", len(extension) // 4) + extension
        blank = bytes(PACKET_BYTES)
        while not until():
            due = int((time.monotonic() - began) * per_s)
            while count < due:
                frame, part = divmod(count, PER_FRAME)
                first, last = part == 0, part == PER_FRAME - 1
                picture = struct.pack("!BBH", 0x90 if first else 0x80, 0x80, 0x8000 | frame & 0x7FFF)
                payload = picture + (b"\x01" if frame % 30 else b"\x00") + blank[: PACKET_BYTES - 5]
                mark = 0x80 | 96 if last else 96
                await path._send(protect(_HEAD.pack(0x90, mark, count & 0xFFFF, frame * 3000, ssrc) + head + payload))
                count += 1
            self.sent = count
            await asyncio.sleep(0.002)

    async def close(self) -> None:
        """Ends."""
        await self.up.close()


class Count:
    """What arrived at one subscriber."""

    def __init__(self) -> None:
        self.packets = 0
        self.octets = 0
        self.undecipherable = 0
        self.highest: dict[int, int] = {}  # sequence number by SSRC
        self.first: dict[int, int] = {}
        self.by_ssrc: dict[int, int] = {}

    def take(self, data: memoryview | bytes) -> None:
        """One RTP packet, encrypted or not."""
        _, _, seq, _, ssrc = _HEAD.unpack_from(data)
        self.packets += 1
        self.octets += len(data)
        highest = self.highest.get(ssrc)
        if highest is None:
            self.first[ssrc] = self.highest[ssrc] = seq
            self.by_ssrc[ssrc] = 1
            return
        self.by_ssrc[ssrc] += 1
        ahead = (seq - highest) & 0xFFFF
        if ahead < 0x8000:
            self.highest[ssrc] = highest + ahead

    @property
    def missing(self) -> int:
        """Sequence numbers that never came."""
        return sum(self.highest[ssrc] - self.first[ssrc] + 1 - self.by_ssrc[ssrc] for ssrc in self.highest)


def sink(transport: Transport, count: Count) -> None:
    """Takes the sockets of a connected transport away from aiortc and counts there; what is not RTP goes on to aiortc."""
    loop: Any = asyncio.get_running_loop()
    agent = transport.path.agent
    assert agent is not None

    def drain(sock: socket.socket, protocol: Any) -> None:
        while True:
            try:
                data, address = sock.recvfrom(2048)
            except (BlockingIOError, OSError):
                return
            if 127 < data[0] < 192 and not 192 <= data[1] <= 223:
                count.take(data)
                if count.packets % DECRYPT_EVERY == 0:
                    try:
                        transport.dtls._rx_srtp.unprotect(data)
                    except pylibsrtp.Error:
                        count.undecipherable += 1
            else:
                protocol.datagram_received(data, address)

    for protocol in agent._connection._protocols:
        sock = protocol.transport.get_extra_info("socket")._sock
        with suppress(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES)
        loop._remove_reader(sock.fileno())
        loop._add_reader(sock.fileno(), drain, sock, protocol)


class Subscriber:
    """Takes everything it is offered and counts it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.down = Down(lambda: None)
        self.count = Count()
        self.tails: list[tuple[bytes, float]] = []
        self.frames: list[tuple[int, float]] = []  # number of the decoded frame, and when
        self._offer: Offer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def transport(self) -> Transport:
        """The only one."""
        return self.down.transport

    async def connect(self, relay: Relay, publishers: list[str]) -> None:
        """Is offered, answers, connects."""
        offer = self._offer = await relay.subscribe(self.name, publishers)
        answer = await self.down.answer(offer.sdp, offer.tracks)
        await asyncio.gather(relay.answer(offer.handle, answer), self.down.connect())
        if not self.transport.connected:
            raise RuntimeError(f"a subscriber cannot connect to {relay.name}")
        self._tasks.append(asyncio.get_running_loop().create_task(self._report()))

    async def direct(self, publisher: Publisher, tracks: dict[str, MediaStreamTrack]) -> None:
        """Connects to the publisher itself."""
        for source, track in tracks.items():
            publisher.up.put(source, track)
        sdp = await publisher.up.offer()
        keys = {mid: (publisher.name.encode(), source) for mid, source in publisher.up.sources.items()}
        self._offer = Offer(handle=None, sdp=sdp, tracks=keys)
        answer = await self.down.answer(sdp, keys)
        await asyncio.gather(publisher.up.answered(answer), self.down.connect())
        publisher.counted()

    def sink(self) -> None:
        """From now on counts at the socket."""
        sink(self.transport, self.count)

    async def watch(self) -> None:
        """From now on decodes the camera it was offered and notes when frames came."""
        assert self._offer is not None
        inner, count = self.transport.dtls._handle_rtp_data, self.count

        async def take(data: bytes, arrival_time_ms: int) -> None:
            count.take(data)
            if data[1] & 0x80:
                self.tails.append((data[-TAIL:], time.monotonic()))
            await inner(data, arrival_time_ms=arrival_time_ms)

        self.transport.dtls._handle_rtp_data = take  # type: ignore[method-assign]
        for key in self._offer.tracks.values():
            await self.down.take(key)
            self._calm(key)
            self._tasks.append(asyncio.get_running_loop().create_task(self._see(self.down.tracks[key])))

    def _calm(self, key: Key) -> None:
        """No estimate of aiortc's own, which takes the scheduler's jitter for congestion: `_report` says what there is."""
        for heard in self.down._heard.values():
            if heard.key == key:
                setattr(heard.receiver._receiver, "_RTCRtpReceiver__remote_bitrate_estimator", None)  # noqa: B010

    async def _see(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if isinstance(frame, av.VideoFrame):
                    self.frames.append((barcode(frame), time.monotonic()))

    async def _report(self) -> None:
        """Receiver reports and bandwidth, as browsers send them."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            ssrcs = list(self.count.highest)
            if not ssrcs:
                continue
            reports = [
                RtcpReceiverInfo(
                    ssrc=ssrc,
                    fraction_lost=0,
                    packets_lost=0,
                    highest_sequence=self.count.highest[ssrc],
                    jitter=90,
                    lsr=0,
                    dlsr=0,
                )
                for ssrc in ssrcs[:31]
            ]
            remb = RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=pack_remb_fci(BANDWIDTH, ssrcs[:31]))
            with suppress(ConnectionError):
                await self.transport.dtls._send_rtp(bytes(RtcpRrPacket(ssrc=1, reports=reports)) + bytes(remb))

    async def close(self) -> None:
        """Ends."""
        for task in self._tasks:
            task.cancel()
        await self.down.close()
