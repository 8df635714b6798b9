"""People on other nodes: contacts and questions, addresses and links, and posts that another node refused."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from node.base.errors import Code, Rejected
from node.base.ids import CLIENT_ID_BYTES, EVENT_ID_BYTES, ClientId, EventId, format_id, format_node, parse_id
from node.services.contacts import Contact, Contacts
from node.services.forwarding import Forwarding
from node.services.introductions import Introduction, Introductions
from node.services.invites import Invites
from node.services.post import Post
from node.services.posting import Posting
from node.services.successors import Successors
from node.storage.database import Database
from node.web.api import bodies
from node.web.api.links import Origins, to_link
from node.web.api.paths import room_in, user_in
from node.web.api.people import person
from node.web.endpoints import Access, Call, endpoint
from node.wire import address, api

HTTPS_PORT: Final = 443
_REACHING = (
    Code.NAME_INVALID, Code.INVITE_INVALID, Code.PEER_UNREACHABLE, Code.PEER_OFFLINE, Code.KEY_CHANGED, Code.NODE_BLOCKED,
)  # fmt: skip
_ASKING = (*_REACHING, Code.ALREADY_DONE, Code.LIMIT_REACHED, Code.RATE_LIMITED, Code.TOO_LARGE, Code.NOT_FOUND)


class ContactResource:
    """``/contacts``, ``/introductions``, ``/waiting``."""

    def __init__(
        self, *, db: Database, contacts: Contacts, introductions: Introductions, invites: Invites, posting: Posting,
        forwarding: Forwarding, successors: Successors, origins: Origins,
    ) -> None:  # fmt: skip
        self._db = db
        self._contacts = contacts
        self._introductions = introductions
        self._invites = invites
        self._posting = posting
        self._forwarding = forwarding
        self._successors = successors
        self._origins = origins

    @endpoint("GET", "/contacts", answer=api.people.Contacts, access=Access.USER)
    async def list_contacts(self, call: Call[None]) -> api.people.Contacts:
        """People on other nodes the account has to do with, questions included, newest first."""
        return api.people.Contacts(contacts=[self._shown(contact) for contact in self._contacts.of(call.actor)])

    @endpoint(
        "POST",
        "/introductions",
        request=api.people.Meet,
        answer=api.people.Introduction,
        access=Access.USER,
        errors=_REACHING,
    )
    async def meet(self, call: Call[api.people.Meet]) -> api.people.Introduction:
        """Who or what an address or link leads to; connects to that node and changes nothing."""
        return self._introduced(await self._introductions.meet(call.body.address))

    @endpoint(
        "POST",
        "/contacts",
        request=api.people.AskContact,
        answer=api.people.Contact,
        access=Access.USER,
        errors=_ASKING,
    )
    async def ask(self, call: Call[api.people.AskContact]) -> api.people.Contact:
        """Asks somebody on another node whether one may write to them; a contact link is a yes given in advance."""
        found = await self._introductions.meet(call.body.address)
        if found.kind != "person":
            raise Rejected(
                Code.INVITE_INVALID, "This link leads to a chat or an account, not to a person.", field="address"
            )
        return self._shown(await self._contacts.ask(call.actor, found.user, call.body.text, found.token))

    @endpoint(
        "POST", "/contacts/{user}/accept", answer=api.people.Contact, access=Access.USER, errors=(Code.NOT_FOUND,)
    )
    async def accept(self, call: Call[None]) -> api.people.Contact:
        """Says yes to a question."""
        return self._shown(await self._contacts.accept(call.actor, user_in(call)))

    @endpoint(
        "POST", "/contacts/{user}/ignore", answer=api.people.Contact, access=Access.USER, errors=(Code.NOT_FOUND,)
    )
    async def ignore(self, call: Call[None]) -> api.people.Contact:
        """Hides a question; who asked is not told."""
        return self._shown(await self._contacts.ignore(call.actor, user_in(call)))

    @endpoint("POST", "/contacts/{user}/block", answer=api.people.Contact, access=Access.USER)
    async def block(self, call: Call[None]) -> api.people.Contact:
        """Takes nothing more from this person; they are not told."""
        return self._shown(await self._contacts.block(call.actor, user_in(call)))

    @endpoint("POST", "/contacts/{user}/unblock", answer=api.base.Empty, access=Access.USER, errors=(Code.NOT_FOUND,))
    async def unblock(self, call: Call[None]) -> api.base.Empty:
        """They may ask again."""
        await self._contacts.unblock(call.actor, user_in(call))
        return api.base.Empty()

    @endpoint("DELETE", "/contacts/{user}", answer=api.base.Empty, access=Access.USER, errors=(Code.NOT_FOUND,))
    async def remove(self, call: Call[None]) -> api.base.Empty:
        """They are strangers again; the chat stays readable."""
        await self._contacts.remove(call.actor, user_in(call))
        return api.base.Empty()

    @endpoint("POST", "/contact-links", answer=api.rooms.Link, access=Access.USER, errors=(Code.LIMIT_REACHED,))
    async def make_contact_link(self, call: Call[None]) -> api.rooms.Link:
        """A link, told only now, that makes one person on another node a contact without asking."""
        made = await self._invites.make_contact(call.actor)
        origin = self._origins.of(call)
        link = address.contact_invitation(
            self._introductions.node,
            made.token,
            local=call.actor.local,
            hint=call.actor.name,
            addresses=_places(origin),
        )
        return to_link(made.row, url=address.format_link(origin, link), token=made.text)

    @endpoint(
        "POST", "/introductions/join", request=api.people.JoinElsewhere, answer=api.rooms.Posted, access=Access.USER,
        errors=(*_REACHING, Code.LIMIT_REACHED, Code.ALREADY_DONE, Code.INVITE_USED_UP, Code.FORBIDDEN, Code.EXPIRED),
    )  # fmt: skip
    async def join(self, call: Call[api.people.JoinElsewhere]) -> api.rooms.Posted:
        """Enters the chat that a link of another node leads to; idx 0 while that node has not answered."""
        found = await self._introductions.meet(call.body.link)
        if found.kind != "room":
            raise Rejected(Code.INVITE_INVALID, "This link does not lead into a chat.", field="link")
        post = Post(
            found.room, _client_id(call.body.client_id), "join", bodies.encode("join", {"via": "link"}), token=found.token,
            hub=found.nid,
        )  # fmt: skip
        entry = await self._posting.post(call.actor, post)
        return api.rooms.Posted(
            room=format_id(entry.room),
            idx=entry.idx,
            seq=entry.seq,
            event_id=format_id(entry.event_id),
            at_ms=entry.at_ms,
        )

    @endpoint(
        "DELETE", "/waiting/{event}", answer=api.base.Empty, access=Access.USER, errors=(Code.NOT_FOUND, Code.CONFLICT)
    )
    async def dismiss(self, call: Call[None]) -> api.base.Empty:
        """Forgets a post that another node refused."""
        try:
            event = EventId(parse_id(call.match["event"], EVENT_ID_BYTES))
        except ValueError:
            raise Rejected(Code.NOT_FOUND, "There is no such message.") from None
        await self._db.write(lambda tx: self._forwarding.dismiss(tx, call.actor, event))
        return api.base.Empty()

    @endpoint(
        "POST", "/rooms/{room}/successor", answer=api.rooms.Successor, access=Access.USER,
        errors=(Code.NOT_FOUND, Code.CONFLICT, Code.ROLE_TOO_LOW, Code.LIMIT_REACHED),
    )  # fmt: skip
    async def succeed(self, call: Call[None]) -> api.rooms.Successor:
        """Lets a group whose node is gone go on as a new one on this node; everybody is invited. For its owner."""
        return api.rooms.Successor(room=format_id(await self._successors.make(call.actor, room_in(call))))

    def _shown(self, contact: Contact) -> api.people.Contact:
        return api.people.Contact(
            person=person(contact.user, contact.name),
            address=self._introductions.shown(contact.user),
            state=contact.state,  # type: ignore[arg-type]  # the same words
            text=contact.text,
            at_ms=contact.at_ms,
            room=format_id(contact.room),
        )

    def _introduced(self, found: Introduction) -> api.people.Introduction:
        return api.people.Introduction(
            kind=found.kind,  # type: ignore[arg-type]  # the same words
            node=format_node(found.nid),
            home=found.home,
            user=found.user,
            address=self._introductions.shown(found.user) if found.user else "",
            room=format_id(found.room) if found.room else "",
            hint=found.hint,
        )


def _places(origin: str) -> tuple[address.Place, ...]:
    """The address in an origin without a name: no other node can look it up, so the link carries it."""
    parts = urlsplit(origin)
    try:
        ip = ip_address(parts.hostname or "")
    except ValueError:
        return ()
    return (address.Place(ip.packed, parts.port or HTTPS_PORT),) if parts.scheme == "https" else ()


def _client_id(text: str) -> ClientId:
    try:
        return ClientId(parse_id(text, CLIENT_ID_BYTES))
    except ValueError as error:
        raise Rejected(Code.BAD_REQUEST, f"The client id is not valid: {error}.", field="client_id") from None
