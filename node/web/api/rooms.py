"""Rooms over HTTP: lists, members, events, history, read marks, links. The same services as the device socket uses."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import CLIENT_ID_BYTES, ClientId, EventId, RoomId, UserId, format_id, format_node, parse_id
from node.core import content
from node.services.actor import Actor
from node.services.invites import Invites
from node.services.post import Post
from node.services.posting import Posting
from node.services.receipts import Receipts
from node.services.rooms import RoomBook
from node.services.sync import HistoryPage, Sync
from node.storage.log import Appended
from node.web.api import bodies
from node.web.api.links import Origins, to_link
from node.web.api.paths import number_in, room_in
from node.web.api.people import person
from node.web.endpoints import Access, Call, endpoint
from node.wire import api, c2s
from node.wire.envelope import decode_event

_CALLS: dict[str, Literal["everybody", "admins", "nobody"]] = {
    "everybody": "everybody",
    "admins": "admins",
    "nobody": "nobody",
}
_STATES: dict[str, Literal["member", "invited", "left"]] = {"member": "member", "invited": "invited", "left": "left"}
_POSTING = (
    Code.NOT_FOUND, Code.NOT_MEMBER, Code.ROLE_TOO_LOW, Code.MUTED, Code.GONE, Code.WINDOW_CLOSED, Code.ALREADY_DONE,
    Code.CONFLICT, Code.LIMIT_REACHED, Code.NOT_HUB, Code.UNSUPPORTED, Code.INVITE_INVALID, Code.INVITE_USED_UP, Code.EXPIRED,
    Code.BLOCKED, Code.CONSENT_NEEDED,
)  # fmt: skip


class HistoryQuery(api.base.Request, frozen=True, kw_only=True):
    """Before `idx` (exclusive; 0 = the end) downwards if `back`, else from `idx` upwards."""

    idx: api.rooms.Int = 0
    back: bool = True
    limit: Annotated[int, Meta(ge=1, le=limits.PAGE_ENTRIES_MAX)] = limits.SYNC_PAGE_ENTRIES


class RoomResource:
    """``/rooms`` and ``/links``."""

    def __init__(
        self,
        *,
        book: RoomBook,
        posting: Posting,
        sync: Sync,
        receipts: Receipts,
        invites: Invites,
        origins: Origins,
    ) -> None:
        self._book = book
        self._posting = posting
        self._sync = sync
        self._receipts = receipts
        self._invites = invites
        self._origins = origins

    # --- rooms ------------------------------------------------------------------------------------------

    @endpoint("GET", "/rooms", answer=api.rooms.Rooms, access=Access.USER)
    async def list_rooms(self, call: Call[None]) -> api.rooms.Rooms:
        """Every chat and open invitation of the account, latest first."""
        return api.rooms.Rooms(rooms=[self._room(call.actor, card) for card in self._book.cards(call.actor)])

    @endpoint("GET", "/rooms/{room}", answer=api.rooms.Room, access=Access.USER, errors=(Code.NOT_FOUND,))
    async def show_room(self, call: Call[None]) -> api.rooms.Room:
        """One chat, with what the account may do in it."""
        return self._room(call.actor, self._book.card(call.actor, room_in(call)))

    @endpoint(
        "POST",
        "/rooms",
        request=api.rooms.CreateRoom,
        answer=api.rooms.Room,
        access=Access.USER,
        errors=(Code.NOT_FOUND, Code.LIMIT_REACHED, Code.ALREADY_DONE),
    )
    async def create_room(self, call: Call[api.rooms.CreateRoom]) -> api.rooms.Room:
        """A new group. The guests are invited; they are members once they accept."""
        body = call.body
        create = {"name": body.name, "topic": body.topic} if body.topic else {"name": body.name}
        post = Post(b"", _client_id(body.client_id), "create", bodies.encode("create", create), tuple(body.guests))
        entry = await self._posting.post(call.actor, post)
        return self._room(call.actor, self._book.card(call.actor, entry.room))

    @endpoint(
        "POST",
        "/rooms/direct",
        request=api.rooms.OpenDirect,
        answer=api.rooms.Room,
        access=Access.USER,
        errors=(Code.NOT_FOUND, Code.LIMIT_REACHED),
    )
    async def open_direct(self, call: Call[api.rooms.OpenDirect]) -> api.rooms.Room:
        """The direct chat with somebody, made when it does not exist. The other sees it with the first message."""
        room = await self._posting.open_direct(call.actor, UserId(call.body.user))
        return self._room(call.actor, self._book.card(call.actor, room))

    @endpoint(
        "GET",
        "/rooms/{room}/members",
        answer=api.rooms.Members,
        access=Access.USER,
        errors=(Code.NOT_FOUND, Code.NOT_MEMBER),
    )
    async def list_members(self, call: Call[None]) -> api.rooms.Members:
        """Who is in the chat and how far they read, who is invited, and who is banned (for those who may unban)."""
        found = self._book.members(self._book.access(call.actor, room_in(call)))
        return api.rooms.Members(
            members=[
                api.rooms.Member(
                    user=member.user,
                    local=_local(member.user),
                    name=member.name or _local(member.user),
                    role=member.role,
                    joined_ms=member.joined_ms,
                    muted_until_ms=member.muted_until_ms,
                    delivered_idx=member.delivered_idx,
                    read_idx=member.read_idx,
                    read_ms=member.read_ms,
                    online=member.online,
                )
                for member in found.members
            ],
            invited=[
                api.rooms.Guest(
                    user=guest.user,
                    local=_local(guest.user),
                    name=guest.name or _local(guest.user),
                    by=guest.by,
                    at_ms=guest.at_ms,
                )
                for guest in found.invited
            ],
            nodes_banned=[
                api.rooms.BannedNode(node=banned.node, by=banned.by, reason=banned.reason)
                for banned in found.nodes_banned
            ],
            banned=[
                api.rooms.Banned(
                    user=banned.user,
                    local=_local(banned.user),
                    name=banned.name or _local(banned.user),
                    by=banned.by,
                    until_ms=banned.until_ms,
                    reason=banned.reason,
                )
                for banned in found.banned
            ],
        )

    # --- events -----------------------------------------------------------------------------------------

    @endpoint(
        "POST",
        "/rooms/{room}/events",
        request=api.rooms.PostEvent,
        answer=api.rooms.Posted,
        access=Access.USER,
        errors=_POSTING,
    )
    async def post_event(self, call: Call[api.rooms.PostEvent]) -> api.rooms.Posted:
        """Appends an event of any kind. The answer means that it is on disk; a repeat gets the first answer."""
        body = call.body
        data = bodies.encode(body.kind, body.body)
        return _posted(
            await self._posting.post(call.actor, Post(room_in(call), _client_id(body.client_id), body.kind, data))
        )

    @endpoint(
        "GET",
        "/rooms/{room}/history",
        request=HistoryQuery,
        answer=api.rooms.History,
        access=Access.USER,
        errors=(Code.NOT_FOUND,),
    )
    async def read_history(self, call: Call[HistoryQuery]) -> api.rooms.History:
        """A page of the log in rising idx, each message in its present state."""
        query = call.body
        access = self._book.access(call.actor, room_in(call))
        return _history(self._sync.history(access, query.idx, query.limit, back=query.back))

    @endpoint(
        "POST",
        "/rooms/{room}/read",
        request=api.rooms.ReadUpTo,
        answer=api.base.Empty,
        access=Access.USER,
        errors=(Code.NOT_FOUND,),
    )
    async def mark_read(self, call: Call[api.rooms.ReadUpTo]) -> api.base.Empty:
        """The account has read the chat up to `idx`; the mark never moves back."""
        await self._receipts.read_now(self._book.access(call.actor, room_in(call)), call.body.idx)
        return api.base.Empty()

    # --- links ------------------------------------------------------------------------------------------

    @endpoint(
        "GET",
        "/rooms/{room}/links",
        answer=api.rooms.Links,
        access=Access.USER,
        errors=(Code.NOT_FOUND, Code.NOT_MEMBER, Code.ROLE_TOO_LOW),
    )
    async def list_links(self, call: Call[None]) -> api.rooms.Links:
        """Live links into the chat, newest first."""
        return api.rooms.Links(links=[to_link(row) for row in self._invites.links(call.actor, room_in(call))])

    @endpoint(
        "POST",
        "/rooms/{room}/links",
        request=api.rooms.MakeLink,
        answer=api.rooms.Link,
        access=Access.USER,
        errors=(Code.NOT_FOUND, Code.NOT_MEMBER, Code.ROLE_TOO_LOW, Code.LIMIT_REACHED),
    )
    async def make_link(self, call: Call[api.rooms.MakeLink]) -> api.rooms.Link:
        """A link into the chat; it and its token are shown only now."""
        room, body = room_in(call), call.body
        made = await self._invites.make_link(
            call.actor, room, expires_s=body.expires_s, uses=body.uses, onboards=body.onboards
        )
        hint = self._book.card(call.actor, room).name
        url = self._invites.room_url(self._origins.of(call), made.token, room, hint=hint)
        return to_link(made.row, url=url, token=made.text)

    @endpoint(
        "DELETE",
        "/rooms/{room}/links/{id}",
        answer=api.base.Empty,
        access=Access.USER,
        errors=(Code.NOT_FOUND, Code.NOT_MEMBER, Code.ROLE_TOO_LOW),
    )
    async def revoke_link(self, call: Call[None]) -> api.base.Empty:
        """A link works no more."""
        await self._invites.revoke_link(call.actor, room_in(call), number_in(call))
        return api.base.Empty()

    @endpoint(
        "POST",
        "/links/join",
        request=api.rooms.JoinByLink,
        answer=api.rooms.Posted,
        access=Access.USER,
        errors=_POSTING,
    )
    async def join_by_link(self, call: Call[api.rooms.JoinByLink]) -> api.rooms.Posted:
        """Enters the chat that a link leads to."""
        token, room = self._invites.room_link(call.body.token)
        data = bodies.encode("join", {"via": "link"})
        post = Post(room, _client_id(call.body.client_id), "join", data, token=token)
        return _posted(await self._posting.post(call.actor, post))

    def _room(self, actor: Actor, card: c2s.Card) -> api.rooms.Room:
        peer = None
        if card.peer:
            named = self._sync.people({UserId(card.peer)})
            peer = person(card.peer, named[0].name if named else "")
        return api.rooms.Room(
            room=format_id(card.room),
            kind="direct" if card.kind == "direct" else "group",
            name=card.name,
            topic=card.topic,
            hub=format_node(card.hub),
            peer=peer,
            role=card.role,
            state=_STATES[card.state],
            muted_all=card.muted_all,
            muted_until_ms=card.muted_until_ms,
            recall_window_s=card.recall_window_s,
            edit_window_s=card.edit_window_s,
            calls=_CALLS[card.calls],
            members=card.members,
            joined_idx=card.joined_idx,
            head_idx=card.head_idx,
            read_idx=card.read_idx,
            unread=card.unread,
            mentions=card.mentions,
            can=[capability.value for capability in self._book.can(actor, RoomId(card.room))],
        )


def _client_id(text: str) -> ClientId:
    try:
        return ClientId(parse_id(text, CLIENT_ID_BYTES))
    except ValueError as error:
        raise Rejected(Code.BAD_REQUEST, f"The client id is not valid: {error}.", field="client_id") from None


def _local(user: str) -> str:
    return user.partition("@")[0]


def _posted(entry: Appended) -> api.rooms.Posted:
    return api.rooms.Posted(
        room=format_id(entry.room), idx=entry.idx, seq=entry.seq, event_id=format_id(entry.event_id), at_ms=entry.at_ms
    )


def _history(page: HistoryPage) -> api.rooms.History:
    marks = {mark.idx: mark for mark in page.marks}
    entries = []
    for raw in page.entries:
        entry = c2s.decode_entry(bytes(raw))
        event = decode_event(entry.event)
        mark = marks.get(entry.idx)
        edited = None if mark is None or mark.edited is None else content.encode_body(mark.edited)
        entries.append(
            api.rooms.Entry(
                idx=entry.idx,
                seq=entry.seq,
                at_ms=entry.at_ms,
                event_id=format_id(EventId(entry.event_id)),
                author=event.author,
                device=format_id(event.device) if event.device else "",
                kind=event.kind,
                body=None if entry.body is None else bodies.decode(event.kind, entry.body),
                edits=0 if mark is None else mark.edits,
                edited=None if edited is None else bodies.decode("edit", edited),
                erased="" if mark is None else mark.erased,
                erased_by="" if mark is None or mark.erased_by is None else mark.erased_by,
                reason="" if mark is None else mark.reason,
                reactions={} if mark is None else {value: list(users) for value, users in mark.reactions.items()},
            )
        )
    return api.rooms.History(entries=entries, more=page.more)
