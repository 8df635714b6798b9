"""What the frames of a device socket have in common: their base and the bounded types of their fields."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from node.base import limits

Id32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Id16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Room = Annotated[bytes, Meta(max_length=32)]
Int = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]
Kind = Annotated[str, Meta(min_length=1, max_length=limits.KIND_CHARS_MAX)]


class Frame(Struct, frozen=True, array_like=True):
    """Base of all frames."""
