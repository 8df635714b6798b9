"""Frames of calls for c2s.json: one of each, and those whose meaning hangs on a default."""

from __future__ import annotations

from node.wire import c2s, calling

CALL = bytes(range(0x40, 0x50))
SEAT, OTHER = bytes(range(0x50, 0x58)), bytes(range(0x58, 0x60))
AT_MS = 1_767_225_600_000
SDP = "v=0\r\n"


def client_frames(room: bytes, bob: str) -> dict[str, c2s.Frame]:
    """What a device says."""
    return {
        "call of a direct chat": calling.CallStart(40, room, "audio"),
        "call of a group": calling.CallStart(41, room, "video", (bob,)),
        "it rings": calling.CallRinging(CALL),
        "accept": calling.CallJoin(42, CALL),
        "come back to a call": calling.CallJoin(43, CALL, SEAT),
        "decline": calling.CallDecline(44, CALL),
        "busy": calling.CallDecline(45, CALL, busy=True),
        "leave": calling.CallLeave(46, CALL, SEAT),
        "end for everybody": calling.CallLeave(47, CALL, SEAT, everybody=True),
        "remove": calling.CallRemove(48, CALL, OTHER),
        "mute somebody": calling.CallRemove(49, CALL, OTHER, mute=True),
        "offer of the up transport": calling.CallUp(50, CALL, SEAT, SDP, {"0": "mic", "1": "camera"}),
        "answer of the down transport": calling.CallDown(51, CALL, SEAT, 3, SDP),
        "restart of the down transport": calling.CallRestart(CALL, SEAT),
        "state": calling.CallState(CALL, SEAT, mic=True, camera=True),
        "wishes": calling.CallWant(
            CALL, SEAT, (calling.Wish(OTHER, "camera", 320), calling.Wish(OTHER, "screen", 1920, pinned=True))
        ),
    }


def node_frames(room: bytes, alice: str, bob: str) -> dict[str, c2s.Frame]:
    """What the node says."""
    return {
        "a seat": calling.CallSeat(42, CALL, SEAT, room, 30),
        "answer of the up transport": calling.CallSdp(50, SDP),
        "offer of the down transport": calling.CallOffer(
            CALL, SEAT, 3, SDP, {"0": (OTHER, "mic"), "1": (OTHER, "camera")}
        ),
        "ring": calling.Ring(CALL, room, alice, "video", AT_MS + 45_000),
        "roster": calling.CallRoster(
            CALL, room, 7, "video", alice, "live", AT_MS,
            (calling.Participant(SEAT, alice, "live", True, True, False, False, False, AT_MS),),
            (calling.Invited(bob, "ringing"),),
        ),
        "answered elsewhere": calling.CallOver(CALL, room, "accepted_elsewhere"),
        "speakers": calling.CallSpeakers(CALL, (OTHER, SEAT)),
        "quality": calling.CallQuality(CALL, SEAT, 3, 0, 1_200, 2, 900, 35, layers={"camera": 2}),
    }  # fmt: skip
