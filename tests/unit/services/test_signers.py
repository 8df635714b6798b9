"""Identities of other nodes: checked once, kept for ever, never two keys for one incarnation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base.errors import Code, Rejected
from node.main import Services, open_services
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.signers import Signers
from node.storage import signers
from node.wire import keys
from node.wire.codec import encode
from node.wire.exchange import SignerCert
from tests.vectors import rooms

NOW_S = rooms.T0 // 1000


@pytest_asyncio.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    opened = open_services(
        Config(data=str(tmp_path)), clock=ManualClock(now_ms=rooms.T0), entropy=SeededEntropy("signers")
    )
    yield opened
    await opened.close()


@pytest.fixture
def known(services: Services) -> Signers:
    return Signers(db=services.db, peers=services.peers, clock=services.clock)


async def test_what_was_learned_is_found_and_stored_with_its_entry(services: Services, known: Signers) -> None:
    key = known.learn(rooms.B.signer, NOW_S)
    assert known.require(rooms.B.nid, 1) == key
    assert services.db.view(lambda tx: signers.find(tx, rooms.B.nid, 1)) is None
    await services.db.write(lambda tx: known.store(tx, key))
    assert Signers(db=services.db, peers=services.peers, clock=services.clock).find(rooms.B.nid, 1) == key
    assert services.db.view(lambda tx: known.cert(tx, rooms.B.nid, 1)) == rooms.B.signer


async def test_who_is_unknown_vouches_for_nothing(known: Signers) -> None:
    assert known.find(rooms.B.nid, 1) is None
    with pytest.raises(Rejected) as refusal:
        known.require(rooms.B.nid, 1)
    assert refusal.value.code is Code.BAD_SIGNATURE


@pytest.mark.parametrize(
    "cert",
    [
        SignerCert(b"", b""),
        SignerCert(rooms.B.signer.chain, b"\xc1"),
        SignerCert(rooms.A.signer.chain, rooms.B.signer.cert),
        SignerCert(rooms.B.signer.chain + b"\x00", rooms.B.signer.cert),
    ],
)
async def test_an_identity_that_does_not_hold_is_refused(known: Signers, cert: SignerCert) -> None:
    with pytest.raises(Rejected) as refusal:
        known.learn(cert, NOW_S)
    assert refusal.value.code is Code.BAD_SIGNATURE


async def test_a_certificate_is_judged_at_the_time_of_its_entry(known: Signers) -> None:
    with pytest.raises(Rejected):
        known.learn(rooms.B.signer, NOW_S + keys.CERT_LIFE_S + 10_000)
    known.learn(rooms.B.signer, NOW_S)


async def test_a_second_op_key_at_one_incarnation_is_refused(known: Signers) -> None:
    known.learn(rooms.B.signer, NOW_S)
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    cert = keys.sign_cert(
        keys.derive_root(rooms.B.phrase, 0), nid=rooms.B.nid, op=other.public_key().public_bytes_raw(), now_s=NOW_S, incarnation=1
    )  # fmt: skip
    with pytest.raises(Rejected) as refusal:
        known.learn(SignerCert(rooms.B.signer.chain, encode(cert)), NOW_S)
    assert refusal.value.code is Code.BAD_SIGNATURE
