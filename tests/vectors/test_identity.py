"""docs/spec/vectors/identity.json both ways: what the code makes is what the file says, and the file is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.base.ids import format_node, parse_node
from node.wire import keys

FILE = Path(__file__).parents[2] / "docs" / "spec" / "vectors" / "identity.json"
CASES: list[dict[str, Any]] = json.loads(FILE.read_text())["identities"]


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
