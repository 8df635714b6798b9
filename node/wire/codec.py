"""msgpack in and out, with size checked before parsing. Nothing else in the program parses msgpack from outside.

Sizes are bytes. Struct decoders are strict about known fields and ignore unknown trailing ones, so a newer
peer can add fields. Depth is bounded by the shapes of the structs; free-form bodies are bounded by
`core.content.check_shape`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from node.base import limits
from node.base.errors import Code, Rejected

T = TypeVar("T")

encode = msgspec.msgpack.Encoder().encode


class Decoder(Generic[T]):
    """Decodes one type; every malformed input is `Rejected` with `bad_request` or `too_large`."""

    def __init__(self, kind: Any, *, size_bytes_max: int = limits.FRAME_BYTES_MAX, what: str = "frame") -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._size_bytes_max = size_bytes_max
        self._what = what

    def __call__(self, data: bytes | bytearray | memoryview) -> T:
        """The value. Raises Rejected."""
        if len(data) > self._size_bytes_max:
            raise Rejected(
                Code.TOO_LARGE,
                f"The {self._what} is larger than {self._size_bytes_max} bytes.",
                limit=self._size_bytes_max,
            )
        try:
            value: T = self._decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError, ValueError, OverflowError) as error:
            raise Rejected(Code.BAD_REQUEST, f"The {self._what} is not valid: {error}.") from None
        return value
