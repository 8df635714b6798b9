"""What people are called, across nodes: signed by their node, so that it does not matter who hands it on.

Names are asked of a person's own node and of the hub of a shared room when somebody's is unknown here, and sent unasked to the nodes that
share a room when it changes; a hub hands on what is new to it. The newest one counts.
"""

from __future__ import annotations

from typing import Protocol

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, UserId, parse_user
from node.core.account import check_display_name
from node.runtime.clock import Clock
from node.services.feed import Feed
from node.services.ports import PeerLinks
from node.services.signers import Signers
from node.storage.database import Database, Tx
from node.storage.log import Log
from node.storage.peers import Peer
from node.storage.rooms import Rooms
from node.storage.users import Users
from node.wire import envelope, exchange
from node.wire.exchange import People, Profile, Profiles


class Signer(Protocol):
    """Whose node this is."""

    @property
    def nid(self) -> NodeId:
        """The node's id."""

    def profile(self, user: UserId, name: str, at_ms: int) -> Profile:
        """What an own user is called."""


class Sender(Protocol):
    """Puts an item into an outbox (`services.followers.Followers`)."""

    def send(self, tx: Tx, node: NodeId, item: exchange.Item) -> None:
        """After the commit."""


class Naming:
    """Asks, tells and keeps names."""

    def __init__(
        self, *, db: Database, rooms: Rooms, users: Users, log: Log, feed: Feed, signer: Signer, signers: Signers, sender: Sender,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._db = db
        self._rooms = rooms
        self._users = users
        self._log = log
        self._feed = feed
        self._signer = signer
        self._signers = signers
        self._sender = sender
        self._clock = clock
        self._asked: set[tuple[NodeId, UserId]] = set()
        self.links: PeerLinks | None = None

    async def ask(self, peer: Peer) -> None:
        """Asks the peer for the names that this node lacks in rooms it orders; once for each link."""
        assert self.links is not None
        lacking = self._db.view(lambda tx: self._users.unnamed(tx, peer.nid, limits.MARKS_AT_ONCE))
        users = [
            user for user in lacking if (peer.nid, user) not in self._asked and parse_user(user)[1] != self._signer.nid
        ]
        if not users:
            return
        self._asked |= {(peer.nid, user) for user in users}
        answer = await self.links.request(peer.nid, exchange.PEOPLE, exchange.encode_item(People(tuple(users))))
        for profile in exchange.decode_profiles(answer).profiles:
            if profile.user in users:
                self.check(profile)
                await self._db.write(lambda tx, profile=profile: self.store(tx, profile))  # type: ignore[misc]

    def serve(self, peer: Peer, asked: People) -> bytes:
        """Those that peer and asked share a room with."""

        def look(tx: Tx) -> list[Profile]:
            seen = self._rooms.seen_by(tx, peer.nid, [UserId(user) for user in asked.users])
            return [profile for user in seen if (profile := self._profile(tx, user)) is not None]

        return exchange.encode_item(Profiles(tuple(self._db.view(look))))

    def _profile(self, tx: Tx, user: UserId) -> Profile | None:
        if parse_user(user)[1] != self._signer.nid:
            raw = self._users.profile(tx, user)
            return None if raw is None else exchange.decode_profile(raw)
        named = self._users.named(tx, user)
        return None if named is None else self._signer.profile(user, *named)

    def renaming(self, tx: Tx, user: UserId, name: str) -> None:
        """An own user is called differently: the nodes that share a room with them hear of it."""
        now_ms = self._clock.now_ms()
        self._users.name_changed(tx, user, now_ms)
        nodes = self._rooms.nodes_seeing(tx, user)
        if nodes:
            profile = self._signer.profile(user, name, now_ms)
            for node in sorted(nodes):
                self._sender.send(tx, node, profile)

    def renamed(self, user: UserId, name: str) -> None:
        """The new name is on disk."""
        self._feed.renamed(user, name)

    def check(self, profile: Profile) -> None:
        """Raises Rejected unless the person's own node signed it."""
        check_display_name(profile.name)
        key = self._signers.learn(profile.signer, self._clock.now_ms() // 1000)
        user = UserId(profile.user)
        try:
            node = parse_user(user)[1]
        except ValueError:
            raise Rejected(Code.BAD_REQUEST, "This is not a user id.") from None
        if key.nid != node or key.incarnation != profile.incarnation:
            raise Rejected(Code.BAD_SIGNATURE, "A node names its own people only.")
        signed = envelope.profile_bytes(user, profile.name, profile.at_ms, node, profile.incarnation)
        envelope.check(key, signed, profile.signature)

    def store(self, tx: Tx, profile: Profile) -> None:
        """Keeps a checked name, unless a newer one is known. People nobody here has to do with are not kept."""
        user = UserId(profile.user)
        if self._users.find(tx, user) is None:
            return
        if self._users.set_profile(
            tx, user, profile.name, profile.at_ms, exchange.encode_item(profile), self._log.next_seq(tx)
        ):
            tx.after_commit(lambda: self._feed.renamed(user, profile.name))
            for node in sorted(self._rooms.nodes_seeing(tx, user, self._signer.nid) - {self._signer.nid}):
                self._sender.send(tx, node, profile)

    def forget(self, nid: NodeId) -> None:
        """A new link may know more."""
        self._asked = {place for place in self._asked if place[0] != nid}
