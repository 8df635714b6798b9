"""*A campaign* is the effort to link one peer: dial, wait with jitter, dial again, until there is a link or nobody wants one.

There is at most one for each peer. News about the peer, or about our own network, ends a wait at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

from node.base import limits
from node.base.errors import Rejected
from node.base.ids import NodeId
from node.federation.proto.backoff import Backoff
from node.federation.session import Session
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.storage.peers import PeerRow


class _Campaign:
    """One of them."""

    def __init__(self, backoff: Backoff) -> None:
        self.backoff = backoff
        self.wake = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.wake.wait()


class Campaigns:
    """All that are under way."""

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: Entropy,
        spawn: Callable[[Coroutine[None, None, None]], None],
        worth: Callable[[NodeId], PeerRow | None],
        linked: Callable[[NodeId], bool],
        dial: Callable[[NodeId], Awaitable[Session]],
    ) -> None:
        """`worth` gives the row of a peer that somebody wants to reach; `dial` gives a link on its way, or raises Rejected."""
        self._clock = clock
        self._entropy = entropy
        self._spawn = spawn
        self._worth = worth
        self._linked = linked
        self._dial = dial
        self._running: dict[NodeId, _Campaign] = {}

    @property
    def peers(self) -> list[NodeId]:
        """Whom they are about."""
        return list(self._running)

    def begin(self, nid: NodeId, *, renew: bool = False, delay_s: float = 0.0) -> None:
        """One for `nid`, unless there is one; `renew`: although there is a link."""
        if nid not in self._running:
            self._running[nid] = _Campaign(Backoff(self._entropy.uniform))
            self._spawn(self._pursue(nid, renew=renew, delay_s=delay_s))

    def nudge(self, nid: NodeId | None = None) -> None:
        """Something new is known of a peer (None: of our network): who waits dials now, and from the shortest wait on."""
        for name, campaign in self._running.items():
            if nid is None or name == nid:
                campaign.backoff.reset()
                campaign.wake.set()

    def wake(self, nid: NodeId) -> None:
        """There is a link: no need to wait."""
        if nid in self._running:
            self._running[nid].wake.set()

    async def _pursue(self, nid: NodeId, *, renew: bool, delay_s: float) -> None:
        campaign = self._running[nid]
        try:
            await campaign.pause(delay_s)
            while (renew or not self._linked(nid)) and (row := self._worth(nid)) is not None:
                campaign.wake.clear()
                renew = False  # one attempt; but if both links are gone after it, this goes on as for any lost link
                try:
                    session = await self._dial(nid)
                    async with asyncio.timeout(limits.HELLO_S):
                        await session.ready.wait()
                    if session.up:
                        return
                    delay_s = float(session.ending.retry_s) if session.ending is not None else 0.0
                except (Rejected, TimeoutError):
                    delay_s = 0.0
                seen_ago_s = (self._clock.now_ms() - row.seen_ms) / 1000
                await campaign.pause(max(delay_s, campaign.backoff.failed(seen_ago_s=seen_ago_s)))
        finally:
            del self._running[nid]
