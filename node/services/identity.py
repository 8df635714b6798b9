"""Who this node is: made once at first start, opened at every later one, and shown to its owner as 24 words.

At first start the entropy of the recovery phrase gives the root keys and with them the nid; the current root
certifies a fresh op key; only the entropy stays, in ``keys/setup``, until the owner has typed three of the words
back. Then it is erased and the node lives on its op key alone. The three places are chosen when the phrase is, so
asking again asks the same.

A database without keys is never given new ones: its accounts are ``local@nid`` of an identity that is somewhere
else. That start is refused.

*With the phrase* the owner changes the identity while the node is stopped: `renew` (new op key, incarnation + 1: the node
moved, came back from a backup, or its certificate ends), `rotate` (the next root key, then the same), `revoke` and
`transfer`. Peers take the newest (rotations, incarnation) they have seen, so a copy that was left behind is refused.

*A copy that is too old* learns it from a peer that shows something later which this very identity has signed: then it is
**fenced**. It writes nothing more, or one author would have two histories, until the owner renews it here. What a peer says
without showing it changes nothing, so nobody stops a node by lying.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from node.base import limits
from node.base.errors import Code, ExitStatus, Fatal, Rejected, RemoteError
from node.base.ids import NodeId, RoomId, format_node
from node.core.hub import Head
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.storage import database
from node.storage.keys import Fence, KeyFolder, NewKeys, PublicIdentity, Ring, Seqs, Setup
from node.wire import envelope, keys, record
from node.wire.address import check_domain
from node.wire.envelope import SignedHead
from node.wire.keys import Chain, Inception, OpCert, Successor
from node.wire.location import LocBody
from node.wire.record import ChainGap, Record, RecordType

INCARNATION_FIRST: Final = 1
OLD_COPY: Final = (
    "This is an old copy of the node: others have seen a later one. If that one is gone for good, stop the node and run "
    "`startalk identity move` here."
)
ASKED: Final = 3  # words typed back: enough to show that they were written down


class ShownCert(Struct, frozen=True):
    """A peer's proof: chain and certificate of this node, later than its own."""

    chain: Chain
    cert: OpCert


class ShownRecord(Struct, frozen=True):
    """A peer's proof: a signed record of this node that it has never made."""

    raw: bytes


class ShownHead(Struct, frozen=True):
    """A peer's proof: a head that this node signed, beyond the log it has (the caller has compared them)."""

    room: RoomId
    head: Head
    signed: SignedHead


Proof = ShownCert | ShownRecord | ShownHead


class Identity:
    """The node's own keys and what they prove. Make it with `open`."""

    def __init__(self, *, folder: KeyFolder, clock: Clock) -> None:
        """Checks the certificate. Raises Fatal with DATA_CORRUPT if it is not the inception's."""
        self._folder = folder
        self._clock = clock
        self._setup = folder.setup()
        self._fence = folder.fence()
        self._on_fence: list[Callable[[str], None]] = []
        self.nid: Final[NodeId] = keys.node_id(folder.identity.inception)
        self.text: Final = format_node(self.nid)
        self._check()

    @classmethod
    def open(cls, *, data: Path, clock: Clock, entropy: Entropy) -> Self:
        """The identity of a data directory, whose lock is held; a new one at its first start. Raises Fatal."""
        if KeyFolder.exists(data):
            folder = KeyFolder(data)
            folder.settle()
            return cls(folder=folder, clock=clock)
        if (data / database.FILE).exists():
            raise Fatal(
                ExitStatus.DATA_CORRUPT,
                f"{data} has a database but no keys. Restore the folder keys/ from a backup; "
                "new keys would make its accounts nobody's.",
            )
        return cls(folder=KeyFolder.create(data, make_keys(clock=clock, entropy=entropy)), clock=clock)

    # --- what others may know ---------------------------------------------------------------------------

    @property
    def chain(self) -> Chain:
        """Inception and rotations; its last element has the current root."""
        return self._folder.identity.chain

    @property
    def inception(self) -> Inception:
        """First element of the chain."""
        return self._folder.identity.inception

    @property
    def cert(self) -> OpCert:
        """Certificate of the op key."""
        return self._folder.identity.cert

    @property
    def incarnation(self) -> int:
        """Of the op key; raised with each new one."""
        return self.cert.incarnation

    @property
    def rotations(self) -> int:
        """How often the root was rotated."""
        return len(self.chain) - 1

    @property
    def certs(self) -> tuple[OpCert, ...]:
        """This and every earlier certificate, oldest first: what old signatures of this node are checked with."""
        return (*self._folder.identity.retired, self.cert)

    @property
    def statements(self) -> Mapping[bytes, bytes]:
        """By salt, the records that only the phrase could make and that hold now: to be published as they are, with `location`.

        ``id`` is there only when a location record cannot show the whole chain.
        """
        now_s, known = self._clock.now_ms() // 1000, self._folder.identity
        found = {salt.encode(): raw for salt, raw in known.statements.items()}
        margin_s = limits.ID_LIFE_S - limits.ID_RECORDS_EVERY_S
        for raw in known.ids:
            if record.exp_of(raw) > now_s + margin_s:
                found[record.SALT_ID] = raw
                break
        return {salt: raw for salt, raw in found.items() if record.exp_of(raw) > now_s}

    @property
    def revoked(self) -> bool:
        """Whether the owner ended this identity."""
        return record.SALT_REVOKE.decode() in self._folder.identity.statements

    def location(self, body: LocBody) -> bytes:
        """The next location record; its number is on disk. Raises Rejected with `read_only` when fenced, Fatal."""
        now_s = self._clock.now_ms() // 1000
        seq = self.next_seq(life_s=limits.LOC_LIFE_S)
        return record.make_loc(chain=self.chain, cert=self.cert, op_key=self.op_key, seq=seq, now_s=now_s, body=body)

    def next_seq(self, *, life_s: int) -> int:
        """Number of the next own record that lives `life_s`; on disk when it returns. Raises Rejected, Fatal.

        max(previous + 1, unix ms). A previous one beyond the end of the new record was made by a clock that ran ahead;
        others would refuse it, so it is dropped.
        """
        self._check_unfenced()
        return self._next_seq(life_s)

    def _next_seq(self, life_s: int) -> int:
        now_ms, seqs = self._clock.now_ms(), self._folder.seqs()
        seq = max(seqs.last + 1, now_ms)
        if seq > (now_ms // 1000 + life_s) * 1000:
            seq = now_ms
        self._folder.put_seqs(Seqs(seq, max(seq, seqs.highest)))
        return seq

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

    def sign(self, data: bytes) -> bytes:
        """Ed25519 by the op key over `data`, which begins with the context of its use."""
        return self.op_key.sign(data)

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

    # --- with the phrase, while the node is stopped -----------------------------------------------------

    def renew(self, words: Sequence[str], *, entropy: Entropy) -> None:
        """A new op key and Noise key at a higher incarnation; lifts a fence. Raises Rejected, Fatal.

        For a node that moved to this machine or came back from a backup, and before the certificate ends.
        """
        root_entropy = self._entropy_of(words)
        rotations = max(self.rotations, self._fence.rotations if self._fence else 0)
        self._put(root_entropy, rotations, self.next_incarnation, entropy)

    @property
    def next_incarnation(self) -> int:
        """Above everything that this copy knows of itself."""
        return max(self.incarnation, self._fence.incarnation if self._fence else 0) + 1

    def rotate(self, words: Sequence[str], *, entropy: Entropy) -> None:
        """The next root key takes over, then as `renew`. Raises Rejected (`limit_reached` after six), Fatal."""
        self._check_unfenced()
        root_entropy = self._entropy_of(words)
        if self.rotations == keys.ROTATIONS_MAX:
            raise Rejected(
                Code.LIMIT_REACHED,
                f"This identity was rotated {keys.ROTATIONS_MAX} times, which is all there is. Transfer it to a new one.",
                limit=keys.ROTATIONS_MAX,
            )
        self._put(root_entropy, self.rotations + 1, self.next_incarnation, entropy)

    def revoke(self, words: Sequence[str]) -> bytes:
        """The tombstone of this identity, kept to be published. Raises Rejected, Fatal. There is no way back."""
        root = self._root_of(words)
        made = record.make_revoke(chain=self.chain, root_key=root, now_s=self._clock.now_ms() // 1000)
        self._state(record.SALT_REVOKE, made)
        return made

    def transfer(
        self, words: Sequence[str], *, new_words: Sequence[str], new_rotations: int = 0, domain: str = ""
    ) -> bytes:
        """The record that moves contacts (and `domain`) to the identity of `new_words`, kept to be published.
        Raises Rejected, Fatal."""
        if domain:
            check_domain(domain)
        root = self._root_of(words)
        new_entropy = keys.entropy_of(new_words)
        new_chain = keys.make_chain(new_entropy, new_rotations)
        if keys.node_id(new_chain[0]) == self.nid:
            raise Rejected(
                Code.PHRASE_MISMATCH, "The second phrase is that of this node; a transfer needs another one."
            )
        now_s = self._clock.now_ms() // 1000
        said = keys.sign_transfer(
            old=self.nid,
            old_root=root,
            new=keys.node_id(new_chain[0]),
            new_root=keys.derive_root(new_entropy, new_rotations),
            domain=domain,
            now_s=now_s,
        )
        seq = self.next_seq(life_s=limits.ID_LIFE_S)
        made = record.make_transfer(
            chain=self.chain, root_key=root, seq=seq, now_s=now_s, transfer=said, new_chain=new_chain
        )
        self._state(record.SALT_TRANSFER, made)
        return made

    def name_successor(self, new: NodeId, *, domain: str = "") -> Successor:
        """Says with the op key that `new` follows: for the owner who lost the phrase. Contacts confirm it by hand."""
        self._check_unfenced()
        now_s = self._clock.now_ms() // 1000
        return keys.sign_successor(self.op_key, old=self.nid, new=new, domain=domain, now_s=now_s)

    def _put(self, root_entropy: bytes, rotations: int, incarnation: int, entropy: Entropy) -> None:
        """New keys at this place of the order, in one step."""
        now_s, known = self._clock.now_ms() // 1000, self._folder.identity
        chain, root = keys.make_chain(root_entropy, rotations), keys.derive_root(root_entropy, rotations)
        op = Ed25519PrivateKey.from_private_bytes(entropy.token_bytes(keys.KEY_BYTES))
        public = op.public_key().public_bytes_raw()
        cert = keys.sign_cert(root, nid=self.nid, op=public, now_s=now_s, incarnation=incarnation)
        seq = self._next_seq(limits.ID_LIFE_S)
        changed = msgspec.structs.replace(
            known,
            rotations=chain[1:],
            cert=cert,
            retired=(*known.retired, known.cert)[-limits.RETIRED_CERTS_MAX :],
            ids=make_ids(chain, root, seq=seq, now_s=now_s),
        )
        self._folder.replace(changed, op=op, noise=entropy.token_bytes(keys.KEY_BYTES))
        self._fence = self._folder.fence()

    def _state(self, salt: bytes, made: bytes) -> None:
        known = self._folder.identity
        changed = msgspec.structs.replace(known, statements={**known.statements, salt.decode(): made})
        self._folder.replace(changed, op=self._folder.op, noise=self._folder.noise)

    def _entropy_of(self, words: Sequence[str]) -> bytes:
        """Of this node's phrase. Raises Rejected with `phrase_mismatch`."""
        entropy = keys.entropy_of(words)
        if keys.incept(entropy) != self.inception:
            raise Rejected(Code.PHRASE_MISMATCH, "These 24 words are the recovery phrase of another node.")
        return entropy

    def _root_of(self, words: Sequence[str]) -> Ed25519PrivateKey:
        """The current root key."""
        return keys.derive_root(self._entropy_of(words), self.rotations)

    # --- a copy that is too old -------------------------------------------------------------------------

    @property
    def fenced(self) -> str:
        """Why this copy must not write; empty when all is well."""
        return self._fence.reason if self._fence else ""

    def on_fence(self, action: Callable[[str], None]) -> None:
        """`action` stops the writing, with the reason; it runs at once if the copy is fenced already."""
        self._on_fence.append(action)
        if self._fence:
            action(self._fence.reason)

    def note_later_state(self, proof: Proof) -> bool:
        """Fences this copy if `proof` shows a later state of it. False for a proof that shows nothing new. Raises RemoteError
        for one that does not hold: then somebody lied, and nothing has changed."""
        later = self._later_than_own(proof)
        if later is None:
            return False
        if self._fence is None or later > (self._fence.rotations, self._fence.incarnation):
            self._fence = Fence(reason=OLD_COPY, rotations=later[0], incarnation=later[1])
            for action in self._on_fence:
                action(OLD_COPY)
            self._folder.put_fence(self._fence)
        return True

    def _later_than_own(self, proof: Proof) -> tuple[int, int] | None:
        """(rotations, incarnation) that `proof` shows, if they or what comes with them is later than ours."""
        match proof:
            case ShownCert():
                shown = keys.check_identity(proof.chain, proof.cert, now_s=proof.cert.nbf)
                self._check_own(shown.nid)
                return self._if_later(shown.order, other=shown.op != self.cert.op)
            case ShownRecord():
                seen = self._verify_own(proof.raw)
                if seen.typ is RecordType.REVOKE and not self.revoked:
                    return max((self.rotations, self.incarnation), (seen.rotations, 0))
                unmade = seen.typ is RecordType.LOC and seen.seq > self._folder.seqs().highest
                return self._if_later((seen.rotations, seen.incarnation), other=unmade)
            case ShownHead():
                signed_at = self._incarnation_of(proof)
                return (self.rotations, signed_at) if signed_at == self.incarnation else None

    def _incarnation_of(self, proof: ShownHead) -> int:
        """At which own incarnation a head was signed: only the present one can hold something this copy forgot."""
        for cert in reversed(self.certs):
            if envelope.verify_head(cert.op, proof.room, proof.head, self.nid, cert.incarnation, proof.signed):
                return cert.incarnation
        raise RemoteError("The head is not signed by this node.")

    def _verify_own(self, raw: bytes) -> Record:
        try:
            seen = record.verify_past(raw)
        except ChainGap:
            seen = record.verify_past(raw, known=self.chain)
        self._check_own(seen.nid)
        return seen

    def _check_own(self, nid: NodeId) -> None:
        if nid != self.nid:
            raise RemoteError("The proof is about another node.")

    def _if_later(self, shown: tuple[int, int], *, other: bool) -> tuple[int, int] | None:
        """`shown` if it is later than ours, or the same and yet not ours (`other`)."""
        own = (self.rotations, self.incarnation)
        return shown if shown > own or (shown == own and other) else None

    def _check_unfenced(self) -> None:
        if self._fence:
            raise Rejected(Code.READ_ONLY, self._fence.reason)

    def _check(self) -> None:
        """That chain, certificate and op key belong together. Its end is a warning, not a reason to stop."""
        try:
            keys.check_identity(self.chain, self.cert, now_s=self.cert.nbf)
        except RemoteError as error:
            raise Fatal(
                ExitStatus.DATA_CORRUPT, f"{self._folder.path} is damaged: {error} Restore the folder from a backup."
            ) from error


def make_ids(chain: Chain, root: Ed25519PrivateKey, *, seq: int, now_s: int) -> tuple[bytes, ...]:
    """The ``id`` records of two years, one for each 28 days, for a chain that is too long for a location record.

    They are signed in advance, because the root key is away when they are needed; a reader refuses one before its time.
    """
    if len(chain) <= 1 + limits.RECORD_ROTATIONS_MAX:
        return ()
    return tuple(
        record.make_id(chain=chain, root_key=root, seq=seq + i, now_s=now_s + i * limits.ID_RECORDS_EVERY_S)
        for i in range(limits.ID_RECORDS_MAX)
    )


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
