"""What services ask of the edges: small Protocols, implemented above and wired in node/main.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from node.base.ids import DeviceId, UserId


class DeviceDoor(Protocol):
    """Open sockets of devices (`services.feed.Feed`)."""

    def end_device(self, device: DeviceId, code: str, text: str) -> None:
        """Tells the sockets of a device that was signed out why, and closes them, at once."""

    def of_device(self, device: DeviceId, user: UserId) -> Sequence[object]:
        """Its open sockets."""


class NameDoor(Protocol):
    """Whoever shows names of people to devices that are online."""

    def renamed(self, user: UserId, name: str) -> None:
        """`user` is called `name` now; it is on disk. Devices that are offline learn it from the feed position."""


class PhraseKeeper(Protocol):
    """The recovery phrase until its owner has written it down (`services.identity.Identity`)."""

    @property
    def phrase_pending(self) -> bool:
        """Whether it still waits."""

    def phrase(self) -> Sequence[str]:
        """The words. Raises Rejected with `already_done`."""

    def asked(self) -> Sequence[int]:
        """1-based places to type back. Raises Rejected with `already_done`."""

    def confirm(self, words: Mapping[int, str]) -> None:
        """Erases it if the words are right. Raises Rejected with `phrase_mismatch`."""
