"""What this node signs about rooms and people, each composed here from our own state and never by a peer.

An event of an own user comes back with its place in the hub's log a moment after it was signed. The latest signatures are remembered, so
that each need not be verified then.
"""

from __future__ import annotations

from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base.ids import EventId, NodeId, RoomId, UserId
from node.core.hub import Head
from node.wire import envelope, keys
from node.wire.codec import encode
from node.wire.envelope import Key
from node.wire.exchange import Ack, Profile, SignerCert
from node.wire.keys import SigningKey

LATELY_MAX: Final = 4_096  # events, about 400 bytes each: more than are under way to hubs at once


class Keys(Protocol):
    """The node's identity (`services.identity.Identity`)."""

    @property
    def nid(self) -> NodeId:
        """The node's id."""

    @property
    def incarnation(self) -> int:
        """Of its op key."""

    @property
    def op_key(self) -> Ed25519PrivateKey:
        """Signs for the running node."""

    @property
    def chain(self) -> keys.Chain:
        """Root keys."""

    @property
    def cert(self) -> keys.OpCert:
        """Certificate of the op key."""


class RoomKeys:
    """Signs with the op key."""

    def __init__(self, identity: Keys) -> None:
        self._identity = identity
        self._op: Ed25519PrivateKey | None = None  # what `_key` is made of
        self._key: SigningKey | None = None
        self._lately: dict[bytes, bytes] = {}  # signatures of events, the oldest first

    @property
    def nid(self) -> NodeId:
        """The node's id."""
        return self._identity.nid

    @property
    def incarnation(self) -> int:
        """Of its op key."""
        return self._identity.incarnation

    @property
    def key(self) -> Key:
        """The public half."""
        return Key(self.nid, self.incarnation, self._identity.op_key.public_key().public_bytes_raw())

    @property
    def cert(self) -> SignerCert:
        """What proves the key to others."""
        return SignerCert(encode(self._identity.chain), encode(self._identity.cert))

    def sign_event(self, event: bytes) -> bytes:
        """This node vouches for an event of its own user."""
        signature = envelope.sign_event(self._signing(), event)
        if len(self._lately) >= LATELY_MAX:
            del self._lately[next(iter(self._lately))]
        self._lately[event] = signature
        return signature

    def has_signed(self, event: bytes, signature: bytes | None) -> bool:
        """Whether this very signature of an event was made here, lately, and nobody asked before; False says nothing."""
        return signature is not None and self._lately.pop(event, None) == signature

    def sign_head(self, room: RoomId, head: Head) -> bytes:
        """The word of this node, as the hub of `room`, for every entry up to `head`."""
        return self._sign(envelope.head_bytes(room, head, self.nid, self.incarnation))

    def sign_reject(self, room: RoomId, event: EventId, code: str) -> bytes:
        """The word of this node, as the hub of `room`, that it refused an event for good."""
        return self._sign(envelope.reject_bytes(room, event, code, self.nid, self.incarnation))

    def ack(self, room: RoomId, head: Head) -> Ack:
        """This node has every entry up to `head` on disk."""
        signature = self._sign(envelope.ack_bytes(room, head, self.nid, self.incarnation))
        return Ack(room, head.epoch, head.idx, head.hash, self.nid, self.incarnation, signature)

    def profile(self, user: UserId, name: str, at_ms: int) -> Profile:
        """What an own user is called."""
        signature = self._sign(envelope.profile_bytes(user, name, at_ms, self.nid, self.incarnation))
        return Profile(user, name, at_ms, self.incarnation, signature, self.cert)

    def _sign(self, signed: bytes) -> bytes:
        return envelope.sign(self._signing(), signed)

    def _signing(self) -> SigningKey:
        op = self._identity.op_key
        if self._key is None or self._op is not op:  # the first time, and after a change of keys
            self._op, self._key = op, SigningKey(op)
        return self._key
