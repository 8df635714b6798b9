"""The VP8 payload descriptor, against another reader and against any bytes."""

from __future__ import annotations

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from node.media.proto import vp8

KEY = b"\x10\x02\x00\x9d\x01\x2a\x80\x02\x68\x01"  # P is 0: a key frame of 640 x 360
DELTA = b"\x11\x02\x00"


def descriptor(*, start: bool = True, pid: int = -1, tl0: int = -1, tid: int = -1, sync: bool = False, wide: bool = True) -> bytes:  # fmt: skip
    flags = (0x80 if pid >= 0 else 0) | (0x40 if tl0 >= 0 else 0) | (0x20 if tid >= 0 else 0)
    out = bytes(((0x80 if flags else 0) | (0x10 if start else 0),))
    if flags:
        out += bytes((flags,))
    if pid >= 0:
        out += (0x8000 | pid).to_bytes(2, "big") if wide else bytes((pid & 0x7F,))
    if tl0 >= 0:
        out += bytes((tl0,))
    if tid >= 0:
        out += bytes((tid << 6 | sync << 5,))
    return out


def test_a_key_frame_tells_its_width() -> None:
    found = vp8.read(descriptor(pid=300, tl0=7, tid=0, sync=True) + KEY)
    assert found is not None
    assert (found.first, found.key, found.pid, found.tl0, found.tid, found.sync) == (True, True, 300, 7, 0, True)
    assert found.width == 640


def test_later_packets_of_a_key_frame_do_not_begin_it() -> None:
    found = vp8.read(descriptor(start=False, pid=300) + KEY)
    assert found is not None
    assert not found.first
    assert not found.key
    assert found.width == 0


def test_a_delta_frame() -> None:
    found = vp8.read(descriptor(pid=5, wide=False, tid=2) + DELTA)
    assert found is not None
    assert (found.key, found.pid, found.pid_mask, found.tid, found.tl0) == (False, 5, 0x7F, 2, -1)


@pytest.mark.parametrize(
    "payload", [b"", b"\x10", b"\x90", b"\x90\x80", b"\x90\x80\x81", b"\x90\xe0\x01\x02", b"\x50\x01"]
)
def test_what_is_no_descriptor(payload: bytes) -> None:
    assert vp8.read(payload) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_read_without_an_error(payload: bytes) -> None:
    found = vp8.read(payload)
    if found is not None:
        packet = bytearray(payload)
        vp8.rewrite(packet, 0, found, 1234, 99)
        again = vp8.read(bytes(packet))
        assert again is not None
        if found.pid >= 0:
            assert again.pid == (found.pid + 1234) & found.pid_mask
        if found.tl0 >= 0:
            assert again.tl0 == (found.tl0 + 99) & 0xFF
        assert again.key == found.key


@given(st.integers(0, 0x7FFF), st.integers(0, 255), st.integers(0, 3), st.integers(-40_000, 40_000), st.booleans())
def test_another_reader_sees_the_shifted_counters(pid: int, tl0: int, tid: int, shift: int, wide: bool) -> None:
    payload = descriptor(pid=pid, tl0=tl0, tid=tid, wide=wide) + DELTA
    found = vp8.read(payload)
    assert found is not None
    packet = bytearray(b"head" + payload)
    vp8.rewrite(packet, 4, found, shift, shift)
    theirs, rest = VpxPayloadDescriptor.parse(bytes(packet[4:]))
    assert rest == DELTA
    assert theirs.picture_id == (found.pid + shift) & found.pid_mask
    assert theirs.tl0picidx == (tl0 + shift) & 0xFF
    assert theirs.tid is not None
    assert theirs.tid[0] == tid


def test_a_picture_without_counters_is_not_touched() -> None:
    payload = descriptor() + DELTA
    found = vp8.read(payload)
    assert found is not None
    packet = bytearray(payload)
    vp8.rewrite(packet, 0, found, 5, 5)
    assert packet == payload
