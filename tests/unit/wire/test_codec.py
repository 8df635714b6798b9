"""Frames: every one comes back as it went, and nothing that arrives makes the decoder do anything but refuse."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code, Rejected
from node.wire import c2s, envelope
from node.wire.codec import Decoder

pack = msgspec.msgpack.encode
ROOM = bytes(range(32))
CLIENT = bytes(16)
ints = st.integers(0, limits.INTEGER_MAX)
FRAMES: st.SearchStrategy[c2s.Frame] = st.one_of(
    st.builds(c2s.Hello, version=st.integers(0, 9), cursor=st.none() | ints, client=st.text(max_size=64)),
    st.builds(c2s.Ack, seq=ints),
    st.builds(
        c2s.Post,
        n=ints,
        room=st.sampled_from((b"", ROOM)),
        client_id=st.binary(min_size=16, max_size=16),
        kind=st.text(min_size=1, max_size=limits.KIND_CHARS_MAX),
        body=st.binary(max_size=99),
        guests=st.lists(st.text(max_size=9), max_size=3).map(tuple),
        token=st.binary(max_size=16),
    ),
    st.builds(c2s.History, n=ints, room=st.just(ROOM), idx=ints, back=st.booleans(), limit=st.integers(1, 200)),
    st.builds(c2s.Read, n=ints, room=st.just(ROOM), idx=ints),
    st.builds(c2s.Typing, room=st.just(ROOM), on=st.booleans()),
    st.builds(c2s.Presence, state=st.sampled_from(("online", "away"))),
    st.builds(c2s.Ping, t=ints),
)


@given(FRAMES)
@settings(deadline=None)
def test_a_frame_comes_back_as_it_went(frame: c2s.Frame) -> None:
    assert c2s.decode_client_frame(c2s.encode_frame(frame)) == frame


@given(FRAMES)
@settings(deadline=None)
def test_elements_of_a_newer_client_are_ignored(frame: c2s.Frame) -> None:
    values: list[Any] = msgspec.msgpack.decode(c2s.encode_frame(frame))
    assert c2s.decode_client_frame(pack([*values, "new", {"more": [1]}])) == frame


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=500)
def test_no_bytes_break_a_decoder(data: bytes) -> None:
    for decode in (c2s.decode_client_frame, c2s.decode_node_frame, c2s.decode_entry, envelope.decode_event):
        decoder: Decoder[Any] = decode
        try:
            decoder(data)
        except Rejected as error:
            if error.code not in {Code.BAD_REQUEST, Code.TOO_LARGE}:
                raise


@given(FRAMES, st.data())
@settings(deadline=None, max_examples=300)
def test_no_damaged_frame_breaks_the_decoder(frame: c2s.Frame, data: st.DataObject) -> None:
    whole = bytearray(c2s.encode_frame(frame))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    for damaged in (bytes(whole), bytes(whole[:place])):
        try:
            c2s.decode_client_frame(damaged)
        except Rejected as error:
            if error.code is not Code.BAD_REQUEST:
                raise


def test_depth_and_size_are_bounded() -> None:
    for data in (b"\x91" * 100_000, b"\x81\xa1a" * 50_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"):
        with pytest.raises(Rejected) as refused:
            c2s.decode_client_frame(data)
        assert refused.value.code is Code.BAD_REQUEST
    padding = limits.FRAME_BYTES_MAX - len(pack(["ping", 1, bytes(70_000)])) + 70_000
    fits = pack(["ping", 1, bytes(padding)])
    assert len(fits) == limits.FRAME_BYTES_MAX
    assert c2s.decode_client_frame(fits) == c2s.Ping(1)
    with pytest.raises(Rejected) as refused:
        c2s.decode_client_frame(fits + b"\x00")
    assert refused.value.code is Code.TOO_LARGE


@pytest.mark.parametrize(
    "fields",
    [
        ["nonsense"],
        [],
        ["ack"],
        ["ack", -1],
        ["ack", limits.INTEGER_MAX + 1],
        ["ack", "1"],
        ["post", 1, ROOM + b"x", CLIENT, "text", b""],
        ["post", 1, ROOM, CLIENT + b"x", "text", b""],
        ["post", 1, ROOM, CLIENT, "x" * (limits.KIND_CHARS_MAX + 1), b""],
        ["post", 1, ROOM, CLIENT, "text", bytes(limits.BODY_BYTES_MAX + 1)],
        ["post", 1, b"", CLIENT, "create", b"", ["x"] * (limits.INVITE_BATCH_MAX + 1)],
        ["history", 1, ROOM, 1, True, limits.PAGE_ENTRIES_MAX + 1],
        ["history", 1, ROOM, 1, True, 0],
        ["hello", 1, None, "x" * 65],
        ["presence", "asleep"],
        ["typing", ROOM[:-1]],
        {"ack": 1},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_frames_beyond_their_limits(fields: object) -> None:
    with pytest.raises(Rejected) as refused:
        c2s.decode_client_frame(pack(fields))
    assert refused.value.code is Code.BAD_REQUEST


def test_what_the_largest_of_everything_needs_fits_into_a_frame() -> None:
    post = c2s.Post(2**53, ROOM, CLIENT, "x" * 32, bytes(limits.BODY_BYTES_MAX), ("u" * 85,) * 50, bytes(16))
    assert c2s.decode_client_frame(c2s.encode_frame(post)) == post


def test_frames_have_names_for_the_diary() -> None:
    assert c2s.describe(c2s.Ping()) == "ping"
