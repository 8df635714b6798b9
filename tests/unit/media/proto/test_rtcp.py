"""RTCP: what we write, aiortc reads, and the other way round; any bytes are read without an error."""

from __future__ import annotations

import pytest
from aiortc import rtp as theirs
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.media.proto import rtcp

U32 = st.integers(0, 0xFFFFFFFF)
BLOCK = st.builds(
    rtcp.Block,
    ssrc=U32, fraction=st.integers(0, 255), lost=st.integers(-0x800000, 0x7FFFFF), highest=U32, jitter=U32, last=U32, delay=U32,
)  # fmt: skip


@given(U32, st.integers(0, 2**64 - 1), U32, U32, U32)
def test_a_sender_report_comes_back(ssrc: int, ntp: int, stamp: int, packets: int, octets: int) -> None:
    report = rtcp.SenderReport(ssrc, ntp, stamp, packets, octets)
    data = rtcp.sender_report(report) + rtcp.description(ssrc, "a" * 300)
    assert rtcp.parse(data) == [report]
    first, second = theirs.RtcpPacket.parse(data)
    assert isinstance(first, theirs.RtcpSrPacket)
    assert (first.sender_info.ntp_timestamp, first.sender_info.rtp_timestamp) == (ntp, stamp)
    assert isinstance(second, theirs.RtcpSdesPacket)
    assert second.chunks[0].items == [(1, b"a" * 255)]


@given(U32, st.lists(BLOCK, min_size=1, max_size=31))
def test_a_receiver_report_comes_back(ssrc: int, blocks: list[rtcp.Block]) -> None:
    data = rtcp.receiver_report(ssrc, blocks)
    assert rtcp.parse(data) == [rtcp.Blocks(tuple(blocks))]
    (packet,) = theirs.RtcpPacket.parse(data)
    assert isinstance(packet, theirs.RtcpRrPacket)
    assert [report.packets_lost for report in packet.reports] == [block.lost for block in blocks]


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=64, unique=True))
def test_every_number_of_a_nack_comes_back(seqs: list[int]) -> None:
    data = rtcp.nack(1, 2, seqs)
    (item,) = rtcp.parse(data)
    assert isinstance(item, rtcp.Nack)
    assert item.ssrc == 2
    assert set(item.seqs) >= set(seqs[: limits.NACK_SEQS_MAX // 17])
    if len(seqs) <= limits.NACK_SEQS_MAX // 17:
        assert set(item.seqs) == set(seqs)
    (packet,) = theirs.RtcpPacket.parse(data)
    assert isinstance(packet, theirs.RtcpRtpfbPacket)
    assert {seq & 0xFFFF for seq in packet.lost} == set(seqs)  # aiortc does not wrap


def test_neighbours_share_an_item_also_around_the_wrap() -> None:
    data = rtcp.nack(1, 2, [0xFFFE, 0xFFFF, 0, 14])
    assert len(data) == 16
    (item,) = rtcp.parse(data)
    assert isinstance(item, rtcp.Nack)
    assert item.seqs == (0xFFFE, 0xFFFF, 0, 14)


def test_a_long_nack_is_cut() -> None:
    (item,) = rtcp.parse(rtcp.nack(1, 2, range(0, 40_000, 20)))
    assert isinstance(item, rtcp.Nack)
    assert len(item.seqs) == limits.NACK_SEQS_MAX


def test_key_frames_are_asked_for_in_two_ways() -> None:
    assert rtcp.parse(rtcp.pli(1, 2) + rtcp.fir(1, 3, 300)) == [rtcp.KeyFrameWanted(2), rtcp.KeyFrameWanted(3)]
    first, second = theirs.RtcpPacket.parse(rtcp.pli(1, 2) + rtcp.fir(1, 3, 300))
    assert isinstance(first, theirs.RtcpPsfbPacket)
    assert isinstance(second, theirs.RtcpPsfbPacket)
    assert (first.fmt, first.media_ssrc, second.fmt) == (1, 2, 4)


@given(st.integers(1, 2**40), st.lists(U32, max_size=8))
def test_remb_is_close(bitrate: int, ssrcs: list[int]) -> None:
    data = rtcp.remb(1, bitrate, ssrcs)
    (item,) = rtcp.parse(data)
    assert isinstance(item, rtcp.Remb)
    assert bitrate * 0.9999 <= item.bitrate <= bitrate
    (packet,) = theirs.RtcpPacket.parse(data)
    assert isinstance(packet, theirs.RtcpPsfbPacket)
    assert theirs.unpack_remb_fci(packet.fci) == (item.bitrate, ssrcs)


def test_an_absurd_remb_stays_a_number_one_can_use() -> None:
    (item,) = rtcp.parse(rtcp.remb(1, 1, [])[:-4] + b"\x00\xff\xff\xff")
    assert isinstance(item, rtcp.Remb)
    assert item.bitrate <= 1 << 40


def test_the_end_of_streams() -> None:
    assert rtcp.parse(rtcp.bye([4, 5])) == [rtcp.Bye((4, 5))]


def test_padding_is_taken_off_and_unknown_kinds_are_passed_over() -> None:
    padded = bytes((0x80 | 0x20 | 1, rtcp.PSFB, 0, 3)) + bytes((0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4))
    assert rtcp.parse(b"\x80\xcf\x00\x01abcd" + padded) == [rtcp.KeyFrameWanted(2)]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80", b"\x80\xc8\x00\x01abc", b"\x40\xc8\x00\x00", b"\xa1\xce\x00\x00", b"\xa1\xce\x00\x01\x00\x00\x00\x09",
        rtcp.pli(1, 2) + b"\x80\xc8\x00\x06",
    ],
)  # fmt: skip
def test_a_broken_compound_is_nothing(data: bytes) -> None:
    assert rtcp.parse(data) == []


def test_blocks_that_are_promised_and_missing_are_not_read() -> None:
    data = bytearray(rtcp.receiver_report(1, [rtcp.Block(2, 0, 0, 0, 0, 0, 0)]))
    data[0] |= 31
    (item,) = rtcp.parse(bytes(data))
    assert isinstance(item, rtcp.Blocks)
    assert len(item.blocks) == 1


def test_a_compound_is_bounded() -> None:
    assert len(rtcp.parse(rtcp.pli(1, 2) * 100)) == limits.RTCP_PACKETS_MAX


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    rtcp.parse(data)


@given(st.integers(0, 31), st.integers(192, 223), st.binary(max_size=100))
def test_any_body_is_read_without_an_error(count: int, kind: int, body: bytes) -> None:
    body += bytes(-len(body) % 4)
    rtcp.parse(bytes((0x80 | count, kind, 0, len(body) // 4)) + body)
