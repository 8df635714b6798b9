"""Who speaks: judged by the audio level that each microphone says of itself (RFC 6464), never by the sound.

A seat speaks while the median of its levels over 300 ms lies 10 dB above the noise of its own microphone, and for 1.5 s after. The noise is
the lowest median of late: it falls at once and rises slowly, so that a fan that was switched on is noise after a while. Loudness here is
127 minus the level: 0 is silence.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from node.base import limits

SILENCE: Final = 127
NOISE_MAX: Final = 70  # loudness above which nothing is taken for noise
NOISE_RISE_PER_S: Final = 1.0  # dB
QUIET: Final = 30  # loudness below which nobody is heard, whatever the noise


class _Voice:
    __slots__ = ("at", "levels", "loudness", "noise", "spoke_at")

    def __init__(self, now: float) -> None:
        self.levels: deque[tuple[float, int]] = deque(maxlen=64)
        self.noise = float(NOISE_MAX)  # falls with the first silence
        self.loudness = 0.0
        self.spoke_at = float("-inf")
        self.at = now


class Speakers:
    """The voices of one call. `recent`: everybody who ever spoke, who spoke last first."""

    __slots__ = ("_said", "_voices", "recent")

    def __init__(self) -> None:
        self._voices: dict[bytes, _Voice] = {}
        self._said: tuple[bytes, ...] = ()
        self.recent: list[bytes] = []

    def heard(self, seat: bytes, level: int, now: float) -> None:
        """A packet with this level (0 loud, 127 silent) came."""
        voice = self._voices.get(seat)
        if voice is None:
            voice = self._voices[seat] = _Voice(now)
        voice.levels.append((now, SILENCE - level))

    def gone(self, seat: bytes) -> None:
        """Left, or muted."""
        self._voices.pop(seat, None)

    def forget(self, seat: bytes) -> None:
        """Left the call."""
        self.gone(seat)
        if seat in self.recent:
            self.recent.remove(seat)

    def loudest(self, count: int) -> list[bytes]:
        """The seats whose voice counts most: who speaks, then who spoke last."""
        order = sorted(self._voices, key=lambda seat: (self._voices[seat].spoke_at, self._voices[seat].loudness))
        return order[: -count - 1 : -1]

    def update(self, now: float) -> tuple[bytes, ...] | None:
        """Who speaks now, loudest first, if that changed since the last answer. To be asked at most four times a second."""
        speaking: list[tuple[float, bytes]] = []
        for seat, voice in self._voices.items():
            self._judge(voice, now)
            if now - voice.spoke_at < limits.SPEAKER_HOLD_S:
                speaking.append((voice.loudness, seat))
        speaking.sort(reverse=True)
        seats = tuple(seat for _, seat in speaking[: limits.SPEAKERS_SHOWN_MAX])
        for seat in reversed(seats):
            if seat not in self._said:
                if seat in self.recent:
                    self.recent.remove(seat)
                self.recent.insert(0, seat)
        # Two people who talk at once change places with every word: only who, not in which order, is worth telling anew.
        if set(seats) == set(self._said):
            return None
        self._said = seats
        return seats

    @staticmethod
    def _judge(voice: _Voice, now: float) -> None:
        while voice.levels and now - voice.levels[0][0] > limits.SPEAKER_WINDOW_S:
            voice.levels.popleft()
        if not voice.levels:  # nothing is sent in silence, which says nothing about noise
            voice.loudness = 0.0
            return
        ordered = sorted(loudness for _, loudness in voice.levels)
        voice.loudness = float(ordered[len(ordered) // 2])
        risen = voice.noise + NOISE_RISE_PER_S * (now - voice.at)
        voice.at = now
        voice.noise = min(max(min(voice.loudness, risen), QUIET), NOISE_MAX)
        if voice.loudness >= voice.noise + limits.SPEAKER_ABOVE_DB:
            voice.spoke_at = now
