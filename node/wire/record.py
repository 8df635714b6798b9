"""The signed record: where a node is, who it is, that it ended. It proves itself, whoever hands it on.

A msgpack array in its shortest form, at most 1,000 bytes; decoded strictly, and what is decoded must give the same bytes
again. The signature covers CONTEXT ‖ 00 ‖ msgpack(fields 0..7); CONTEXT is ``startalk-rec-v1``.

==  =====  ===============================================================================================
 #  field  meaning
==  =====  ===============================================================================================
 0  ver    1
 1  typ    1 loc, 2 id, 3 revoke, 4 transfer
 2  chain  inception and rotations (node/wire/keys.py). All of them in typ 2; otherwise the inception and the last
           three: a reader takes the middle of a longer chain from the ``id`` record or a link
 3  cert   certificate of the op key by the current root, valid now; the empty array in typ 2..4
 4  salt   ``loc``, ``id``, ``rev``, ``tra``; with the nid it makes the key in the DHT
 5  seq    max(previous + 1, unix ms), at most exp × 1,000; 2^53 - 1 in a revocation, which nothing follows
 6  exp    unix seconds; a record that ended more than 300 s ago is refused, and one that promises to live longer
           than 48 h (loc) or 30 days (id, transfer), 300 s added
 7  body   bytes, see below; at most 512
 8  sig    by the op key in typ 1, otherwise by the current root
==  =====  ===============================================================================================

Bodies are msgpack maps; an empty value is left out and keys come in this order:

========  ====================================================================================================
loc       node/wire/location.py
transfer  ``d`` domain, ``n`` chain of the new identity, ``t`` unix seconds, ``s`` [signature by the current root of
          the old, of the new identity] over what keys.move_signing_input says
id, rev   no bytes at all: the other fields say everything
========  ====================================================================================================

*Newer* is the greater (rotations, incarnation, seq, bytes), among records of one nid and type. A record says what its
node said, not that it said nothing later: pins, short lives and asking many are against that.

Vectors: docs/spec/vectors/record.json.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from enum import IntEnum
from typing import Annotated, Final, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta, Struct

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.wire import keys
from node.wire.address import check_domain
from node.wire.codec import encode
from node.wire.keys import Chain, OpCert, Rotation, Transfer
from node.wire.location import Host, LocBody, check_loc, decode_loc, shorten

CONTEXT: Final = b"startalk-rec-v1"
VERSION: Final = 1
SALT_LOC: Final = b"loc"
SALT_ID: Final = b"id"
SALT_REVOKE: Final = b"rev"
SALT_TRANSFER: Final = b"tra"
SEQ_MAX: Final = 2**53 - 1
SKEW_S: Final = 300  # allowed to clocks on both sides of every check
SIGNATURE_BYTES: Final = 64


class RecordType(IntEnum):
    """What a record says."""

    LOC = 1
    ID = 2
    REVOKE = 3
    TRANSFER = 4


SALTS: Final = {
    RecordType.LOC: SALT_LOC,
    RecordType.ID: SALT_ID,
    RecordType.REVOKE: SALT_REVOKE,
    RecordType.TRANSFER: SALT_TRANSFER,
}
_LIFE_S_MAX: Final = {
    RecordType.LOC: limits.LOC_LIFE_S_MAX,
    RecordType.ID: limits.ID_LIFE_S_MAX,
    RecordType.TRANSFER: limits.ID_LIFE_S_MAX,
}
_MADE_BEFORE_S: Final = {
    RecordType.LOC: limits.LOC_LIFE_S,
    RecordType.ID: limits.ID_LIFE_S,
    RecordType.REVOKE: limits.REVOKE_LIFE_S,
    RecordType.TRANSFER: limits.ID_LIFE_S,
}
_Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class TransferBody(Struct, frozen=True):
    """A transfer that both identities signed, and the chain of the new one."""

    transfer: Transfer
    chain: Chain


Body: TypeAlias = LocBody | TransferBody | None


class Record(Struct, frozen=True, kw_only=True):
    """A record that verified. Only `verify_record` makes one."""

    nid: NodeId
    typ: RecordType
    rotations: int
    incarnation: int  # 0 in typ 2..4, which have no certificate
    seq: int
    exp: int  # unix seconds
    salt: bytes
    body: Body
    raw: bytes
    op: bytes | None  # Ed25519 public key; None in typ 2..4
    chain: Chain  # the whole of it
    cert: OpCert | None

    @property
    def order(self) -> tuple[int, int, int, bytes]:
        """The greater one of two records of the same nid and type is newer."""
        return self.rotations, self.incarnation, self.seq, self.raw


class ChainGap(RemoteError):
    """The middle of this record's chain is not in it: get the chain (``id`` record, link), then verify again."""

    def __init__(self, nid: NodeId) -> None:
        super().__init__("The record shows only the end of its chain, and the rest is not known here.")
        self.nid = nid


def is_newer(a: Record, b: Record) -> bool:
    """Whether `a` replaces `b`."""
    assert (a.nid, a.typ) == (b.nid, b.typ)
    return a.order > b.order


def dht_key(nid: NodeId, salt: bytes) -> bytes:
    """The 20 bytes under which the DHT holds this kind of record of `nid`."""
    return hashlib.sha1(CONTEXT + b"\x00" + nid + salt, usedforsecurity=False).digest()


# --- making ---------------------------------------------------------------------------------------------


class _Wire(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The array as sent, its nested parts not yet read."""

    ver: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    typ: RecordType
    chain: tuple[msgspec.Raw, ...]
    cert: msgspec.Raw
    salt: Annotated[bytes, Meta(max_length=16)]
    seq: Annotated[int, Meta(ge=0, le=SEQ_MAX)]
    exp: Annotated[int, Meta(ge=0, le=keys.U32_MAX)]
    body: Annotated[bytes, Meta(max_length=limits.RECORD_BODY_BYTES_MAX)]
    sig: _Signature


class _TransferWire(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    domain: Host = msgspec.field(default="", name="d")
    chain: tuple[msgspec.Raw, ...] = msgspec.field(name="n")
    at_s: Annotated[int, Meta(ge=0, le=keys.U32_MAX)] = msgspec.field(name="t")
    signatures: tuple[_Signature, _Signature] = msgspec.field(name="s")


def make_loc(*, chain: Chain, cert: OpCert, op_key: Ed25519PrivateKey, seq: int, now_s: int, body: LocBody) -> bytes:
    """Where the node is, for 42 h. Relays, then addresses are dropped from the end until the record fits."""
    check_loc(body)
    exp = now_s + limits.LOC_LIFE_S
    while True:
        data = _make(op_key, RecordType.LOC, chain, cert, seq, exp, encode(body))
        if data is not None:
            return data
        body = shorten(body)


def make_id(*, chain: Chain, root_key: Ed25519PrivateKey, seq: int, now_s: int) -> bytes:
    """The whole chain, for 29 days."""
    return _fit(_make(root_key, RecordType.ID, chain, None, seq, now_s + limits.ID_LIFE_S, b""))


def make_revoke(*, chain: Chain, root_key: Ed25519PrivateKey, now_s: int) -> bytes:
    """The tombstone: this identity ended, for good."""
    exp = min(now_s + limits.REVOKE_LIFE_S, keys.U32_MAX)
    return _fit(_make(root_key, RecordType.REVOKE, chain, None, SEQ_MAX, exp, b""))


def make_transfer(
    *, chain: Chain, root_key: Ed25519PrivateKey, seq: int, now_s: int, transfer: Transfer, new_chain: Chain
) -> bytes:
    """This identity goes on as `transfer.new`. Raises Rejected with `too_large` for a very long domain."""
    body = encode(
        _TransferWire(
            domain=transfer.domain,
            chain=tuple(msgspec.Raw(encode(element)) for element in new_chain),
            at_s=transfer.at_s,
            signatures=(transfer.by_old, transfer.by_new),
        )
    )
    return _fit(_make(root_key, RecordType.TRANSFER, chain, None, seq, now_s + limits.ID_LIFE_S, body))


def _make(
    key: Ed25519PrivateKey, typ: RecordType, chain: Chain, cert: OpCert | None, seq: int, exp: int, body: bytes
) -> bytes | None:
    """The record, or None if it is too large."""
    assert 0 <= seq <= (SEQ_MAX if typ is RecordType.REVOKE else exp * 1000)
    fields = (VERSION, typ, shown(chain, typ), cert or (), SALTS[typ], seq, exp, body)
    data = encode((*fields, key.sign(CONTEXT + b"\x00" + encode(fields))))
    fits = len(body) <= limits.RECORD_BODY_BYTES_MAX and len(data) <= limits.RECORD_BYTES_MAX
    return data if fits else None


def _fit(data: bytes | None) -> bytes:
    if data is None:
        raise Rejected(
            Code.TOO_LARGE,
            f"The record is larger than {limits.RECORD_BYTES_MAX} bytes; use a shorter domain.",
            limit=limits.RECORD_BYTES_MAX,
        )
    return data


def shown(chain: Chain, typ: RecordType) -> Chain:
    """What a record of this type has of a chain."""
    if typ is RecordType.ID or len(chain) <= 1 + limits.RECORD_ROTATIONS_MAX:
        return chain
    rotations = chain[1:]
    return (chain[0], *rotations[-limits.RECORD_ROTATIONS_MAX :])


# --- verifying ------------------------------------------------------------------------------------------


def verify_record(data: bytes, *, now_s: int, known: Chain | None = None) -> Record:
    """Everything that the tables above say. Raises RemoteError.

    `known` is the longest verified chain of this nid that the caller has: it closes a gap (without it, `ChainGap`), and
    a record with a shorter chain is refused. Whether the record is the newest is for the caller to compare.
    """
    if len(data) > limits.RECORD_BYTES_MAX:
        raise RemoteError(f"A record has at most {limits.RECORD_BYTES_MAX} bytes.")
    wire, cert, listed = _decode_wire(data)
    if wire.salt != SALTS[wire.typ]:
        raise RemoteError("The salt of the record is not that of its type.")
    _check_exp(wire.typ, wire.exp, now_s)
    _check_seq(wire)
    nid, chain = _whole(listed, wire.typ, known)
    root = chain[-1].root
    op = _check_cert(wire.typ, cert, nid, root, now_s)
    fields = (wire.ver, wire.typ, listed, cert or (), wire.salt, wire.seq, wire.exp, wire.body)
    if not keys.is_signed(op or root, wire.sig, CONTEXT + b"\x00" + encode(fields)):
        raise RemoteError("The record is not signed by the key of its node.")
    return Record(
        nid=nid,
        typ=wire.typ,
        rotations=len(chain) - 1,
        incarnation=cert.incarnation if cert else 0,
        seq=wire.seq,
        exp=wire.exp,
        salt=wire.salt,
        body=_decode_body(wire, nid, root),
        raw=bytes(data),
        op=op,
        chain=chain,
        cert=cert,
    )


def check_times(record: Record, *, now_s: int) -> None:
    """Whether a record that verified earlier still holds now. Raises RemoteError."""
    _check_exp(record.typ, record.exp, now_s)
    if record.cert is not None:
        keys.check_cert_times(record.cert, now_s=now_s)


def nid_of(data: bytes) -> NodeId:
    """Whose record this says to be, to look up what is known of them; it proves nothing. Raises RemoteError."""
    return keys.node_id(_decode_wire(data)[2][0])


def exp_of(data: bytes) -> int:
    """When an own record ends, unix seconds; nothing is verified. Raises RemoteError for bytes that are no record."""
    return _decode_wire(data)[0].exp


def verify_past(data: bytes, *, known: Chain | None = None) -> Record:
    """A record that verified at some time, perhaps long ago: proof of what its node once said. Raises RemoteError."""
    if len(data) > limits.RECORD_BYTES_MAX:
        raise RemoteError(f"A record has at most {limits.RECORD_BYTES_MAX} bytes.")
    wire, _, _ = _decode_wire(data)
    return verify_record(data, now_s=max(0, wire.exp - _MADE_BEFORE_S[wire.typ]), known=known)


class Verifier:
    """`verify_record` that remembers what it has verified: the same bytes cost a hash the second time.

    For records that come again and again (the DHT, peers that tell of each other). Records with a gap are not remembered.
    """

    def __init__(self) -> None:
        self._verified: OrderedDict[bytes, Record] = OrderedDict()

    def __call__(self, data: bytes, *, now_s: int, known: Chain | None = None) -> Record:
        """As `verify_record`. Raises RemoteError."""
        if known is not None:
            return verify_record(data, now_s=now_s, known=known)
        if len(data) > limits.RECORD_BYTES_MAX:
            raise RemoteError(f"A record has at most {limits.RECORD_BYTES_MAX} bytes.")
        digest = hashlib.sha256(data).digest()
        record = self._verified.get(digest)
        if record is None:
            record = verify_record(data, now_s=now_s)
            self._verified[digest] = record
            if len(self._verified) > limits.RECORDS_REMEMBERED_MAX:
                self._verified.popitem(last=False)
        else:
            check_times(record, now_s=now_s)
            self._verified.move_to_end(digest)
        return record


def _decode_wire(data: bytes) -> tuple[_Wire, OpCert | None, Chain]:
    """The fields, the certificate and the elements of the chain, in their one spelling."""
    try:
        wire = _decode(data)
        cert = None if bytes(wire.cert) == _EMPTY_ARRAY else _decode_cert(wire.cert)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteError(f"The record is malformed: {error}.") from None
    listed = keys.chain_of([bytes(part) for part in wire.chain])
    again = (wire.ver, wire.typ, listed, cert or (), wire.salt, wire.seq, wire.exp, wire.body, wire.sig)
    if encode(again) != data:
        raise RemoteError("The record is not spelt in the shortest way.")
    return wire, cert, listed


def _check_exp(typ: RecordType, exp: int, now_s: int) -> None:
    if exp < now_s - SKEW_S:
        raise RemoteError("The record has expired.")
    life_s = _LIFE_S_MAX.get(typ)
    if life_s is not None and exp > now_s + life_s + SKEW_S:
        raise RemoteError("The record promises to live longer than its type may.")


def _check_seq(wire: _Wire) -> None:
    if wire.typ is RecordType.REVOKE:
        if wire.seq != SEQ_MAX:
            raise RemoteError("A revocation has the last sequence number.")
    elif wire.seq > wire.exp * 1000:
        raise RemoteError("The sequence number of the record lies in the far future.")


def _whole(listed: Chain, typ: RecordType, known: Chain | None) -> tuple[NodeId, Chain]:
    """(nid, whole chain) of the elements that a record shows."""
    if typ is not RecordType.ID and len(listed) > 1 + limits.RECORD_ROTATIONS_MAX:
        raise RemoteError(f"A record shows at most {limits.RECORD_ROTATIONS_MAX} rotations.")
    chain = _close_gap(listed, known) if _has_gap(listed, typ) else listed
    nid = keys.check_chain(chain)
    if known is not None:
        _check_known(chain, known)
    return nid, chain


def _has_gap(listed: Chain, typ: RecordType) -> bool:
    rotations = listed[1:]
    if typ is RecordType.ID or len(rotations) != limits.RECORD_ROTATIONS_MAX:
        return False
    return keys.commit(rotations[0].root, rotations[0].commitment) != listed[0].commitment


def _close_gap(listed: Chain, known: Chain | None) -> Chain:
    rotations = listed[1:]
    commitment = keys.commit(rotations[0].root, rotations[0].commitment)
    if known is not None and known[0] == listed[0]:
        middle: tuple[Rotation, ...] = known[1:]
        for place, before in enumerate(middle, start=1):
            if before.commitment == commitment:
                return (known[0], *(*middle[:place], *rotations))
    raise ChainGap(keys.node_id(listed[0]))


def _check_known(chain: Chain, known: Chain) -> None:
    if keys.node_id(known[0]) != keys.node_id(chain[0]):
        raise RemoteError("The record is of another node.")
    if len(chain) < len(known):
        raise RemoteError("The record's chain is shorter than the longest one of this node.")


def _check_cert(typ: RecordType, cert: OpCert | None, nid: NodeId, root: bytes, now_s: int) -> bytes | None:
    """The certified op key of a ``loc``; None for the others."""
    if (cert is None) is (typ is RecordType.LOC):
        raise RemoteError("A location record has a certificate, the others have none.")
    if cert is None:
        return None
    keys.check_cert(cert, nid=nid, root=root, now_s=now_s)
    return cert.op


# --- bodies ---------------------------------------------------------------------------------------------


def _decode_body(wire: _Wire, nid: NodeId, root: bytes) -> Body:
    try:
        match wire.typ:
            case RecordType.LOC:
                return decode_loc(wire.body)
            case RecordType.TRANSFER:
                return _decode_transfer(wire.body, nid, root)
            case _:
                if wire.body:
                    raise RemoteError("This type of record has no body.")
                return None
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteError(f"The body of the record is malformed: {error}.") from None
    except Rejected as error:
        raise RemoteError(f"The body of the record is not valid: {error.text}") from None


def _decode_transfer(data: bytes, nid: NodeId, root: bytes) -> TransferBody:
    wire = _decode_transfer_body(data)
    chain = keys.chain_of([bytes(part) for part in wire.chain])
    plain = tuple(msgspec.Raw(encode(element)) for element in chain)
    if encode(msgspec.structs.replace(wire, chain=plain)) != data:
        raise RemoteError("The body of the record is not spelt in the shortest way.")
    if wire.domain:
        check_domain(wire.domain)
    transfer = Transfer(nid, keys.check_chain(chain), wire.domain, wire.at_s, *wire.signatures)
    keys.check_transfer(transfer, old_root=root, new_root=chain[-1].root)
    return TransferBody(transfer, chain)


_EMPTY_ARRAY: Final = b"\x90"
_decode = msgspec.msgpack.Decoder(_Wire).decode
_decode_cert = msgspec.msgpack.Decoder(OpCert).decode
_decode_transfer_body = msgspec.msgpack.Decoder(_TransferWire).decode
