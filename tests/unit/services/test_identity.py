"""The node is born once, keeps its name, and forgets its phrase when its owner has it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from node.base import limits
from node.base.errors import Code, ExitStatus, Fatal, Rejected, RemoteError
from node.base.ids import NodeId, RoomId
from node.core.hub import Head
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.runtime.privatefile import write_private
from node.services.identity import Identity, Proof, ShownCert, ShownHead, ShownRecord, choose_places
from node.storage.keys import KeyFolder
from node.wire import envelope, keys, record
from node.wire.location import LocBody
from node.wire.record import Record, RecordType

SECONDS_OF_A_DAY = 24 * 3600


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def start(data: Path, clock: ManualClock, seed: str = "casa") -> Identity:
    return Identity.open(data=data, clock=clock, entropy=SeededEntropy(seed))


def right_words(identity: Identity) -> dict[int, str]:
    phrase = identity.phrase()
    return {place: phrase[place - 1] for place in identity.asked()}


def test_every_later_start_is_the_same_node(tmp_path: Path, clock: ManualClock) -> None:
    first, later = start(tmp_path, clock), start(tmp_path, clock, "other entropy")
    assert later.nid == first.nid
    assert later.cert == first.cert
    assert later.op_key.private_bytes_raw() == first.op_key.private_bytes_raw()
    assert (later.noise_key, later.secrets, later.pepper) == (first.noise_key, first.secrets, first.pepper)
    assert later.phrase() == first.phrase()
    assert later.asked() == first.asked()


def test_two_nodes_share_nothing(tmp_path: Path, clock: ManualClock) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    a, b = start(one, clock), start(two, clock, "other")
    assert a.nid != b.nid
    assert not {a.noise_key, a.secrets.newest, a.pepper.newest} & {b.noise_key, b.secrets.newest, b.pepper.newest}


def test_the_phrase_is_the_root_of_the_nid(tmp_path: Path, clock: ManualClock) -> None:
    identity = start(tmp_path, clock)
    inception = keys.incept(keys.entropy_of(identity.phrase()))
    assert keys.node_id(inception) == identity.nid
    keys.check_cert(identity.cert, nid=identity.nid, root=inception.root, now_s=clock.now_ms() // 1000)
    assert identity.cert.op == identity.op_key.public_key().public_bytes_raw()
    assert identity.incarnation == 1


def test_it_signs_heads_with_its_op_key(tmp_path: Path, clock: ManualClock) -> None:
    identity = start(tmp_path, clock)
    room, head = RoomId(bytes(32)), Head(1, 7, b"\x01" * 32)
    signed = identity.sign_head(room, head)
    public = identity.op_key.public_key().public_bytes_raw()
    assert envelope.verify_head(public, room, head, identity.nid, identity.incarnation, signed)


class TestPhrase:
    """Shown until confirmed, then gone."""

    def test_confirming_erases_it_for_good(self, tmp_path: Path, clock: ManualClock) -> None:
        identity = start(tmp_path, clock)
        assert identity.phrase_pending
        identity.confirm(right_words(identity))
        for known in (identity, start(tmp_path, clock)):
            assert not known.phrase_pending
            for ask in (known.phrase, known.asked, lambda: identity.confirm({})):
                with pytest.raises(Rejected) as gone:
                    ask()
                assert gone.value.code is Code.ALREADY_DONE

    def test_nothing_on_disk_gives_it_away_afterwards(self, tmp_path: Path, clock: ManualClock) -> None:
        identity = start(tmp_path, clock)
        entropy = keys.entropy_of(identity.phrase())
        roots = [keys.derive_root(entropy, i).private_bytes_raw() for i in range(keys.ROOTS)]
        identity.confirm(right_words(identity))
        for path in tmp_path.rglob("*"):
            if path.is_file():
                held = path.read_bytes()
                assert entropy not in held
                assert not any(root in held for root in roots)

    def test_case_and_space_are_forgiven(self, tmp_path: Path, clock: ManualClock) -> None:
        identity = start(tmp_path, clock)
        identity.confirm({place: f" {word.upper()}\n" for place, word in right_words(identity).items()})
        assert not identity.phrase_pending

    def test_a_wrong_word_is_named_by_its_place_and_changes_nothing(self, tmp_path: Path, clock: ManualClock) -> None:
        identity = start(tmp_path, clock)
        place = identity.asked()[1]
        with pytest.raises(Rejected) as refusal:
            identity.confirm(right_words(identity) | {place: "startalk"})
        assert refusal.value.code is Code.PHRASE_MISMATCH
        assert refusal.value.detail["places"] == str(place)
        assert start(tmp_path, clock).phrase_pending

    def test_missing_and_spare_words_are_refused(self, tmp_path: Path, clock: ManualClock) -> None:
        identity = start(tmp_path, clock)
        right = right_words(identity)
        spare = next(place for place in range(1, 25) if place not in right)
        for words in (
            {},
            dict(list(right.items())[:2]),
            right | {spare: identity.phrase()[spare - 1]},
            {0: "a", 25: "b"},
        ):
            with pytest.raises(Rejected) as refusal:
                identity.confirm(words)
            assert refusal.value.code is Code.PHRASE_MISMATCH
        assert identity.phrase_pending

    def test_three_different_places_are_asked(self) -> None:
        seen: set[int] = set()
        for seed in range(200):
            places = choose_places(SeededEntropy(seed))
            assert sorted(set(places)) == list(places)
            assert all(1 <= place <= keys.WORDS for place in places)
            seen.update(places)
        assert seen == set(range(1, keys.WORDS + 1))


def test_a_database_without_keys_gets_no_new_ones(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "startalk.db").touch()
    with pytest.raises(Fatal) as stopped:
        start(tmp_path, clock)
    assert stopped.value.status is ExitStatus.DATA_CORRUPT
    assert not KeyFolder.exists(tmp_path)


def test_a_certificate_of_another_identity_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    """identity.json was copied together from two nodes."""
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    start(own, clock)
    start(other, clock, "other")
    mixed = msgspec.structs.replace(KeyFolder(own).identity, inception=KeyFolder(other).identity.inception)
    write_private(own / "keys" / "identity.json", msgspec.json.encode(mixed))
    with pytest.raises(Fatal, match="not signed by the root key") as stopped:
        start(own, clock)
    assert stopped.value.status is ExitStatus.DATA_CORRUPT


def test_renewal_is_due_from_month_18_on(tmp_path: Path, clock: ManualClock) -> None:
    identity = start(tmp_path, clock)
    clock.advance(seconds=540 * SECONDS_OF_A_DAY)
    assert not identity.renewal_due
    clock.advance(seconds=10 * SECONDS_OF_A_DAY)
    assert identity.renewal_due


def test_an_ended_certificate_does_not_stop_the_node(tmp_path: Path, clock: ManualClock) -> None:
    """Its people can still talk to each other, and its owner is told."""
    start(tmp_path, clock)
    clock.advance(seconds=3 * 365 * SECONDS_OF_A_DAY)
    assert start(tmp_path, clock).renewal_due


# --- with the phrase ------------------------------------------------------------------------------------


@pytest.fixture
def identity(tmp_path: Path, clock: ManualClock) -> Identity:
    return start(tmp_path, clock)


@pytest.fixture
def words(identity: Identity) -> tuple[str, ...]:
    return identity.phrase()


def seconds(clock: ManualClock) -> int:
    return clock.now_ms() // 1000


def order(identity: Identity) -> tuple[int, int]:
    return identity.rotations, identity.incarnation


def proved(identity: Identity, clock: ManualClock) -> keys.Certified:
    return keys.check_identity(identity.chain, identity.cert, now_s=seconds(clock))


def test_a_renewal_replaces_both_running_keys(
    identity: Identity, words: tuple[str, ...], tmp_path: Path, clock: ManualClock
) -> None:
    op, noise, cert = identity.op_key.private_bytes_raw(), identity.noise_key, identity.cert
    identity.renew(words, entropy=SeededEntropy("renewal"))
    assert order(identity) == (0, 2)
    assert identity.op_key.private_bytes_raw() != op
    assert identity.noise_key != noise
    assert proved(identity, clock).op == identity.op_key.public_key().public_bytes_raw()
    assert identity.certs == (cert, identity.cert)
    later = start(tmp_path, clock)
    assert (order(later), later.cert, later.noise_key, later.nid) == (
        (0, 2), identity.cert, identity.noise_key, identity.nid,
    )  # fmt: skip
    for path in (tmp_path / "keys").iterdir():
        assert path.is_dir() or not {op, noise} & {path.read_bytes()}


def test_a_renewed_certificate_runs_two_years_again(
    identity: Identity, words: tuple[str, ...], clock: ManualClock
) -> None:
    clock.advance(seconds=700 * SECONDS_OF_A_DAY)
    assert identity.renewal_due
    identity.renew(words, entropy=SeededEntropy("renewal"))
    assert not identity.renewal_due


def test_six_rotations_and_no_more(
    identity: Identity, words: tuple[str, ...], tmp_path: Path, clock: ManualClock
) -> None:
    nid, roots = identity.nid, [keys.derive_root(keys.entropy_of(words), i) for i in range(keys.ROOTS)]
    for rotation in range(1, keys.ROTATIONS_MAX + 1):
        before = identity.chain
        identity.rotate(words, entropy=SeededEntropy(rotation))
        got = proved(identity, clock)
        assert (got.nid, got.order) == (nid, (rotation, rotation + 1))
        assert identity.chain[: len(before)] == before
        assert got.root == roots[rotation].public_key().public_bytes_raw()
        if rotation > limits.RECORD_ROTATIONS_MAX:
            whole = record.verify_record(identity.statements[record.SALT_ID], now_s=seconds(clock))
            assert whole.chain == identity.chain
            loc = record.verify_record(identity.location(LocBody()), now_s=seconds(clock), known=whole.chain)
            assert loc.chain == identity.chain
        else:
            assert record.SALT_ID not in identity.statements, "the location record shows it all"
            assert record.verify_record(identity.location(LocBody()), now_s=seconds(clock)).chain == identity.chain
    with pytest.raises(Rejected) as refusal:
        identity.rotate(words, entropy=SeededEntropy("one more"))
    assert refusal.value.code is Code.LIMIT_REACHED
    assert order(start(tmp_path, clock)) == (6, 7)
    assert len(identity.certs) == 7


@pytest.mark.slow
def test_an_id_record_holds_all_through_two_years(
    identity: Identity, words: tuple[str, ...], clock: ManualClock
) -> None:
    """Its root key was there once; each of the records is refused before and after its time."""
    for rotation in range(limits.RECORD_ROTATIONS_MAX + 1):
        identity.rotate(words, entropy=SeededEntropy(rotation))
    seen: list[Record] = []
    for _ in range(keys.CERT_LIFE_S // SECONDS_OF_A_DAY // 2):
        now_s = seconds(clock)
        for skew_s in (-SECONDS_OF_A_DAY, 0, SECONDS_OF_A_DAY // 2):
            got = record.verify_record(identity.statements[record.SALT_ID], now_s=now_s + skew_s)
        if not seen or got.raw != seen[-1].raw:
            assert not seen or record.is_newer(got, seen[-1])
            seen.append(got)
        clock.advance(seconds=2 * SECONDS_OF_A_DAY)
    assert len(seen) == limits.ID_RECORDS_MAX
    assert seen[-1].exp - seen[-2].exp == limits.ID_RECORDS_EVERY_S
    clock.advance(seconds=60 * SECONDS_OF_A_DAY)
    assert record.SALT_ID not in identity.statements
    assert not identity.note_later_state(ShownRecord(seen[-1].raw))


def test_a_transfer_is_not_published_for_ever(identity: Identity, words: tuple[str, ...], clock: ManualClock) -> None:
    identity.transfer(words, new_words=keys.words_of(b"\x77" * 32))
    identity.revoke(words)
    clock.advance(seconds=limits.ID_LIFE_S + 1)
    assert set(identity.statements) == {record.SALT_REVOKE}


def test_a_domain_is_checked_before_it_is_signed(identity: Identity, words: tuple[str, ...]) -> None:
    with pytest.raises(Rejected) as refusal:
        identity.transfer(words, new_words=keys.words_of(b"\x77" * 32), domain="Casa")
    assert refusal.value.code is Code.NAME_INVALID


@pytest.mark.parametrize("act", ["renew", "rotate", "revoke", "transfer"])
def test_the_phrase_of_another_node_changes_nothing(
    identity: Identity, tmp_path: Path, clock: ManualClock, act: str
) -> None:
    other = keys.words_of(b"\x55" * 32)
    acts: dict[str, Callable[[], object]] = {
        "renew": lambda: identity.renew(other, entropy=SeededEntropy("x")),
        "rotate": lambda: identity.rotate(other, entropy=SeededEntropy("x")),
        "revoke": lambda: identity.revoke(other),
        "transfer": lambda: identity.transfer(other, new_words=other),
    }
    with pytest.raises(Rejected) as refusal:
        acts[act]()
    assert refusal.value.code is Code.PHRASE_MISMATCH
    assert order(start(tmp_path, clock)) == (0, 1)
    assert not identity.statements


def test_a_revocation_is_kept_to_be_published(
    identity: Identity, words: tuple[str, ...], tmp_path: Path, clock: ManualClock
) -> None:
    identity.rotate(words, entropy=SeededEntropy("r"))
    assert not identity.revoked
    raw = identity.revoke(words)
    got = record.verify_record(raw, now_s=seconds(clock))
    assert (got.nid, got.typ, got.rotations) == (identity.nid, RecordType.REVOKE, 1)
    later = start(tmp_path, clock)
    assert later.revoked
    assert later.statements[record.SALT_REVOKE] == raw
    assert order(later) == (1, 2)


def test_a_transfer_is_kept_to_be_published(
    identity: Identity, words: tuple[str, ...], tmp_path: Path, clock: ManualClock
) -> None:
    new = b"\x77" * 32
    raw = identity.transfer(words, new_words=keys.words_of(new), domain="casa.example")
    got = record.verify_record(raw, now_s=seconds(clock))
    assert isinstance(got.body, record.TransferBody)
    assert (got.body.transfer.old, got.body.transfer.new) == (identity.nid, keys.node_id(keys.incept(new)))
    assert got.body.transfer.domain == "casa.example"
    assert start(tmp_path, clock).statements[record.SALT_TRANSFER] == raw
    with pytest.raises(Rejected, match="that of this node"):
        identity.transfer(words, new_words=words)


def test_a_successor_is_named_without_the_phrase(identity: Identity, clock: ManualClock) -> None:
    new = NodeId(b"\x01" * 32)
    said = identity.name_successor(new, domain="casa.example")
    keys.check_successor(said, op=identity.cert.op)
    assert (said.old, said.new, said.domain, said.at_s) == (identity.nid, new, "casa.example", seconds(clock))


def test_a_signature_is_by_the_op_key(identity: Identity) -> None:
    assert keys.is_signed(identity.cert.op, identity.sign(b"context" + bytes(1)), b"context" + bytes(1))


# --- own records ----------------------------------------------------------------------------------------


def test_a_location_is_a_record_that_verifies(identity: Identity, clock: ManualClock) -> None:
    body = LocBody(domain="casa.example", versions=(1,))
    got = record.verify_record(identity.location(body), now_s=seconds(clock))
    assert (got.nid, got.body, got.seq) == (identity.nid, body, clock.now_ms())


def test_numbers_rise_whatever_the_clock_does(identity: Identity, tmp_path: Path, clock: ManualClock) -> None:
    life_s = limits.LOC_LIFE_S
    first = identity.next_seq(life_s=life_s)
    assert first == clock.now_ms()
    assert identity.next_seq(life_s=life_s) == first + 1
    earlier = ManualClock(now_ms=clock.now_ms() - 7_200_000)
    behind = start(tmp_path, earlier)
    assert behind.next_seq(life_s=life_s) == first + 2
    assert start(tmp_path, clock).next_seq(life_s=life_s) == first + 3
    clock.advance(seconds=1)
    assert start(tmp_path, clock).next_seq(life_s=life_s) == first + 1000


def test_a_number_from_the_far_future_is_dropped_and_not_forgotten(tmp_path: Path, clock: ManualClock) -> None:
    """The clock was a year ahead for an hour; others would refuse numbers that go on from there."""
    start(tmp_path, clock)
    ahead = start(tmp_path, ManualClock(now_ms=clock.now_ms() + 365 * SECONDS_OF_A_DAY * 1000))
    ahead_record = ahead.location(LocBody())
    right = start(tmp_path, clock)
    assert record.verify_record(right.location(LocBody()), now_s=seconds(clock)).seq == clock.now_ms()
    assert not right.note_later_state(ShownRecord(ahead_record)), "it made this record itself"
    assert not right.fenced


# --- a copy that is too old -----------------------------------------------------------------------------


class Copies:
    """A node, and the same node as it was in a backup."""

    def __init__(self, data: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.now_path, self.old_path = data / "now", data / "old"
        self.now_path.mkdir()
        self.now = start(self.now_path, clock)
        self.words = self.now.phrase()
        self.now.location(LocBody())
        shutil.copytree(self.now_path, self.old_path)
        self.old = start(self.old_path, clock)

    def proofs(self) -> dict[str, Proof]:
        """What a peer may show the old copy, each after a moment."""
        self.clock.advance(seconds=60)
        found: dict[str, Proof] = {"a later record": ShownRecord(self.now.location(LocBody()))}
        head = Head(1, 9, b"\x01" * 32)
        found["a head"] = ShownHead(RoomId(bytes(32)), head, self.now.sign_head(RoomId(bytes(32)), head))
        self.now.renew(self.words, entropy=SeededEntropy("renewed"))
        found["a certificate"] = ShownCert(self.now.chain, self.now.cert)
        found["a record of it"] = ShownRecord(self.now.location(LocBody()))
        for rotation in range(5):
            self.now.rotate(self.words, entropy=SeededEntropy(rotation))
        found["a longer chain"] = ShownCert(self.now.chain, self.now.cert)
        found["an id record"] = ShownRecord(self.now.statements[record.SALT_ID])
        found["a tombstone"] = ShownRecord(
            record.make_revoke(
                chain=self.old.chain,
                root_key=keys.derive_root(keys.entropy_of(self.words), 0),
                now_s=seconds(self.clock),
            )
        )
        return found


KINDS = ("a later record", "a head", "a certificate", "a record of it", "a longer chain", "an id record", "a tombstone")


@pytest.mark.parametrize("kind", KINDS)
def test_a_proof_of_a_later_state_fences_until_the_owner_moves_the_node(
    tmp_path: Path, clock: ManualClock, kind: str
) -> None:
    copies = Copies(tmp_path, clock)
    proof = copies.proofs()[kind]
    clock.advance(seconds=400 * SECONDS_OF_A_DAY)  # a backup is found in a drawer: the proof has long expired
    told: list[str] = []
    copies.old.on_fence(told.append)
    assert copies.old.note_later_state(proof)
    assert copies.old.fenced
    assert told == [copies.old.fenced]
    assert "startalk identity move" in copies.old.fenced
    with pytest.raises(Rejected) as refusal:
        copies.old.location(LocBody())
    assert refusal.value.code is Code.READ_ONLY
    with pytest.raises(Rejected):
        copies.old.rotate(copies.words, entropy=SeededEntropy("x"))

    again = start(copies.old_path, clock)
    told_again: list[str] = []
    again.on_fence(told_again.append)
    assert told_again == [again.fenced] != [""]
    again.renew(copies.words, entropy=SeededEntropy("moved"))
    assert not again.fenced
    assert not start(copies.old_path, clock).fenced
    shown = proof.cert.incarnation if isinstance(proof, ShownCert) else 1
    assert again.incarnation > shown
    assert not again.note_later_state(proof) or kind == "a tombstone"


def test_after_the_move_the_copy_is_newer_than_everything_shown(tmp_path: Path, clock: ManualClock) -> None:
    copies = Copies(tmp_path, clock)
    copies.proofs()
    copies.old.note_later_state(ShownCert(copies.now.chain, copies.now.cert))
    copies.old.renew(copies.words, entropy=SeededEntropy("moved"))
    assert order(copies.old) == (copies.now.rotations, copies.now.incarnation + 1)
    assert copies.now.note_later_state(ShownCert(copies.old.chain, copies.old.cert))


def test_two_op_keys_at_one_incarnation_fence_too(tmp_path: Path, clock: ManualClock) -> None:
    copies = Copies(tmp_path, clock)
    copies.now.renew(copies.words, entropy=SeededEntropy("here"))
    copies.old.renew(copies.words, entropy=SeededEntropy("there"))
    assert order(copies.now) == order(copies.old)
    assert copies.old.note_later_state(ShownCert(copies.now.chain, copies.now.cert))
    copies.old.renew(copies.words, entropy=SeededEntropy("again"))
    assert order(copies.old) == (0, 3)


def test_what_is_known_or_older_does_not_fence(tmp_path: Path, clock: ManualClock) -> None:
    copies = Copies(tmp_path, clock)
    head = Head(1, 9, b"\x01" * 32)
    shown: list[Proof] = [
        ShownCert(copies.old.chain, copies.old.cert),
        ShownRecord(copies.old.location(LocBody())),
        ShownHead(RoomId(bytes(32)), head, copies.old.sign_head(RoomId(bytes(32)), head)),
    ]
    copies.now.renew(copies.words, entropy=SeededEntropy("x"))
    shown += [ShownCert(copies.now.chain, copies.now.cert), ShownRecord(copies.now.location(LocBody()))]
    for proof in shown:
        assert not copies.now.note_later_state(proof)
    assert not copies.now.fenced


def test_a_lie_does_not_fence(tmp_path: Path, clock: ManualClock) -> None:
    copies = Copies(tmp_path, clock)
    later = copies.proofs()["a certificate"]
    assert isinstance(later, ShownCert)
    stranger_path = tmp_path / "stranger"
    stranger_path.mkdir()
    stranger = start(stranger_path, clock, "stranger")
    forged = msgspec.structs.replace(copies.old.cert, incarnation=9)
    loc = copies.now.location(LocBody())
    head = Head(1, 9, b"\x01" * 32)
    lies: list[Proof] = [
        ShownCert(copies.old.chain, forged),
        ShownCert(stranger.chain, later.cert),
        ShownCert(stranger.chain, stranger.cert),
        ShownRecord(loc[:-1] + bytes([loc[-1] ^ 1])),
        ShownRecord(stranger.location(LocBody())),
        ShownRecord(b""),
        ShownHead(RoomId(bytes(32)), head, stranger.sign_head(RoomId(bytes(32)), head)),
    ]
    for lie in lies:
        with pytest.raises(RemoteError):
            copies.old.note_later_state(lie)
        assert not copies.old.fenced


def test_a_second_proof_raises_the_fence_and_a_lower_one_does_not(tmp_path: Path, clock: ManualClock) -> None:
    copies = Copies(tmp_path, clock)
    found = copies.proofs()
    told: list[str] = []
    copies.old.on_fence(told.append)
    for kind in ("a later record", "a longer chain", "a certificate"):
        assert copies.old.note_later_state(found[kind])
    assert len(told) == 2
    copies.old.renew(copies.words, entropy=SeededEntropy("x"))
    assert order(copies.old) == (copies.now.rotations, copies.now.incarnation + 1)
