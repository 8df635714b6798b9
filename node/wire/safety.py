"""The safety phrase of two nodes: 12 words that both sides read to each other, to know that nobody sits between them.

    first  = CONTEXT ‖ 00 ‖ smaller nid ‖ larger nid
    digest = SHA-256 applied 65,536 times to it
    words  = the first 12 groups of 11 bits of the digest, each a place in the English list of BIP 39

CONTEXT is ``startalk-safety-v1``. 12 words are 132 bits. A man in the middle has to find two nids of his own whose phrases
with either side are equal, a birthday search over half of them: with 8 words 2^44 hashes would do, with 12 it is 2^66
phrases of 2^16 hashes each. The repetition costs a reader tens of milliseconds. It is no checksum of BIP 39: these words are no recovery
phrase, and no wallet takes them for one.

Vectors: docs/spec/vectors/identity.json.
"""

from __future__ import annotations

import hashlib
from typing import Final

from node.base.ids import NodeId
from node.wire.keys import word_list

CONTEXT: Final = b"startalk-safety-v1"
ROUNDS: Final = 2**16
WORDS: Final = 12
_BITS: Final = 11  # of a word: the list has 2,048


def safety_phrase(a: NodeId, b: NodeId) -> tuple[str, ...]:
    """The same for (a, b) and (b, a). Takes tens of milliseconds: call it when somebody looks."""
    digest = CONTEXT + b"\x00" + min(a, b) + max(a, b)
    for _ in range(ROUNDS):
        digest = hashlib.sha256(digest).digest()
    bits, words = int.from_bytes(digest), word_list().wordlist
    places = (bits >> (len(digest) * 8 - _BITS * (i + 1)) & (2**_BITS - 1) for i in range(WORDS))
    return tuple(words[place] for place in places)
