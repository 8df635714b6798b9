"""A subscriber of the feed that writes down what it is told."""

from __future__ import annotations

from node.base.ids import RoomId
from node.services.actor import Actor
from node.services.feed import Chunk
from node.wire import c2s


class Witness:
    """Implements `services.feed.Subscriber`."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.heard: list[str] = []
        self.entries: list[int] = []
        self.frames: list[c2s.Frame] = []
        self.cards: list[RoomId] = []
        self.moved: list[RoomId] = []

    def deliver(self, chunks: list[Chunk]) -> None:
        """Entries came."""
        self.heard.append("entries")
        self.entries += [c2s.decode_entry(bytes(raw)).idx for chunk in chunks for raw in chunk.raws]

    def catch_up(self) -> None:
        """It must read by itself."""
        self.heard.append("catch up")

    def card(self, room: RoomId) -> None:
        """A card changed."""
        self.heard.append("card")
        self.cards.append(room)

    def send(self, frame: c2s.Frame) -> None:
        """A small frame."""
        self.heard.append(c2s.describe(frame))
        self.frames.append(frame)

    def nodes(self, room: RoomId) -> None:
        self.moved.append(room)

    def receipts(self, frame: c2s.Receipts) -> None:
        """Marks moved."""
        self.heard.append("receipts")
        self.frames.append(frame)

    def end(self, code: str, text: str) -> None:
        """It is over."""
        self.heard.append(f"end {code}")
