"""The phrase that two people compare."""

from __future__ import annotations

import hashlib

import pytest

from node.base.ids import NodeId
from node.wire import keys, safety

A, B = NodeId(b"\x01" * 32), NodeId(b"\x02" * 32)


def test_both_sides_read_the_same_words() -> None:
    words = safety.safety_phrase(A, B)
    assert words == safety.safety_phrase(B, A)
    assert len(words) == safety.WORDS
    assert set(words) <= set(keys.word_list().wordlist)


def test_it_is_what_the_first_lines_say() -> None:
    digest = b"startalk-safety-v1\x00" + A + B
    for _ in range(65_536):
        digest = hashlib.sha256(digest).digest()
    bits = "".join(f"{byte:08b}" for byte in digest)
    words = keys.word_list().wordlist
    assert safety.safety_phrase(A, B) == tuple(words[int(bits[i : i + 11], 2)] for i in range(0, 132, 11))


@pytest.mark.parametrize("other", [bytes(31) + b"\x01", b"\x02" * 31 + b"\x03"])
def test_another_node_gives_other_words(other: bytes) -> None:
    mine, theirs = safety.safety_phrase(A, B), safety.safety_phrase(A, NodeId(other))
    assert sum(one == two for one, two in zip(mine, theirs, strict=True)) < 3


def test_a_node_with_itself_has_a_phrase_too() -> None:
    assert len(safety.safety_phrase(A, A)) == safety.WORDS
