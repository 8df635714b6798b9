"""Frames between nodes keep their layout and refuse everything else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import RemoteError
from node.wire import s2s
from node.wire.codec import encode

RUN = b"12345678"
LAYOUTS: list[tuple[s2s.AnyFrame, list[object]]] = [
    (s2s.Hello(RUN, None, 0, 5, 1, 256, ("x",), "192.0.2.1"), [0, RUN, None, 0, 5, 1, 256, ["x"], "192.0.2.1"]),
    (s2s.Msg(1, 0, b"b"), [1, 1, 0, b"b"]),
    (s2s.Ack(9, 256), [2, 9, 256]),
    (s2s.Ping(1), [3, 1]),
    (s2s.Pong(1), [4, 1]),
    (s2s.Nack(3, "not_member"), [5, 3, "not_member"]),
    (s2s.Goaway("superseded", 5, b"p"), [6, "superseded", 5, b"p"]),
    (s2s.Whisper("typing", b"b"), [7, "typing", b"b"]),
    (s2s.Request(1, "who", b"a"), [8, 1, "who", b"a"]),
    (s2s.Reply(1, "", b"a"), [9, 1, "", b"a"]),
    (s2s.Rekey(), [13]),
    (s2s.Msgs((s2s.Msg(1, 0, b"a"), s2s.Msg(2, 1, b"b"))), [14, [[1, 1, 0, b"a"], [1, 2, 1, b"b"]]]),
]


@pytest.mark.parametrize(("frame", "layout"), LAYOUTS, ids=lambda one: type(one).__name__)
def test_layout(frame: s2s.AnyFrame, layout: list[object]) -> None:
    data = s2s.encode_frame(frame)
    assert msgspec.msgpack.decode(data) == layout
    assert s2s.decode_frame(data) == frame
    assert s2s.decode_frame(encode([*layout, "later"]) if frame != s2s.Rekey() else data) == frame


@pytest.mark.parametrize(
    "wrong",
    [
        [0, b"short", None, 0, 5, 1, 256],
        [1, 0, 0, b""],
        [1, 2**53 + 1, 0, b""],
        [1, 1, 16, b""],
        [1, 1, 0, bytes(limits.LINK_BODY_BYTES_MAX + 1)],
        [2, -1, 0],
        [5, 1, ""],
        [6, "x" * 33, 0],
        [7, "t", bytes(limits.WHISPER_BYTES_MAX + 1)],
        [10, 1, b""],
        [14],
        ["hello"],
        [],
        {},
        b"",
    ],
)
def test_what_is_no_frame(wrong: object) -> None:
    with pytest.raises(RemoteError):
        s2s.decode_frame(encode(wrong))


def test_only_an_empty_item_of_class_0_is_void() -> None:
    assert s2s.Msg(1, 0, b"").is_void
    assert not s2s.Msg(1, 1, b"").is_void
    assert not s2s.Msg(1, 0, b"x").is_void


@given(st.binary(max_size=200))
def test_bytes_of_any_kind(data: bytes) -> None:
    for decode in (s2s.decode_frame, s2s.decode_payload):
        try:
            decode(data)
        except RemoteError:
            continue


def test_a_payload_is_small() -> None:
    with pytest.raises(RemoteError):
        s2s.decode_payload(bytes(limits.HANDSHAKE_PAYLOAD_BYTES_MAX + 1))
