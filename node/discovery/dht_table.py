"""The contacts of a DHT node: the library's buckets, with rules about who may stand in them.

Everybody in here has answered a fresh random message id at the address it stands with. An endpoint has one entry, a
network (/24 or /48) two in a bucket and eight in the table. A bucket that is full keeps whom it has as long as they
answer (old contacts are the likely ones to stay); newcomers wait in its list of replacements.

What differs from the library: `nearest` is exact (the stock search stops at the first k it meets), the table has a
largest size, a replacement is pinged before it takes a place, and nothing here starts a task of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from kademlia.node import Node
from kademlia.routing import KBucket, RoutingTable

from node.base import limits
from node.discovery.proto.policy import Contact, Policy


def node_of(contact: Contact) -> Node:
    """As the library writes a contact."""
    return Node(contact.id, contact.ip, contact.port)


def contact_of(node: Node) -> Contact:
    """As this program writes it."""
    return Contact(node.id, node.ip, node.port)


class Table(RoutingTable):  # type: ignore[misc]
    """Verified contacts. `ping` is called for one to be checked; its owner then calls `add` or `remove`."""

    def __init__(self, own: Contact, *, policy: Policy, ping: Callable[[Contact], None]) -> None:
        self._policy = policy
        self._ping = ping
        self._ids: dict[tuple[str, int], bytes] = {}
        self._all: dict[bytes, Contact] = {}  # what the buckets hold, for the exact search
        self._places: dict[bytes, int] = {}
        super().__init__(None, limits.DHT_K, node_of(own))

    def contacts(self) -> list[Contact]:
        """Everybody."""
        return list(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, contact: Contact) -> bool:
        return self._all.get(contact.id) == contact

    def nearest(self, key: bytes, count: int = limits.DHT_K, *, but: tuple[str, int] | None = None) -> list[Contact]:
        """Exactly the `count` nearest to `key`, nearest first, without the endpoint `but`."""
        key_place = int.from_bytes(key, "big")
        order = sorted((place ^ key_place, node) for node, place in self._places.items())
        found = (self._all[node] for _, node in order)
        return list(islice((contact for contact in found if contact.endpoint != but), count))

    def add(self, contact: Contact) -> bool:
        """Takes in a contact that has just proved itself. Whether it is in the table now."""
        if contact.id == self.node.id or not self._policy.allows(contact):
            return False
        self._forget_other_id(contact)
        if self.is_new_node(node_of(contact)) and not self._has_room(contact):
            return False
        return self._place(contact)

    def remove(self, contact: Contact) -> None:
        """Takes out a contact that did not answer, unless its id answers elsewhere by now."""
        if contact not in self:
            return
        bucket = self._bucket(contact)
        del bucket.nodes[contact.id], self._all[contact.id], self._places[contact.id], self._ids[contact.endpoint]
        if bucket.replacement_nodes:
            self._ping(contact_of(bucket.replacement_nodes.popitem()[1]))

    def touch(self, contact: Contact) -> None:
        """It answered just now: the last to be checked."""
        self._bucket(contact).nodes.move_to_end(contact.id)

    def get_bucket_for(self, node: Node) -> int:
        """Index of its bucket; ranges include both ends (the stock search excludes the upper one, the split does not)."""
        return next(index for index, bucket in enumerate(self.buckets) if node.long_id <= bucket.range[1])

    def split_bucket(self, index: int) -> None:
        """In two. Replacements are forgotten: a split would make them contacts unasked."""
        self.buckets[index].replacement_nodes.clear()
        super().split_bucket(index)

    def _bucket(self, contact: Contact) -> KBucket:
        return self.buckets[self.get_bucket_for(node_of(contact))]

    def _forget_other_id(self, contact: Contact) -> None:
        """An endpoint that shows another id now, and an id that lives elsewhere now, have one entry: the new one."""
        other = self._ids.get(contact.endpoint)
        if other not in {None, contact.id}:
            self.remove(Contact(other or b"", *contact.endpoint))
        held = self._all.get(contact.id)
        if held is not None and held != contact:
            self.remove(held)

    def _has_room(self, contact: Contact) -> bool:
        network = self._policy.network_of(contact)
        beside = [contact_of(node) for node in self._bucket(contact).nodes.values()]
        return (
            self._count(self._all.values(), network) < limits.DHT_NETWORK_TABLE_MAX
            and self._count(beside, network) < limits.DHT_NETWORK_MAX
        )

    def _count(self, contacts: Iterable[Contact], network: bytes) -> int:
        return sum(self._policy.network_of(contact) == network for contact in contacts)

    def _place(self, contact: Contact) -> bool:
        node = node_of(contact)
        while True:
            index = self.get_bucket_for(node)
            bucket = self.buckets[index]
            if bucket.add_node(node):
                self._all[contact.id], self._places[contact.id] = contact, contact.place
                self._ids[contact.endpoint] = contact.id
                return True
            if not self._may_split(bucket):
                self._ping(contact_of(bucket.head()))
                return False
            self.split_bucket(index)

    def _may_split(self, bucket: KBucket) -> bool:
        """The bucket around the own id always; others to hold more of the network, while the table is small."""
        wide = bucket.range[1] - bucket.range[0] > 1
        roomy = len(self) < limits.DHT_CONTACTS_MAX and bucket.depth() % 5 != 0
        return wide and (bucket.has_in_range(self.node) or roomy)
