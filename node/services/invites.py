"""Invitations by token: accounts, rooms, new passwords. Checked and spent in the transaction of their effect.

A token is 16 random bytes, written as 22 characters of base64url; the database knows its SHA-256 only. Who holds a
token of a room link may open an account with it (if the link `onboards`) and then enters the room with the same
token: entering spends the use, and a link opens at most as many accounts as it has uses.
"""

from __future__ import annotations

import hashlib
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, format_id, parse_id
from node.core.account import ADMIN_ROLES, NodeRole
from node.core.roles import Capability
from node.core.room import require
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.services.access import access_room
from node.services.actor import Actor
from node.storage.audit import AuditLine, AuditStore
from node.storage.database import Database, Tx
from node.storage.invites import ACCOUNT, CONTACT, RESET, ROOM, InviteRow, InviteStore, NewInvite
from node.storage.rooms import Rooms
from node.wire import address

RESET_EXPIRY_S: Final = 30 * 60  # an admin hands it over at once
_ROLES: Final = frozenset({NodeRole.USER, NodeRole.ADMIN, NodeRole.BOT})


class Made(Struct, frozen=True):
    """An invitation and its token, which is told only now."""

    row: InviteRow
    token: bytes

    @property
    def text(self) -> str:
        """The token as people copy it."""
        return format_id(self.token)


class Preview(Struct, frozen=True):
    """What a link says about its room."""

    room: RoomId
    name: str
    topic: str
    members: int


class Inspected(Struct, frozen=True):
    """What a holder of a token may know. `local` is the account of a reset."""

    row: InviteRow
    local: str
    room: Preview | None


class Invites:
    """Makes, checks and revokes invitations. Implements `services.posting.RoomLinks`."""

    def __init__(self, *, db: Database, rooms: Rooms, clock: Clock, entropy: Entropy, node: NodeId) -> None:
        self._db = db
        self._rooms = rooms
        self._clock = clock
        self._entropy = entropy
        self._node = node
        self._store = InviteStore()
        self._audit = AuditStore()

    # --- accounts ---------------------------------------------------------------------------------------

    async def owner_invite(self) -> str | None:
        """A one-time token that makes the owner, as text; earlier ones stop working. None once there is an owner."""
        token = self._token()

        def write(tx: Tx) -> bool:
            if self._store.has_owner(tx):
                return False
            now_ms = self._clock.now_ms()
            self._store.revoke_role(tx, NodeRole.OWNER, now_ms)
            new = NewInvite(kind=ACCOUNT, token_hash=digest(token), role=NodeRole.OWNER)
            self._store.insert(tx, new, now_ms)
            return True

        return format_id(token) if await self._db.write(write) else None

    async def make_account(self, actor: Actor, *, role: NodeRole, expires_s: int, uses: int) -> Made:
        """An invitation to open an account with `role`. Only the owner appoints admins. Raises Rejected."""
        require_admin(actor)
        if role not in _ROLES:
            raise Rejected(Code.BAD_REQUEST, "An invitation gives the role user, node_admin or bot.", field="role")
        if role is NodeRole.ADMIN and actor.account_role is not NodeRole.OWNER:
            raise Rejected(Code.ROLE_TOO_LOW, "Only the node's owner appoints admins.", role_needed=NodeRole.OWNER)
        _check_terms(expires_s, uses)
        token = self._token()

        def write(tx: Tx) -> InviteRow:
            now_ms = self._clock.now_ms()
            self._check_count(tx, ACCOUNT, limits.INVITES_LIVE_MAX, now_ms)
            new = NewInvite(
                kind=ACCOUNT,
                token_hash=digest(token),
                role=role,
                made_by=actor.user_pk,
                expires_ms=_expiry(now_ms, expires_s),
                uses_max=uses,
            )
            row = self._store.insert(tx, new, now_ms)
            self._audit.add(tx, AuditLine(now_ms, actor.user, "invite.make", str(row.id)))
            return row

        return Made(await self._db.write(write), token)

    def accounts(self, actor: Actor) -> list[InviteRow]:
        """Live account invitations, newest first; not the owner's own."""
        require_admin(actor)
        live = self._db.view(lambda tx: self._store.live(tx, ACCOUNT, self._clock.now_ms()))
        return [row for row in live if row.role != NodeRole.OWNER]

    async def revoke_account(self, actor: Actor, number: int) -> None:
        """An account invitation works no more. Raises Rejected."""
        require_admin(actor)

        def write(tx: Tx) -> None:
            row = self._store.by_id(tx, number)
            if row is None or row.kind != ACCOUNT or row.role == NodeRole.OWNER:
                raise Rejected(Code.NOT_FOUND, "There is no such invitation.")
            now_ms = self._clock.now_ms()
            self._store.revoke(tx, number, now_ms)
            self._audit.add(tx, AuditLine(now_ms, actor.user, "invite.revoke", str(number)))

        await self._db.write(write)

    async def make_reset(self, actor: Actor, local: str) -> Made:
        """A link, good once and for 30 minutes, to set a new password for the account `local`. Raises Rejected."""
        require_admin(actor)
        token = self._token()

        def write(tx: Tx) -> InviteRow:
            account = self._store.account(tx, local)
            if account is None:
                raise Rejected(Code.NOT_FOUND, "There is no such account.", field="user")
            pk, role = account
            check_reach(actor, role)
            now_ms = self._clock.now_ms()
            self._store.revoke_resets(tx, pk, now_ms)
            new = NewInvite(
                kind=RESET,
                token_hash=digest(token),
                account=pk,
                made_by=actor.user_pk,
                expires_ms=now_ms + RESET_EXPIRY_S * 1000,
            )
            self._audit.add(tx, AuditLine(now_ms, actor.user, "account.reset", local))
            return self._store.insert(tx, new, now_ms)

        return Made(await self._db.write(write), token)

    # --- rooms ------------------------------------------------------------------------------------------

    async def make_link(self, actor: Actor, room: RoomId, *, expires_s: int, uses: int, onboards: bool) -> Made:
        """A link into a room, for those who may (admins of the room). Raises Rejected."""
        _check_terms(expires_s, uses)
        token = self._token()

        def write(tx: Tx) -> InviteRow:
            now_ms = self._clock.now_ms()
            room_pk = self._may_link(tx, actor, room, now_ms)
            self._check_count(tx, ROOM, limits.ROOM_LINKS_MAX, now_ms, room=room_pk)
            new = NewInvite(
                kind=ROOM,
                token_hash=digest(token),
                room=room_pk,
                onboards=onboards,
                made_by=actor.user_pk,
                expires_ms=_expiry(now_ms, expires_s),
                uses_max=uses,
            )
            return self._store.insert(tx, new, now_ms)

        return Made(await self._db.write(write), token)

    def links(self, actor: Actor, room: RoomId) -> list[InviteRow]:
        """Live links of a room, newest first. Raises Rejected."""

        def look(tx: Tx) -> list[InviteRow]:
            now_ms = self._clock.now_ms()
            return self._store.live(tx, ROOM, now_ms, room=self._may_link(tx, actor, room, now_ms))

        return self._db.view(look)

    async def revoke_link(self, actor: Actor, room: RoomId, number: int) -> None:
        """A link works no more. Raises Rejected."""

        def write(tx: Tx) -> None:
            now_ms = self._clock.now_ms()
            room_pk = self._may_link(tx, actor, room, now_ms)
            row = self._store.by_id(tx, number)
            if row is None or row.kind != ROOM or row.room != room_pk:
                raise Rejected(Code.NOT_FOUND, "There is no such link.")
            self._store.revoke(tx, number, now_ms)

        await self._db.write(write)

    def room_link(self, text: str) -> tuple[bytes, RoomId]:
        """(token, room) of a live room link, for whoever then posts the join. Raises Rejected."""
        token = parse_token(text)

        def look(tx: Tx) -> RoomId:
            room = self._store.room_of(tx, self._live(tx, token, self._clock.now_ms(), ROOM))
            if room is None:
                raise _invalid()
            return room

        return token, self._db.view(look)

    def room_of(self, tx: Tx, token: bytes, now_ms: int) -> int:
        """The number of the room a live link leads to. Raises Rejected."""
        return self._live(tx, token, now_ms, ROOM).room

    def spend(self, tx: Tx, token: bytes, now_ms: int) -> None:
        """Takes one use of a live room link. Raises Rejected."""
        self._store.spend(tx, self._live(tx, token, now_ms, ROOM).id)

    # --- for those who hold a token ---------------------------------------------------------------------

    # --- contacts ---------------------------------------------------------------------------------------

    async def make_contact(self, actor: Actor) -> Made:
        """A link for one person on another node to become a contact of `actor`. Raises Rejected."""
        token = self._token()

        def write(tx: Tx) -> InviteRow:
            now_ms = self._clock.now_ms()
            live = self._store.live_of(tx, CONTACT, now_ms, actor.user_pk)
            if live >= limits.CONTACT_LINKS_MAX:
                raise Rejected(
                    Code.LIMIT_REACHED, "You have 50 contact links that nobody used yet; take one back first.",
                    limit=limits.CONTACT_LINKS_MAX,
                )  # fmt: skip
            new = NewInvite(
                kind=CONTACT, token_hash=digest(token), account=actor.user_pk, made_by=actor.user_pk,
                expires_ms=now_ms + limits.INVITE_EXPIRY_S_DEFAULT * 1000,
            )  # fmt: skip
            return self._store.insert(tx, new, now_ms)

        return Made(await self._db.write(write), token)

    def spend_contact(self, tx: Tx, token: bytes, now_ms: int) -> int:
        """Takes the use of a live contact link and says whose account it leads to. Raises Rejected."""
        row = self._live(tx, token, now_ms, CONTACT)
        self._store.spend(tx, row.id)
        return row.account

    def inspect(self, text: str) -> Inspected:
        """What a live token is good for. Raises Rejected."""
        token = parse_token(text)

        def look(tx: Tx) -> Inspected:
            row = self._live(tx, token, self._clock.now_ms())
            local = self._store.local_of(tx, row.account) if row.kind == RESET else ""
            return Inspected(row, local, self._preview(tx, row))

        return self._db.view(look)

    def for_account(self, tx: Tx, token: bytes, now_ms: int) -> InviteRow:
        """A live invitation that may open an account. Raises Rejected. The caller spends account invitations."""
        row = self._live(tx, token, now_ms)
        match row.kind:
            case "account":
                return row
            case "room" if row.onboards:
                if self._store.accounts_opened(tx, row.id) >= row.uses_max:
                    raise _used_up()
                return row
            case _:
                raise Rejected(Code.INVITE_INVALID, "This invitation does not open an account.", field="token")

    def for_reset(self, tx: Tx, token: bytes, now_ms: int) -> InviteRow:
        """A live token that sets a password. Raises Rejected."""
        return self._live(tx, token, now_ms, RESET)

    def spend_account(self, tx: Tx, row: InviteRow) -> None:
        """Takes the use of an account invitation or of a reset; room links are spent by entering."""
        if row.kind != ROOM:
            self._store.spend(tx, row.id)

    def end_resets(self, tx: Tx, account: int, now_ms: int) -> None:
        """The password was changed: no older link may change it again."""
        self._store.revoke_resets(tx, account, now_ms)

    # --- inside -----------------------------------------------------------------------------------------

    def _live(self, tx: Tx, token: bytes, now_ms: int, kind: str = "") -> InviteRow:
        row = self._store.find(tx, digest(token))
        if row is None or row.revoked_ms or (kind and row.kind != kind):
            raise _invalid()
        if row.expires_ms and row.expires_ms <= now_ms:
            raise Rejected(Code.EXPIRED, "This invitation has expired; ask for a new one.", field="token")
        if row.uses >= row.uses_max:
            raise _used_up()
        return row

    def _preview(self, tx: Tx, row: InviteRow) -> Preview | None:
        room = self._store.room_of(tx, row) if row.kind == ROOM else None
        found = None if room is None else self._rooms.peek(tx, room)
        if found is None:
            return None
        state = found.state
        return Preview(found.room, state.name, state.topic, len(state.members))

    def _may_link(self, tx: Tx, actor: Actor, room: RoomId, now_ms: int) -> int:
        access = access_room(tx, self._rooms, actor, room)
        require(access.row.state, actor.user, Capability.LINK, now_ms)
        return access.row.pk

    def _check_count(self, tx: Tx, kind: str, most: int, now_ms: int, *, room: int = 0) -> None:
        used = self._store.count_live(tx, kind, now_ms, room=room)
        if used >= most:
            text = f"There are {used} live invitations; revoke one before making another."
            raise Rejected(Code.LIMIT_REACHED, text, limit=most, used=used)

    def _token(self) -> bytes:
        return self._entropy.token_bytes(limits.INVITE_TOKEN_BYTES)

    # --- links as text ----------------------------------------------------------------------------------

    def account_url(self, origin: str, token: bytes, *, hint: str, local: str = "") -> str:
        """The link people open; with `local` it is a password link."""
        return address.format_link(origin, address.account_invitation(self._node, token, hint=hint, local=local))

    def room_url(self, origin: str, token: bytes, room: RoomId, *, hint: str) -> str:
        """The link into a room."""
        return address.format_link(origin, address.room_invitation(self._node, token, room=room, hint=hint))


def digest(token: bytes) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token).digest()


def parse_token(text: str) -> bytes:
    """The bytes of a token as text. Raises Rejected with `invite_invalid`."""
    try:
        return parse_id(text, limits.INVITE_TOKEN_BYTES)
    except ValueError:
        raise _invalid() from None


def require_admin(actor: Actor) -> None:
    """Raises Rejected unless the account administers the node."""
    if actor.account_role not in ADMIN_ROLES:
        raise Rejected(Code.ROLE_TOO_LOW, "Only admins of this node can do this.", role_needed=NodeRole.ADMIN)


def check_reach(actor: Actor, role: NodeRole) -> None:
    """Raises Rejected if an account with `role` is out of the admin's reach: only the owner changes admins."""
    if role in ADMIN_ROLES and actor.account_role is not NodeRole.OWNER:
        raise Rejected(Code.ROLE_TOO_LOW, "Only the node's owner can do this to an admin.", role_needed=NodeRole.OWNER)


def _expiry(now_ms: int, expires_s: int) -> int:
    return now_ms + expires_s * 1000 if expires_s else 0


def _check_terms(expires_s: int, uses: int) -> None:
    if not 0 <= expires_s <= limits.INVITE_EXPIRY_S_MAX:
        raise Rejected(
            Code.BAD_REQUEST, "An invitation lasts at most a year.", field="expires_s", limit=limits.INVITE_EXPIRY_S_MAX
        )
    if not 1 <= uses <= limits.INVITE_USES_MAX:
        raise Rejected(
            Code.BAD_REQUEST, "An invitation has 1 to 1,000 uses.", field="uses", limit=limits.INVITE_USES_MAX
        )


def _invalid() -> Rejected:
    return Rejected(Code.INVITE_INVALID, "This invitation is not valid; ask for a new one.", field="token")


def _used_up() -> Rejected:
    return Rejected(Code.INVITE_USED_UP, "This invitation was used already; ask for a new one.", field="token")
