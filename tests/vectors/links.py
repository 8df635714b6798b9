"""Makes docs/spec/vectors/s2s.json: every frame of the node protocol, one handshake byte by byte, messages that are no frames."""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Raw

from node.federation.proto import handshake as machine
from node.federation.proto.handshake import Role
from node.wire import keys, s2s
from tests.vectors.noise_xx import Xx

NOW_S = 1_764_000_000
RUN_A, RUN_B = b"casa-run", b"nido-run"


class Side:
    """A node of the story; everything about it follows from its name."""

    def __init__(self, name: str) -> None:
        phrase = (name.encode() * 32)[:32]
        self.chain = keys.make_chain(phrase, 1 if name == "nido" else 0)
        self.nid = keys.node_id(self.chain[0])
        self.op = Ed25519PrivateKey.from_private_bytes((b"op " + name.encode() * 16)[:32])
        public = self.op.public_key().public_bytes_raw()
        root = keys.derive_root(phrase, len(self.chain) - 1)
        self.cert = keys.sign_cert(root, nid=self.nid, op=public, now_s=NOW_S, incarnation=1)
        self.static = (b"static " + name.encode() * 16)[:32]
        self.ephemeral = (b"ephemeral " + name.encode() * 16)[:32]

    def payload(self, role: Role, xx: Xx, binding: bytes) -> bytes:
        """Identity payload of this side at this point of a handshake."""
        signed = machine.signing_input(role, self.nid, xx.static, xx.h, binding)
        parts = tuple(Raw(msgspec.msgpack.encode(part)) for part in self.chain)
        return s2s.encode_payload(s2s.IdentityPayload(1, parts, self.cert, 1 if binding else 0, self.op.sign(signed)))

    def shown(self) -> dict[str, str]:
        """As the file names it."""
        return {
            "nid": self.nid.hex(),
            "op_private": self.op.private_bytes_raw().hex(),
            "static_private": self.static.hex(),
            "ephemeral_private": self.ephemeral.hex(),
            "chain": msgspec.msgpack.encode(self.chain).hex(),
            "cert": msgspec.msgpack.encode(self.cert).hex(),
        }


def frames() -> dict[str, s2s.AnyFrame]:
    """Every type, and its edges."""
    return {
        "hello, first contact": s2s.Hello(RUN_A, None, 0, NOW_S * 1000, 1, 256),
        "hello, resumed": s2s.Hello(RUN_A, RUN_B, 17, NOW_S * 1000, 2, 256, ("later",), "203.0.113.7"),
        "msg, class 0": s2s.Msg(1, 0, b"entry"),
        "msg, class 1": s2s.Msg(2, 1, b"item"),
        "msg, void: 3 to 9 carry nothing": s2s.Msg(9, 0, b""),
        "ack": s2s.Ack(9, 256),
        "ping": s2s.Ping(1),
        "pong": s2s.Pong(1),
        "nack": s2s.Nack(2, "not_member"),
        "goaway": s2s.Goaway("restarting", 5),
        "whisper": s2s.Whisper("typing", b"\x80"),
        "request": s2s.Request(1, "who", bytes(32)),
        "reply": s2s.Reply(1, "", b"record"),
        "reply, refused": s2s.Reply(2, "not_found", b""),
        "rekey": s2s.Rekey(),
        "msgs: two items": s2s.Msgs((s2s.Msg(3, 0, b"entry"), s2s.Msg(4, 1, b"item"))),
    }


def not_frames() -> dict[str, bytes]:
    """What ends a link."""
    encode = msgspec.msgpack.encode
    return {
        "nothing": b"",
        "a map": encode({}),
        "a name instead of a number": encode(["hello"]),
        "type 10, not spoken yet": encode([10, 1, bytes(32)]),
        "type 15": encode([15]),
        "msgs, none": encode([14, []]),
        "msgs, 17 of them": encode([14, [[1, seq, 0, b"x"] for seq in range(1, 18)]]),
        "msgs, one is none": encode([14, [[1, 1, 0, b"x"], [2, 1, 256]]]),
        "hello, run too short": encode([0, b"short", None, 0, 0, 0, 0]),
        "hello, no credit": encode([0, RUN_A, None, 0, 0, 0]),
        "msg 0": encode([1, 0, 1, b"x"]),
        "msg beyond 2^53": encode([1, 2**53 + 1, 1, b"x"]),
        "msg, body as text": encode([1, 1, 1, "x"]),
        "ack, negative": encode([2, -1, 256]),
        "goaway without reason": encode([6]),
        "bytes after the frame": encode([3, 1]) + b"\xc0",
    }


def handshake(binding: bytes) -> dict[str, Any]:
    """Casa dials nido; then each says ping."""
    a, b = Side("casa"), Side("nido")
    prologue = machine.prologue(b.nid)
    xa = Xx(initiator=True, prologue=prologue, static=a.static, ephemeral=a.ephemeral)
    xb = Xx(initiator=False, prologue=prologue, static=b.static, ephemeral=b.ephemeral)
    first = xa.write(b"")
    xb.read(first)
    h2 = xb.h
    of_b = b.payload(Role.RESPONDER, xb, binding)
    second = xb.write(of_b)
    xa.read(second)
    h3 = xa.h
    of_a = a.payload(Role.INITIATOR, xa, binding)
    third = xa.write(of_a)
    xb.read(third)
    out, _ = xa.split()
    back, _ = xb.split()
    ping, pong = s2s.encode_frame(s2s.Ping(7)), s2s.encode_frame(s2s.Pong(7))
    return {
        "initiator": a.shown(),
        "responder": b.shown(),
        "channel_binding": binding.hex(),
        "prologue": prologue.hex(),
        "message_1": first.hex(),
        "hash_before_2": h2.hex(),
        "signed_2": machine.signing_input(Role.RESPONDER, b.nid, xb.static, h2, binding).hex(),
        "payload_2": of_b.hex(),
        "message_2": second.hex(),
        "hash_before_3": h3.hex(),
        "signed_3": machine.signing_input(Role.INITIATOR, a.nid, xa.static, h3, binding).hex(),
        "payload_3": of_a.hex(),
        "message_3": third.hex(),
        "handshake_hash": xa.h.hex(),
        "sealed_ping": out.encrypt(b"", ping).hex(),
        "sealed_pong": back.encrypt(b"", pong).hex(),
    }


def s2s_vectors(to_json: Any) -> dict[str, Any]:
    """The content of s2s.json."""
    shown = []
    for name, frame in frames().items():
        data = s2s.encode_frame(frame)
        shown.append({"name": name, "hex": data.hex(), "frame": to_json(msgspec.msgpack.decode(data))})
    return {
        "now_s": NOW_S,
        "handshakes": [handshake(b""), handshake(bytes(range(32)))],
        "frames": shown,
        "invalid": [{"name": name, "hex": data.hex()} for name, data in not_frames().items()],
    }
