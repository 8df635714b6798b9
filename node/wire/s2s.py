"""Frames of ``startalk.s2s.1``, between two nodes. The specification is docs/spec/s2s.md.

A frame is a msgpack array whose first element is the number of its type. It travels inside the encrypted channel that
federation/proto/handshake.py opens: one binary WebSocket message holds one frame. Both sides speak the same frames; who dialled
makes no difference once the channel is open. Unknown trailing elements are ignored, so fields may be added.

====  =========  =============================================================================================
type  name       meaning
====  =========  =============================================================================================
 0    hello      first frame each way: numbering, where to go on, clock, what I have seen of you
 1    msg        a numbered item; at least once on the wire, exactly once in effect
 2    ack        the effects of everything up to `cum` are on disk; `credit` more may be unacknowledged
 3 4  ping pong  after 25 s of silence
 5    nack       item `seq` cannot be taken: it is in quarantine, the queue goes on
 6    goaway     I close this link, for this reason; come back after so many seconds
 7    whisper    never stored, never repeated, dropped first
 8 9  request    a question and its answer; an empty code means success
      reply
13    rekey      the last frame under this key of this direction
14    msgs       several msg frames in one: sealed, sent and read once; only to a peer whose hello had the cap `MSGS`
====  =========  =============================================================================================

Types 10 to 12 belong to relays and are not spoken yet.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from node.base import limits
from node.base.errors import Rejected, RemoteError
from node.wire.codec import Decoder, encode
from node.wire.keys import Chain, OpCert, decode_chain

SUBPROTOCOL: Final = "startalk.s2s.1"
PATH: Final = "/s2s"
RUN_BYTES: Final = 8
CAPS_MAX: Final = 16
MSGS: Final = "msgs"  # in `Hello.caps`: frames of type 14 are understood

Run = Annotated[bytes, Meta(min_length=RUN_BYTES, max_length=RUN_BYTES)]
Seq = Annotated[int, Meta(ge=1, le=limits.INTEGER_MAX)]
Count = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]
Token = Annotated[str, Meta(min_length=1, max_length=32)]
Code = Annotated[str, Meta(max_length=32)]


class Frame(Struct, frozen=True, array_like=True):
    """Base of all frames."""


class Hello(Frame, tag=0, frozen=True):
    """First frame each way. `run_out` names my numbering of what I send; `run_in` and `last_in` say how far I have yours.

    `incarnation` is the highest of yours that I have seen, `address` is where I see you, both hints. `now_ms` is my clock.
    """

    run_out: Run
    run_in: Run | None
    last_in: Count
    now_ms: Count
    incarnation: Count
    credit: Count
    caps: Annotated[tuple[Token, ...], Meta(max_length=CAPS_MAX)] = ()
    address: Annotated[str, Meta(max_length=64)] = ""


class Msg(Frame, tag=1, frozen=True):
    """A numbered item. An empty body of class 0 carries nothing and skips every number up to `seq`."""

    seq: Seq
    cls: Annotated[int, Meta(ge=0, le=15)]
    body: Annotated[bytes, Meta(max_length=limits.LINK_BODY_BYTES_MAX)]

    @property
    def is_void(self) -> bool:
        """Whether it only moves the numbering."""
        return self.cls == 0 and not self.body


class Ack(Frame, tag=2, frozen=True):
    """Everything up to and with `cum` is on disk; beyond it, `credit` items may be under way."""

    cum: Count
    credit: Count


class Ping(Frame, tag=3, frozen=True):
    """Are you there?"""

    n: Count


class Pong(Frame, tag=4, frozen=True):
    """Yes."""

    n: Count


class Nack(Frame, tag=5, frozen=True):
    """Item `seq` was refused for ever, for the reason `code`. Comes before the ack that covers it, maybe more than once."""

    seq: Seq
    code: Token


class Goaway(Frame, tag=6, frozen=True):
    """The last frame of a link: ``duplicate``, ``restarting``, ``fenced``, ``blocked``, ``idle``, ``read_only``, …

    With ``superseded`` the node that is sent away is an old copy; `proof` shows it: msgpack [chain, cert] of its later state.
    """

    reason: Token
    retry_s: Annotated[int, Meta(ge=0, le=30 * 24 * 3600)] = 0
    proof: Annotated[bytes, Meta(max_length=limits.HANDSHAKE_PAYLOAD_BYTES_MAX)] = b""


class Whisper(Frame, tag=7, frozen=True):
    """Typing, presence, call signals."""

    topic: Token
    body: Annotated[bytes, Meta(max_length=limits.WHISPER_BYTES_MAX)]


class Request(Frame, tag=8, frozen=True):
    """A question; `id` is the asker's own number."""

    id: Count
    method: Token
    args: Annotated[bytes, Meta(max_length=limits.LINK_BODY_BYTES_MAX)]


class Reply(Frame, tag=9, frozen=True):
    """The answer to my question `id`: a body, or the code of a refusal."""

    id: Count
    code: Code
    body: Annotated[bytes, Meta(max_length=limits.LINK_BODY_BYTES_MAX)]


class Rekey(Frame, tag=13, frozen=True):
    """What follows is under the next key."""


class Msgs(Frame, tag=14, frozen=True):
    """Items that follow each other; each means what it would mean in a frame of its own."""

    msgs: Annotated[tuple[Msg, ...], Meta(min_length=1, max_length=limits.LINK_FRAME_ITEMS_MAX)]


AnyFrame = Hello | Msg | Ack | Ping | Pong | Nack | Goaway | Whisper | Request | Reply | Rekey | Msgs
_decode: Decoder[AnyFrame] = Decoder(AnyFrame)


class IdentityPayload(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Payload of handshake messages 2 and 3: who I am, and that this very handshake is mine.

    `chain` has the msgpack of each element; `binding` is 1 when `signature` covers the hash of a TLS certificate, else 0.
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    chain: Annotated[tuple[Raw, ...], Meta(min_length=1, max_length=7)]
    cert: OpCert
    binding: Annotated[int, Meta(ge=0, le=1)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


_decode_payload: Decoder[IdentityPayload] = Decoder(
    IdentityPayload, size_bytes_max=limits.HANDSHAKE_PAYLOAD_BYTES_MAX, what="identity"
)


def encode_frame(frame: AnyFrame) -> bytes:
    """Bytes of one frame."""
    return encode(frame)


def decode_frame(data: bytes) -> AnyFrame:
    """The inverse of `encode_frame`. Raises RemoteError."""
    try:
        return _decode(data)
    except Rejected as error:
        raise RemoteError(error.text) from None


class LaterState(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Content of `Goaway.proof`: both are the msgpack of what they name."""

    chain: bytes
    cert: bytes


_decode_later: Decoder[LaterState] = Decoder(
    LaterState, size_bytes_max=limits.HANDSHAKE_PAYLOAD_BYTES_MAX, what="proof"
)
_decode_cert: Decoder[OpCert] = Decoder(OpCert, size_bytes_max=limits.HANDSHAKE_PAYLOAD_BYTES_MAX, what="certificate")


def encode_later(chain: bytes, cert: bytes) -> bytes:
    """A proof for `Goaway`."""
    return encode(LaterState(chain, cert))


def decode_later(data: bytes) -> tuple[Chain, OpCert]:
    """Chain and certificate of a proof; nothing of what they prove. Raises RemoteError."""
    try:
        later = _decode_later(data)
        return decode_chain(later.chain), _decode_cert(later.cert)
    except Rejected as error:
        raise RemoteError(error.text) from None


def encode_payload(payload: IdentityPayload) -> bytes:
    """Bytes of an identity payload."""
    return encode(payload)


def decode_payload(data: bytes) -> IdentityPayload:
    """The inverse of `encode_payload`. Raises RemoteError."""
    try:
        return _decode_payload(data)
    except Rejected as error:
        raise RemoteError(error.text) from None
