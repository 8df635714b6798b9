"""Passwords at rest: HMAC-SHA256 with the node's pepper, then argon2id (RFC 9106), on two threads at most.

A thief of the database alone cannot even begin to guess, because the pepper lies in ``keys/``. Cost and pepper
version of each hash are stored with it; a login with an outdated one renews it. A check for an account that does
not exist costs the same as a real one (`waste`), so time does not tell whether it exists.

Whether a password is acceptable is decided in core/account.py; the list of common ones is data in this package.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import unicodedata
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Final, Literal, Protocol, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.core.account import check_password
from node.runtime.entropy import Entropy

T = TypeVar("T")
Cost = Literal["standard", "small"]

SALT_BYTES: Final = 16
TAG_BYTES: Final = 32
COMMON_FILE: Final = "common_passwords.txt"
# (memory KiB, passes): about 0.4 s on a small server; the floor for machines with little memory (OWASP's second choice).
COSTS: Final[dict[Cost, tuple[int, int]]] = {"standard": (64 * 1024, 3), "small": (19 * 1024, 2)}


class Peppers(Protocol):
    """Peppers by version; new hashes use the current one."""

    @property
    def current(self) -> int:
        """Version for new hashes."""

    @property
    def keys(self) -> Mapping[int, bytes]:
        """All versions that stored hashes may need."""


class Hashed(Struct, frozen=True):
    """A password as it is stored."""

    text: str
    pepper: int


class Passwords:
    """Hashes and checks. `close` ends its threads."""

    def __init__(self, *, cost: Cost, peppers: Peppers, entropy: Entropy) -> None:
        memory_kib, passes = COSTS[cost]
        self._hasher = argon2.PasswordHasher(
            time_cost=passes,
            memory_cost=memory_kib,
            parallelism=1,
            hash_len=TAG_BYTES,
            salt_len=SALT_BYTES,
            type=argon2.Type.ID,
        )
        self._peppers = peppers
        self._entropy = entropy
        self._threads = ThreadPoolExecutor(limits.ARGON2_AT_ONCE, thread_name_prefix="password")
        self._busy = 0
        self._common: frozenset[str] | None = None

    def check(self, password: str, local: str) -> str:
        """The NFC form of an acceptable new password. Raises Rejected with a ``password_*`` code."""
        if self._common is None:
            text = resources.files("node.services").joinpath(COMMON_FILE).read_text(encoding="utf-8")
            self._common = frozenset(text.split())
        return check_password(password, local, self._common)

    async def hash(self, password: str) -> Hashed:
        """A new hash. Raises Rejected with `rate_limited` when too many wait."""
        version = self._peppers.current
        secret = self._season(password, version)
        salt = self._entropy.token_bytes(SALT_BYTES)
        return Hashed(await self._run(lambda: self._hasher.hash(secret, salt=salt)), version)

    async def verify(self, password: str, stored: Hashed) -> bool:
        """Whether it is the password. Raises Rejected with `rate_limited` when too many wait."""
        if stored.pepper not in self._peppers.keys:
            return await self.waste(password)
        secret = self._season(password, stored.pepper)
        return await self._run(lambda: self._matches(secret, stored.text))

    async def waste(self, password: str) -> bool:
        """Costs as much as `verify` and is always False."""
        secret = self._season(password, self._peppers.current)
        salt = self._entropy.token_bytes(SALT_BYTES)
        await self._run(lambda: self._hasher.hash(secret, salt=salt))
        return False

    def is_outdated(self, stored: Hashed) -> bool:
        """Whether a hash should be renewed, now that its password is at hand."""
        return stored.pepper != self._peppers.current or self._hasher.check_needs_rehash(stored.text)

    def close(self) -> None:
        """Waits for running hashes and ends the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _season(self, password: str, version: int) -> bytes:
        text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
        return hmac.new(self._peppers.keys[version], text, hashlib.sha256).digest()

    def _matches(self, secret: bytes, text: str) -> bool:
        try:
            return self._hasher.verify(text, secret)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._busy >= limits.ARGON2_AT_ONCE + limits.ARGON2_WAITING_MAX:
            raise Rejected(
                Code.RATE_LIMITED, "Too many people sign in at once; try again in a moment.", retry_after_s=5
            )
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._busy -= 1
