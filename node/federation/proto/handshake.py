"""The handshake of a link: who is there, proved both ways before a byte of anything else.

``Noise_XX_25519_ChaChaPoly_SHA256`` (Perrin, *The Noise Protocol Framework*, revision 34) in three messages:

    -> e                       nothing about the initiator
    <- e, ee, s, es            payload: identity of the responder
    -> s, se                   payload: identity of the initiator

The prologue is ``startalk.s2s.1 ‖ 00 ‖ SHA-256(target nid)``, so with a wrong target the second message does not decrypt. Noise
proves that the other side has its static key; the payload ties that key to a nid: chain, op certificate, and a signature of the op
key over

    startalk-noise-v1 ‖ 00 ‖ role (1 initiator, 2 responder) ‖ own nid ‖ own static public key ‖ h ‖ cb

where h is the handshake hash before the message that carries it. It covers prologue and both ephemeral keys seen so far, so a
signature serves one handshake, one side and one identity. cb is the *channel binding*: SHA-256 of the TLS certificate seen or served
(kind 1), or empty (kind 0: no TLS, or TLS that ends in a proxy). When both say kind 1 the certificates must be the same one, so nobody
sits between two TLS connections. The responder speaks first and may be kind 0 behind a proxy; then the initiator answers with kind
0 too, unless `binding_required` forbids it: at this address kind 1 was seen before.

Library traps (noiseprotocol 0.3.1): `encrypt` takes 65,520 bytes and makes a record nobody can read; the peer's static key is gone
with the handshake state after the last message; a failed tag is `InvalidTag` during the handshake and `NoiseInvalidMessage` later;
keys of low order raise ValueError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Raw, Struct
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseHandshakeError, NoiseInvalidMessage, NoiseMaxNonceError, NoiseValueError

from node.base import limits
from node.base.errors import Code, RemoteError
from node.base.ids import NodeId
from node.wire import keys, s2s
from node.wire.codec import encode
from node.wire.keys import Certified, Chain, OpCert

SUITE: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
CONTEXT: Final = b"startalk-noise-v1"
TAG_BYTES: Final = 16
RECORD_BYTES: Final = 65_535  # of a full Noise record
PLAIN_BYTES: Final = RECORD_BYTES - TAG_BYTES
IDENTITIES_REMEMBERED: Final = 1_024  # of peers whose chain and certificate were verified
_BROKEN: Final = (InvalidTag, NoiseHandshakeError, NoiseInvalidMessage, NoiseMaxNonceError, NoiseValueError, ValueError)


class Role(IntEnum):
    """Which side of the handshake; the number is signed."""

    INITIATOR = 1
    RESPONDER = 2


class OwnIdentity(Protocol):
    """The keys of this node (`services.identity.Identity`)."""

    @property
    def nid(self) -> NodeId:
        """Who this node is."""

    @property
    def chain(self) -> Chain:
        """Its chain of roots."""

    @property
    def cert(self) -> OpCert:
        """The certificate of its op key."""

    @property
    def incarnation(self) -> int:
        """That of the certificate."""

    @property
    def op_key(self) -> Ed25519PrivateKey:
        """Signs for the running node."""

    @property
    def noise_key(self) -> bytes:
        """X25519 private key."""


class HandshakeRefused(RemoteError):
    """We do not want this peer, or it is not who it should be; `code` says why."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class Proven(Struct, frozen=True, kw_only=True):
    """A handshake that is complete: the other side, and whether TLS was bound."""

    who: Certified
    chain: bytes
    cert: bytes
    static: bytes
    bound: bool


class Channel:
    """The two keys of an open link. A frame becomes 1 to 5 Noise records, all but the last full."""

    def __init__(self, noise: NoiseConnection) -> None:
        self._noise = noise
        self.records_out = 0  # under the present key

    def seal(self, frame: bytes) -> bytes:
        """A frame as it goes into one WebSocket message."""
        assert 0 < len(frame) <= limits.FRAME_BYTES_MAX
        parts = [frame[at : at + PLAIN_BYTES] for at in range(0, len(frame), PLAIN_BYTES)]
        self.records_out += len(parts)
        return b"".join([self._noise.encrypt(part) for part in parts])

    def open(self, data: bytes) -> bytes:
        """The frame of one WebSocket message. Raises RemoteError; then the link is beyond repair."""
        if not TAG_BYTES < len(data) <= limits.LINK_MESSAGE_BYTES_MAX:
            raise RemoteError("a message of a link is a frame of at most 256 KiB")
        try:
            parts = [self._noise.decrypt(data[at : at + RECORD_BYTES]) for at in range(0, len(data), RECORD_BYTES)]
        except _BROKEN:
            raise RemoteError("a record does not decrypt") from None
        return b"".join(parts)

    def rekey_out(self) -> None:
        """What is sealed from now on is under the next key."""
        self._noise.rekey_outbound_cipher()
        self.records_out = 0

    def rekey_in(self) -> None:
        """What is opened from now on is under the next key."""
        self._noise.rekey_inbound_cipher()


class Handshake:
    """One side of one handshake: `receive` what arrives, send what `to_send` gives, until `proven` is set.

    `target` is the nid that the initiator wants; a responder's own. `binding` is the hash of the TLS certificate, if there is one
    that this side saw or served itself. `accept` looks at the proved identity before anything is answered and raises
    `HandshakeRefused`.
    """

    def __init__(
        self,
        *,
        role: Role,
        own: OwnIdentity,
        target: NodeId,
        now_s: int,
        accept: Callable[[Certified], None],
        binding: bytes | None = None,
        binding_required: bool = False,
    ) -> None:
        self._role = role
        self._own = own
        self._target = target
        self._now_s = now_s
        self._accept = accept
        self._binding = binding
        self._binding_required = binding_required
        self._messages = 0
        self._out: list[bytes] = []
        self._noise: Any = _noise(role, own.noise_key, target)
        self._state: Any = (
            self._noise.noise_protocol.handshake_state
        )  # the library forgets it, and with it the peer's key
        self.proven: Proven | None = None
        self.channel: Channel | None = None
        if role is Role.INITIATOR:
            self._out.append(bytes(self._noise.write_message()))

    def to_send(self) -> list[bytes]:
        """Messages to send now."""
        out, self._out = self._out, []
        return out

    def receive(self, data: bytes) -> None:
        """The next message of the other side. Raises RemoteError; then close without a word."""
        if self.proven is not None or len(data) > limits.HANDSHAKE_MESSAGE_BYTES_MAX:
            raise RemoteError("a message of a handshake is short, and there are three of them")
        self._messages += 1
        if self._role is Role.RESPONDER and self._messages == 1:
            self._greet(data)
        else:
            self._meet(data)

    def _greet(self, data: bytes) -> None:
        """Message 1 as the responder; answers with the identity."""
        if len(data) != keys.KEY_BYTES:
            raise RemoteError("the first message of a handshake is one key")
        self._read(data)
        kind = 1 if self._binding else 0
        self._out.append(bytes(self._write(self._payload(kind))))

    def _meet(self, data: bytes) -> None:
        """The message that carries the identity of the other side."""
        before = self._hash()
        payload = s2s.decode_payload(self._read(data))
        static = bytes(self._state.rs.public_bytes)
        who = self._check(payload, static, before)
        self._accept(who)
        if self._role is Role.INITIATOR:
            self._out.append(bytes(self._write(self._payload(payload.binding))))
        self.channel = Channel(self._noise)
        self.proven = Proven(
            who=who,
            chain=encode(keys.chain_of(payload.chain)),
            cert=encode(payload.cert),
            static=static,
            bound=payload.binding == 1,
        )

    def _check(self, payload: s2s.IdentityPayload, static: bytes, before: bytes) -> Certified:
        who = _identity(tuple(bytes(part) for part in payload.chain), payload.cert)
        keys.check_cert_times(payload.cert, now_s=self._now_s)
        if self._role is Role.INITIATOR and who.nid != self._target:
            raise HandshakeRefused(Code.KEY_CHANGED, "another node answers at this address")
        own_static = self._state.s.public_bytes
        if who.nid == self._own.nid or static == own_static or who.op == self._own.cert.op:
            raise HandshakeRefused(Code.CONFLICT, "this node met itself")
        other = Role.RESPONDER if self._role is Role.INITIATOR else Role.INITIATOR
        cb = self._expected_binding(payload.binding)
        if not keys.is_signed(who.op, payload.signature, signing_input(other, who.nid, static, before, cb)):
            raise HandshakeRefused(Code.BAD_SIGNATURE, "the identity is not signed for this handshake")
        return who

    def _expected_binding(self, kind: int) -> bytes:
        if kind == 0:
            if self._binding_required:
                raise HandshakeRefused(Code.KEY_CHANGED, "TLS was bound at this address before and is not now")
            return b""
        if self._binding is None:
            raise HandshakeRefused(Code.BAD_SIGNATURE, "the other side saw TLS where there is none")
        return self._binding

    def _payload(self, kind: int) -> bytes:
        own = self._own
        cb = self._binding if kind and self._binding else b""
        signed = signing_input(self._role, own.nid, self._state.s.public_bytes, self._hash(), cb)
        parts = tuple(Raw(msgspec.msgpack.encode(part)) for part in own.chain)
        return s2s.encode_payload(s2s.IdentityPayload(1, parts, own.cert, kind, own.op_key.sign(signed)))

    def _hash(self) -> bytes:
        return bytes(self._state.symmetric_state.get_handshake_hash())

    def _read(self, data: bytes) -> bytes:
        try:
            return bytes(self._noise.read_message(data))
        except _BROKEN:
            raise RemoteError("the handshake does not decrypt: another node is meant, or bytes were changed") from None

    def _write(self, payload: bytes) -> bytes:
        try:
            return bytes(self._noise.write_message(payload))
        except _BROKEN:
            raise RemoteError("the keys of the other side are useless") from None


def signing_input(role: Role, nid: bytes, static: bytes, handshake_hash: bytes, binding: bytes) -> bytes:
    """The bytes that an op key signs for a handshake."""
    return CONTEXT + b"\x00" + bytes((role,)) + nid + static + handshake_hash + binding


def prologue(target: bytes) -> bytes:
    """What both sides must agree on before the first message."""
    return s2s.SUBPROTOCOL.encode() + b"\x00" + hashlib.sha256(target).digest()


@lru_cache(maxsize=IDENTITIES_REMEMBERED)
def _identity(chain: tuple[bytes, ...], cert: OpCert) -> Certified:
    """Whose these are, apart from the time: true for ever, and a third of the cost of a handshake. Raises RemoteError."""
    return keys.check_identity(keys.chain_of(chain), cert, now_s=cert.nbf)


def _noise(role: Role, private: bytes, target: bytes) -> NoiseConnection:
    noise = NoiseConnection.from_name(SUITE)
    noise.set_prologue(prologue(target))
    noise.set_keypair_from_private_bytes(Keypair.STATIC, private)
    if role is Role.INITIATOR:
        noise.set_as_initiator()
    else:
        noise.set_as_responder()
    noise.start_handshake()
    return noise
