"""Session descriptions, up and down: what is mapped, chosen, refused, and any text at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import aiortc.sdp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Rejected
from node.media.proto import canonical, sdp, sdpread
from tests.unit.media.proto import offers
from tests.unit.media.proto.offers import CHROME, PRINT, SIMULCAST, SOURCES, audio, video, whole

LOCAL = sdp.Local(
    ufrag="oursOURS",
    pwd="p" * 24,
    fingerprint=sdpread.Fingerprint("sha-256", PRINT),
    candidates=(
        sdp.Candidate("192.168.1.5", 8443),
        sdp.Candidate("2001:db8::5", 8443),
        sdp.Candidate("203.0.113.9", 8443, kind="srflx"),
        sdp.Candidate("192.168.1.5", 443, "tcp"),
    ),
)
BOTH = {"0": "mic", "1": "camera"}
LINES = (
    sdp.DownLine(mid="0", video=False, active=True, ssrc=11, stream="anna"),
    sdp.DownLine(mid="1", video=True, active=True, codec=canonical.VP8, ssrc=21, rtx_ssrc=22, stream="anna"),
    sdp.DownLine(mid="2", video=True, active=False, codec=canonical.VP8),
)


def answer(text: str, sources: Mapping[str, str] = BOTH) -> sdp.Offer:
    return sdp.answer(text, sources, LOCAL, session=5, version=1)


def refusal(text: str, sources: Mapping[str, str] = BOTH) -> str:
    with pytest.raises(Rejected) as refused:
        answer(text, sources)
    assert refused.value.code == "bad_request"
    return refused.value.text


def test_the_numbers_of_a_device_are_mapped_to_ours() -> None:
    mic, camera = answer(CHROME).lines
    assert (mic.source, mic.types, mic.repairs, mic.ssrcs) == ("mic", {111: canonical.OPUS}, {}, {1001: 0})
    assert mic.ids == {1: canonical.AUDIO_LEVEL, 2: canonical.ABS_SEND_TIME, 4: canonical.MID}
    assert (camera.mid, camera.video, camera.rids) == ("1", True, ("q", "h", "f"))
    assert (camera.types, camera.repairs) == ({96: canonical.VP8}, {97: canonical.RTX[canonical.VP8]})
    assert camera.ids == {
        2: canonical.ABS_SEND_TIME,
        13: canonical.ORIENTATION,
        4: canonical.MID,
        10: canonical.RID,
        11: canonical.REPAIRED_RID,
        12: canonical.DEPENDENCY_DESCRIPTOR,
    }


def test_the_answer_takes_what_we_know_and_nothing_else() -> None:
    text = answer(CHROME).answer
    lines = text.split("\r\n")
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111" in lines
    assert "m=video 9 UDP/TLS/RTP/SAVPF 96 97" in lines
    assert lines.count("a=recvonly") == 2
    assert lines.count("a=setup:passive") == 2
    assert "a=ice-lite" in lines
    assert "a=group:BUNDLE 0 1" in lines
    assert "a=simulcast:recv q;h;f" in lines
    assert "a=rid:h recv" in lines
    assert "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1" in lines
    assert "a=rtcp-fb:96 nack pli" in lines
    assert "transport" not in text
    assert "toffset" not in text
    assert lines.count(f"a=fingerprint:sha-256 {PRINT}") == 2


def test_candidates_stand_once_and_in_order() -> None:
    lines = [line for line in answer(CHROME).answer.split("\r\n") if line.startswith("a=candidate:")]
    assert lines == [
        "a=candidate:1 1 udp 2130706431 192.168.1.5 8443 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::5 8443 typ host",
        "a=candidate:3 1 udp 2130705919 203.0.113.9 8443 typ srflx raddr 0.0.0.0 rport 0",
        "a=candidate:4 1 tcp 1526725887 192.168.1.5 443 typ host tcptype passive",
    ]


def test_the_remote_side_is_read() -> None:
    remote = sdp.remote_of(CHROME)
    assert (remote.ufrag, remote.pwd, remote.setup) == ("abcd", "a" * 24, "actpass")
    assert remote.fingerprints == (sdpread.Fingerprint("sha-256", PRINT),)
    assert answer(CHROME).remote == remote


def test_aiortc_reads_what_we_write() -> None:
    for text in (answer(CHROME).answer, sdp.offer(LINES, LOCAL, session=1, version=2)):
        read = aiortc.sdp.SessionDescription.parse(text)
        first = read.media[0]
        assert first.ice is not None
        assert first.ice.usernameFragment == "oursOURS"
        assert [candidate.ip for candidate in first.ice_candidates][:2] == ["192.168.1.5", "2001:db8::5"]
        assert read.media[1].rtp.muxId == "1"
        assert first.dtls is not None
        assert first.dtls.fingerprints[0].value == PRINT


@pytest.mark.parametrize(
    ("codecs", "chosen"),
    [
        (("VP8", "H264"), canonical.VP8),
        (("H264", "VP8"), canonical.VP8),
        (("AV1", "H264"), canonical.H264),
        (("AV1", "VP9"), canonical.VP9),
        (("AV1",), canonical.AV1),
    ],
)
def test_one_codec_of_video_is_chosen(codecs: tuple[str, ...], chosen: int) -> None:
    line = answer(whole(video("0", *codecs), bundle="0"), {"0": "screen"}).lines[0]
    assert list(line.types.values()) == [chosen]
    assert list(line.repairs.values()) == [canonical.RTX[chosen]]


def test_h264_is_taken_in_the_variant_that_everybody_decodes() -> None:
    other = (
        "a=rtpmap:120 H264/90000\r\na=fmtp:120 packetization-mode=0;profile-level-id=42e01f\r\n"
        "a=rtpmap:121 H264/90000\r\na=fmtp:121 packetization-mode=1;profile-level-id=640032\r\n"
    )
    text = whole(video("0", "H264", tail=other), bundle="0").replace("SAVPF 102", "SAVPF 120 121 102")
    assert answer(text, {"0": "camera"}).lines[0].types == {102: canonical.H264}
    only = text.replace("SAVPF 120 121 102 103", "SAVPF 120 121")
    assert "VP8, H264" in refusal(only, {"0": "camera"})


def test_sources_of_a_single_layer_come_with_their_repairs() -> None:
    line = answer(whole(video("0", "VP8", tail=SOURCES), bundle="0"), {"0": "camera"}).lines[0]
    assert line.ssrcs == {2001: 2002}
    assert line.rids == ()


def test_the_sound_of_a_screen_is_asked_for_in_stereo() -> None:
    text = answer(whole(audio("0"), bundle="0"), {"0": "sound"}).answer
    assert "stereo=1" in text
    assert "usedtx" not in text


def test_lines_that_are_not_sent_on_are_kept_inactive() -> None:
    text = whole(audio("0"), video("1", "VP8", way="a=inactive"), video("2", "VP8"), bundle="0 1 2")
    made = answer(text, {"0": "mic"})
    assert [line.mid for line in made.lines] == ["0"]
    lines = made.answer.split("\r\n")
    assert lines.count("a=inactive") == 2
    assert "a=group:BUNDLE 0 1 2" in lines


def test_lines_that_are_refused_by_the_device_stay_refused() -> None:
    dead = video("1", "VP8").replace("m=video 9", "m=video 0")
    made = answer(whole(audio("0"), dead), {"0": "mic"})
    assert "m=video 0 UDP/TLS/RTP/SAVPF 96 97" in made.answer
    assert "a=group:BUNDLE 0\r\n" in made.answer
    bundled = dead.replace("a=mid:1", "a=bundle-only\r\na=mid:1")
    assert [line.mid for line in answer(whole(audio("0"), bundled)).lines] == ["0", "1"]


def test_data_channels_are_refused_and_the_rest_answered() -> None:
    data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" + offers.common("2") + "a=sctp-port:5000\r\n"
    made = answer(whole(audio("0"), video("1", "VP8"), data, bundle="0 1 2"))
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel" in made.answer
    assert "a=group:BUNDLE 0 1\r\n" in made.answer


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("v=0", "v=1", "v=0"),
        ("m=audio", "m=text", "m-line"),
        ("a=mid:1", "a=mid:0", "one mid"),
        ("a=mid:1", "a=mid:a b", "mid"),
        ("a=mid:1\r\n", "", "mid"),
        ("BUNDLE 0 1", "BUNDLE 0", "BUNDLE"),
        ("a=rtcp-mux\r\n", "", "rtcp-mux"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "SAVPF"),
        ("a=ice-ufrag:abcd", "a=ice-ufrag:a", "ICE"),
        ("a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa", "a=ice-pwd:short", "ICE"),
        ("sha-256", "sha-1", "SHA-256"),
        ("AB:AB", "AB", "fingerprint"),
        ("AB:AB", "AB:ZZ", "fingerprint"),
        ("a=setup:actpass", "a=setup:passive", "actpass"),
        ("a=setup:actpass", "a=setup:holdconn", "a=setup"),
        ("opus/48000/2", "opus/48000", "Opus"),
        ("a=extmap:14", "a=extmap:2", "one id"),
        ("a=simulcast", "nonsense", "no SDP"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(old: str, new: str, why: str) -> None:
    assert old in CHROME
    assert why in refusal(CHROME.replace(old, new))


def test_sources_have_to_fit_the_lines() -> None:
    assert "camera" in refusal(CHROME, {"0": "camera"})
    assert "mic" in refusal(CHROME, {"7": "mic"})
    assert "nonsense" in refusal(CHROME, {"7": "nonsense"})
    assert "two m-lines" in refusal(whole(audio("0"), audio("1")), {"0": "mic", "1": "mic"})
    assert "one source" in refusal(whole(audio("0"), audio("1")), {"0": "mic", "1": "sound"})


def test_everything_has_a_bound() -> None:
    many = [str(number) for number in range(sdp.LINES_MAX + 1)]
    assert "too many m-lines" in refusal(whole(*map(audio, many), bundle=" ".join(many)), {})
    assert "too long" in refusal(CHROME + "a=x\r\n" * (limits.SDP_BYTES_MAX // 5), {})
    ssrcs = "".join(f"a=ssrc:{number} cname:x\r\n" for number in range(1, limits.MEDIA_SSRCS_MAX + 2))
    assert "too many sources" in refusal(whole(video("0", "VP8", tail=ssrcs), bundle="0"), {"0": "camera"})
    tail = "".join(f"a=rid:{rid} send\r\n" for rid in "abcde") + "a=simulcast:send a;b,x;~c;d;e\r\n"
    line = answer(whole(video("0", "VP8", tail=tail), bundle="0"), {"0": "camera"}).lines[0]
    assert line.rids == ("a", "b", "c")
    assert len(line.rids) == limits.LAYERS_MAX


def test_no_media_at_all_is_refused() -> None:
    assert "no m-line" in refusal(whole(), {})


# --- down -----------------------------------------------------------------------------------------------


def down() -> str:
    return sdp.offer(LINES, LOCAL, session=9, version=3)


def answered(text: str) -> str:
    """What a browser answers to a down offer."""
    head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n"
    body = text[text.index("m=") :].replace("a=sendonly", "a=recvonly").replace("actpass", "active")
    kept = [line for line in body.split("\r\n") if not line.startswith(("a=ssrc", "a=msid", "a=candidate", "a=end"))]
    return head + "\r\n".join(kept)


def test_a_down_offer_has_canonical_numbers() -> None:
    lines = down().split("\r\n")
    assert "o=- 9 3 IN IP4 127.0.0.1" in lines
    assert "a=group:BUNDLE 0 1 2" in lines
    assert lines.count("a=sendonly") == 2
    assert lines.count("a=inactive") == 1
    assert lines.count("a=setup:actpass") == 3
    assert "a=ssrc-group:FID 21 22" in lines
    assert "a=ssrc:11 cname:anna" in lines
    assert "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid" in lines
    assert not [line for line in lines if "rtp-stream-id" in line]
    assert sum(line.startswith("a=candidate") for line in lines) == len(LOCAL.candidates)


def test_an_answer_says_what_is_accepted() -> None:
    read = sdp.accept(answered(down()), LINES)
    assert read.remote.setup == "active"
    mic, camera, spare = read.egress
    assert (mic.active, mic.payloads) == (True, frozenset({111}))
    assert (camera.active, camera.payloads) == (True, frozenset({96, 97}))
    assert camera.ids == frozenset({3, 4, 8, 9, 10, 11})
    assert not spare.active


def test_a_line_that_is_declined_or_cannot_be_decoded_is_not_active() -> None:
    declined = answered(down()).replace("m=video 9", "m=video 0")
    assert [egress.active for egress in sdp.accept(declined, LINES).egress] == [True, False, False]
    held = answered(down()).replace("a=recvonly", "a=inactive")
    assert not any(egress.active for egress in sdp.accept(held, LINES).egress)
    deaf = answered(down()).replace("a=rtpmap:96 VP8", "a=rtpmap:100 VP8").replace("SAVPF 96 97", "SAVPF 100 97")
    assert [egress.active for egress in sdp.accept(deaf, LINES).egress] == [True, False, False]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("a=mid:1", "a=mid:9", "m-lines that were offered"),
        ("m=audio", "m=video", "another kind"),
        ("active", "actpass", "choose"),
        ("a=fingerprint", "a=thumbprint", "fingerprint"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(old: str, new: str, why: str) -> None:
    text = answered(down()).replace("a=inactive", "a=idle").replace(old, new).replace("BUNDLE 0 1", "BUNDLE 0 9 1")
    with pytest.raises(Rejected, match=why):
        sdp.accept(text, LINES)


def test_an_answer_with_more_or_fewer_lines_is_refused() -> None:
    with pytest.raises(Rejected):
        sdp.accept(answered(down()) + audio("7"), LINES)
    with pytest.raises(Rejected):
        sdp.accept(answered(down()), (*LINES, LINES[0]))


# --- anything -------------------------------------------------------------------------------------------


def tried(read: Callable[[], object]) -> str | None:
    try:
        read()
    except Rejected as refused:
        return refused.code
    return None


pieces = st.sampled_from(CHROME.split("\r\n"))
junk = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.lists(pieces | junk | st.builds("a={}:{}".format, junk, junk), max_size=60), st.integers(0, 40))
def test_any_text_is_answered_or_refused(lines: list[str], keep: int) -> None:
    for text in ("\r\n".join(lines), "\r\n".join([*CHROME.split("\r\n")[:keep], *lines])):
        for read in (lambda text=text: answer(text), lambda text=text: sdp.accept(text, LINES)):
            assert tried(read) in {None, "bad_request"}


@given(st.data())
def test_a_torn_description_never_raises_anything_else(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([CHROME, answered(down()), whole(video("0", "VP8", tail=SOURCES + SIMULCAST))]))
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 40)))
    torn = text[:at] + data.draw(junk) + text[end:]
    for read in (lambda: answer(torn), lambda: sdp.accept(torn, LINES), lambda: sdp.remote_of(torn)):
        assert tried(read) in {None, "bad_request"}
