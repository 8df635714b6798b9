"""docs/spec/vectors/s2s.json: what the code makes is what the file says; the library and a second implementation of Noise agree."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from node.base.errors import RemoteError
from node.base.ids import NodeId
from node.federation.proto.handshake import Handshake, Role
from node.wire import keys, s2s
from tests.links import Who
from tests.vectors import generate, links
from tests.vectors.noise_xx import Xx

FILE = json.loads((generate.FOLDER / "s2s.json").read_text(encoding="utf-8"))


def test_the_file_is_what_the_code_makes() -> None:
    made = json.loads(json.dumps(links.s2s_vectors(generate.to_json)))
    assert made == FILE, "run: python -m tests.vectors.generate"


@pytest.mark.parametrize("case", FILE["frames"], ids=lambda case: str(case["name"]))
def test_frames(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    assert generate.to_json(msgspec.msgpack.decode(data)) == case["frame"]
    assert s2s.encode_frame(s2s.decode_frame(data)) == data


@pytest.mark.parametrize("case", FILE["invalid"], ids=lambda case: str(case["name"]))
def test_what_is_no_frame(case: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        s2s.decode_frame(bytes.fromhex(case["hex"]))


@pytest.mark.parametrize("case", FILE["handshakes"], ids=["without TLS", "bound to TLS"])
def test_the_signatures_of_a_handshake(case: dict[str, Any]) -> None:
    for number, who in (("2", case["responder"]), ("3", case["initiator"])):
        payload = s2s.decode_payload(bytes.fromhex(case[f"payload_{number}"]))
        certified = keys.check_identity(keys.chain_of(payload.chain), payload.cert, now_s=FILE["now_s"])
        assert certified.nid.hex() == who["nid"]
        signed = bytes.fromhex(case[f"signed_{number}"])
        assert keys.is_signed(certified.op, payload.signature, signed)
        assert payload.binding == bool(case["channel_binding"])
        assert signed.endswith(bytes.fromhex(case[f"hash_before_{number}"] + case["channel_binding"]))


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("case", FILE["handshakes"], ids=["without TLS", "bound to TLS"])
def test_the_library_talks_with_the_second_implementation(case: dict[str, Any], role: Role) -> None:
    a, b = links.Side("casa"), links.Side("nido")
    binding = bytes.fromhex(case["channel_binding"])
    ours, theirs = (a, b) if role is Role.INITIATOR else (b, a)
    shake = Handshake(
        role=role,
        own=Who(ours.nid, ours.chain, ours.cert, 1, ours.op, ours.static),
        target=b.nid,
        now_s=FILE["now_s"],
        accept=lambda who: None,
        binding=binding or None,
    )
    other = Xx(
        initiator=role is Role.RESPONDER,
        prologue=bytes.fromhex(case["prologue"]),
        static=theirs.static,
        ephemeral=theirs.ephemeral,
    )
    if role is Role.INITIATOR:
        other.read(*shake.to_send())
        shake.receive(other.write(theirs.payload(Role.RESPONDER, other, binding)))
        other.read(*shake.to_send())
    else:
        assert other.write(b"").hex() == case["message_1"]
        shake.receive(bytes.fromhex(case["message_1"]))
        other.read(*shake.to_send())
        shake.receive(other.write(theirs.payload(Role.INITIATOR, other, binding)))
    assert shake.proven is not None
    assert shake.channel is not None
    assert shake.proven.who.nid == NodeId(theirs.nid)
    assert shake.proven.static == other.static
    send, receive = other.split()
    for _ in range(2):
        assert shake.channel.open(send.encrypt(b"", b"there")) == b"there"
        assert receive.decrypt(b"", shake.channel.seal(b"back")) == b"back"
        send.rekey()
        receive.rekey()
        shake.channel.rekey_in()
        shake.channel.rekey_out()
