"""docs/spec/vectors/identity.json both ways: what the code makes is what the file says, and the file is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.base.errors import RemoteError
from node.base.ids import NodeId, format_node, parse_node
from node.wire import keys, safety

FILE = Path(__file__).parents[2] / "docs" / "spec" / "vectors" / "identity.json"
WHOLE: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = WHOLE["identities"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_what_follows_from_a_phrase(case: dict[str, Any]) -> None:
    entropy = bytes.fromhex(case["entropy"])
    assert " ".join(keys.words_of(entropy)) == case["phrase"]
    assert keys.entropy_of(case["phrase"].split()) == entropy

    roots = [keys.derive_root(entropy, i).public_key().public_bytes_raw() for i in range(keys.ROOTS)]
    assert [root.hex() for root in roots] == case["roots"]
    assert [c.hex() for c in keys.commitments(roots)] == case["commitments"]
    assert keys.derive_backup_public(entropy).hex() == case["backup_public"]

    inception = keys.incept(entropy)
    assert msgspec.msgpack.encode(inception).hex() == case["inception"]
    assert keys.node_id(inception).hex() == case["nid"]
    assert format_node(keys.node_id(inception)) == case["nid_text"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_the_certificate(case: dict[str, Any]) -> None:
    entropy, given = bytes.fromhex(case["entropy"]), case["cert"]
    nid, op = parse_node(case["nid_text"]), bytes.fromhex(given["op"])
    cert = keys.sign_cert(
        keys.derive_root(entropy, 0), nid=nid, op=op, now_s=given["now_s"], incarnation=given["incarnation"]
    )
    signed = keys.cert_signing_input(nid, op, cert.nbf, cert.exp, cert.incarnation)
    assert signed.hex() == given["signing_input"]
    assert msgspec.msgpack.encode(cert).hex() == given["bytes"]

    root = bytes.fromhex(case["roots"][0])
    received = msgspec.msgpack.decode(bytes.fromhex(given["bytes"]), type=keys.OpCert)
    keys.check_cert(received, nid=nid, root=root, now_s=given["now_s"])
    Ed25519PublicKey.from_public_bytes(root).verify(received.signature, signed)


@pytest.mark.parametrize("case", WHOLE["chains"], ids=lambda case: str(case["rotations"]))
def test_a_chain_and_what_it_proves(case: dict[str, Any]) -> None:
    chain = keys.decode_chain(bytes.fromhex(case["chain"]))
    assert chain == keys.make_chain(bytes.fromhex(case["entropy"]), case["rotations"])
    cert = msgspec.msgpack.decode(bytes.fromhex(case["cert"]), type=keys.OpCert)
    got = keys.check_identity(chain, cert, now_s=case["now_s"])
    assert (got.nid.hex(), got.root.hex(), got.op.hex()) == (case["nid"], case["root"], case["op"])
    assert (got.rotations, got.incarnation, got.exp) == (case["rotations"], case["incarnation"], case["exp"])
    for rotation in chain[1:][-1:]:
        assert keys.is_signed(rotation.root, rotation.signature, bytes.fromhex(case["signing_input"]))


@pytest.mark.parametrize("case", WHOLE["invalid"], ids=lambda case: str(case["name"]))
def test_an_invalid_identity(case: dict[str, Any]) -> None:
    cert = msgspec.msgpack.decode(bytes.fromhex(case["cert"]), type=keys.OpCert)
    with pytest.raises(RemoteError):
        keys.check_identity(keys.decode_chain(bytes.fromhex(case["chain"])), cert, now_s=case["now_s"])


def test_the_transfer() -> None:
    case = WHOLE["transfer"]
    said = msgspec.msgpack.decode(bytes.fromhex(case["bytes"]), type=keys.Transfer)
    assert (said.old.hex(), said.new.hex(), said.domain, said.at_s) == (
        case["old"], case["new"], case["domain"], case["at_s"],
    )  # fmt: skip
    old_root, new_root = bytes.fromhex(case["old_root"]), bytes.fromhex(case["new_root"])
    keys.check_transfer(said, old_root=old_root, new_root=new_root)
    for root, signature in ((old_root, said.by_old), (new_root, said.by_new)):
        assert keys.is_signed(root, signature, bytes.fromhex(case["signing_input"]))


def test_the_successor() -> None:
    case = WHOLE["successor"]
    said = msgspec.msgpack.decode(bytes.fromhex(case["bytes"]), type=keys.Successor)
    assert (said.old.hex(), said.new.hex(), said.domain, said.at_s) == (
        case["old"], case["new"], case["domain"], case["at_s"],
    )  # fmt: skip
    op = bytes.fromhex(case["op"])
    keys.check_successor(said, op=op)
    assert keys.is_signed(op, said.signature, bytes.fromhex(case["signing_input"]))


@pytest.mark.parametrize("case", WHOLE["safety"], ids=lambda case: str(case["words"].split()[0]))
def test_the_safety_phrase(case: dict[str, Any]) -> None:
    a, b = (NodeId(bytes.fromhex(nid)) for nid in case["nids"])
    assert " ".join(safety.safety_phrase(a, b)) == case["words"]
