"""The node is born once, keeps its name, and forgets its phrase when its owner has it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from node.base.errors import Code, ExitStatus, Fatal, Rejected
from node.base.ids import RoomId
from node.core.hub import Head
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.runtime.privatefile import write_private
from node.services.identity import Identity, choose_places
from node.storage.keys import KeyFolder
from node.wire import envelope, keys

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
    public = identity.op_key.public_key()
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
