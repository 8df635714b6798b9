"""Session descriptions as devices write them, put together from parts."""

from __future__ import annotations

PRINT = ":".join(["AB"] * 32)
HEAD = (
    "v=0\r\no=- 46117317 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {bundle}\r\na=extmap-allow-mixed\r\n"
    "a=msid-semantic: WMS stream\r\n"
)
COMMON = (
    "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa\r\n"
    "a=ice-options:trickle\r\na=fingerprint:sha-256 {print}\r\na=setup:{setup}\r\na=mid:{mid}\r\n{way}\r\na=rtcp-mux\r\n"
)
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110\r\n{common}"
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
    "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n"
    "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    "a=msid:stream track\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n"
    "a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n"
    "a=ssrc:1001 cname:x\r\na=ssrc:1001 msid:stream track\r\n"
)
VIDEO = (
    "m=video 9 UDP/TLS/RTP/SAVPF {formats}\r\n{common}"
    "a=extmap:14 urn:ietf:params:rtp-hdrext:toffset\r\n"
    "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n"
    "a=extmap:13 urn:3gpp:video-orientation\r\n"
    "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
    "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n"
    "a=extmap:12/sendonly https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension\r\n"
    "a=rtcp-rsize\r\n{codecs}"
)
CODECS = {"VP8": (96, 97), "VP9": (98, 99), "AV1": (45, 46), "H264": (102, 103)}
SIMULCAST = "a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n"
SOURCES = "a=ssrc-group:FID 2001 2002\r\na=ssrc:2001 cname:x\r\na=ssrc:2002 cname:x\r\n"


def common(mid: str, *, setup: str = "actpass", way: str = "a=sendonly") -> str:
    return COMMON.format(print=PRINT, setup=setup, mid=mid, way=way)


def video(mid: str, *codecs: str, tail: str = "", way: str = "a=sendonly") -> str:
    text = ""
    for name in codecs:
        number, repair = CODECS[name]
        text += f"a=rtpmap:{number} {name}/90000\r\n"
        text += "".join(
            f"a=rtcp-fb:{number} {each}\r\n" for each in ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
        )
        if name == "H264":
            text += f"a=fmtp:{number} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
        text += f"a=rtpmap:{repair} rtx/90000\r\na=fmtp:{repair} apt={number}\r\n"
    formats = " ".join(f"{CODECS[name][0]} {CODECS[name][1]}" for name in codecs)
    return VIDEO.format(formats=formats, common=common(mid, way=way), codecs=text) + tail


def audio(mid: str, *, way: str = "a=sendonly") -> str:
    return AUDIO.format(common=common(mid, way=way))


def whole(*sections: str, bundle: str = "0 1") -> str:
    return HEAD.format(bundle=bundle) + "".join(sections)


CHROME = whole(audio("0"), video("1", "VP8", "VP9", "AV1", "H264", tail=SIMULCAST))


def reply(offer: str) -> str:
    """What a browser answers to a down offer of the node."""
    lines = offer.split("\r\n")
    bundle = next(line for line in lines if line.startswith("a=group:BUNDLE")).removeprefix("a=group:BUNDLE ")
    body = offer[offer.index("m=") :].replace("a=sendonly", "a=recvonly").replace("actpass", "active")
    kept = []
    for line in body.split("\r\n"):
        if line.startswith("a=ice-ufrag"):
            kept.append("a=ice-ufrag:abcd")
        elif line.startswith("a=ice-pwd"):
            kept.append("a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa")
        elif line.startswith("a=fingerprint"):
            kept.append(f"a=fingerprint:sha-256 {PRINT}")
        elif not line.startswith(("a=ssrc", "a=msid", "a=candidate", "a=end")):
            kept.append(line)
    return HEAD.format(bundle=bundle) + "\r\n".join(kept)
