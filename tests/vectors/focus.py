"""Makes docs/spec/vectors/calls.json: what the nodes of a call say to each other, word by word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from node.wire import focus
from tests.vectors import rooms
from tests.vectors.calls import AT_MS, CALL, OTHER, SEAT

ROOM: Final = bytes(range(0x60, 0x80))
HALF: Final = b"opaque"


def words() -> dict[str, tuple[str, Struct]]:
    """Each by its method or topic."""
    alice, bob = rooms.ALICE, rooms.BOB
    hers = focus.SeatNow(SEAT, alice, "live", True, True, False, False, ("mic", "camera"), False, AT_MS)
    his = focus.SeatNow(OTHER, bob, "connecting")
    waits = focus.InvitedNow(bob, "ringing", AT_MS)
    return {
        "begin": (focus.ASK, focus.AskStart(CALL, ROOM, alice, SEAT, AT_MS, "video", (bob,))),
        "accept": (focus.ASK, focus.AskJoin(CALL, ROOM, bob, OTHER, AT_MS)),
        "come back": (focus.ASK, focus.AskJoin(CALL, ROOM, alice, OTHER, AT_MS, SEAT)),
        "decline": (focus.ASK, focus.AskAnswer(CALL, ROOM, bob)),
        "busy": (focus.ASK, focus.AskAnswer(CALL, ROOM, bob, busy=True)),
        "leave": (focus.ASK, focus.AskLeave(CALL, ROOM, bob, OTHER)),
        "end": (focus.ASK, focus.AskLeave(CALL, ROOM, alice, SEAT, everybody=True)),
        "mute": (focus.ASK, focus.AskRemove(CALL, ROOM, alice, OTHER, mute=True)),
        "it rings": (focus.NOW, focus.CallNow(CALL, ROOM, 3, "video", alice, AT_MS, 0, (hers,), (waits,))),
        "it is over": (
            focus.NOW,
            focus.CallNow(
                CALL, ROOM, 9, "video", alice, AT_MS, AT_MS + 4_000, (), (), {SEAT: "answered", OTHER: "left"}, "answered",
                AT_MS + 70_000, 2,
            ),
        ),
        "seats of a home": (focus.SEATS, focus.SeatsNow(CALL, ROOM, AT_MS + 1, 3, (his,), (), "video", alice, AT_MS)),
        "it rings here": (focus.SEATS, focus.SeatsNow(CALL, ROOM, AT_MS, 2, (), (bob,), "video", alice, AT_MS)),
        "half of a pipe": (focus.PIPE, focus.PipeHalf(CALL, HALF)),
        "begin the pipe anew": (focus.PIPE, focus.PipeHalf(CALL)),
        "wanted tracks": (
            focus.WANT,
            focus.PipeWant(CALL, (focus.WantedTrack(SEAT, "camera", 640, pinned=True), focus.WantedTrack(SEAT, "mic", 0))),
        ),
    }  # fmt: skip


def focus_vectors(to_json: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """Name, method or topic, bytes and the array they decode to."""
    return [
        {"name": name, "in": where, "hex": data.hex(), "word": to_json(msgspec.msgpack.decode(data))}
        for name, (where, said) in words().items()
        if (data := focus.encode_said(said))
    ]
