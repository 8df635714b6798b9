"""Who speaks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.media.proto.speaker import Speakers

ALICE, BOB = b"a" * 8, b"b" * 8


class Scene:
    """Plays packets of 20 ms and asks four times a second, as a room does."""

    def __init__(self) -> None:
        self.speakers = Speakers()
        self.now = 100.0
        self.said: list[tuple[float, tuple[bytes, ...]]] = []

    def play(self, seconds: float, **levels: int) -> None:
        seats = {"alice": ALICE, "bob": BOB}
        for step in range(round(seconds / 0.02)):
            self.now += 0.02
            for name, level in levels.items():
                self.speakers.heard(seats[name], level, self.now)
            if step % round(limits.SPEAKERS_EVERY_S / 0.02) == 0:
                seats_now = self.speakers.update(self.now)
                if seats_now is not None:
                    self.said.append((self.now, seats_now))

    def speaking(self) -> tuple[bytes, ...]:
        return self.said[-1][1] if self.said else ()


def test_whoever_is_louder_than_his_noise_speaks_and_is_held_for_a_pause() -> None:
    scene = Scene()
    scene.play(2, alice=90, bob=90)
    assert scene.speaking() == ()
    scene.play(1, alice=30, bob=90)
    assert scene.speaking() == (ALICE,)
    scene.play(limits.SPEAKER_HOLD_S - 0.3, alice=90, bob=90)
    assert scene.speaking() == (ALICE,)
    scene.play(1, alice=90, bob=90)
    assert scene.speaking() == ()


def test_a_click_is_no_speech() -> None:
    scene = Scene()
    scene.play(2, alice=90)
    scene.play(0.08, alice=5)
    scene.play(1, alice=90)
    assert scene.said == []


def test_steady_noise_is_no_speech_and_speech_over_it_is() -> None:
    scene = Scene()
    scene.play(3, alice=60)
    assert scene.said == []
    scene.play(1, alice=52)
    assert scene.said == [], f"less than {limits.SPEAKER_ABOVE_DB} dB over the noise"
    scene.play(1, alice=40)
    assert scene.speaking() == (ALICE,)


def test_a_fan_that_is_switched_on_becomes_noise() -> None:
    scene = Scene()
    scene.play(2, alice=95)
    scene.play(60, alice=65)
    assert scene.speaking() == ()


def test_the_louder_one_comes_first_and_changing_places_is_not_told() -> None:
    scene = Scene()
    scene.play(2, alice=90, bob=90)
    scene.play(1, alice=40, bob=30)
    assert scene.speaking() == (BOB, ALICE)
    count = len(scene.said)
    scene.play(2, alice=30, bob=40)
    assert len(scene.said) == count
    assert scene.speakers.recent[:2] in ([ALICE, BOB], [BOB, ALICE])


def test_at_most_a_few_are_named() -> None:
    speakers = Speakers()
    for step in range(200):
        for number in range(20):
            speakers.heard(bytes((number,)) * 8, 90 if step < 100 else 20 + number, step / 50)
        if step == 100:
            speakers.update(step / 50)
    said = speakers.update(4.0)
    assert said == tuple(bytes((number,)) * 8 for number in range(limits.SPEAKERS_SHOWN_MAX))
    assert speakers.loudest(limits.VOICES_MAX) == list(said or ())


def test_who_is_muted_or_leaves_no_longer_speaks() -> None:
    scene = Scene()
    scene.play(2, alice=90)
    scene.play(1, alice=30)
    scene.speakers.gone(ALICE)
    assert scene.speakers.update(scene.now) == ()
    assert scene.speakers.recent == [ALICE]
    scene.speakers.forget(ALICE)
    assert scene.speakers.recent == []


def test_silence_without_packets_is_not_taken_for_noise() -> None:
    scene = Scene()
    scene.play(2, alice=60)
    scene.play(3)
    scene.play(2, alice=60)
    assert scene.said == []


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 127), st.floats(0, 2)), max_size=100))
def test_any_levels_are_judged_without_an_error(packets: list[tuple[int, int, float]]) -> None:
    speakers = Speakers()
    now = 0.0
    for seat, level, passed in packets:
        now += passed
        speakers.heard(bytes((seat,)), level, now)
        said = speakers.update(now)
        assert said is None or len(said) <= limits.SPEAKERS_SHOWN_MAX
