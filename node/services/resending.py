"""Posts that a hub has received and does not answer: they are sent again until it does.

A hub acknowledges a post when it is on its disk, and the entry or the refusal follows. Nothing follows when that disk is lost and an
older backup comes back, or when such a hub could not take the post yet (services/restoring.py). Then the author's node is the only
one that has it. Sending again harms nobody: a hub gives each post of an author one place, and one refusal.

A post is due when two looks in a row found it unanswered and the outbox of its hub empty; looks that find the same again send less and
less often, at the second, fourth, eighth … and then every 64th one.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from node.base.ids import NodeId
from node.services.followers import Followers
from node.storage import pending
from node.storage.database import Database, Tx
from node.storage.outbox import Outbox
from node.storage.peers import Peer
from node.storage.pending import Unsent
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
    """Looks at one hub at a time, while there is a link."""

    def __init__(self, *, db: Database, outbox: Outbox, followers: Followers, signer: Signer) -> None:
        self._db = db
        self._outbox = outbox
        self._followers = followers
        self._signer = signer
        self._missing: dict[NodeId, _Missing] = {}

    def forget(self, nid: NodeId) -> None:
        """The link is gone."""
        self._missing.pop(nid, None)

    async def look(self, peer: Peer) -> None:
        """Sends what is due. Raises Rejected when the disk takes nothing."""
        found = {post.pk for post in self._db.view(lambda tx: self._unanswered(tx, peer))}
        before = self._missing.get(peer.nid)
        if before is None or not before.posts & found:
            self.forget(peer.nid)
            if found:
                self._missing[peer.nid] = _Missing(found)
            return
        due, before.posts = before.posts & found, found
        before.looks += 1
        if before.looks & (before.looks - 1) == 0 or before.looks % RARE == 0:
            await self._db.write(lambda tx: self._send(tx, peer, due))

    def _unanswered(self, tx: Tx, peer: Peer) -> list[Unsent]:
        return [] if self._outbox.waiting(tx, peer.pk) else pending.unsent(tx, peer.nid)

    def _send(self, tx: Tx, peer: Peer, due: set[int]) -> None:
        for post in self._unanswered(tx, peer):
            if post.pk in due:
                room = envelope.decode_event(post.event).room
                signature = self._signer.sign_event(post.event)
                item = Submit(room, post.event, signature, post.salt, post.body, post.token)
                self._followers.send(tx, peer.nid, item)
