"""*A campaign* is the effort to link one peer: dial, wait with jitter, dial again, until there is a link or nobody wants one.

There is at most one for each peer, so none may end, or hang, while its peer is still wanted. News about the peer, or about our own
network, ends a wait at once; that there is more to send ends a long one, but not one that the peer asked for. When all addresses of
the peer are still waiting out an earlier failure, the campaign waits as long as they do: two waits of their own would miss each other
again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

from node.base import limits
from node.base.errors import Rejected
from node.base.ids import NodeId
from node.federation.dialer import Resting
from node.federation.proto.backoff import Backoff
from node.federation.session import Session
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.log import Log
from node.storage.peers import PeerRow

log = Log("federation.campaigns")


class _Campaign:
    """One of them."""

    def __init__(self, backoff: Backoff, now: float, *, sent_away: bool) -> None:
        self.backoff = backoff
        self.wake = asyncio.Event()
        self.tried = now  # when the last dial began
        self.sent_away = sent_away  # the peer itself said when to come back

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
        campaign = self._running.get(nid)
        if campaign is None:
            now = self._clock.monotonic()
            self._running[nid] = _Campaign(Backoff(self._entropy.uniform), now, sent_away=delay_s > 0)
            self._spawn(self._pursue(nid, renew=renew, delay_s=delay_s))
        elif not campaign.sent_away and self._clock.monotonic() - campaign.tried >= limits.DIAL_WANTED_S:
            campaign.wake.set()  # somebody has more for the peer: it may be back and have no way to dial us

    def forget(self) -> None:
        """Their tasks are gone. (One that was cancelled before its first step had no chance to say so itself.)"""
        self._running.clear()

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
                wait_s = await self._attempt(nid, campaign, row)
                if wait_s is None:
                    return
                await campaign.pause(wait_s)
        finally:
            if self._running.get(nid) is campaign:
                del self._running[nid]

    async def _attempt(self, nid: NodeId, campaign: _Campaign, row: PeerRow) -> float | None:
        """One dial: None when it led to a link, else seconds until the next one."""
        asked_s, campaign.tried, campaign.sent_away = 0.0, self._clock.monotonic(), False
        try:
            session = await self._dial(nid)
            async with asyncio.timeout(limits.HELLO_S):
                await session.ready.wait()
            if session.up:
                return None
            asked_s = float(session.ending.retry_s) if session.ending is not None else 0.0
            campaign.sent_away = asked_s > 0
        except Resting as resting:
            return resting.wait_s
        except (Rejected, TimeoutError):
            pass
        except Exception as error:  # noqa: BLE001 - the boundary of one peer: what is said of it must not end the links of the others
            log.error("A dial failed", error)
        return max(asked_s, campaign.backoff.failed(seen_ago_s=(self._clock.now_ms() - row.seen_ms) / 1000))
