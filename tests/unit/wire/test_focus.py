"""What nodes say about calls: round trips, bounds, and no bytes that crash a decoder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, make_user
from node.wire import focus
from node.wire.focus import AskAnswer, AskJoin, AskLeave, AskRemove, AskStart, CallNow, InvitedNow, SeatNow, SeatsNow

CALL, ROOM, SEAT = bytes(range(16)), bytes(range(32)), bytes(range(8))
NODE = NodeId(bytes(range(32)))
ALICE = make_user("alice", NODE)
LONGEST = make_user("a" * limits.LOCAL_NAME_CHARS_MAX, NODE)
DECODERS: list[Callable[[bytes], object]] = [
    focus.decode_ask, focus.decode_now, focus.decode_seats, focus.decode_half, focus.decode_want,
]  # fmt: skip


@pytest.mark.parametrize(
    "ask",
    [
        AskStart(CALL, ROOM, ALICE, SEAT, 7, "video", (ALICE,)),
        AskJoin(CALL, ROOM, ALICE, SEAT, 8),
        AskJoin(CALL, ROOM, ALICE, SEAT, 8, SEAT),
        AskAnswer(CALL, ROOM, ALICE, busy=True),
        AskLeave(CALL, ROOM, ALICE, SEAT, everybody=True),
        AskRemove(CALL, ROOM, ALICE, SEAT, mute=True),
    ],
    ids=lambda ask: type(ask).__name__,
)
def test_requests_come_back(ask: focus.Ask) -> None:
    assert focus.decode_ask(focus.encode_said(ask)) == ask


def largest_now() -> CallNow:
    """As large as limits allow."""
    big, sources = limits.INTEGER_MAX, ("mic", "camera", "screen", "sound")
    seats = tuple(
        SeatNow(n.to_bytes(8, "big"), LONGEST, "reconnecting", True, True, True, True, sources, True, big)
        for n in range(limits.CALL_PARTICIPANTS_MAX)
    )
    invited = tuple(InvitedNow(LONGEST, "unreachable", big) for _ in range(limits.CALL_INVITED_MAX))
    gone = {n.to_bytes(8, "little"): "unreachable" for n in range(limits.CALL_GONE_MAX)}
    return CallNow(CALL, ROOM, big, "video", LONGEST, big, big, seats, invited, gone, "unreachable", big, big)


def largest_seats() -> SeatsNow:
    """The same from a home."""
    now = largest_now()
    return SeatsNow(
        CALL,
        ROOM,
        now.version,
        now.version,
        now.seats,
        (LONGEST,) * limits.CALL_TARGETS_MAX,
        "video",
        LONGEST,
        now.version,
    )


def test_the_largest_call_fits_a_whisper() -> None:
    for said in (largest_now(), largest_seats()):
        assert len(focus.encode_said(said)) < limits.WHISPER_BYTES_MAX
    assert focus.decode_now(focus.encode_said(largest_now())) == largest_now()
    assert focus.decode_seats(focus.encode_said(largest_seats())) == largest_seats()


@pytest.mark.parametrize("half", [b"", b"half", bytes(limits.CALL_HALF_BYTES_MAX)], ids=["anew", "short", "longest"])
def test_halves_come_back(half: bytes) -> None:
    said = focus.PipeHalf(CALL, half)
    assert focus.decode_half(focus.encode_said(said)) == said


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(Rejected) as refusal:
        focus.decode_half(focus.encode_said(focus.PipeHalf(CALL, bytes(limits.CALL_HALF_BYTES_MAX + 1))))
    assert refusal.value.code is Code.BAD_REQUEST
    wanted = tuple(focus.WantedTrack(SEAT, "mic", 0) for _ in range(limits.CALL_WISHES_MAX + 1))
    with pytest.raises(Rejected):
        focus.decode_want(focus.encode_said(focus.PipeWant(CALL, wanted)))
    assert focus.decode_want(focus.encode_said(focus.PipeWant(CALL, wanted[1:]))).tracks == wanted[1:]


@pytest.mark.parametrize("decode", DECODERS, ids=["ask", "now", "seats", "half", "want"])
@given(
    data=st.one_of(st.binary(max_size=200), st.sampled_from([focus.encode_said(largest_now())]).map(lambda d: d[:-3]))
)
def test_no_bytes_crash_a_decoder(decode: Callable[[bytes], object], data: bytes) -> None:
    with suppress(Rejected):  # anything else is a crash
        decode(data)


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_one_wrong_byte_is_another_word_or_a_refusal(at: int, byte: int) -> None:
    data = bytearray(focus.encode_said(largest_now()))
    data[at % len(data)] = byte
    with suppress(Rejected):
        assert isinstance(focus.decode_now(bytes(data)), CallNow)
