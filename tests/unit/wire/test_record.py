"""The signed record: one spelling, every field checked, every step proved; and what counts as newer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.wire import keys, record
from node.wire.keys import Chain
from node.wire.location import Flag, LocBody, Relay, Spot
from node.wire.record import ChainGap, Record, RecordType, Verifier, verify_record

ENTROPY = bytes(range(32))
NOW_S = 1_800_000_000
SEQ = NOW_S * 1000
OP = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
CHAINS = [keys.make_chain(ENTROPY, rotations) for rotations in range(keys.ROOTS)]
ROOTS = [keys.derive_root(ENTROPY, i) for i in range(keys.ROOTS)]
NID = keys.node_id(CHAINS[0][0])
OTHER = bytes(31) + b"\x02"
BODY = LocBody(
    domain="casa.example",
    addresses=(Spot(4, bytes([203, 0, 113, 9]), 8443), Spot(6, bytes.fromhex("2a00" + "00" * 13 + "01"), 8443)),
    relays=(Relay(b"\x09" * 32, "relay.example", 8443), Relay(b"\x0a" * 32, "2a00::1", 443)),
    versions=(1,),
    flags=Flag.PUBLIC | Flag.IPV6,
)


def loc(rotations: int = 0, *, body: LocBody = BODY, seq: int = SEQ, now_s: int = NOW_S, incarnation: int = 1) -> bytes:
    cert = keys.sign_cert(
        ROOTS[rotations], nid=NID, op=OP.public_key().public_bytes_raw(), now_s=NOW_S, incarnation=incarnation
    )
    return record.make_loc(chain=CHAINS[rotations], cert=cert, op_key=OP, seq=seq, now_s=now_s, body=body)


def check(data: bytes, *, now_s: int = NOW_S, known: Chain | None = None) -> Record:
    return verify_record(data, now_s=now_s, known=known)


def signed_again(data: bytes, change: Callable[[list[Any]], None], key: Ed25519PrivateKey = OP) -> bytes:
    """The record with changed fields and a signature that fits them: what its owner could have made."""
    fields = msgspec.msgpack.decode(data)[:8]
    change(fields)
    sig = key.sign(record.CONTEXT + b"\x00" + msgspec.msgpack.encode(fields))
    return msgspec.msgpack.encode([*fields, sig])


def setter(place: int, value: Any) -> Callable[[list[Any]], None]:
    def change(fields: list[Any]) -> None:
        fields[place] = value

    return change


# --- what is made is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("rotations", range(limits.RECORD_ROTATIONS_MAX + 1))
def test_a_location_proves_itself(rotations: int) -> None:
    data = loc(rotations, incarnation=5)
    got = check(data)
    assert (got.nid, got.typ, got.rotations, got.incarnation) == (NID, RecordType.LOC, rotations, 5)
    assert (got.seq, got.exp, got.salt) == (SEQ, NOW_S + limits.LOC_LIFE_S, record.SALT_LOC)
    assert (got.body, got.raw, got.chain) == (BODY, data, CHAINS[rotations])
    assert got.op == OP.public_key().public_bytes_raw()
    assert got.cert is not None


def test_an_empty_location_is_a_record_too() -> None:
    assert check(loc(body=LocBody())).body == LocBody()


def test_an_id_record_has_the_whole_chain() -> None:
    data = record.make_id(chain=CHAINS[6], root_key=ROOTS[6], seq=SEQ, now_s=NOW_S)
    got = check(data)
    assert (got.typ, got.rotations, got.chain, got.incarnation) == (RecordType.ID, 6, CHAINS[6], 0)
    assert (got.op, got.cert, got.body) == (None, None, None)
    assert got.exp == NOW_S + limits.ID_LIFE_S <= NOW_S + limits.ID_LIFE_S_MAX
    assert len(data) <= limits.RECORD_BYTES_MAX


def test_a_revocation_is_the_last_word_for_years() -> None:
    data = record.make_revoke(chain=CHAINS[1], root_key=ROOTS[1], now_s=NOW_S)
    got = check(data, now_s=NOW_S + limits.REVOKE_LIFE_S - 1)
    assert (got.typ, got.seq) == (RecordType.REVOKE, record.SEQ_MAX)


NEW_ENTROPY = b"\xee" * 32
NEW_CHAIN = keys.make_chain(NEW_ENTROPY, 0)


def transfer(domain: str = "casa.example", new_root: Ed25519PrivateKey | None = None) -> bytes:
    said = keys.sign_transfer(
        old=NID,
        old_root=ROOTS[0],
        new=keys.node_id(NEW_CHAIN[0]),
        new_root=new_root or keys.derive_root(NEW_ENTROPY, 0),
        domain=domain,
        now_s=NOW_S,
    )
    return record.make_transfer(
        chain=CHAINS[0], root_key=ROOTS[0], seq=SEQ, now_s=NOW_S, transfer=said, new_chain=NEW_CHAIN
    )


@pytest.mark.parametrize("domain", ["", "casa.example", "a." * 120 + "example"])
def test_a_transfer_is_proved_by_both_identities(domain: str) -> None:
    got = check(transfer(domain))
    assert isinstance(got.body, record.TransferBody)
    assert got.body.chain == NEW_CHAIN
    assert (got.body.transfer.old, got.body.transfer.new) == (NID, keys.node_id(NEW_CHAIN[0]))
    assert (got.body.transfer.domain, got.body.transfer.at_s) == (domain, NOW_S)


def test_a_transfer_that_the_new_identity_did_not_sign_is_refused() -> None:
    with pytest.raises(RemoteError, match="both identities"):
        check(transfer(new_root=ROOTS[3]))


def test_a_transfer_that_cannot_fit_is_refused_to_its_maker() -> None:
    said = keys.sign_transfer(
        old=NID, old_root=ROOTS[3], new=NodeId(OTHER), new_root=ROOTS[0], domain="a." * 120 + "example", now_s=NOW_S
    )
    with pytest.raises(Rejected) as refusal:
        record.make_transfer(
            chain=CHAINS[3], root_key=ROOTS[3], seq=SEQ, now_s=NOW_S, transfer=said, new_chain=NEW_CHAIN
        )
    assert refusal.value.code is Code.TOO_LARGE


# --- size -----------------------------------------------------------------------------------------------


def test_a_full_location_is_shortened_until_it_fits() -> None:
    spots = tuple(Spot(6, bytes.fromhex("2a00" + "00" * 13) + bytes([i]), 8443) for i in range(8))
    relays = tuple(Relay(bytes([i]) * 32, "relay.example", 8443) for i in range(limits.RECORD_RELAYS_MAX))
    data = loc(3, body=LocBody(domain="casa.example", addresses=spots, relays=relays))
    body = check(data).body
    assert isinstance(body, LocBody)
    assert len(data) <= limits.RECORD_BYTES_MAX
    assert body.addresses == spots[: len(body.addresses)]
    assert len(body.relays) < 3
    assert len(spots) == limits.RECORD_ADDRESSES_MAX


def test_the_longest_domain_fits_beside_the_longest_chain() -> None:
    body = check(loc(3, body=LocBody(domain="a." * 123 + "example", addresses=BODY.addresses))).body
    assert isinstance(body, LocBody)
    assert len(body.domain) == 253


def test_a_larger_one_is_not_even_decoded() -> None:
    for verify in (verify_record, Verifier()):
        with pytest.raises(RemoteError, match="at most 1000 bytes"):
            verify(bytes(limits.RECORD_BYTES_MAX + 1), now_s=NOW_S)


def test_a_body_has_512_bytes_at_most() -> None:
    data = loc(body=LocBody())
    for size, says in ((limits.RECORD_BODY_BYTES_MAX, "body"), (limits.RECORD_BODY_BYTES_MAX + 1, "malformed")):
        with pytest.raises(RemoteError, match=says):
            check(signed_again(data, setter(7, b"\x80" + bytes(size - 1))))


# --- long chains ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotations", [4, 5, 6])
def test_the_middle_of_a_long_chain_comes_from_elsewhere(rotations: int) -> None:
    data = loc(rotations)
    with pytest.raises(ChainGap) as gap:
        check(data)
    assert gap.value.nid == NID
    for known in range(rotations - 3, rotations + 1):
        assert check(data, known=CHAINS[known]).chain == CHAINS[rotations]


def test_a_middle_of_somebody_else_closes_no_gap() -> None:
    with pytest.raises(ChainGap):
        check(loc(6), known=keys.make_chain(NEW_ENTROPY, 6))
    with pytest.raises(ChainGap):
        check(loc(6), known=CHAINS[2])


def test_a_chain_shorter_than_the_known_one_is_refused() -> None:
    for data in (loc(1), record.make_revoke(chain=CHAINS[1], root_key=ROOTS[1], now_s=NOW_S)):
        assert check(data, known=CHAINS[1]).rotations == 1
        with pytest.raises(RemoteError, match="shorter"):
            check(data, known=CHAINS[2])


def test_a_record_of_another_node_than_the_known_one_is_refused() -> None:
    with pytest.raises(RemoteError, match="another node"):
        check(loc(), known=NEW_CHAIN)


def test_only_an_id_record_shows_more_than_three_rotations() -> None:
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(CHAINS[4]))
    with pytest.raises(RemoteError, match="at most 3 rotations"):
        check(signed_again(loc(4, body=LocBody()), setter(2, plain)))


# --- what is refused ------------------------------------------------------------------------------------


def test_each_bit_counts() -> None:
    """No bit of a record can be changed unnoticed."""
    data = loc(1)
    for place in range(len(data)):
        with pytest.raises(RemoteError):
            check(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (0, 2, "malformed"),
        (1, 5, "malformed"),
        (1, 0, "malformed"),
        (1, 2, "salt"),
        (2, [], "one inception"),
        (3, [], "has a certificate"),
        (4, b"id", "salt"),
        (4, b"loc\x00", "salt"),
        (4, bytes(17), "malformed"),
        (5, -1, "malformed"),
        (5, 2**53, "malformed"),
        (5, (NOW_S + limits.LOC_LIFE_S) * 1000 + 1, "far future"),
        (5, record.SEQ_MAX, "far future"),
        (6, NOW_S - record.SKEW_S - 1, "expired"),
        (6, NOW_S + limits.LOC_LIFE_S_MAX + record.SKEW_S + 1, "longer"),
        (6, 2**32, "malformed"),
        (7, b"", "malformed"),
        (7, b"\x90", "malformed"),
        (7, b"\x80\x00", "malformed"),
        (7, msgspec.msgpack.encode({"x": 1}), "malformed"),
        (7, msgspec.msgpack.encode({"f": 1, "d": "casa.example"}), "shortest"),
        (7, msgspec.msgpack.encode({"d": ""}), "shortest"),
        (7, b"\x81\xa1f\xcc\x01", "shortest"),
        (7, msgspec.msgpack.encode({"d": "Casa.example"}), "lower case"),
        (7, msgspec.msgpack.encode({"d": "casa.example."}), "domain"),
        (7, msgspec.msgpack.encode({"d": "127.0.0.1"}), "IP address"),
        (7, msgspec.msgpack.encode({"a": [[4, bytes(16), 1]]}), "family"),
        (7, msgspec.msgpack.encode({"a": [[5, bytes(4), 1]]}), "family"),
        (7, msgspec.msgpack.encode({"a": [[4, bytes(4), 0]]}), "malformed"),
        (7, msgspec.msgpack.encode({"a": [[4, bytes(4), 1]] * (limits.RECORD_ADDRESSES_MAX + 1)}), "malformed"),
        (7, msgspec.msgpack.encode({"r": [[OTHER, "-", 1]]}), "domain"),
        (7, msgspec.msgpack.encode({"r": [[OTHER, "::01", 1]]}), "domain"),
        (7, msgspec.msgpack.encode({"r": [[OTHER, "a.example", 1]] * (limits.RECORD_RELAYS_MAX + 1)}), "malformed"),
        (7, msgspec.msgpack.encode({"p": [1] * (limits.RECORD_VERSIONS_MAX + 1)}), "malformed"),
        (7, msgspec.msgpack.encode({"f": 256}), "malformed"),
    ],
)
def test_a_field_that_breaks_a_rule_is_refused(place: int, value: Any, says: str) -> None:
    with pytest.raises(RemoteError, match=says):
        check(signed_again(loc(body=LocBody()), setter(place, value)))


def test_bounds_are_met_exactly() -> None:
    data = loc(body=LocBody())
    exp = NOW_S + limits.LOC_LIFE_S
    assert check(signed_again(data, setter(5, exp * 1000))).seq == exp * 1000
    assert check(data, now_s=exp + record.SKEW_S).exp == exp
    longest = NOW_S + limits.LOC_LIFE_S_MAX + record.SKEW_S
    assert check(signed_again(data, setter(6, longest))).exp == longest
    with pytest.raises(RemoteError, match="expired"):
        check(data, now_s=exp + record.SKEW_S + 1)


def test_the_signature_needs_the_right_key() -> None:
    with pytest.raises(RemoteError, match="not signed by the key"):
        check(signed_again(loc(), setter(0, 1), ROOTS[0]))
    tomb = record.make_revoke(chain=CHAINS[0], root_key=ROOTS[0], now_s=NOW_S)
    assert check(signed_again(tomb, setter(0, 1), ROOTS[0])).raw == tomb
    for thief in (OP, ROOTS[1]):
        with pytest.raises(RemoteError, match="not signed by the key"):
            check(signed_again(tomb, setter(0, 1), thief))


def test_a_certificate_by_an_earlier_root_is_refused() -> None:
    earlier = msgspec.msgpack.decode(loc(0))[3]
    with pytest.raises(RemoteError, match="certificate"):
        check(signed_again(loc(1), setter(3, earlier)))


def test_an_old_certificate_ends_its_records() -> None:
    late_s = NOW_S + keys.CERT_LIFE_S + keys.CERT_SKEW_S + 1
    with pytest.raises(RemoteError, match="ended"):
        check(loc(now_s=late_s), now_s=late_s)


def test_a_revocation_has_one_sequence_number_and_no_certificate() -> None:
    tomb = record.make_revoke(chain=CHAINS[0], root_key=ROOTS[0], now_s=NOW_S)
    cert = msgspec.msgpack.decode(loc())[3]
    for place, value, says in ((5, SEQ, "last sequence"), (3, cert, "certificate"), (7, b"\x80", "no body")):
        with pytest.raises(RemoteError, match=says):
            check(signed_again(tomb, setter(place, value), ROOTS[0]))


def test_an_id_lives_30_days() -> None:
    data = record.make_id(chain=CHAINS[0], root_key=ROOTS[0], seq=SEQ, now_s=NOW_S)
    longest = NOW_S + limits.ID_LIFE_S_MAX + record.SKEW_S
    assert check(signed_again(data, setter(6, longest), ROOTS[0])).exp == longest
    with pytest.raises(RemoteError, match="longer"):
        check(signed_again(data, setter(6, longest + 1), ROOTS[0]))


def test_a_forked_chain_is_refused() -> None:
    """Mallory knows R0 and makes up an R1 of her own."""
    mallory = Ed25519PrivateKey.from_private_bytes(b"\x66" * 32)
    public = mallory.public_key().public_bytes_raw()
    signed = keys.rotation_signing_input(NID, 1, CHAINS[0][0], public, OTHER)
    inception = msgspec.msgpack.decode(msgspec.msgpack.encode(CHAINS[0][0]))
    forked = [inception, [public, OTHER, mallory.sign(signed)]]
    with pytest.raises(RemoteError, match="did not commit"):
        check(signed_again(loc(1), setter(2, forked)))


def test_longer_spellings_are_refused() -> None:
    data = loc(body=LocBody())
    fields = msgspec.msgpack.decode(data)
    seq = msgspec.msgpack.encode(fields[5])
    assert data.count(seq) == 1
    for other in (
        data + b"\xc0",
        b"\xdc\x00\x09" + data[1:],  # array 16 with nine elements
        data[:1] + b"\xcc\x01" + data[2:],  # version as u8
        data[:3] + b"\xdc\x00\x01" + data[4:],  # the chain's array
        data.replace(b"\xc4\x03loc", b"\xc5\x00\x03loc"),
        data.replace(b"\x95\xc4\x20", b"\xdc\x00\x05\xc4\x20"),  # the certificate's
    ):
        assert other != data
        with pytest.raises(RemoteError, match=r"shortest|malformed"):
            check(other)
    with pytest.raises(RemoteError, match="malformed"):
        check(msgspec.msgpack.encode(fields[:8]))
    with pytest.raises(RemoteError, match="malformed"):
        check(msgspec.msgpack.encode([*fields, 0]))


@given(st.binary(max_size=limits.RECORD_BYTES_MAX))
def test_no_bytes_crash_it(data: bytes) -> None:
    with pytest.raises(RemoteError):
        check(data)


BASE = msgspec.msgpack.decode(loc(1))


@given(
    place=st.integers(0, 8),
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.binary(max_size=70)
        | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ),
)  # fmt: skip
def test_no_value_of_a_field_crashes_it(place: int, value: Any) -> None:
    fields = list(BASE)
    fields[place] = value
    data = msgspec.msgpack.encode(fields)
    if fields != BASE:
        with pytest.raises(RemoteError):
            check(data)


spots = st.builds(lambda ip, port: Spot(4, ip, port), st.binary(min_size=4, max_size=4), st.integers(1, 65_535)) | (
    st.builds(lambda ip, port: Spot(6, ip, port), st.binary(min_size=16, max_size=16), st.integers(1, 65_535))
)


@given(
    st.builds(
        LocBody,
        domain=st.sampled_from(["", "casa.example", "xn--bcher-kva.example"]),
        addresses=st.lists(spots, max_size=8).map(tuple),
        versions=st.lists(st.integers(0, 255), max_size=8).map(tuple),
        flags=st.integers(0, 255),
    )
)
def test_a_location_that_fits_comes_back_whole(body: LocBody) -> None:
    assert check(loc(body=body)).body == body


# --- newer, keys of the DHT, the memory -----------------------------------------------------------------


def test_newer_is_rotations_then_incarnation_then_seq_then_bytes() -> None:
    rising = [
        loc(incarnation=1, seq=SEQ),
        loc(incarnation=1, seq=SEQ + 1),
        loc(incarnation=2, seq=1),
        loc(1, incarnation=1, seq=1),
    ]
    records = [check(data) for data in rising]
    for i, a in enumerate(records):
        for j, b in enumerate(records):
            assert record.is_newer(a, b) is (i > j)
    same = sorted([check(loc(body=LocBody(flags=1))), check(loc(body=LocBody(flags=2)))], key=lambda each: each.raw)
    assert record.is_newer(same[1], same[0])


def test_each_kind_has_its_own_place_in_the_dht() -> None:
    places = {record.dht_key(NID, salt) for salt in record.SALTS.values()} | {record.dht_key(NodeId(OTHER), b"loc")}
    assert len(places) == 5
    assert {len(place) for place in places} == {20}


def test_a_verifier_remembers_and_still_looks_at_the_clock() -> None:
    verify = Verifier()
    data = loc()
    first = verify(data, now_s=NOW_S)
    assert verify(data, now_s=NOW_S) is first
    with pytest.raises(RemoteError, match="expired"):
        verify(data, now_s=first.exp + record.SKEW_S + 1)
    with pytest.raises(RemoteError, match="longer"):
        verify(data, now_s=NOW_S - 30 * 24 * 3600)
    with pytest.raises(RemoteError):
        verify(data[:-1] + b"\x00", now_s=NOW_S)
    assert verify(loc(4), now_s=NOW_S, known=CHAINS[4]).rotations == 4


def test_a_verifier_looks_at_the_certificate_s_end_too() -> None:
    verify = Verifier()
    almost = NOW_S + keys.CERT_LIFE_S
    data = loc(now_s=almost)
    verify(data, now_s=almost)
    with pytest.raises(RemoteError, match="has ended"):
        verify(data, now_s=almost + keys.CERT_SKEW_S + 1)


@pytest.mark.slow
def test_a_verifier_forgets_the_oldest() -> None:
    verify = Verifier()
    first = verify(loc(), now_s=NOW_S)
    for seq in range(limits.RECORDS_REMEMBERED_MAX - 1):
        verify(loc(seq=seq), now_s=NOW_S)
    assert verify(loc(seq=0), now_s=NOW_S).seq == 0
    kept = verify(loc(), now_s=NOW_S)
    assert kept is first
    for seq in range(limits.RECORDS_REMEMBERED_MAX):
        verify(loc(seq=SEQ + 1 + seq), now_s=NOW_S)
    assert verify(loc(), now_s=NOW_S) is not first
