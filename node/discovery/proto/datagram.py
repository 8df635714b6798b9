"""Datagrams of the DHT: five requests and one answer.

A datagram has 22 to 1,400 bytes::

    kind (1 byte: 0 request, 1 answer) ‖ message id (20 random bytes) ‖ msgpack array

Request: ``[method, id, flags, token, key, value, pad]``

=======  ==========  ==================================================================================================
field    size        meaning
=======  ==========  ==================================================================================================
method   text        ``ping``, ``stun``, ``find_node``, ``find_value`` or ``store``
id       20          DHT id of the sender
flags    integer     bit 0: read-only. The sender cannot be reached by others: it is not inserted, and never answers
token    0 or 8      the token of its last answer, if the sender has one
key      0 or 20     what is looked for or stored
value    0…1,000     ``store``: the record
pad      0…          zeros, so that an answer of three times the size suffices; only without a token
=======  ==========  ==================================================================================================

Answer: ``[id, token, seen, nodes, value, code]``

=======  ==========  ==================================================================================================
id       20          DHT id of the sender
token    8           to be shown in the next request; proves that the asker's address is its own
seen     6 or 18     address and port from which the request came
nodes    n × 26, 38  contacts: id, address, port (big-endian); nearest first, at most 20
value    0…1,000     ``find_value``: the record, if there is one
code     integer     0 done, 1 the token is wrong, 2 the record is wrong or older than ours
=======  ==========  ==================================================================================================

All contacts of a datagram are of the family of the socket it came through. Anything else is a `RemoteError`, and costs
its sender a token of its rate. Elements after the last are ignored, so a later version can add some.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from node.base import limits
from node.base.errors import RemoteError
from node.discovery.proto.policy import ID_BYTES, TOKEN_BYTES, Contact, packed, unpacked

REQUEST: Final = 0
ANSWER: Final = 1
MESSAGE_ID_BYTES: Final = 20
READ_ONLY: Final = 1
VALUE_BYTES_MAX: Final = 1_000
HEADER_BYTES: Final = 1 + MESSAGE_ID_BYTES
IP_BYTES: Final = {4: 4, 6: 16}
PING_BYTES_MAX: Final = 80  # a ping with a token; a test asks

Method = Literal["ping", "stun", "find_node", "find_value", "store"]
Id = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Value = Annotated[bytes, Meta(max_length=VALUE_BYTES_MAX)]
Small = Annotated[int, Meta(ge=0, le=255)]


class Outcome(IntEnum):
    """What became of a request."""

    DONE = 0
    BAD_TOKEN = 1
    REFUSED = 2


class Request(msgspec.Struct, array_like=True, frozen=True):
    """A question."""

    method: Method
    node: Id
    flags: Small = 0
    token: Annotated[bytes, Meta(max_length=TOKEN_BYTES)] = b""
    key: Annotated[bytes, Meta(max_length=ID_BYTES)] = b""
    value: Value = b""
    pad: bytes = b""

    @property
    def read_only(self) -> bool:
        """Whether the sender cannot be reached."""
        return bool(self.flags & READ_ONLY)


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """Its answer."""

    node: Id
    token: Annotated[bytes, Meta(min_length=TOKEN_BYTES, max_length=TOKEN_BYTES)]
    seen: Annotated[bytes, Meta(max_length=18)] = b""
    nodes: Annotated[bytes, Meta(max_length=limits.DHT_K * 38)] = b""
    value: Value = b""
    code: Small = 0


_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request).decode
_answer = msgspec.msgpack.Decoder(Answer).decode
_KEYED: Final = frozenset({"find_node", "find_value", "store"})


def encode_request(message_id: bytes, request: Request, *, size_bytes: int = 0) -> bytes:
    """The datagram, padded to at least `size_bytes`."""
    data = bytes([REQUEST]) + message_id + _encode(request)
    lacking = size_bytes - len(data)
    if lacking > 0:  # a pad of 256 bytes and more has a length of two bytes: one byte more than asked for
        data = bytes([REQUEST]) + message_id + _encode(msgspec.structs.replace(request, pad=bytes(lacking)))
    return data


def encode_answer(message_id: bytes, answer: Answer) -> bytes:
    """The datagram."""
    return bytes([ANSWER]) + message_id + _encode(answer)


def kind_of(data: bytes) -> int:
    """0 request, 1 answer. Raises RemoteError for a size or kind that does not exist."""
    if not limits.DHT_DATAGRAM_BYTES_MIN <= len(data) <= limits.DHT_DATAGRAM_BYTES_MAX:
        raise RemoteError(f"a datagram of {len(data)} bytes")
    if data[0] not in {REQUEST, ANSWER}:
        raise RemoteError("a datagram of an unknown kind")
    return data[0]


def message_id_of(data: bytes) -> bytes:
    """Its 20 bytes."""
    return data[1:HEADER_BYTES]


def decode_request(data: bytes) -> Request:
    """The question. Raises RemoteError."""
    try:
        request = _request(data[HEADER_BYTES:])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise RemoteError(f"not a request: {error}") from None
    if len(request.token) not in {0, TOKEN_BYTES}:
        raise RemoteError("a token has 8 bytes")
    if len(request.key) != (ID_BYTES if request.method in _KEYED else 0):
        raise RemoteError("a key has 20 bytes, where there is one")
    return request


def decode_answer(data: bytes) -> Answer:
    """The answer. Raises RemoteError."""
    try:
        return _answer(data[HEADER_BYTES:])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise RemoteError(f"not an answer: {error}") from None


def pack_endpoint(ip: str, port: int) -> bytes:
    """6 or 18 bytes."""
    return packed(ip) + port.to_bytes(2, "big")


def unpack_endpoint(data: bytes, *, family: int) -> tuple[str, int]:
    """The inverse. Raises RemoteError."""
    if len(data) != IP_BYTES[family] + 2:
        raise RemoteError("an address of another family")
    return unpacked(data[:-2]), int.from_bytes(data[-2:], "big")


def pack_contacts(contacts: Sequence[Contact]) -> bytes:
    """26 or 38 bytes each."""
    return b"".join(map(_pack_contact, contacts))


@lru_cache(maxsize=4_096)
def _pack_contact(contact: Contact) -> bytes:
    return contact.id + pack_endpoint(contact.ip, contact.port)


def unpack_contacts(data: bytes, *, family: int) -> list[Contact]:
    """The inverse; at most 20. Raises RemoteError. Whom to believe is the policy's business."""
    size = contact_bytes(family)
    if len(data) % size or len(data) > limits.DHT_K * size:
        raise RemoteError("not a list of contacts")
    return [_unpack_contact(data[start : start + size]) for start in range(0, len(data), size)]


@lru_cache(maxsize=4_096)
def _unpack_contact(data: bytes) -> Contact:
    return Contact(data[:ID_BYTES], unpacked(data[ID_BYTES:-2]), int.from_bytes(data[-2:], "big"))


def contact_bytes(family: int) -> int:
    """Size of one contact."""
    return ID_BYTES + IP_BYTES[family] + 2


def fit(answer: Answer, *, size_bytes: int, family: int) -> Answer | None:
    """As much of an answer as `size_bytes` hold: the farthest contacts go first, then the record. None: not even that."""
    size = contact_bytes(family)
    over = len(encode_answer(bytes(MESSAGE_ID_BYTES), answer)) - size_bytes
    if over > 0:
        kept = max(0, len(answer.nodes) - size * -(-over // size))
        answer = msgspec.structs.replace(answer, nodes=answer.nodes[:kept])
        over = len(encode_answer(bytes(MESSAGE_ID_BYTES), answer)) - size_bytes
    if over > 0 and answer.value:
        answer = msgspec.structs.replace(answer, value=b"")
        over = len(encode_answer(bytes(MESSAGE_ID_BYTES), answer)) - size_bytes
    return answer if over <= 0 else None
