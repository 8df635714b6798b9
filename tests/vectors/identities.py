"""What tests/vectors/generate.py writes into identity.json and record.json: four identities and what they may say.

Every byte follows from constants (Ed25519 takes no chance), so others can make the same. The invalid ones are made as an
attacker would: each breaks one rule and is otherwise right, with signatures that fit.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base import limits
from node.base.ids import NodeId, format_node
from node.wire import keys, record, safety
from node.wire.codec import encode
from node.wire.keys import Chain, OpCert
from node.wire.location import Flag, LocBody, Relay, Spot

FOLDER: Final = Path(__file__).parents[2] / "docs" / "spec" / "vectors"
NOW_S: Final = 1_800_000_000
ENTROPY: Final = hashlib.sha256(b"startalk vectors entropy").digest()
OTHER_ENTROPY: Final = hashlib.sha256(b"startalk vectors other entropy").digest()
OP: Final = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"startalk vectors identity op key").digest())
THIEF: Final = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"startalk vectors thief").digest())
CHAINS: Final = tuple(keys.make_chain(ENTROPY, rotations) for rotations in range(keys.ROOTS))
ROOTS: Final = tuple(keys.derive_root(ENTROPY, i) for i in range(keys.ROOTS))
NID: Final = keys.node_id(CHAINS[0][0])
OTHER_CHAIN: Final = keys.make_chain(OTHER_ENTROPY, 0)
OTHER_ROOT: Final = keys.derive_root(OTHER_ENTROPY, 0)
OTHER: Final = keys.node_id(OTHER_CHAIN[0])
DOMAIN: Final = "casa.example"


def public(key: Ed25519PrivateKey) -> bytes:
    """Its public half."""
    return key.public_key().public_bytes_raw()


def cert(rotations: int, incarnation: int, *, root: Ed25519PrivateKey | None = None, now_s: int = NOW_S) -> OpCert:
    """Of the op key, by the root that is current after so many rotations."""
    return keys.sign_cert(root or ROOTS[rotations], nid=NID, op=public(OP), now_s=now_s, incarnation=incarnation)


# --- identity.json --------------------------------------------------------------------------------------


def identity_vectors() -> dict[str, Any]:
    """The identities of the first version stay as they are in the file; the rest is made here."""
    before = json.loads((FOLDER / "identity.json").read_text(encoding="utf-8"))
    return {
        "about": before["about"],
        "identities": before["identities"],
        "chains": [_chain(rotations) for rotations in range(keys.ROOTS)],
        "invalid": [
            {"name": name, "chain": chain.hex(), "cert": signed.hex(), "now_s": now_s}
            for name, chain, signed, now_s in _invalid_identities()
        ],
        "transfer": _transfer(),
        "successor": _successor(),
        "safety": [
            {"nids": [a.hex(), b.hex()], "words": " ".join(safety.safety_phrase(a, b))}
            for a, b in ((NID, OTHER), (OTHER, NID), (NodeId(bytes(32)), NodeId(b"\xff" * 32)), (NID, NID))
        ],
    }


def _chain(rotations: int) -> dict[str, Any]:
    chain, signed = CHAINS[rotations], cert(rotations, rotations + 1)
    last = chain[-1]
    made: dict[str, Any] = {
        "rotations": rotations,
        "entropy": ENTROPY.hex(),
        "nid": NID.hex(),
        "chain": encode(chain).hex(),
    }
    if rotations:
        before = CHAINS[rotations - 1][-1]
        made["signing_input"] = keys.rotation_signing_input(NID, rotations, before, last.root, last.commitment).hex()
    return made | {
        "root": last.root.hex(),
        "cert": encode(signed).hex(),
        "now_s": NOW_S,
        "op": signed.op.hex(),
        "incarnation": signed.incarnation,
        "exp": signed.exp,
    }


def _invalid_identities() -> list[tuple[str, bytes, bytes, int]]:
    """(name, chain, certificate, now): a link or record with these is refused."""
    good, whole = encode(cert(0, 1)), encode(CHAINS[0])
    rotated, rotated_cert = CHAINS[1][1:], encode(cert(1, 2))
    end_s = NOW_S + keys.CERT_LIFE_S + keys.CERT_SKEW_S
    return [
        ("an empty chain", b"\x90", good, NOW_S),
        ("bytes after the chain", whole + b"\xc0", good, NOW_S),
        ("a chain spelt with a longer array", b"\xdc\x00\x01" + whole[1:], good, NOW_S),
        ("a chain spelt with a longer binary", whole[:2] + b"\xc5\x00\x20" + whole[4:], good, NOW_S),
        ("a forked chain: a root nobody committed to", encode(_forked()), encode(cert(1, 2, root=THIEF)), NOW_S),
        ("a rotation without its signature", encode((CHAINS[1][0], _unsigned(rotated[0]))), rotated_cert, NOW_S),
        ("the second rotation before the first", encode((CHAINS[2][0], CHAINS[2][1:][1])), encode(cert(2, 3)), NOW_S),
        ("rotations in the wrong order", encode((CHAINS[2][0], *reversed(CHAINS[2][1:]))), encode(cert(2, 3)), NOW_S),
        ("seven rotations", encode((*CHAINS[6], CHAINS[1][1:][0])), encode(cert(6, 7)), NOW_S),
        (
            "a certificate by the root before the current one",
            encode(CHAINS[1]),
            encode(cert(1, 2, root=ROOTS[0])),
            NOW_S,
        ),
        ("a certificate by a root that is not yet current", whole, encode(cert(0, 1, root=ROOTS[1])), NOW_S),
        ("a certificate by nobody's key", whole, encode(cert(0, 1, root=THIEF)), NOW_S),
        ("a certificate that is not valid yet", whole, good, NOW_S - keys.CERT_BACKDATED_S - keys.CERT_SKEW_S - 1),
        ("a certificate that has ended", whole, good, end_s + 1),
    ]


def _forked() -> Chain:
    """A thief who has R0 shows a root of their own."""
    commitment = keys.LAST_COMMITMENT
    signed = keys.rotation_signing_input(NID, 1, CHAINS[0][0], public(THIEF), commitment)
    return (CHAINS[0][0], keys.Rotation(public(THIEF), commitment, THIEF.sign(signed)))


def _unsigned(rotation: keys.Rotation) -> keys.Rotation:
    return msgspec.structs.replace(rotation, signature=bytes(64))


def _said() -> keys.Transfer:
    return keys.sign_transfer(old=NID, old_root=ROOTS[1], new=OTHER, new_root=OTHER_ROOT, domain=DOMAIN, now_s=NOW_S)


def _transfer() -> dict[str, Any]:
    said = _said()
    return {
        "old": NID.hex(),
        "new": OTHER.hex(),
        "domain": DOMAIN,
        "at_s": NOW_S,
        "old_root": public(ROOTS[1]).hex(),
        "new_root": public(OTHER_ROOT).hex(),
        "signing_input": keys.move_signing_input(keys.TAG_TRANSFER, NID, OTHER, DOMAIN, NOW_S).hex(),
        "bytes": encode(said).hex(),
    }


def _successor() -> dict[str, Any]:
    said = keys.sign_successor(OP, old=NID, new=OTHER, domain=DOMAIN, now_s=NOW_S)
    return {
        "old": NID.hex(),
        "new": OTHER.hex(),
        "domain": DOMAIN,
        "at_s": NOW_S,
        "op": public(OP).hex(),
        "signing_input": keys.move_signing_input(keys.TAG_SUCCESSOR, NID, OTHER, DOMAIN, NOW_S).hex(),
        "bytes": encode(said).hex(),
    }


# --- record.json ----------------------------------------------------------------------------------------

BODY: Final = LocBody(
    domain=DOMAIN,
    addresses=(
        Spot(4, bytes([203, 0, 113, 9]), 8443),
        Spot(6, bytes.fromhex("20010db8000000000000000000000001"), 8443),
        Spot(4, bytes([192, 168, 1, 20]), 8443),
    ),
    relays=(Relay(OTHER, "relay.example", 8443),),
    versions=(1,),
    flags=Flag.PUBLIC | Flag.IPV6,
)


def loc(rotations: int = 0, *, incarnation: int = 1, seq: int = NOW_S * 1000, body: LocBody = BODY) -> bytes:
    """A location record made at NOW_S."""
    signed = cert(rotations, incarnation)
    return record.make_loc(chain=CHAINS[rotations], cert=signed, op_key=OP, seq=seq, now_s=NOW_S, body=body)


def records() -> dict[str, tuple[bytes, Chain | None]]:
    """(bytes, chain that a reader must know already) by name."""
    seq = NOW_S * 1000
    return {
        "loc, nothing but the key": (loc(body=LocBody()), None),
        "loc, three addresses and a relay": (loc(), None),
        "loc, one rotation": (loc(1, incarnation=2), None),
        "loc, three rotations": (loc(3, incarnation=4), None),
        "loc, the end of six rotations": (loc(6, incarnation=7), CHAINS[3]),
        "id, no rotation": (record.make_id(chain=CHAINS[0], root_key=ROOTS[0], seq=seq, now_s=NOW_S), None),
        "id, six rotations": (record.make_id(chain=CHAINS[6], root_key=ROOTS[6], seq=seq, now_s=NOW_S), None),
        "revoke": (record.make_revoke(chain=CHAINS[0], root_key=ROOTS[0], now_s=NOW_S), None),
        "transfer": (
            record.make_transfer(
                chain=CHAINS[1], root_key=ROOTS[1], seq=seq, now_s=NOW_S, transfer=_said(), new_chain=OTHER_CHAIN
            ),
            None,
        ),
    }


def record_vectors() -> dict[str, Any]:
    """Records that verify, in their order where they compete, and records that do not."""
    rising = [
        loc(seq=NOW_S * 1000),
        loc(seq=NOW_S * 1000 + 1),
        loc(incarnation=2, seq=1),
        loc(1, incarnation=1, seq=1),
    ]
    return {
        "about": "Signed records (docs/spec/identity.md). Bytes are hex. Test keys: never use them.",
        "now_s": NOW_S,
        "records": [_record(name, data, known) for name, (data, known) in records().items()],
        "older_to_newer": [data.hex() for data in rising],
        "invalid": [
            {"name": name, "hex": data.hex(), "now_s": now_s} | ({"known": encode(known).hex()} if known else {})
            for name, data, now_s, known in invalid_records()
        ],
        "public": [{"spot": [family, ip, port], "public": public} for family, ip, port, public in _spots()],
    }


def _record(name: str, data: bytes, known: Chain | None) -> dict[str, Any]:
    got = record.verify_record(data, now_s=NOW_S, known=known)
    fields = msgspec.msgpack.decode(data)
    made: dict[str, Any] = {"name": name, "hex": data.hex(), "bytes": len(data)}
    if known:
        made["known"] = encode(known).hex()
    return made | {
        "nid": got.nid.hex(),
        "nid_text": format_node(got.nid),
        "typ": int(got.typ),
        "rotations": got.rotations,
        "incarnation": got.incarnation,
        "salt": got.salt.decode(),
        "seq": got.seq,
        "exp": got.exp,
        "body": to_json(msgspec.msgpack.decode(fields[7])) if fields[7] else None,
        "signing_input": (record.CONTEXT + b"\x00" + encode(fields[:8])).hex(),
        "dht_key": record.dht_key(got.nid, got.salt).hex(),
    }


def to_json(value: Any) -> Any:
    """Values of msgpack as JSON; bytes become ``{"hex": …}``."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case list():
            return [to_json(item) for item in value]
        case dict():
            return {key: to_json(item) for key, item in value.items()}
        case _:
            return value


def signed_again(data: bytes, place: int, value: Any, key: Ed25519PrivateKey = OP) -> bytes:
    """The record with one field changed, and a signature by `key` over what it says now."""
    fields = msgspec.msgpack.decode(data)[:8]
    fields[place] = value
    return encode([*fields, key.sign(record.CONTEXT + b"\x00" + encode(fields))])


def invalid_records() -> list[tuple[str, bytes, int, Chain | None]]:
    """(name, bytes, now, known chain): `verify_record` raises RemoteError."""
    good, small = loc(), loc(body=LocBody())
    tomb = record.make_revoke(chain=CHAINS[0], root_key=ROOTS[0], now_s=NOW_S)
    fields = msgspec.msgpack.decode(small)
    exp = NOW_S + limits.LOC_LIFE_S
    plain = msgspec.msgpack.decode(encode(CHAINS[2]))
    forked = msgspec.msgpack.decode(encode(_forked()))
    changed: dict[str, bytes] = {
        "version 2": signed_again(small, 0, 2),
        "type 5": signed_again(small, 1, 5),
        "no chain": signed_again(small, 2, []),
        "a rotation left out": signed_again(loc(2, body=LocBody()), 2, [plain[0], plain[2]]),
        "rotations in the wrong order": signed_again(loc(2, body=LocBody()), 2, [plain[0], plain[2], plain[1]]),
        "a forked chain": signed_again(loc(1, body=LocBody()), 2, forked),
        "the certificate of an earlier root": signed_again(loc(1, body=LocBody()), 3, fields[3]),
        "no certificate": signed_again(small, 3, []),
        "a certificate in a revocation": signed_again(tomb, 3, fields[3], ROOTS[0]),
        "the salt of another type": signed_again(small, 4, b"id"),
        "a salt with a spare byte": signed_again(small, 4, b"loc\x00"),
        "a sequence number in the far future": signed_again(small, 5, exp * 1000 + 1),
        "the last sequence number in a location": signed_again(small, 5, record.SEQ_MAX),
        "another than the last in a revocation": signed_again(tomb, 5, NOW_S * 1000, ROOTS[0]),
        "a negative sequence number": signed_again(small, 5, -1),
        "a life of more than 48 hours": signed_again(small, 6, NOW_S + limits.LOC_LIFE_S_MAX + record.SKEW_S + 1),
        "a body that is no map": signed_again(small, 7, b"\x90"),
        "no body": signed_again(small, 7, b""),
        "a body with an unknown key": signed_again(small, 7, encode({"x": 1})),
        "a body with keys in the wrong order": signed_again(small, 7, encode({"f": 1, "d": DOMAIN})),
        "a body with an empty value": signed_again(small, 7, encode({"d": ""})),
        "a body with a long integer": signed_again(small, 7, b"\x81\xa1f\xcc\x01"),
        "a body with bytes after it": signed_again(small, 7, b"\x80\xc0"),
        "a domain in upper case": signed_again(small, 7, encode({"d": "Casa.example"})),
        "an address of the wrong length": signed_again(small, 7, encode({"a": [[6, bytes(4), 8443]]})),
        "nine addresses": signed_again(small, 7, encode({"a": [[4, bytes([203, 0, 113, 9]), 8443]] * 9})),
        "a body in a revocation": signed_again(tomb, 7, b"\x80", ROOTS[0]),
        "signed by the root instead of the op key": signed_again(small, 0, 1, ROOTS[0]),
        "a revocation signed by the op key": signed_again(tomb, 0, 1, OP),
        "a revocation signed by the next root": signed_again(tomb, 0, 1, ROOTS[1]),
        "signed by a thief": signed_again(small, 0, 1, THIEF),
        "a changed byte of the signature": good[:-1] + bytes([good[-1] ^ 1]),
        "nothing": b"",
        "the last byte missing": good[:-1],
        "a byte after the record": good + b"\xc0",
        "a field missing": encode(fields[:8]),
        "a spare field": encode([*fields, 0]),
        "fields in the wrong order": encode([*fields[:2], fields[3], fields[2], *fields[4:]]),
        "a long array": b"\xdc\x00\x09" + small[1:],
        "a long integer": small[:1] + b"\xcc\x01" + small[2:],
        "a long binary": small.replace(b"\xc4\x03loc", b"\xc5\x00\x03loc"),
        "a map": encode(dict(enumerate(fields))),
        "1,001 bytes": bytes(limits.RECORD_BYTES_MAX + 1),
    }
    return [
        *((name, data, NOW_S, None) for name, data in changed.items()),
        ("expired", small, exp + record.SKEW_S + 1, None),
        ("from the future", small, NOW_S - 24 * 3600, None),
        ("a gap in the chain and nothing known", loc(6, incarnation=7), NOW_S, None),
        ("a gap in the chain and too little known", loc(6, incarnation=7), NOW_S, CHAINS[2]),
        ("a chain shorter than the known one", small, NOW_S, CHAINS[1]),
        ("another node than the known one", small, NOW_S, OTHER_CHAIN),
    ]


def _spots() -> list[tuple[int, str, int, bool]]:
    return [
        (4, "08080808", 8443, True),
        (4, "08080808", 443, True),
        (4, "08080808", 22, False),
        (4, "0a000001", 8443, False),
        (4, "64400001", 8443, False),
        (4, "7f000001", 8443, False),
        (4, "a9fea9fe", 80, False),
        (4, "c0a80114", 8443, False),
        (6, "2a00" + "00" * 13 + "01", 8443, True),
        (6, "00" * 15 + "01", 8443, False),
        (6, "00" * 10 + "ffff08080808", 8443, False),
        (6, "20020a000001" + "00" * 10, 8443, False),
        (6, "fd00" + "00" * 13 + "01", 8443, False),
        (6, "fe80" + "00" * 13 + "01", 8443, False),
    ]
