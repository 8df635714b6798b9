"""Whose turn it is at the writer: the node's own people first, then each peer in turn, each with a bounded share of a batch.

The jobs of own people are one queue, those of each peer another. A batch takes own jobs up to their share, then goes round the peers by
deficit round robin (M. Shreedhar, G. Varghese, Efficient Fair Queueing, SIGCOMM 1995): a peer may bring `BATCH_PEER_BYTES` and saves what
it did not use for a job that is larger. What is left of the batch is own people's again. So whatever waits of a flood, a post of somebody
here has nothing of it in front, and one of an honest peer has one share of each other peer. Nobody starves: the round goes on in the next
batch where it stopped, and own jobs beyond their share wait for it.

Within one queue the order is that of arrival; between queues there is none.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from msgspec import Struct

from node.base import limits
from node.base.ids import NodeId

J = TypeVar("J")


class _Lane(Struct, Generic[J]):
    """Jobs of one peer with their sizes; `left_bytes` is what it may still bring."""

    jobs: deque[tuple[J, int]]
    left_bytes: int


class Turns(Generic[J]):
    """The queues. `begin` a batch, then `take` until it says None."""

    def __init__(self) -> None:
        self._own: deque[J] = deque()
        self._peers: dict[NodeId, _Lane[J]] = {}  # in the order of their turns; only those with something to do
        self._count = 0
        self._own_left = 0  # of the share of own jobs in this batch
        self._turns_left = 0  # peers that had no turn in this batch
        self._taken = False

    def __len__(self) -> int:
        return self._count

    def put(self, job: J, peer: NodeId | None, size_bytes: int) -> None:
        """Queues a job of `peer`, or of this node itself."""
        self._count += 1
        if peer is None:
            self._own.append(job)
            return
        lane = self._peers.get(peer)
        if lane is None:
            lane = self._peers[peer] = _Lane(deque(), limits.BATCH_PEER_BYTES)
        lane.jobs.append((job, size_bytes))

    def begin(self) -> None:
        """A new batch."""
        self._own_left = limits.BATCH_OWN_WRITES
        self._turns_left = len(self._peers)
        self._taken = False

    def take(self) -> J | None:
        """The next job of this batch; None when everybody had their share and nobody else waits."""
        if self._own and self._own_left:
            self._own_left -= 1
            return self._out(self._own.popleft())
        while self._turns_left:
            nid, lane = next(iter(self._peers.items()))
            job, size_bytes = lane.jobs[0]
            if size_bytes <= lane.left_bytes:
                lane.jobs.popleft()
                lane.left_bytes -= size_bytes
                if not lane.jobs:
                    self._turn_over(nid, lane)
                return self._out(job)
            self._turn_over(nid, lane)
            if not (self._turns_left or self._taken or self._own):
                self._turns_left = len(self._peers)  # nothing fitted, and the disk has nothing else to do
        return self._out(self._own.popleft()) if self._own else None

    def _turn_over(self, nid: NodeId, lane: _Lane[J]) -> None:
        """To the end of the round, with a new share; whoever has nothing to do leaves it and saves nothing."""
        self._turns_left -= 1
        del self._peers[nid]
        if lane.jobs:
            lane.left_bytes += limits.BATCH_PEER_BYTES
            self._peers[nid] = lane

    def drain(self) -> list[J]:
        """Everything, own jobs first."""
        found = [*self._own, *(job for lane in self._peers.values() for job, _ in lane.jobs)]
        self._own.clear()
        self._peers.clear()
        self._count = self._turns_left = 0
        return found

    def _out(self, job: J) -> J:
        self._count -= 1
        self._taken = True
        return job
