"""The media of one seat: `Up` carries what this device says and shows, `Down` what the others do.

Both describe themselves in SDP with one bundled transport (node/client/rtc.py). Up offers one m-line for each source, with Opus and VP8
under the numbers of docs/spec/media.md; lines are never taken away, a source that ends is silent. Down answers the node's offers: a
line belongs to one SSRC, and a line that the node gives to another stream gets a new receiver and a new track.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.codecs import CODECS, HEADER_EXTENSIONS
from aiortc.rtcpeerconnection import find_common_codecs, find_common_header_extensions
from aiortc.rtcrtpparameters import (
    RTCRtcpFeedback,
    RTCRtpCodecParameters,
    RTCRtpDecodingParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpParameters,
    RTCRtpReceiveParameters,
    RTCRtpRtxParameters,
    RTCRtpSendParameters,
)
from aiortc.sdp import GroupDescription, MediaDescription, SessionDescription, SsrcDescription
from av.frame import Frame
from av.packet import Packet

from node.client.rtc import Receiver, Transport

Key = tuple[bytes, str]  # seat and source
VIDEO: Final = frozenset({"camera", "screen"})
PROFILE: Final = "UDP/TLS/RTP/SAVPF"
CNAME: Final = "startalk"
OPUS: Final = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48000, channels=2, payloadType=111)
VP8: Final = RTCRtpCodecParameters(
    mimeType="video/VP8",
    clockRate=90000,
    payloadType=96,
    rtcpFeedback=[RTCRtcpFeedback("nack"), RTCRtcpFeedback("nack", "pli"), RTCRtcpFeedback("goog-remb")],
)
RTX: Final = RTCRtpCodecParameters(
    mimeType="video/rtx", clockRate=90000, payloadType=97, parameters={"apt": VP8.payloadType}
)
LEVEL: Final = RTCRtpHeaderExtensionParameters(1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level")
SENT_AT: Final = RTCRtpHeaderExtensionParameters(3, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time")
MID: Final = RTCRtpHeaderExtensionParameters(4, "urn:ietf:params:rtp-hdrext:sdes:mid")


def kind_of(source: str) -> str:
    """The kind of media of a source."""
    return "video" if source in VIDEO else "audio"


class Lent(MediaStreamTrack):
    """A track on loan: aiortc stops what it sent when it stops sending, but the seat may change and the track goes on."""

    def __init__(self, track: MediaStreamTrack) -> None:
        super().__init__()
        self.kind = track.kind
        self._track = track

    async def recv(self) -> Frame | Packet[Any]:
        """The next of the track."""
        return await self._track.recv()


class _Line:
    """An m-line of `Up`."""

    def __init__(self, mid: str, source: str, sender: RTCRtpSender) -> None:
        self.mid = mid
        self.source = source
        self.sender = sender
        self.refused = False
        self.sending = False

    def parameters(self) -> RTCRtpSendParameters:
        video = self.source in VIDEO
        parameters = RTCRtpSendParameters(
            codecs=[VP8, RTX] if video else [OPUS],
            headerExtensions=[SENT_AT, MID] if video else [LEVEL, SENT_AT, MID],
            muxId=self.mid,
        )
        parameters.rtcp.cname, parameters.rtcp.mux = CNAME, True
        return parameters


class Up:
    """What this device sends."""

    def __init__(self) -> None:
        self.transport = Transport(offers=True)
        self._lines: list[_Line] = []

    @property
    def sources(self) -> dict[str, str]:
        """The source of each m-line, by mid."""
        return {line.mid: line.source for line in self._lines}

    def put(self, source: str, track: MediaStreamTrack | None) -> bool:
        """Sends `track` as `source`, or nothing any more. Returns whether a new offer is needed."""
        lent = None if track is None else Lent(track)
        for line in self._lines:
            if line.source == source:
                line.sender.replaceTrack(lent)
                return False
        if lent is None:
            return False
        sender = RTCRtpSender(lent, self.transport.dtls)
        self._lines.append(_Line(str(len(self._lines)), source, sender))
        return True

    async def offer(self, *, restart: bool = False) -> str:
        """An SDP offer of everything that was `put`; `restart` asks for new ICE credentials."""
        await self.transport.gather(restart=restart)
        media = []
        for line in self._lines:
            entry = _media(kind_of(line.source), line.mid, "sendonly", line.parameters())
            ssrc, rtx = line.sender._ssrc, line.sender._rtx_ssrc  # noqa: SLF001 - aiortc has no public name for them
            entry.msid = f"{line.source} {line.source}"
            entry.ssrc = [SsrcDescription(ssrc, cname=CNAME)]
            if line.source in VIDEO:
                entry.ssrc.append(SsrcDescription(rtx, cname=CNAME))
                entry.ssrc_group = [GroupDescription("FID", [ssrc, rtx])]
            self.transport.describe(entry, "auto")
            media.append(entry)
        return _session(media)

    async def answered(self, sdp: str) -> None:
        """Connects as the node's answer says and begins to send. Sets `transport.lost` when that fails."""
        answer = SessionDescription.parse(sdp)
        media = {entry.rtp.muxId: entry for entry in answer.media}
        accepted = [line for line in self._lines if line.mid in media and _open(media[line.mid])]
        for line in self._lines:
            line.refused = line not in accepted
        if not accepted:
            return
        await self.transport.connect(media[accepted[0].mid])
        if not self.transport.connected:
            return
        for line in accepted:
            if not line.sending:
                line.sending = True
                await line.sender.send(line.parameters())

    async def close(self) -> None:
        """Stops sending."""
        for line in self._lines:
            if line.sending:
                await line.sender.stop()
        await self.transport.close()


class _Heard:
    """A stream that `Down` receives."""

    def __init__(self, key: Key, ssrc: int, receiver: Receiver, parameters: RTCRtpReceiveParameters) -> None:
        self.key = key
        self.ssrc = ssrc
        self.receiver = receiver
        self.parameters = parameters
        self.started = False


class Down:
    """What this device receives. `changed` is called when a track came or went."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.transport = Transport(offers=False)
        self._changed = changed
        self._heard: dict[str, _Heard] = {}  # by mid
        self._offer: SessionDescription | None = None
        self._taken: set[Key] = set()
        self._own_ssrc = 1  # of receiver reports; nothing is ever sent under it

    @property
    def tracks(self) -> dict[Key, MediaStreamTrack]:
        """What is offered now."""
        return {heard.key: heard.receiver.track for heard in self._heard.values()}

    @property
    def lines(self) -> int:
        """M-lines of the latest offer, in use or not."""
        return 0 if self._offer is None else len(self._offer.media)

    async def answer(self, sdp: str, tracks: Mapping[str, Key]) -> str:
        """The SDP answer to an offer of the node; `connect` must follow. Raises ValueError when the offer is no SDP."""
        try:
            offer = SessionDescription.parse(sdp)
        except (AssertionError, IndexError, KeyError, StopIteration, TypeError) as error:
            raise ValueError(f"The node's offer cannot be read ({error!r}).") from error
        restart = any(self.transport.is_restart(entry) for entry in offer.media)
        await self.transport.gather(restart=restart)
        self._offer = offer
        media = [await self._line(entry, tracks.get(entry.rtp.muxId)) for entry in offer.media]
        for gone in set(self._heard) - {entry.rtp.muxId for entry in offer.media}:
            await self._forget(gone)
        self._changed()
        return _session(media)

    async def _line(self, entry: MediaDescription, key: Key | None) -> MediaDescription:
        mid, ssrc = entry.rtp.muxId, entry.ssrc[0].ssrc if entry.ssrc else 0
        parameters = _common(entry)
        wanted = key is not None and ssrc and _open(entry) and bool(parameters.codecs)
        known = self._heard.get(mid)
        if known is not None and not (wanted and known.key == key and known.ssrc == ssrc):
            await self._forget(mid)
            known = None
        if wanted and known is None:
            assert key is not None
            receiver = Receiver(entry.kind, self.transport, self._own_ssrc)
            self._heard[mid] = _Heard(key, ssrc, receiver, parameters)
        answer = _media(entry.kind, mid, "recvonly" if wanted else "inactive", parameters)
        if not parameters.codecs:
            answer.port, answer.fmt = 0, entry.fmt
        self.transport.describe(answer, "client")
        return answer

    async def connect(self) -> None:
        """Connects as the latest offer says and starts what was taken. Sets `transport.lost` when that fails."""
        if self._offer is None or not self._offer.media:
            return
        await self.transport.connect(self._offer.media[0])
        for heard in list(self._heard.values()):
            await self._start(heard)

    async def take(self, key: Key) -> None:
        """Receives this stream, now or when it is there; one that nobody took is dropped at the socket."""
        self._taken.add(key)
        for heard in list(self._heard.values()):
            await self._start(heard)

    async def _start(self, heard: _Heard) -> None:
        if heard.key in self._taken and self.transport.connected and not heard.started:
            heard.started = True
            await heard.receiver.start(heard.parameters)

    async def received(self, key: Key) -> int:
        """Packets of this stream so far."""
        for heard in self._heard.values():
            if heard.key == key:
                return await heard.receiver.received()
        return 0

    async def _forget(self, mid: str) -> None:
        heard = self._heard.pop(mid, None)
        if heard is not None:
            await heard.receiver.stop()

    async def close(self) -> None:
        """Ends every track."""
        for mid in list(self._heard):
            await self._forget(mid)
        await self.transport.close()


def _open(entry: MediaDescription) -> bool:
    return entry.port != 0 and entry.direction != "inactive"


def _common(entry: MediaDescription) -> RTCRtpReceiveParameters:
    """What both sides can do with a line that the node offers, with the SSRCs of the line."""
    codecs = find_common_codecs(CODECS[entry.kind], entry.rtp.codecs)
    parameters = RTCRtpReceiveParameters(
        codecs=codecs,
        headerExtensions=find_common_header_extensions(HEADER_EXTENSIONS[entry.kind], entry.rtp.headerExtensions),
        muxId=entry.rtp.muxId,
    )
    if entry.ssrc:
        rtx = next(
            (group.items[1] for group in entry.ssrc_group if group.semantic == "FID" and len(group.items) == 2), 0
        )
        parameters.encodings = [
            RTCRtpDecodingParameters(
                ssrc=entry.ssrc[0].ssrc,
                payloadType=(codecs[0].payloadType or 0) if codecs else 0,
                rtx=RTCRtpRtxParameters(ssrc=int(rtx)) if rtx else None,
            )
        ]
    return parameters


def _media(kind: str, mid: str, direction: str, parameters: RTCRtpParameters) -> MediaDescription:
    media = MediaDescription(kind, 9, PROFILE, [codec.payloadType for codec in parameters.codecs])
    media.host = media.rtcp_host = "0.0.0.0"  # noqa: S104 - what SDP says where ICE knows better (RFC 8829 section 5.2.1)
    media.rtcp_port, media.rtcp_mux, media.direction = 9, True, direction
    media.rtp = RTCRtpParameters(codecs=parameters.codecs, headerExtensions=parameters.headerExtensions, muxId=mid)
    return media


def _session(media: list[MediaDescription]) -> str:
    session = SessionDescription()
    session.origin = "- 1 1 IN IP4 0.0.0.0"
    session.group = [GroupDescription("BUNDLE", [entry.rtp.muxId for entry in media if entry.port])]
    session.msid_semantic = [GroupDescription("WMS", ["*"])]
    session.media = media
    return str(session)
