"""Randomness: the only caller of the machine's random source.

Whoever needs bytes nobody can guess, a fresh id or a random delay takes an `Entropy`. The node gets
`SystemEntropy`; a simulation gets `SeededEntropy`, whose whole future follows from one number and which is therefore
worth nothing as a secret.
"""

from __future__ import annotations

import os
import random
from typing import Protocol

UUID_BYTES = 16


class Entropy(Protocol):
    """A source of randomness."""

    def token_bytes(self, size: int) -> bytes:
        """`size` bytes nobody can guess."""
        ...

    def uuid7(self, now_ms: int) -> bytes:
        """A UUIDv7 (RFC 9562) in 16 bytes: sorts by `now_ms`, unique by 74 random bits."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`, for jitter."""
        ...


class SystemEntropy:
    """The operating system's random source."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def token_bytes(self, size: int) -> bytes:
        """`size` bytes nobody can guess."""
        return os.urandom(size)

    def uuid7(self, now_ms: int) -> bytes:
        """A UUIDv7 in 16 bytes."""
        return _uuid7(now_ms, os.urandom(10))

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return self._random.uniform(low, high)


class SeededEntropy:
    """The same bytes for the same seed, on every machine. Never for a node that serves people."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - being predictable is its purpose

    def token_bytes(self, size: int) -> bytes:
        """The next `size` bytes of this seed."""
        return self._random.randbytes(size)

    def uuid7(self, now_ms: int) -> bytes:
        """A UUIDv7 in 16 bytes."""
        return _uuid7(now_ms, self._random.randbytes(10))

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return self._random.uniform(low, high)


def _uuid7(now_ms: int, noise: bytes) -> bytes:
    """48 bits of time, 4 of version, 12 random, 2 of variant, 62 random (RFC 9562 section 5.7)."""
    assert 0 <= now_ms < 1 << 48
    assert len(noise) == UUID_BYTES - 6
    made = bytearray(now_ms.to_bytes(6, "big") + noise)
    made[6] = 0x70 | made[6] & 0x0F
    made[8] = 0x80 | made[8] & 0x3F
    return bytes(made)
