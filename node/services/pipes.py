"""Pipes of a call: the relays of two homes are joined while both have seats in it.

The home with the smaller id begins: it makes its half, says it over the link, and gets the other's. The other one asks it to begin anew
when its own relay lost the call. A pipe is made again, with new keys, whenever the link between the two nodes is. What the seats here want
of a node is said to it whole, the newest only, until it was heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId
from node.services.errands import Errands
from node.services.ports import PeerLinks
from node.services.relay import CallRelay, Track, Wanted
from node.wire import focus

RETRY_S: Final = 0.5  # the other home may not have heard of our seats yet; doubles
PATIENCE_S: Final = 2.0  # the home that begins has this long before it is asked to
RETRY_S_MAX: Final = float(limits.CALL_REPEAT_S)
Key = tuple[bytes, NodeId]


class Pipes:
    """All pipes of this node."""

    def __init__(self, *, node: NodeId, errands: Errands) -> None:
        self._node = node
        self._errands = errands
        self._open: dict[Key, int] = {}  # and its generation: work for an older one is given up
        self._generation = 0
        self._closed = 0  # how many were closed so far
        self._made: set[Key] = set()  # the other home began these, and has our half
        self._wanted: dict[Key, Sequence[Wanted]] = {}
        self._wanting: set[Key] = set()
        self.relay: CallRelay | None = None
        self.links: PeerLinks | None = None

    def sync(self, call: bytes, nodes: dict[NodeId, list[Track]]) -> None:
        """The nodes that take part beside this one, and what they publish; none when nobody here is in the call."""
        relay = self.relay
        if relay is None:
            return
        for key in [key for key in self._open if key[0] == call and key[1] not in nodes]:
            self._close(key)
            relay.pipe_closed(*key)
        for node, tracks in nodes.items():
            if (call, node) not in self._open:
                self._begin((call, node))
            relay.pipe_tracks(call, node, tracks)

    def end(self, call: bytes) -> None:
        """The call is over, or the relay lost it."""
        for key in [key for key in {*self._open, *self._made} if key[0] == call]:
            self._close(key)

    def linked(self, node: NodeId) -> None:
        """A new link: new keys."""
        for key in [key for key in self._open if key[1] == node]:
            self._made.discard(key)
            self._begin(key)

    def want(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """What the seats here want of that node."""
        key = (call, node)
        if key not in self._open:
            return
        self._wanted[key] = tuple(tracks)
        if key not in self._wanting:
            self._wanting.add(key)
            if not self._errands.spawn(self._say_wanted(key)):
                self._wanting.discard(key)

    async def serve(self, call: bytes, node: NodeId, half: bytes) -> bytes:
        """The other home's half, or its wish to begin anew; ours. Raises Rejected."""
        if self.relay is None:
            raise Rejected(Code.UNAVAILABLE, "This node has no relay.")
        if not half:
            if self._node < node:
                self._begin((call, node))
            return b""
        if self._node < node:
            raise Rejected(Code.CONFLICT, "The node with the smaller id begins a pipe.")
        key, closed = (call, node), self._closed
        ours = await self.relay.pipe(call, node)
        await self.relay.pipe_joined(call, node, half)
        if self._closed != closed and key not in self._open:  # the last seat here or there went meanwhile
            self.relay.pipe_closed(call, node)
            raise Rejected(Code.NOT_FOUND, "This call has no seats of both nodes.")
        self._made.add(key)
        return ours

    def _close(self, key: Key) -> None:
        self._closed += 1
        self._open.pop(key, None)
        self._made.discard(key)
        self._wanted.pop(key, None)

    def _begin(self, key: Key) -> None:
        self._generation += 1
        self._open[key] = self._generation
        self._errands.spawn(self._make(key, self._generation))

    async def _make(self, key: Key, generation: int) -> None:
        wait_s = RETRY_S
        if self._node > key[1]:
            await asyncio.sleep(PATIENCE_S)
        while self._open.get(key) == generation and key not in self._made and not await self._attempt(key):
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_S_MAX)

    async def _attempt(self, key: Key) -> bool:
        """One try; true when it is done. What the other side has to begin is only asked for."""
        call, node = key
        relay, links = self.relay, self.links
        if relay is None or links is None:
            return False
        try:
            await links.reach(node)
            ours = await relay.pipe(call, node) if self._node < node else b""
            answer = await links.request(node, focus.PIPE, focus.encode_said(focus.PipeHalf(call, ours)))
            if ours and key in self._open:
                await relay.pipe_joined(call, node, focus.decode_half(answer).half)
        except (Rejected, RemoteError, TimeoutError):
            return False
        if key in self._wanted:
            self.want(call, node, self._wanted[key])
        return True

    async def _say_wanted(self, key: Key) -> None:
        try:
            wait_s = RETRY_S
            while (tracks := self._wanted.get(key)) is not None:
                if await self._attempt_want(key, tracks):
                    if self._wanted.get(key) is tracks:
                        return
                else:
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, RETRY_S_MAX)
        finally:
            self._wanting.discard(key)

    async def _attempt_want(self, key: Key, tracks: Sequence[Wanted]) -> bool:
        call, node = key
        wishes = tuple(
            focus.WantedTrack(one.track.seat, one.track.source, one.width, one.pinned)
            for one in tracks[: limits.CALL_WISHES_MAX]
        )
        if self.links is None or not self.links.linked(node):
            return False
        try:
            await self.links.request(node, focus.WANT, focus.encode_said(focus.PipeWant(call, wishes)))
        except (Rejected, RemoteError, TimeoutError):
            return False
        return True
