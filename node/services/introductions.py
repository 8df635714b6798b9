"""First contact: from what a person typed, pasted or scanned to a node that proved itself, and to who or what is meant there.

An address names a domain or carries the nid; a link carries the nid, a token and places to look. Either way the answer is only believed
after the link's handshake proved the nid (services/ports.py `PeerLinks.reach`). A link's name stays a hint, and nothing is spent here.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol

from msgspec import Struct

from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, UserId, format_node, make_user, parse_node, parse_user
from node.services.ports import PeerLinks
from node.storage.database import Database
from node.storage.peers import PeerStore
from node.wire.address import DomainAddress, KeyAddress, LinkKind, Place, check_domain, parse_address, parse_link


class Introduction(Struct, frozen=True, kw_only=True):
    """What an address or link leads to: a `user` (kind ``person``), a `room` of the hub `nid` (``room``), or a new account
    there (``account``). `home` is true when it is this node itself."""

    kind: str
    nid: NodeId
    home: bool = False
    user: UserId = UserId("")
    room: RoomId = RoomId(b"")
    hint: str = ""
    token: bytes = b""
    domain: str = ""


class Pins(Protocol):
    """Which domain belongs to which node (`services.peers.Peers`)."""

    async def pin_domain(self, nid: NodeId, domain: str, proof: str) -> None:
        """Both say so. Raises Rejected with `key_changed`."""


class Introductions:
    """Finds out who is meant. `links` and `pins` are set once the edges exist."""

    def __init__(self, *, db: Database, node: NodeId, peers: PeerStore) -> None:
        self._db = db
        self.node = node
        self._peers = peers
        self.links: PeerLinks | None = None
        self.pins: Pins | None = None

    async def meet(self, text: str, *, admit: bool = False) -> Introduction:
        """Of an address, a canonical user id or a link. Raises Rejected: `name_invalid`, `invite_invalid`, `peer_unreachable`…"""
        text = text.strip()
        if "/i#" in text:
            return await self._by_link(text, admit=admit)
        try:
            _, nid = parse_user(text)
        except ValueError:
            return await self._by_address(text, admit=admit)
        await self._reach(nid, admit=admit)
        return self._person(UserId(text), nid)

    async def meet_node(self, text: str, *, admit: bool = False) -> NodeId:
        """The node of a domain, nid, address or link, linked now; `admit` allows it first. Raises Rejected."""
        text = text.strip()
        if "@" in text or "/i#" in text:
            return (await self.meet(text, admit=admit)).nid
        try:
            return await self._reach(parse_node(text), admit=admit)
        except ValueError:
            return await self._reach_domain(check_domain(text.lower()), admit=admit)

    async def _by_address(self, text: str, *, admit: bool) -> Introduction:
        match parse_address(text):
            case KeyAddress(local, nid):
                await self._reach(nid, admit=admit)
                return self._person(make_user(local, nid), nid)
            case DomainAddress(local, domain):
                nid = await self._reach_domain(domain, admit=admit)
                return self._person(make_user(local, nid), nid, domain)

    async def _by_link(self, text: str, *, admit: bool) -> Introduction:
        host, invitation = parse_link(text)
        nid = NodeId(invitation.nid)
        home = nid == self.node
        if not home:
            domain, place = _where(host)
            await self._reach(nid, places=(*invitation.addresses, *place), domain=domain, admit=admit)
        match invitation.kind:
            case LinkKind.ROOM:
                return Introduction(
                    kind="room", nid=nid, home=home, room=RoomId(invitation.subject), hint=invitation.hint, token=invitation.token
                )  # fmt: skip
            case LinkKind.CONTACT:
                user = make_user(invitation.subject.decode(), nid)
                return Introduction(
                    kind="person", nid=nid, home=home, user=user, hint=invitation.hint, token=invitation.token
                )
            case LinkKind.ACCOUNT:
                return Introduction(kind="account", nid=nid, home=home, hint=invitation.hint, token=invitation.token)

    def _person(self, user: UserId, nid: NodeId, domain: str = "") -> Introduction:
        return Introduction(kind="person", nid=nid, home=nid == self.node, user=user, domain=domain)

    async def _reach_domain(self, domain: str, *, admit: bool) -> NodeId:
        """Domain and node name each other, else nobody is found: from now on they belong together."""
        nid = await self._reach(None, domain=domain, admit=admit)
        if self.pins is not None and nid != self.node:
            await self.pins.pin_domain(nid, domain, "typed")
        return nid

    async def _reach(
        self, nid: NodeId | None, *, domain: str = "", places: tuple[Place, ...] = (), admit: bool = False
    ) -> NodeId:
        if nid == self.node:
            return nid
        if self.links is None:
            raise Rejected(Code.PEER_UNREACHABLE, "This node does not connect to others now.")
        if nid is not None and self.links.linked(nid):
            return nid
        return await self.links.reach(nid, domain=domain, places=places, admit=admit)

    def shown(self, user: UserId) -> str:
        """The address of somebody as people write it: with the domain, if it is verified."""
        local, nid = parse_user(user)
        row = self._db.view(lambda tx: self._peers.find(tx, nid))
        domain = row.domain if row is not None and row.domain_state == "verified" else ""
        return f"{local}@{domain}" if domain else f"{local}@{format_node(nid)}.startalk.alt"


def _where(host: str) -> tuple[str, tuple[Place, ...]]:
    """The host of a link as a domain, or as an address to try: (domain, places)."""
    name, colon, port = host.rpartition(":")
    if not (colon and port.isdigit()):
        name, port = host, "443"
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return name, ()
    return "", (Place(address.packed, int(port)),)
