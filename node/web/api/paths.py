"""Ids in paths. One that is misspelt is treated like one that does not exist."""

from __future__ import annotations

from typing import Any

from node.base.errors import Code, Rejected
from node.base.ids import DEVICE_ID_BYTES, ROOM_ID_BYTES, DeviceId, RoomId, UserId, parse_id
from node.web.endpoints import Call


def room_in(call: Call[Any]) -> RoomId:
    """``{room}``."""
    try:
        return RoomId(parse_id(call.match["room"], ROOM_ID_BYTES))
    except ValueError:
        raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.") from None


def device_in(call: Call[Any]) -> DeviceId:
    """``{device}``."""
    try:
        return DeviceId(parse_id(call.match["device"], DEVICE_ID_BYTES))
    except ValueError:
        raise Rejected(Code.NOT_FOUND, "You have no such device.") from None


def user_in(call: Call[Any]) -> UserId:
    """``{user}``; whether it exists is asked by the service."""
    return UserId(call.match["user"])


def number_in(call: Call[Any]) -> int:
    """``{id}``: a small number as text."""
    text = call.match["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise Rejected(Code.NOT_FOUND, "There is no such invitation.")
    return int(text)
