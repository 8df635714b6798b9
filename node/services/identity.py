"""Who this node is: made once at first start, opened at every later one, and shown to its owner as 24 words.

At first start the entropy of the recovery phrase gives the root keys and with them the nid; the current root
certifies a fresh op key; only the entropy stays, in ``keys/setup``, until the owner has typed three of the words
back. Then it is erased and the node lives on its op key alone. The three places are chosen when the phrase is, so
asking again asks the same.

A database without keys is never given new ones: its accounts are ``local@nid`` of an identity that is somewhere
else. That start is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base.errors import Code, ExitStatus, Fatal, Rejected, RemoteError
from node.base.ids import NodeId, RoomId, format_node
from node.core.hub import Head
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.storage import database
from node.storage.keys import KeyFolder, NewKeys, PublicIdentity, Ring, Setup
from node.wire import envelope, keys
from node.wire.envelope import SignedHead

INCARNATION_FIRST: Final = 1
ASKED: Final = 3  # words typed back: enough to show that they were written down


class Identity:
    """The node's own keys and what they prove. Make it with `open`."""

    def __init__(self, *, folder: KeyFolder, clock: Clock) -> None:
        """Checks the certificate. Raises Fatal with DATA_CORRUPT if it is not the inception's."""
        self._folder = folder
        self._clock = clock
        self._setup = folder.setup()
        self.inception: Final = folder.identity.inception
        self.cert: Final = folder.identity.cert
        self.nid: Final[NodeId] = keys.node_id(self.inception)
        self.text: Final = format_node(self.nid)
        self.incarnation: Final = self.cert.incarnation
        self._check()

    @classmethod
    def open(cls, *, data: Path, clock: Clock, entropy: Entropy) -> Self:
        """The identity of a data directory; a new one at its first start. Raises Fatal."""
        if KeyFolder.exists(data):
            return cls(folder=KeyFolder(data), clock=clock)
        if (data / database.FILE).exists():
            raise Fatal(
                ExitStatus.DATA_CORRUPT,
                f"{data} has a database but no keys. Restore the folder keys/ from a backup; "
                "new keys would make its accounts nobody's.",
            )
        return cls(folder=KeyFolder.create(data, make_keys(clock=clock, entropy=entropy)), clock=clock)

    # --- keys -------------------------------------------------------------------------------------------

    @property
    def op_key(self) -> Ed25519PrivateKey:
        """Signs for the running node."""
        return self._folder.op

    @property
    def noise_key(self) -> bytes:
        """X25519 private key of node-to-node links."""
        return self._folder.noise

    @property
    def secrets(self) -> Ring:
        """Keys for secrets in the database."""
        return self._folder.secrets

    @property
    def pepper(self) -> Ring:
        """Peppers of passwords."""
        return self._folder.pepper

    @property
    def tls_folder(self) -> Path:
        """Where the web listener's own certificate lives."""
        return self._folder.tls

    def sign_head(self, room: RoomId, head: Head) -> SignedHead:
        """The word of this node, as the hub of `room`, for every entry up to `head`."""
        return envelope.sign_head(self.op_key, room, head, self.nid, self.incarnation)

    @property
    def renewal_due(self) -> bool:
        """Whether the owner should renew the op key now; before its certificate ends."""
        return self._clock.now_ms() // 1000 > self.cert.exp - keys.CERT_WARN_S

    # --- the recovery phrase ----------------------------------------------------------------------------

    @property
    def phrase_pending(self) -> bool:
        """Whether the phrase still waits for its owner."""
        return self._setup is not None

    def phrase(self) -> tuple[str, ...]:
        """The 24 words. Raises Rejected with `already_done` once they are erased."""
        return keys.words_of(self._pending().entropy)

    def asked(self) -> tuple[int, int, int]:
        """Places, 1..24 and rising, of the words to type back. Raises Rejected with `already_done`."""
        return self._pending().places

    def confirm(self, words: Mapping[int, str]) -> None:
        """Erases the phrase if `words` has the right word at each asked place. Raises Rejected, Fatal.

        `phrase_mismatch` names the wrong places (they are the owner's own words, so that helps nobody else) and
        changes nothing.
        """
        setup = self._pending()
        phrase = keys.words_of(setup.entropy)
        wrong = [place for place in setup.places if keys.plain_word(words.get(place, "")) != phrase[place - 1]]
        if wrong or set(words) != set(setup.places):
            raise _mismatch(wrong or list(setup.places))
        self._folder.erase_setup()
        self._setup = None

    def _pending(self) -> Setup:
        if self._setup is None:
            raise Rejected(
                Code.ALREADY_DONE, "The recovery phrase was confirmed and erased; the node no longer knows it."
            )
        return self._setup

    def _check(self) -> None:
        """That inception, certificate and op key belong together. Its end is a warning, not a reason to stop."""
        try:
            keys.check_cert(self.cert, nid=self.nid, root=self.inception.root, now_s=self.cert.nbf)
        except RemoteError as error:
            raise Fatal(
                ExitStatus.DATA_CORRUPT, f"{self._folder.path} is damaged: {error} Restore the folder from a backup."
            ) from error


def make_keys(*, clock: Clock, entropy: Entropy) -> NewKeys:
    """A new identity with all its secrets."""
    phrase = entropy.token_bytes(keys.ENTROPY_BYTES)
    op = Ed25519PrivateKey.from_private_bytes(entropy.token_bytes(keys.KEY_BYTES))
    inception = keys.incept(phrase)
    cert = keys.sign_cert(
        keys.derive_root(phrase, 0),
        nid=keys.node_id(inception),
        op=op.public_key().public_bytes_raw(),
        now_s=clock.now_ms() // 1000,
        incarnation=INCARNATION_FIRST,
    )
    return NewKeys(
        identity=PublicIdentity(inception=inception, cert=cert, backup_public=keys.derive_backup_public(phrase)),
        op=op,
        noise=entropy.token_bytes(keys.KEY_BYTES),
        secrets=Ring(1, {1: entropy.token_bytes(keys.KEY_BYTES)}),
        pepper=Ring(1, {1: entropy.token_bytes(keys.KEY_BYTES)}),
        setup=Setup(phrase, choose_places(entropy)),
    )


def choose_places(entropy: Entropy) -> tuple[int, int, int]:
    """Three different places, rising."""
    left = list(range(1, keys.WORDS + 1))
    # 8 bytes for at most 24 choices: the bias of the remainder is below 2^-59.
    chosen = sorted(left.pop(int.from_bytes(entropy.token_bytes(8)) % len(left)) for _ in range(ASKED))
    return chosen[0], chosen[1], chosen[2]


def _mismatch(places: list[int]) -> Rejected:
    named = ", ".join(str(place) for place in places)
    return Rejected(
        Code.PHRASE_MISMATCH,
        f"These words do not match the recovery phrase: {named}. Check what you wrote down and type them again.",
        places=named,
    )
