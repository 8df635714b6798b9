"""Identity of a node: recovery phrase, root keys, node id, op certificate. Pure: node/storage/keys.py keeps the keys.

    phrase  = 24 words of BIP 39 (English) = 32 bytes of entropy
    Ri      = Ed25519 with seed HKDF-SHA256(entropy, salt CONTEXT, info "root" ‖ u32 i), big-endian, i = 0..6
    backup  = X25519 with private key HKDF-SHA256(entropy, salt CONTEXT, info "backup"); a node keeps the public half
    C7      = 32 zero bytes
    Ci      = SHA-256(CONTEXT ‖ 01 ‖ Ri.pub ‖ Ci+1)
    nid     = SHA-256(CONTEXT ‖ 00 ‖ R0.pub ‖ C1)
    signed  = Ed25519 over CONTEXT ‖ 00 ‖ msgpack([tag, nid, fields...])

CONTEXT is ``startalk-id-v1``. The inception (R0.pub, C1) fixes every later root, so a chain of roots cannot fork
and the thief of a root key that was shown cannot make up the next one. The roots are not on the node's disk after
set-up: the running node signs with its *op key*, which the current root certifies:

==  ===========  ==============================================================================
 #  field        meaning
==  ===========  ==============================================================================
 0  op           Ed25519 public key, 32 bytes
 1  nbf          u32, unix seconds; lies 24 h back, so that a peer with a slow clock accepts a fresh one
 2  exp          u32, unix seconds; two years later
 3  incarnation  u32, raised with each new op key: peers refuse a lower one (an old copy of the node)
 4  signature    64 bytes by the root, tag 2, over fields 0..3
==  ===========  ==============================================================================

Vectors: docs/spec/vectors/identity.json. Sources: BIP 39, RFC 5869, RFC 8032, RFC 7748; the chain of commitments
is the pre-rotation of KERI (Smith 2019). HKDF, Ed25519 and X25519 are those of `cryptography`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta, Struct

from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.wire.codec import encode

if TYPE_CHECKING:
    from mnemonic import Mnemonic

CONTEXT: Final = b"startalk-id-v1"
TAG_OP_CERT: Final = 2  # 1 rotation, 3 transfer, 4 successor

ENTROPY_BYTES: Final = 32
WORDS: Final = 24
KEY_BYTES: Final = 32
ROOTS: Final = 7  # R0 and at most six rotations
LAST_COMMITMENT: Final = bytes(32)  # C7

CERT_BACKDATED_S: Final = 24 * 3600  # a peer's clock may be slow by this much
CERT_LIFE_S: Final = 2 * 365 * 24 * 3600
CERT_WARN_S: Final = 183 * 24 * 3600  # before the end: the owner is told from month 18 on
CERT_SKEW_S: Final = 300  # allowed to both sides of a check
U32_MAX: Final = 2**32 - 1

_Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
_U32 = Annotated[int, Meta(ge=0, le=U32_MAX)]


class Inception(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """First element of a chain: R0's public key and the commitment to R1."""

    root: _Key
    commitment: _Key


class OpCert(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """See the table above."""

    op: _Key
    nbf: _U32
    exp: _U32
    incarnation: _U32
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


# --- the phrase -----------------------------------------------------------------------------------------


def words_of(entropy: bytes) -> tuple[str, ...]:
    """The 24 words of 32 bytes."""
    assert len(entropy) == ENTROPY_BYTES
    return tuple(_word_list().to_mnemonic(entropy).split())


def entropy_of(words: Sequence[str]) -> bytes:
    """The inverse of `words_of`; forgives case and outer space. Raises Rejected with `phrase_mismatch`."""
    if len(words) != WORDS:
        raise Rejected(Code.PHRASE_MISMATCH, f"A recovery phrase has 24 words; these are {len(words)}.", limit=WORDS)
    plain = [plain_word(word) for word in words]
    listed = _word_list()
    known = set(listed.wordlist)
    for place, word in enumerate(plain, start=1):
        if word not in known:
            raise Rejected(
                Code.PHRASE_MISMATCH, f"Word {place} is not in the list of words; check how it is spelt.", place=place
            )
    try:
        return bytes(listed.to_entropy(plain))
    except ValueError:
        raise Rejected(
            Code.PHRASE_MISMATCH, "The words do not fit together; check each of them and their order."
        ) from None


def plain_word(word: str) -> str:
    """The spelling in the list: lower case, no space around it."""
    return word.strip().lower()


def _word_list() -> Mnemonic:
    from mnemonic import Mnemonic

    return Mnemonic("english")


# --- what follows from the phrase -------------------------------------------------------------------------


def derive_root(entropy: bytes, i: int) -> Ed25519PrivateKey:
    """Root key Ri."""
    assert 0 <= i < ROOTS
    return Ed25519PrivateKey.from_private_bytes(_derive(entropy, b"root" + struct.pack(">I", i)))


def derive_backup_public(entropy: bytes) -> bytes:
    """The public half of the backup key: a backup sealed to it can be opened with the phrase only."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(_derive(entropy, b"backup")).public_key().public_bytes_raw()


def _derive(entropy: bytes, info: bytes) -> bytes:
    # A usual start derives nothing and should not pay for these imports.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    assert len(entropy) == ENTROPY_BYTES
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=CONTEXT, info=info).derive(entropy)


def commitments(roots: Sequence[bytes]) -> tuple[bytes, ...]:
    """C1..C7 of the public keys R0..R6."""
    assert len(roots) == ROOTS
    later = [LAST_COMMITMENT]
    for root in reversed(roots[1:]):
        later.append(hashlib.sha256(CONTEXT + b"\x01" + root + later[-1]).digest())
    return tuple(reversed(later))


def incept(entropy: bytes) -> Inception:
    """The inception that a phrase has."""
    roots = [derive_root(entropy, i).public_key().public_bytes_raw() for i in range(ROOTS)]
    return Inception(roots[0], commitments(roots)[0])


def node_id(inception: Inception) -> NodeId:
    """The nid: what everybody knows a node by."""
    return NodeId(hashlib.sha256(CONTEXT + b"\x00" + inception.root + inception.commitment).digest())


# --- the op certificate ---------------------------------------------------------------------------------


def sign_cert(root: Ed25519PrivateKey, *, nid: NodeId, op: bytes, now_s: int, incarnation: int) -> OpCert:
    """A fresh certificate for the op key with the public key `op`."""
    nbf, exp = max(0, now_s - CERT_BACKDATED_S), now_s + CERT_LIFE_S
    assert exp <= U32_MAX
    return OpCert(op, nbf, exp, incarnation, root.sign(cert_signing_input(nid, op, nbf, exp, incarnation)))


def cert_signing_input(nid: NodeId, op: bytes, nbf: int, exp: int, incarnation: int) -> bytes:
    """The bytes that a root signs."""
    return CONTEXT + b"\x00" + encode((TAG_OP_CERT, nid, op, nbf, exp, incarnation))


def check_cert(cert: OpCert, *, nid: NodeId, root: bytes, now_s: int) -> None:
    """Raises RemoteError unless `root` (public key) certifies this op key for `nid`, now."""
    signed = cert_signing_input(nid, cert.op, cert.nbf, cert.exp, cert.incarnation)
    try:
        Ed25519PublicKey.from_public_bytes(root).verify(cert.signature, signed)
    except InvalidSignature:
        raise RemoteError("The certificate of the op key is not signed by the root key of this node.") from None
    if now_s < cert.nbf - CERT_SKEW_S:
        raise RemoteError("The certificate of the op key is not valid yet; a clock is wrong.")
    if now_s > cert.exp + CERT_SKEW_S:
        raise RemoteError("The certificate of the op key has ended; its owner has to renew it.")
