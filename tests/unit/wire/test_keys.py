"""Phrase, roots and op certificate: what is refused, beside the vectors."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.wire import keys

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
