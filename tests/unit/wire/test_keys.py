"""Phrase, roots, chain and op certificate: what is refused, beside the vectors."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.wire import keys
from node.wire.codec import encode

ENTROPY = bytes(range(32))
NOW_S = 1_800_000_000
OP = bytes(31) + b"\x01"


def refusal(words: list[str]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        keys.entropy_of(words)
    assert caught.value.code is Code.PHRASE_MISMATCH
    return caught.value


@given(st.binary(min_size=32, max_size=32))
def test_a_phrase_gives_its_entropy_back(entropy: bytes) -> None:
    words = keys.words_of(entropy)
    assert len(words) == keys.WORDS
    assert keys.entropy_of(words) == entropy


def test_case_and_space_are_forgiven() -> None:
    assert keys.entropy_of([f" {word.upper()} " for word in keys.words_of(ENTROPY)]) == ENTROPY


def test_a_phrase_of_23_words_is_refused() -> None:
    assert "these are 23" in refusal(list(keys.words_of(ENTROPY))[:23]).text


def test_an_unknown_word_is_named_by_its_place() -> None:
    words = list(keys.words_of(ENTROPY))
    words[6] = "startalk"
    assert refusal(words).detail["place"] == 7


def test_two_swapped_words_are_noticed() -> None:
    words = list(keys.words_of(ENTROPY))
    words[0], words[1] = words[1], words[0]
    assert "order" in refusal(words).text


def test_each_root_and_the_backup_key_differ() -> None:
    roots = {keys.derive_root(ENTROPY, i).private_bytes_raw() for i in range(keys.ROOTS)}
    assert len(roots) == keys.ROOTS
    assert keys.derive_backup_public(ENTROPY) not in roots


def test_every_later_root_changes_the_nid() -> None:
    """The inception commits to all roots, so no other one can be slipped in later."""
    roots = [keys.derive_root(ENTROPY, i).public_key().public_bytes_raw() for i in range(keys.ROOTS)]
    honest = keys.node_id(keys.Inception(roots[0], keys.commitments(roots)[0]))
    assert honest == keys.node_id(keys.incept(ENTROPY))
    for i in range(keys.ROOTS):
        forged = [*roots[:i], OP, *roots[i + 1 :]]
        assert keys.node_id(keys.Inception(forged[0], keys.commitments(forged)[0])) != honest


class TestCert:
    """The op certificate."""

    nid = keys.node_id(keys.incept(ENTROPY))
    root = keys.derive_root(ENTROPY, 0)
    root_public = root.public_key().public_bytes_raw()
    cert = keys.sign_cert(root, nid=nid, op=OP, now_s=NOW_S, incarnation=3)

    def check(self, cert: keys.OpCert, now_s: int = NOW_S) -> None:
        keys.check_cert(cert, nid=self.nid, root=self.root_public, now_s=now_s)

    def test_is_accepted_by_a_peer_whose_clock_is_a_day_slow(self) -> None:
        self.check(self.cert, NOW_S - keys.CERT_BACKDATED_S)

    def test_is_accepted_on_both_edges(self) -> None:
        self.check(self.cert, self.cert.nbf - keys.CERT_SKEW_S)
        self.check(self.cert, self.cert.exp + keys.CERT_SKEW_S)

    def test_is_refused_beyond_both_edges(self) -> None:
        with pytest.raises(RemoteError, match="not valid yet"):
            self.check(self.cert, self.cert.nbf - keys.CERT_SKEW_S - 1)
        with pytest.raises(RemoteError, match="ended"):
            self.check(self.cert, self.cert.exp + keys.CERT_SKEW_S + 1)

    @pytest.mark.parametrize(
        "change",
        [{"op": bytes(32)}, {"nbf": 0}, {"exp": 4_000_000_000}, {"incarnation": 4}, {"signature": bytes(64)}],
        ids=lambda change: next(iter(change)),
    )
    def test_every_field_is_signed(self, change: dict[str, object]) -> None:
        with pytest.raises(RemoteError, match="not signed"):
            self.check(msgspec.structs.replace(self.cert, **change))

    def test_of_another_node_or_root_is_refused(self) -> None:
        with pytest.raises(RemoteError, match="not signed"):
            keys.check_cert(self.cert, nid=NodeId(bytes(32)), root=self.root_public, now_s=NOW_S)
        other = keys.derive_root(ENTROPY, 1).public_key().public_bytes_raw()
        with pytest.raises(RemoteError, match="not signed"):
            keys.check_cert(self.cert, nid=self.nid, root=other, now_s=NOW_S)

    @pytest.mark.parametrize(
        "fields",
        [
            [OP, 0, 0, 0],
            [OP, 0, 0, 0, bytes(63)],
            [OP, 0, 0, 2**32, bytes(64)],
            [OP, -1, 0, 0, bytes(64)],
            [b"", 0, 0, 0, bytes(64)],
        ],
        ids=["four fields", "short signature", "too large", "negative", "no key"],
    )
    def test_other_shapes_do_not_decode(self, fields: list[object]) -> None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=keys.OpCert)


ROOTS = [keys.derive_root(ENTROPY, i) for i in range(keys.ROOTS)]
CHAIN = keys.make_chain(ENTROPY, keys.ROTATIONS_MAX)
ROTATIONS = CHAIN[1:]
NID = keys.node_id(CHAIN[0])


def certified(rotations: int, incarnation: int = 1, root: int | None = None) -> keys.OpCert:
    key = ROOTS[rotations if root is None else root]
    return keys.sign_cert(key, nid=NID, op=OP, now_s=NOW_S, incarnation=incarnation)


def rotated(i: int, **change: object) -> keys.Chain:
    """The whole chain with rotation i changed."""
    rotations = list(CHAIN[1:])
    rotations[i - 1] = msgspec.structs.replace(rotations[i - 1], **change)
    return (CHAIN[0], *rotations)


class TestChain:
    """Inception and rotations."""

    @pytest.mark.parametrize("rotations", range(keys.ROOTS))
    def test_every_length_proves_the_same_nid(self, rotations: int) -> None:
        chain = keys.make_chain(ENTROPY, rotations)
        assert keys.check_chain(chain) == NID
        got = keys.check_identity(chain, certified(rotations, 4), now_s=NOW_S)
        assert got == keys.Certified(
            NID, OP, ROOTS[rotations].public_key().public_bytes_raw(), 4, rotations, NOW_S + keys.CERT_LIFE_S
        )
        assert got.order == (rotations, 4)

    def test_newer_is_rotations_first(self) -> None:
        orders = [
            keys.check_identity(keys.make_chain(ENTROPY, r), certified(r, i), now_s=NOW_S).order
            for r, i in ((0, 1), (0, 9), (1, 2), (1, 3), (2, 1))
        ]
        assert orders == sorted(orders)

    @given(st.integers(0, keys.ROTATIONS_MAX))
    def test_bytes_come_back(self, rotations: int) -> None:
        chain = keys.make_chain(ENTROPY, rotations)
        assert keys.decode_chain(encode(chain)) == chain

    def test_a_full_one_stays_below_the_limit(self) -> None:
        assert len(encode(CHAIN)) == 880 < keys.CHAIN_BYTES_MAX

    @pytest.mark.parametrize("i", range(1, keys.ROOTS))
    @pytest.mark.parametrize("field", ["root", "commitment"])
    def test_a_root_that_was_not_committed_to_is_refused(self, i: int, field: str) -> None:
        with pytest.raises(RemoteError, match=f"Rotation {i} shows a root"):
            keys.check_chain(rotated(i, **{field: OP}))

    @pytest.mark.parametrize("i", range(1, keys.ROOTS))
    def test_each_rotation_is_signed_by_the_root_it_shows(self, i: int) -> None:
        with pytest.raises(RemoteError, match=f"Rotation {i} is not signed"):
            keys.check_chain(rotated(i, signature=bytes(64)))

    def test_a_rotation_signed_for_another_place_or_node_is_refused(self) -> None:
        root, commitment = ROTATIONS[0].root, ROTATIONS[0].commitment
        for nid, i, before in ((NodeId(OP), 1, CHAIN[0]), (NID, 2, CHAIN[0]), (NID, 1, ROTATIONS[0])):
            signed = keys.rotation_signing_input(nid, i, before, root, commitment)
            forged = keys.Rotation(root, commitment, ROOTS[1].sign(signed))
            with pytest.raises(RemoteError, match="not signed"):
                keys.check_chain((CHAIN[0], forged))

    def test_a_left_out_rotation_is_noticed(self) -> None:
        with pytest.raises(RemoteError, match="did not commit"):
            keys.check_chain((CHAIN[0], ROTATIONS[1]))

    def test_a_seventh_rotation_is_refused(self) -> None:
        with pytest.raises(RemoteError, match="at most 6"):
            keys.check_chain((*CHAIN, ROTATIONS[0]))
        with pytest.raises(RemoteError, match="at most 6"):
            keys.decode_chain(encode((*CHAIN, ROTATIONS[0])))

    def test_a_certificate_by_another_root_of_the_chain_is_refused(self) -> None:
        for chain, root in ((2, 1), (1, 2)):
            with pytest.raises(RemoteError, match="not signed by the root"):
                keys.check_identity(keys.make_chain(ENTROPY, chain), certified(chain, root=root), now_s=NOW_S)

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"\x90", b"\x91\x90", b"\xc0", b"\x80", b"\x91", bytes(keys.CHAIN_BYTES_MAX + 1),
            encode(CHAIN[0]), encode((ROTATIONS[0],)), encode((CHAIN[0], CHAIN[0])), encode(CHAIN) + b"\xc0",
            b"\xdc\x00\x01" + encode((CHAIN[0],))[1:], encode(((*CHAIN[0].root,), ROTATIONS[0])),
            b"\x91\x92\xc5\x00\x20" + encode((CHAIN[0],))[4:],
        ],
    )  # fmt: skip
    def test_other_bytes_are_refused(self, data: bytes) -> None:
        with pytest.raises(RemoteError):
            keys.decode_chain(data)

    @given(st.binary(max_size=200))
    def test_no_bytes_crash(self, data: bytes) -> None:
        with pytest.raises(RemoteError):
            keys.decode_chain(data)


class TestEnds:
    """Transfer and successor."""

    new_entropy = b"\xee" * 32
    new = keys.node_id(keys.incept(new_entropy))
    transfer = keys.sign_transfer(
        old=NID,
        old_root=ROOTS[2],
        new=new,
        new_root=keys.derive_root(new_entropy, 0),
        domain="casa.example",
        now_s=NOW_S,
    )
    roots: ClassVar = {
        "old_root": ROOTS[2].public_key().public_bytes_raw(),
        "new_root": keys.derive_root(new_entropy, 0).public_key().public_bytes_raw(),
    }

    def test_a_transfer_needs_both(self) -> None:
        keys.check_transfer(self.transfer, **self.roots)
        for side in self.roots:
            with pytest.raises(RemoteError, match="both identities"):
                keys.check_transfer(self.transfer, **self.roots | {side: OP})

    @pytest.mark.parametrize(
        "change",
        [{"old": OP}, {"new": OP}, {"domain": "casa.test"}, {"at_s": 1}, {"by_old": bytes(64)}, {"by_new": bytes(64)}],
    )
    def test_every_field_of_a_transfer_is_signed(self, change: dict[str, object]) -> None:
        with pytest.raises(RemoteError, match="both identities"):
            keys.check_transfer(msgspec.structs.replace(self.transfer, **change), **self.roots)

    def test_nobody_is_transferred_to_themselves(self) -> None:
        said = keys.sign_transfer(old=NID, old_root=ROOTS[2], new=NID, new_root=ROOTS[2], domain="", now_s=NOW_S)
        root = self.roots["old_root"]
        with pytest.raises(RemoteError, match="itself"):
            keys.check_transfer(said, old_root=root, new_root=root)

    def test_a_successor_is_named_by_the_op_key(self) -> None:
        op = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
        public = op.public_key().public_bytes_raw()
        said = keys.sign_successor(op, old=NID, new=self.new, domain="casa.example", now_s=NOW_S)
        keys.check_successor(said, op=public)
        changes: list[dict[str, object]] = [{"new": OP}, {"domain": ""}, {"at_s": 0}, {"old": self.new}]
        for change in changes:
            with pytest.raises(RemoteError, match="not signed"):
                keys.check_successor(msgspec.structs.replace(said, **change), op=public)
        with pytest.raises(RemoteError, match="not signed"):
            keys.check_successor(said, op=bytes(31))

    def test_one_kind_of_signature_is_not_another(self) -> None:
        """A transfer and a successor have the same fields; the tag tells them apart."""
        root = ROOTS[2]
        said = keys.sign_successor(root, old=NID, new=self.new, domain="casa.example", now_s=NOW_S)
        with pytest.raises(RemoteError):
            keys.check_transfer(msgspec.structs.replace(self.transfer, by_old=said.signature), **self.roots)


@given(st.binary(max_size=300))
def test_both_libraries_sign_the_same(data: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert keys.SigningKey(key).sign(data) == key.sign(data)


def test_what_is_no_signature() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"x")
    assert keys.is_signed(public, signature, b"x")
    assert not keys.is_signed(public, signature, b"y")
    for bad in (b"", signature[:-1], signature + b"\0", bytes(64)):
        assert not keys.is_signed(public, bad, b"x")
    for bad in (b"", public[:-1], public + b"\0", bytes([255]) * 32):
        assert not keys.is_signed(bad, signature, b"x")


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31)])
def test_keys_of_small_order_sign_nothing(public: bytes) -> None:
    """With them one signature fits every text, and OpenSSL takes it."""
    signature = public + bytes(32)
    Ed25519PublicKey.from_public_bytes(public).verify(signature, b"x")
    assert not keys.is_signed(public, signature, b"x")
