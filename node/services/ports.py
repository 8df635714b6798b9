"""What services ask of the edges: small Protocols, implemented above and wired in node/main.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from node.base.ids import DeviceId, NodeId, UserId
from node.storage.database import Tx
from node.storage.outbox import OutRow
from node.storage.peers import Peer
from node.wire.address import Place

if TYPE_CHECKING:  # verbs that need no sockets start faster without aiohttp
    from node.runtime.net import FrameSocket

__all__ = [
    "Candidate", "DeviceDoor", "NameDoor", "OutRow", "Peer", "PeerDoor", "PeerInbox", "PeerLinks", "PhraseKeeper",
    "Place", "Resolver", "Word",
]  # fmt: skip


class DeviceDoor(Protocol):
    """Open sockets of devices (`services.feed.Feed`)."""

    def end_device(self, device: DeviceId, code: str, text: str) -> None:
        """Tells the sockets of a device that was signed out why, and closes them, at once."""

    def of_device(self, device: DeviceId, user: UserId) -> Sequence[object]:
        """Its open sockets."""


class NameDoor(Protocol):
    """Whoever shows names of people to devices that are online."""

    def renaming(self, tx: Tx, user: UserId, name: str) -> None:
        """In the transaction that changes the name: what other nodes must hear of it."""

    def renamed(self, user: UserId, name: str) -> None:
        """`user` is called `name` now; it is on disk. Devices that are offline learn it from the feed position."""


class PhraseKeeper(Protocol):
    """The recovery phrase until its owner has written it down (`services.identity.Identity`)."""

    @property
    def phrase_pending(self) -> bool:
        """Whether it still waits."""

    def phrase(self) -> Sequence[str]:
        """The words. Raises Rejected with `already_done`."""

    def asked(self) -> Sequence[int]:
        """1-based places to type back. Raises Rejected with `already_done`."""

    def confirm(self, words: Mapping[int, str]) -> None:
        """Erases it if the words are right. Raises Rejected with `phrase_mismatch`."""


# --- other nodes ----------------------------------------------------------------------------------------


class PeerLinks(Protocol):
    """Links to other nodes (`federation.service.Federation`)."""

    def wake(self, nid: NodeId) -> None:
        """Something is in the outbox for `nid`: sends it if there is a link, else begins to dial."""

    def whisper(self, nid: NodeId, topic: str, body: bytes) -> bool:
        """Sends something that is never stored. False when there is no link or the link is busy; then it is lost."""

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        """The answer of `nid`, over an open link. Raises Rejected: the peer's own code, or `peer_offline`."""

    def linked(self, nid: NodeId) -> bool:
        """Whether there is a link now."""

    async def reach(
        self, nid: NodeId | None, *, domain: str = "", places: Sequence[Place] = (), admit: bool = False
    ) -> NodeId:
        """Opens a link now and says who is there; without `nid`, whoever owns `domain`. For a first contact. `admit`: an admin wants
        it, so that node is allowed where only allowed nodes are talked to.

        Raises Rejected: `peer_unreachable`, `key_changed`, `node_blocked`.
        """


class PeerInbox(Protocol):
    """What arrives from other nodes and what becomes of it (`services.exchange.Exchange`)."""

    def prepare(self, peer: Peer, cls: int, body: bytes) -> object:
        """Decodes and checks signatures, before the transaction. Items before this one may not be applied yet.

        Raises RemoteError or Rejected: the item is put into quarantine, the peer is told, the queue goes on.
        """

    def apply(self, tx: Tx, peer: Peer, item: object) -> None:
        """The effect, in the transaction that moves the cursor. Raises Rejected before its first change: as above."""

    def applied(self, peer: Peer, count: int) -> None:
        """`count` items are on disk."""

    def nacked(self, tx: Tx, peer: Peer, cls: int, body: bytes, code: str) -> None:
        """The peer refused one of ours, or it is given up (code `undeliverable`): tell its author."""

    def linked(self, peer: Peer) -> None:
        """There is a link where there was none, or in the place of another one, on which things under way may have been lost."""

    def unlinked(self, peer: Peer) -> None:
        """The last link is gone."""

    def whisper(self, peer: Peer, topic: str, body: bytes) -> None:
        """Something unstored. Whatever is wrong with it is ignored."""

    async def serve(self, peer: Peer, method: str, args: bytes) -> bytes:
        """Answers a request. Raises Rejected."""

    def render(self, tx: Tx, peer: Peer, rows: Sequence[OutRow]) -> list[bytes | None]:
        """Bodies of rows that refer to entries, at the time they are sent; None when a row concerns the peer no more.

        A row with ``cls == HEAD`` stands for all entries of its room up to `idx`: its body is the head (room, idx, hash).
        """


class Candidate(Struct, frozen=True):
    """Where a node may be: ``ws://host:port/s2s`` or ``wss://…``."""

    url: str
    source: str
    check_certificate: bool = False
    lan: bool = False


class Word(Struct, frozen=True):
    """What became of asking one source, for somebody who wants to know how a node is looked for."""

    source: str
    text: str
    fine: bool = True  # it had something to say


class Resolver(Protocol):
    """Finds nodes (`discovery.resolver.Resolver`)."""

    def find(self, *, nid: NodeId, places: Sequence[Place] = (), domain: str = "") -> AsyncIterator[Candidate]:
        """Addresses to try, in the order in which to race them. Ends when there are no more."""

    async def who_owns(self, domain: str) -> NodeId:
        """The node that `domain` names. Raises Rejected: `peer_unreachable`, `key_changed`."""


class PeerDoor(Protocol):
    """Takes connections of other nodes (`federation.listener.Listener`)."""

    def admit(self, address: str) -> None:
        """Before the upgrade. Raises Rejected with `rate_limited`, or `upgrading` while stopping."""

    async def handle(self, socket: FrameSocket, certificate: bytes | None) -> None:
        """Serves the connection to its end. `certificate` is SHA-256 of the TLS leaf served, None without TLS of ours."""

    def stop(self) -> None:
        """The web server goes: every connection it took is told."""
