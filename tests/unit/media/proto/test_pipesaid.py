"""What a pipe says of its streams: read as it was said, and any other bytes are nothing."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.media.proto import canonical, pipesaid, rtcp

SOURCES = st.sampled_from(["mic", "camera", "screen", "sound"])
NUMBER = st.integers(0, 0xFFFFFFFF)


@st.composite
def tracks(draw: st.DrawFn) -> pipesaid.TrackSaid:
    source = draw(SOURCES)
    codec = draw(st.sampled_from(sorted(canonical.RTX))) if source in pipesaid.VIDEO else canonical.OPUS
    layers = tuple(
        pipesaid.LayerSaid(key, draw(NUMBER), draw(NUMBER), draw(NUMBER), draw(st.integers(0, 4096)), 700, 2)
        for key in range(draw(st.integers(0, limits.LAYERS_MAX)))
    )
    return pipesaid.TrackSaid(draw(st.binary(min_size=8, max_size=8)), source, codec, layers)


@given(st.lists(tracks(), max_size=60))
def test_what_is_said_is_read(said: list[pipesaid.TrackSaid]) -> None:
    datagrams = pipesaid.say(7, said)
    heard = []
    for data in datagrams:
        assert len(data) <= limits.PIPE_SAID_BYTES_MAX + 40
        assert len(data) % 4 == 0
        assert 191 < data[1] < 224, "told from RTP by its second byte"
        assert rtcp.parse(data) == [], "others pass it over"
        heard += pipesaid.read(data) or []
    assert heard == said


@given(st.binary(max_size=300))
def test_any_bytes_are_nothing(data: bytes) -> None:
    assert pipesaid.read(data) is None
    assert pipesaid.read(b"\x80\xcc" + data) is None


@given(tracks(), st.integers(0, 5_000), st.integers(0, 255))
def test_broken_ones_never_raise(track: pipesaid.TrackSaid, at: int, value: int) -> None:
    data = bytearray(pipesaid.say(7, [track])[0])
    data[at % len(data)] = value
    for said in pipesaid.read(bytes(data)) or []:
        assert len(said.layers) <= limits.LAYERS_MAX
        assert (said.source in pipesaid.VIDEO) == (said.codec != canonical.OPUS)


def test_a_voice_is_no_video_and_a_layer_is_said_once() -> None:
    seat = os.urandom(8)
    layer = pipesaid.LayerSaid(0, 1, 2, 3, 640, 500, 0)
    for wrong in (
        pipesaid.TrackSaid(seat, "mic", canonical.VP8, (layer,)),
        pipesaid.TrackSaid(seat, "camera", canonical.OPUS, (layer,)),
        pipesaid.TrackSaid(seat, "camera", canonical.VP8, (layer, layer)),
        pipesaid.TrackSaid(seat, "camera", 97, (layer,)),
    ):
        assert pipesaid.read(pipesaid.say(7, [wrong])[0]) is None
