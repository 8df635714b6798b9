"""The relays that are compared, each behind the same few verbs: a publisher offers and is answered, a subscriber is offered and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from msgspec import Struct

Key = tuple[bytes, str]


class Offer(Struct, frozen=True, kw_only=True):
    """What a subscriber is offered. `handle` is for `Relay.answer`."""

    handle: object
    sdp: str
    tracks: Mapping[str, Key]


class Relay(Protocol):
    """One relay that runs, in a process of its own (`pids`) if at all."""

    name: str

    async def __aenter__(self) -> Self:
        """Starts it."""

    async def __aexit__(self, *_: object) -> None:
        """Ends it."""

    @property
    def pids(self) -> list[int]:
        """Whose CPU counts."""

    async def publish(self, name: str, sdp: str, sources: Mapping[str, str]) -> str:
        """The answer to the offer of a publisher."""

    async def subscribe(self, name: str, publishers: list[str]) -> Offer:
        """An offer of everything these publishers send."""

    async def answer(self, handle: object, sdp: str) -> None:
        """The subscriber's answer."""
