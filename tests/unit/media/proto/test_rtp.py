"""RTP: every layout of header extensions, and any bytes at all."""

from __future__ import annotations

import struct

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from node.media.proto import canonical, rtp

IDS = {
    1: canonical.AUDIO_LEVEL,
    2: canonical.MID,
    5: canonical.RID,
    6: canonical.REPAIRED_RID,
    9: canonical.ORIENTATION,
}


def packet(
    block: bytes = b"", *, profile: int = rtp.ONE_BYTE, csrcs: int = 0, payload: bytes = b"pay", pad: int = 0
) -> bytes:
    first = 0x80 | csrcs | (0x10 if profile else 0) | (0x20 if pad else 0)
    head = struct.pack("!BBHII", first, 0x80 | 96, 7, 8, 9) + bytes(4 * csrcs)
    if profile:
        block += bytes(-len(block) % 4)
        head += struct.pack("!HH", profile, len(block) // 4) + block
    return head + payload + (bytes(pad - 1) + bytes((pad,)) if pad else b"")


def read(data: bytes) -> tuple[rtp.Extensions, bytes]:
    where = rtp.layout(data, len(data))
    assert where is not None
    return rtp.scan(data, where, IDS), data[where.payload : where.end]


def test_a_packet_without_extensions() -> None:
    assert read(packet(profile=0, csrcs=15)) == (rtp.NONE, b"pay")
    assert read(packet(profile=0, pad=5)) == (rtp.NONE, b"pay")
    assert read(packet(b"", payload=b"", pad=255)) == (rtp.NONE, b"")


@pytest.mark.parametrize("profile", [rtp.ONE_BYTE, rtp.TWO_BYTE, rtp.TWO_BYTE | 0xF])
def test_elements_are_read_in_both_forms(profile: int) -> None:
    items = [(2, b"v"), (1, b"\xaa"), (5, b"hi"), (6, b"lo"), (9, b"\x03"), (14, b"what?")]
    block = b"\0\0".join(rtp.encode([item], wide=profile != rtp.ONE_BYTE).rstrip(b"\0") for item in items)
    found, payload = read(packet(block, profile=profile, csrcs=2, pad=4))
    assert payload == b"pay"
    assert found == rtp.Extensions(b"v", b"hi", b"lo", 0x2A, bytes((canonical.ORIENTATION << 4, 3, 0, 0)))


def test_id_15_ends_a_block_of_one_byte_elements() -> None:
    assert read(packet(b"\xf0\x00" + b"\x20v"))[0] == rtp.NONE


def test_an_element_that_leaves_its_block_is_not_read() -> None:
    assert read(packet(b"\x20v\x5fab"))[0] == rtp.Extensions(mid=b"v")
    assert read(packet(b"\x02\x01v\x05\xff", profile=rtp.TWO_BYTE))[0] == rtp.Extensions(mid=b"v")
    assert read(packet(b"\x02\x01v\x05", profile=rtp.TWO_BYTE))[0] == rtp.Extensions(mid=b"v")


def test_an_unknown_profile_is_passed_over() -> None:
    assert read(packet(b"\x20v", profile=0x1234)) == (rtp.NONE, b"pay")


def test_elements_are_bounded() -> None:
    data = packet(b"\x20v" * 200)
    where = rtp.layout(data, len(data))
    assert where is not None
    assert len(rtp.elements(data, where)) == rtp.ELEMENTS_MAX


def test_long_elements_are_copied_in_two_byte_form() -> None:
    long = bytes(range(30))
    found, _ = read(packet(bytes((9, len(long))) + long, profile=rtp.TWO_BYTE))
    assert found.wide
    assert found.copied == bytes((canonical.ORIENTATION, 30)) + long
    head = rtp.wide_head(96, 1, 2, 3, "z1", rtp.send_time_word(1.0), found.copied)
    again = rtp.layout(head + b"pay", len(head) + 3)
    assert again is not None
    ids = {number: number for number in range(1, 15)}
    assert rtp.scan(head, again, ids) == rtp.Extensions(mid=b"z1", copied=found.copied, wide=True)


@pytest.mark.parametrize("broken", [b"", b"\x80", packet(profile=0)[:11], b"\x40" + packet()[1:], packet()[:14]])
def test_what_is_no_rtp_has_no_layout(broken: bytes) -> None:
    assert rtp.layout(broken, len(broken)) is None


def test_padding_that_eats_the_header_is_no_layout() -> None:
    data = packet(profile=0, pad=3)[:-1]
    assert rtp.layout(data + b"\xff", len(data) + 1) is None
    assert rtp.layout(data + b"\x00", len(data) + 1) is None


def test_extensions_longer_than_the_packet_are_no_layout() -> None:
    data = packet(profile=0)[:12]
    data = b"\x90" + data[1:] + struct.pack("!HH", rtp.ONE_BYTE, 9)
    assert rtp.layout(data, len(data)) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    where = rtp.layout(memoryview(data), len(data))
    if where is not None:
        assert 12 <= where.elements <= where.payload <= where.end <= len(data)
        found = rtp.scan(memoryview(data), where, {number: number % 12 for number in range(256)})
        assert len(found.copied) % 4 == 0
        assert -1 <= rtp.original(data, where) < 0x10000


@given(st.binary(max_size=60), st.sampled_from([rtp.ONE_BYTE, rtp.TWO_BYTE, 0x1003, 7]))
def test_any_extension_block_is_read_without_an_error(block: bytes, profile: int) -> None:
    found, payload = read(packet(block, profile=profile))
    assert payload == b"pay"
    assert found.level < 128


@given(
    st.integers(0, 1), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.integers(1, 0xFFFFFFFF), st.sampled_from(["0", "1z", "abc"]),
    st.floats(0, 1e6),
)  # fmt: skip
def test_the_head_is_what_another_implementation_reads(
    mark: int, seq: int, timestamp: int, ssrc: int, mid: str, now: float
) -> None:
    head = rtp.HEAD.pack(
        rtp.FIRST, mark << 7 | 96, seq, timestamp, ssrc, rtp.ONE_BYTE_HEAD, rtp.mid_word(mid), rtp.send_time_word(now)
    )
    extensions = HeaderExtensionsMap()
    extensions.configure(
        RTCRtpParameters(
            headerExtensions=[
                RTCRtpHeaderExtensionParameters(id=number, uri=uri) for uri, number in canonical.URIS.items()
            ]
        )
    )
    theirs = RtpPacket.parse(head + b"pay", extensions)
    assert (theirs.marker, theirs.payload_type, theirs.sequence_number) == (mark, 96, seq)
    assert (theirs.timestamp, theirs.ssrc, theirs.payload) == (timestamp, ssrc, b"pay")
    assert theirs.extensions.mid == mid
    assert theirs.extensions.abs_send_time == int(now * 2**18) & 0xFFFFFF


def test_indices_do_not_wrap() -> None:
    assert rtp.unwrap(0, 0x1FFFF) == 0x20000
    assert rtp.unwrap(0xFFFF, 0x20000) == 0x1FFFF
    assert rtp.unwrap(5, 0x10005) == 0x10005
