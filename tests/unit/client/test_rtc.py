"""What node/client/rtc.py and media.py take of aiortc that aiortc calls private or does not export: a new version fails here first."""

from __future__ import annotations

import subprocess
import sys

from aiortc import (
    RTCCertificate,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCRtpReceiver,
    RTCRtpSender,
)
from aiortc.rtcdtlstransport import RtpRouter
from aiortc.rtp import RtpPacket

from node.client.rtc import Path, Router


async def test_aiortc_has_the_names_that_are_used() -> None:
    gatherer = RTCIceGatherer(iceServers=[])
    agent = RTCIceTransport(gatherer)
    assert agent._connection.ice_controlling is False
    assert callable(agent._recv)
    assert callable(agent._send)
    dtls = RTCDtlsTransport(Path(), [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]
    assert isinstance(dtls._rtp_router, RtpRouter)
    assert dtls._rtp_router.ssrc_table == {}
    dtls._set_role("client")
    assert dtls.state == "new"
    receiver = RTCRtpReceiver("audio", dtls)
    assert receiver._track is None
    receiver._set_rtcp_ssrc(1)
    sender = RTCRtpSender("video", dtls)
    assert sender._ssrc != sender._rtx_ssrc


def test_an_unknown_ssrc_is_nobodys_even_when_only_one_could_want_its_payload_type() -> None:
    dtls = RTCDtlsTransport(Path(), [RTCCertificate.generateCertificate()])  # type: ignore[arg-type]
    router, receiver = Router(), RTCRtpReceiver("audio", dtls)
    router.register_receiver(receiver, ssrcs=[7], payload_types=[111])
    packet = RtpPacket(payload_type=111)
    packet.ssrc = 8
    assert router.route_rtp(packet) is None
    packet.ssrc = 7
    assert router.route_rtp(packet) is receiver


def test_a_client_without_calls_does_not_load_the_libraries_of_calls() -> None:
    code = "import sys, node.client; print([name for name in ('aiortc', 'av', 'aioice', 'pylibsrtp') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
