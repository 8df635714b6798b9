"""The router of one call on this node: its seats, what they send, who gets what. Driven by the worker, on its loop; nothing waits here.

`Room` raises Rejected like `services.relay.CallRelay`, whose methods it has, and tells `RelayEvents`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.media.host import Host
from node.services.relay import CallReport, RelayEvents, Wanted


class Room:
    """One call. `call` is its id, `events` is told what happens, `host` is the worker."""

    def __init__(self, call: bytes, *, host: Host, events: RelayEvents) -> None:
        self.call = call
        self._host = host
        self._events = events

    def seat(self, seat: bytes) -> None:
        """Makes the two transports of a seat. Done again it is harmless. Raises Rejected(limit_reached)."""
        raise NotImplementedError

    def offer(self, seat: bytes, text: str, sources: Mapping[str, str]) -> str:
        """The answer to an offer of the up transport; `sources` by mid. Raises Rejected(bad_request, not_found)."""
        raise NotImplementedError

    def answer(self, seat: bytes, version: int, text: str) -> None:
        """The device's answer to `offered`; an older version is ignored. Raises Rejected(bad_request, not_found)."""
        raise NotImplementedError

    def restart(self, seat: bytes) -> None:
        """Offers the down transport anew with new ICE credentials."""
        raise NotImplementedError

    def want(self, seat: bytes, wishes: Sequence[Wanted]) -> None:
        """How this seat wants the tracks of others; all anew."""
        raise NotImplementedError

    def mute(self, seat: bytes, *, on: bool) -> None:
        """Stops (or lets pass) the microphone of a seat."""
        raise NotImplementedError

    def unseat(self, seat: bytes) -> None:
        """Frees everything of a seat. Unknown ones are ignored."""
        raise NotImplementedError

    def end(self) -> None:
        """Frees everything."""
        raise NotImplementedError

    def report(self) -> CallReport:
        """For the admin's page; rates are since the last report."""
        raise NotImplementedError
