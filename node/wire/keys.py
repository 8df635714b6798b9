"""Identity of a node: phrase, root keys, node id, chain, op certificate. Pure: node/storage/keys.py keeps the keys.

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

The *chain* says which root is current: the inception, then at most six rotations. Rotation i reveals Ri:

==  ===========  ==============================================================================
 #  field        meaning
==  ===========  ==============================================================================
 0  root         Ri.pub, 32 bytes
 1  commitment   Ci+1, 32 bytes: SHA-256(CONTEXT ‖ 01 ‖ root ‖ commitment) is the Ci of the element before
 2  signature    64 bytes by Ri, tag 1, over i, SHA-256(msgpack of the element before), fields 0 and 1
==  ===========  ==============================================================================

`check_identity` is the one way from foreign bytes to a `Certified` op key; a *newer* one has the greater (rotations,
incarnation). Two statements end an identity: a *transfer* (tag 3, over new nid, domain, unix seconds, by the current
roots of both) moves its contacts to another nid, a *successor* (tag 4, same fields, by the op key) does so when the
phrase is lost, and then contacts confirm by hand.

Vectors: docs/spec/vectors/identity.json. Sources: BIP 39, RFC 5869, RFC 8032, RFC 7748; the chain of commitments
is the pre-rotation of KERI (Smith 2019). HKDF, X25519 and Ed25519 are those of `cryptography`;
libsodium verifies, and signs what is signed often (`SigningKey`).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta, Struct
from nacl.bindings import crypto_sign, crypto_sign_open
from nacl.exceptions import BadSignatureError

from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.wire.codec import encode

if TYPE_CHECKING:
    from mnemonic import Mnemonic

CONTEXT: Final = b"startalk-id-v1"
TAG_ROTATION: Final = 1
TAG_OP_CERT: Final = 2
TAG_TRANSFER: Final = 3
TAG_SUCCESSOR: Final = 4

ENTROPY_BYTES: Final = 32
WORDS: Final = 24
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
ROOTS: Final = 7  # R0 and at most six rotations
ROTATIONS_MAX: Final = ROOTS - 1
LAST_COMMITMENT: Final = bytes(32)  # C7
CHAIN_BYTES_MAX: Final = 1024  # a full one has 880

CERT_BACKDATED_S: Final = 24 * 3600  # a peer's clock may be slow by this much
CERT_LIFE_S: Final = 2 * 365 * 24 * 3600
CERT_WARN_S: Final = 183 * 24 * 3600  # before the end: the owner is told from month 18 on
CERT_SKEW_S: Final = 300  # allowed to both sides of a check
U32_MAX: Final = 2**32 - 1
DOMAIN_CHARS_MAX: Final = 253

_Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
_U32 = Annotated[int, Meta(ge=0, le=U32_MAX)]
_Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


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
    signature: _Signature


class Rotation(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A later element of a chain, see the table above."""

    root: _Key
    commitment: _Key
    signature: _Signature


Chain: TypeAlias = tuple[Inception, *tuple[Rotation, ...]]


class Certified(Struct, frozen=True):
    """An op key that a chain and its certificate prove. Only `check_identity` makes one of foreign bytes."""

    nid: NodeId
    op: bytes
    root: bytes  # public key of the current root
    incarnation: int
    rotations: int
    exp: int  # unix seconds

    @property
    def order(self) -> tuple[int, int]:
        """The greater one is newer; a lower one than the highest ever seen is refused."""
        return self.rotations, self.incarnation


class Transfer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`old` says that it is `new` from now on, and `new` agrees."""

    old: _Key
    new: _Key
    domain: Annotated[str, Meta(max_length=DOMAIN_CHARS_MAX)]
    at_s: _U32
    by_old: _Signature
    by_new: _Signature


class Successor(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The node that has `old`'s op key names `new`; weaker than a transfer, so people confirm it."""

    old: _Key
    new: _Key
    domain: Annotated[str, Meta(max_length=DOMAIN_CHARS_MAX)]
    at_s: _U32
    signature: _Signature


# --- the phrase -----------------------------------------------------------------------------------------


def words_of(entropy: bytes) -> tuple[str, ...]:
    """The 24 words of 32 bytes."""
    assert len(entropy) == ENTROPY_BYTES
    return tuple(word_list().to_mnemonic(entropy).split())


def entropy_of(words: Sequence[str]) -> bytes:
    """The inverse of `words_of`; forgives case and outer space. Raises Rejected with `phrase_mismatch`."""
    if len(words) != WORDS:
        raise Rejected(Code.PHRASE_MISMATCH, f"A recovery phrase has 24 words; these are {len(words)}.", limit=WORDS)
    plain = [plain_word(word) for word in words]
    listed = word_list()
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


def word_list() -> Mnemonic:
    """BIP 39 in English."""
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
        later.append(commit(root, later[-1]))
    return tuple(reversed(later))


def commit(root: bytes, commitment: bytes) -> bytes:
    """Ci of Ri's public key and Ci+1."""
    return hashlib.sha256(CONTEXT + b"\x01" + root + commitment).digest()


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
    if not is_signed(root, cert.signature, signed):
        raise RemoteError("The certificate of the op key is not signed by the root key of this node.")
    check_cert_times(cert, now_s=now_s)


def check_cert_times(cert: OpCert, *, now_s: int) -> None:
    """Raises RemoteError if a certificate that verified is not valid now."""
    if now_s < cert.nbf - CERT_SKEW_S:
        raise RemoteError("The certificate of the op key is not valid yet; a clock is wrong.")
    if now_s > cert.exp + CERT_SKEW_S:
        raise RemoteError("The certificate of the op key has ended; its owner has to renew it.")


def is_signed(public: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether an Ed25519 signature holds; False for bytes that are no key too. The one judge of every signature.

    It is libsodium's: half the time of OpenSSL's, and keys of small order, which sign everything, are no keys to it.
    """
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + signed, public)
    except BadSignatureError:
        return False
    return True


class SigningKey:
    """An op key as libsodium takes it, for what is signed with each message: the same signature in 60 % of OpenSSL's time."""

    __slots__ = ("_secret",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._secret = key.private_bytes_raw() + key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return crypto_sign(data, self._secret)[:SIGNATURE_BYTES]


# --- the chain ------------------------------------------------------------------------------------------


def make_chain(entropy: bytes, rotations: int) -> Chain:
    """The chain of a phrase after so many rotations: the same whenever it is made, for Ed25519 takes no chance."""
    chain: Chain = (incept(entropy),)
    for i in range(1, rotations + 1):
        chain = (*chain, sign_rotation(derive_root(entropy, i), chain=chain, commitment=_commitment(entropy, i + 1)))
    return chain


def _commitment(entropy: bytes, i: int) -> bytes:
    return commitments([derive_root(entropy, k).public_key().public_bytes_raw() for k in range(ROOTS)])[i - 1]


def sign_rotation(root: Ed25519PrivateKey, *, chain: Chain, commitment: bytes) -> Rotation:
    """The next element of `chain`; `root` is the next root key and `commitment` the one after it."""
    public = root.public_key().public_bytes_raw()
    assert commit(public, commitment) == chain[-1].commitment
    signed = rotation_signing_input(node_id(chain[0]), len(chain), chain[-1], public, commitment)
    return Rotation(public, commitment, root.sign(signed))


def rotation_signing_input(nid: NodeId, i: int, before: Inception | Rotation, root: bytes, commitment: bytes) -> bytes:
    """The bytes that Ri signs in rotation i."""
    return CONTEXT + b"\x00" + encode((TAG_ROTATION, nid, i, hashlib.sha256(encode(before)).digest(), root, commitment))


def check_rotation(rotation: Rotation, *, nid: NodeId, i: int, before: Inception | Rotation) -> None:
    """Raises RemoteError unless `rotation` is the i-th of `nid` and follows on `before`."""
    if commit(rotation.root, rotation.commitment) != before.commitment:
        raise RemoteError(f"Rotation {i} shows a root key that the identity did not commit to.")
    signed = rotation_signing_input(nid, i, before, rotation.root, rotation.commitment)
    if not is_signed(rotation.root, rotation.signature, signed):
        raise RemoteError(f"Rotation {i} is not signed by the root key it shows.")


def check_chain(chain: Chain) -> NodeId:
    """The nid that a chain proves; its last element has the current root. Raises RemoteError."""
    if len(chain) > ROOTS:
        raise RemoteError(f"A chain has at most {ROTATIONS_MAX} rotations.")
    nid = node_id(chain[0])
    before: Inception | Rotation = chain[0]
    for i, rotation in enumerate(chain[1:], start=1):
        check_rotation(rotation, nid=nid, i=i, before=before)
        before = rotation
    return nid


def chain_of(parts: Sequence[bytes | bytearray | memoryview]) -> Chain:
    """A chain of the msgpack of each element; its shape only. Raises RemoteError."""
    if not 1 <= len(parts) <= ROOTS:
        raise RemoteError(f"A chain has one inception and at most {ROTATIONS_MAX} rotations.")
    try:
        return (_decode_inception(parts[0]), *(_decode_rotation(part) for part in parts[1:]))
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteError(f"An element of the chain is malformed: {error}.") from None


def decode_chain(data: bytes) -> Chain:
    """The inverse of `encode`; the one spelling of the bytes, nothing of what they prove. Raises RemoteError."""
    if len(data) > CHAIN_BYTES_MAX:
        raise RemoteError(f"A chain has at most {CHAIN_BYTES_MAX} bytes.")
    try:
        chain = chain_of([bytes(part) for part in _decode_parts(data)])
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteError(f"The chain is malformed: {error}.") from None
    if encode(chain) != data:
        raise RemoteError("The chain is not spelt in the shortest way.")
    return chain


def check_identity(chain: Chain, cert: OpCert, *, now_s: int) -> Certified:
    """Who has the op key of `cert`. Raises RemoteError unless every step from the nid to it verifies, now.

    The caller compares `Certified.order` with the highest it has seen of this nid.
    """
    nid, root = check_chain(chain), chain[-1].root
    check_cert(cert, nid=nid, root=root, now_s=now_s)
    return Certified(nid, cert.op, root, cert.incarnation, len(chain) - 1, cert.exp)


# --- how an identity ends -------------------------------------------------------------------------------


def sign_transfer(
    *, old: NodeId, old_root: Ed25519PrivateKey, new: NodeId, new_root: Ed25519PrivateKey, domain: str, now_s: int
) -> Transfer:
    """Signed by the current root keys of both identities."""
    signed = move_signing_input(TAG_TRANSFER, old, new, domain, now_s)
    return Transfer(old, new, domain, now_s, old_root.sign(signed), new_root.sign(signed))


def check_transfer(transfer: Transfer, *, old_root: bytes, new_root: bytes) -> None:
    """Raises RemoteError unless both current roots (public keys) signed it."""
    signed = move_signing_input(TAG_TRANSFER, transfer.old, transfer.new, transfer.domain, transfer.at_s)
    if transfer.old == transfer.new:
        raise RemoteError("An identity cannot be transferred to itself.")
    if not is_signed(old_root, transfer.by_old, signed) or not is_signed(new_root, transfer.by_new, signed):
        raise RemoteError("The transfer is not signed by the root keys of both identities.")


def sign_successor(op_key: Ed25519PrivateKey, *, old: NodeId, new: NodeId, domain: str, now_s: int) -> Successor:
    """Signed by the old op key; for the owner who lost the phrase and still has the node."""
    signed = move_signing_input(TAG_SUCCESSOR, old, new, domain, now_s)
    return Successor(old, new, domain, now_s, op_key.sign(signed))


def check_successor(successor: Successor, *, op: bytes) -> None:
    """Raises RemoteError unless the op key `op` (public) of the old identity signed it."""
    signed = move_signing_input(TAG_SUCCESSOR, successor.old, successor.new, successor.domain, successor.at_s)
    if successor.old == successor.new or not is_signed(op, successor.signature, signed):
        raise RemoteError("The successor is not signed by the op key of the old identity.")


def move_signing_input(tag: int, old: bytes, new: bytes, domain: str, at_s: int) -> bytes:
    """The bytes signed in a transfer or a successor."""
    return CONTEXT + b"\x00" + encode((tag, old, new, domain, at_s))


_decode_parts = msgspec.msgpack.Decoder(tuple[msgspec.Raw, ...]).decode
_decode_inception = msgspec.msgpack.Decoder(Inception).decode
_decode_rotation = msgspec.msgpack.Decoder(Rotation).decode
