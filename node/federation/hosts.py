"""Addresses of known peers: a call from one of them is not held to the bounds for strangers."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from node.storage.database import Tx
from node.storage.peers import PeerStore

HOSTS_REMEMBERED: Final = 4_096


class Hosts:
    """The last used ones."""

    def __init__(self, peers: PeerStore) -> None:
        self._peers = peers
        self._hosts: dict[str, None] = {}  # the last used at the end

    def __contains__(self, address: str) -> bool:
        return address in self._hosts

    def remember(self, address: str) -> None:
        """A known peer is there."""
        self._hosts.pop(address, None)
        self._hosts[address] = None
        if len(self._hosts) > HOSTS_REMEMBERED:
            del self._hosts[next(iter(self._hosts))]

    def load(self, tx: Tx) -> None:
        """What is on disk."""
        for row in self._peers.all(tx):
            if row.known:
                for address in self._peers.addresses(tx, row.pk):
                    self.remember(urlsplit(address.url).hostname or "")

    def clear(self) -> None:
        """Nobody is known."""
        self._hosts.clear()
