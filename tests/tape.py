"""A relay that moves no media and writes down what it is asked: stands at the seam `services.relay.CallRelay` in tests of signalling.

What a real relay would tell by itself, a test says through `events`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.services.relay import RelayEvents, RelayReport, Standing, Track, Wanted


class Tape:
    """Implements `services.relay.CallRelay`. `seats` are those that were made and not freed."""

    def __init__(self, *, level: int = 2, name: str = "") -> None:
        self.level = level
        self.name = name
        self.events: RelayEvents | None = None
        self.seats: set[tuple[bytes, bytes]] = set()
        self.offers: list[tuple[bytes, str, dict[str, str]]] = []
        self.answers: list[tuple[bytes, int, str]] = []
        self.restarts: list[bytes] = []
        self.wishes: dict[bytes, tuple[Wanted, ...]] = {}
        self.muted: dict[bytes, bool] = {}
        self.ended: list[bytes] = []
        self.halves: list[tuple[NodeId, bytes]] = []  # of other nodes
        self.remote: dict[NodeId, tuple[Track, ...]] = {}
        self.wanted_of: dict[NodeId, tuple[Wanted, ...]] = {}
        self.closed: list[NodeId] = []
        self.made = 0
        self.up_kbps = 0
        self.refusal: Rejected | None = None

    @property
    def standing(self) -> Standing:
        return Standing(level=self.level, reason="" if self.level else "there is no UDP")

    def attach(self, events: RelayEvents) -> None:
        self.events = events

    async def seat(self, call: bytes, seat: bytes, *, up_kbps: int = limits.CALL_UP_KBPS) -> None:
        self.up_kbps = up_kbps
        if self.refusal is not None:
            raise self.refusal
        self.seats.add((call, seat))

    async def offer(self, call: bytes, seat: bytes, sdp: str, sources: Mapping[str, str]) -> str:
        self._need(call, seat)
        self.offers.append((seat, sdp, dict(sources)))
        return f"answer to {sdp}"

    async def answer(self, call: bytes, seat: bytes, version: int, sdp: str) -> None:
        self._need(call, seat)
        self.answers.append((seat, version, sdp))

    def restart(self, call: bytes, seat: bytes) -> None:
        self.restarts.append(seat)

    def want(self, call: bytes, seat: bytes, wishes: Sequence[Wanted]) -> None:
        self.wishes[seat] = tuple(wishes)

    def mute(self, call: bytes, seat: bytes, *, on: bool) -> None:
        self.muted[seat] = on

    def unseat(self, call: bytes, seat: bytes) -> None:
        self.seats.discard((call, seat))

    def end(self, call: bytes) -> None:
        self.ended.append(call)
        self.seats = {one for one in self.seats if one[0] != call}

    async def report(self) -> RelayReport:
        return RelayReport(standing=self.standing)

    async def pipe(self, call: bytes, node: NodeId) -> bytes:
        self.made += 1
        return f"half {self.made} of {self.name}".encode()

    async def pipe_joined(self, call: bytes, node: NodeId, half: bytes) -> None:
        self.halves.append((node, half))

    def pipe_tracks(self, call: bytes, node: NodeId, tracks: Sequence[Track]) -> None:
        self.remote[node] = tuple(tracks)

    def pipe_want(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        self.wanted_of[node] = tuple(tracks)

    def pipe_closed(self, call: bytes, node: NodeId) -> None:
        self.closed.append(node)

    def _need(self, call: bytes, seat: bytes) -> None:
        if (call, seat) not in self.seats:
            raise Rejected(Code.NOT_FOUND, "There is no such seat.")
