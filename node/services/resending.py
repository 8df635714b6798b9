"""Posts that a hub has received and does not answer: they are sent again until it does.

A hub acknowledges a post when it is on its disk, and the entry or the refusal follows. Nothing follows when that disk is lost and an
older backup comes back, or when such a hub could not take the post yet (services/restoring.py). Then the author's node is the only
one that has it. Sending again harms nobody: a hub gives each post of an author one place, and one refusal.

A post is due when two looks in a row found it unanswered and the outbox of its hub empty; looks that find the same again send less and
less often, at the second, fourth, eighth … and then every 64th one. So many go at once that the writer is not held up.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from node.base import limits
from node.base.ids import NodeId
from node.services.followers import Followers
from node.storage import pending
from node.storage.database import Database, Tx
from node.storage.outbox import Outbox
from node.storage.peers import Peer
from node.wire import envelope
from node.wire.exchange import Submit

RARE: Final = 64  # looks between two attempts, in the long run


class Signer(Protocol):
    """Whose node this is (`services.identity.Identity`)."""

    def sign_event(self, event: bytes) -> bytes:
        """This node vouches for an event of its own user."""


class _Missing(Struct):
    """What the last looks found of one hub."""

    posts: set[int]
    looks: int = 1


class Resending:
    """Looks at one hub at a time, while there is a link, after one look at all posts."""

    def __init__(self, *, db: Database, outbox: Outbox, followers: Followers, signer: Signer) -> None:
        self._db = db
        self._outbox = outbox
        self._followers = followers
        self._signer = signer
        self._unanswered: dict[NodeId, list[int]] = {}
        self._missing: dict[NodeId, _Missing] = {}

    def forget(self, nid: NodeId) -> None:
        """The link is gone."""
        self._missing.pop(nid, None)

    async def refresh(self) -> None:
        """Once a round, for all hubs: what is unanswered now."""
        self._unanswered = await self._db.read(pending.unanswered)

    async def look(self, peer: Peer) -> None:
        """Sends what is due. Raises Rejected when the disk takes nothing."""
        found = self._unanswered.get(peer.nid, [])
        if found and self._is_busy(peer):
            found = []
        before = self._missing.get(peer.nid)
        if before is None or before.posts.isdisjoint(found):
            self.forget(peer.nid)
            if found:
                self._missing[peer.nid] = _Missing(set(found))
            return
        due, before.posts = [pk for pk in found if pk in before.posts], set(found)
        before.looks += 1
        if before.looks & (before.looks - 1) == 0 or before.looks % RARE == 0:
            await self._db.write(lambda tx: self._send(tx, peer, due[: limits.RESENT_AT_ONCE]))

    def _is_busy(self, peer: Peer) -> bool:
        """Whether something is on its way there."""
        waiting: int = self._db.view(lambda tx: self._outbox.waiting(tx, peer.pk))
        return waiting > 0

    def _send(self, tx: Tx, peer: Peer, due: list[int]) -> None:
        for pk in due:
            post = pending.still_unsent(tx, pk)
            if post is not None:
                room = envelope.decode_event(post.event).room
                signature = self._signer.sign_event(post.event)
                item = Submit(room, post.event, signature, post.salt, post.body, post.token)
                self._followers.send(tx, peer.nid, item)
