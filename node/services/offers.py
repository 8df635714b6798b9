"""Invitations into groups of other nodes. Nothing is joined by an offer: it is shown as a question until its person answers.

An open one belongs to the hub that made it: another node cannot take it over. What strangers may leave here is bounded, by person and
by hub; beyond that there is silence, as for somebody who does not exist.
"""

from __future__ import annotations

from typing import Protocol

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, UserId, parse_user
from node.core.content import check_line
from node.services.budget import Budget
from node.services.feed import Feed
from node.storage import contacts, pending
from node.storage.contacts import ContactState, OfferRow
from node.storage.database import Tx
from node.storage.peers import Peer
from node.storage.users import Users
from node.wire.exchange import Offer, Withdraw


class People(Protocol):
    """Accounts of this node."""

    def exists(self, tx: Tx, user: UserId) -> bool:
        """Whether this user can be written to."""


class Offers:
    """Keeps open offers."""

    def __init__(self, *, node: NodeId, users: Users, people: People, feed: Feed, strangers: Budget) -> None:
        self._node = node
        self._users = users
        self._people = people
        self._feed = feed
        self._strangers = strangers

    def offered(self, tx: Tx, peer: Peer, item: Offer) -> None:
        """The hub `peer` asks somebody in. Who does not exist, or blocked the inviter, is silent. Raises Rejected."""
        check_line(item.name, "name")
        user, by = UserId(item.user), UserId(item.by)
        if _node_of(user) != self._node or not self._people.exists(tx, user):
            return
        pk = self._users.pk(tx, user)
        if item.by_name:
            check_line(item.by_name, "name")
        found = contacts.offer(tx, pk, RoomId(item.room))
        if found is None and not self._has_room(tx, pk, peer.nid, by):
            return
        if found is not None and (found.hub, found.by) != (peer.nid, by):
            return
        if item.by_name:
            self._users.suggest_name(tx, self._users.pk(tx, by), item.by_name)
        row = OfferRow(user, RoomId(item.room), peer.nid, item.name, item.members, by, item.at_ms, accepted=False)
        contacts.put_offer(tx, pk, row)
        self._feed.stage_card(tx, user, RoomId(item.room))

    def _has_room(self, tx: Tx, pk: int, hub: NodeId, by: UserId) -> bool:
        """Whether one more invitation is kept for this person. Contacts do not use up what strangers may leave."""
        known = contacts.find(tx, pk, by)
        if known is not None and known.state is ContactState.BLOCKED:
            return False
        of_person, of_hub = contacts.count_offers(tx, pk, hub)
        if of_person >= limits.OFFERS_OPEN_MAX or of_hub >= limits.OFFERS_PER_HUB_MAX:
            return False
        return (known is not None and known.state is ContactState.CONTACT) or self._strangers.affords(pk)

    def withdrawn(self, tx: Tx, peer: Peer, item: Withdraw) -> None:
        """The hub takes an offer back, or has got the answer "no"."""
        user, room = UserId(item.user), RoomId(item.room)
        pk = self._users.find(tx, user)
        if pk is None:
            return
        found = contacts.offer(tx, pk, room)
        if found is not None and found.hub == peer.nid:
            contacts.drop_offer(tx, pk, room)
            self._feed.stage_card(tx, user, room)
        for said in pending.take_declines(tx, pk, peer.nid, room):  # also of an invitation that was read in the log
            tx.after_commit(lambda said=said: self._feed.waiting_gone(user, said))  # type: ignore[misc]


def _node_of(user: UserId) -> NodeId:
    try:
        return parse_user(user)[1]
    except ValueError:
        raise Rejected(Code.BAD_REQUEST, "This is not a user id.") from None
