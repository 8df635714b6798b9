"""Unread and mention counts, as a fold that node and clients share.

A message counts for `user` when it is content by somebody else, was not erased, is visible to the user and
lies behind the user's read mark. Posting moves one's own read mark to one's own message: who answers has read.
The SQL of storage/rooms.py computes the same numbers; a property test compares both.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.base.ids import UserId
from node.core import content


class Counts:
    """Mutable fold over the entries of one room for one user."""

    def __init__(self, user: UserId, read_idx: int = 0) -> None:
        self.user = user
        self.read_idx = read_idx
        self._counting: dict[int, bool] = {}  # idx -> mentions me

    def entry(self, idx: int, author: UserId, kind: str, mentioned: Iterable[str]) -> None:
        """One more entry of the log."""
        if author == self.user:
            self.read(idx)
        elif content.is_content(kind):
            named = set(mentioned)
            if kind == "call" and self.user not in named:
                return  # a call is unread for who missed it
            self._counting[idx] = self.user in named or content.MENTION_ALL in named

    def erased(self, idx: int) -> None:
        """A message was recalled or redacted: nobody has to read it any more."""
        self._counting.pop(idx, None)

    def read(self, idx: int) -> None:
        """The user has read up to `idx`; the mark never moves back."""
        self.read_idx = max(self.read_idx, idx)

    @property
    def unread(self) -> int:
        """Messages behind the read mark."""
        return sum(idx > self.read_idx for idx in self._counting)

    @property
    def mentions(self) -> int:
        """Those of them that name the user."""
        return sum(named and idx > self.read_idx for idx, named in self._counting.items())
