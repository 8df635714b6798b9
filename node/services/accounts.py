"""Accounts: opening one, signing in, passwords, names, what admins do to them. Sessions are in services/sessions.py.

Passwords are hashed on threads *between* two looks at the database, so whatever was seen before is asked again inside
the transaction that acts on it: two people with one invitation or one name race there, and one of them loses.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import DEVICE_ID_BYTES, DeviceId, NodeId, UserId, format_id, make_user, parse_user
from node.core.account import NodeRole, Registration, check_display_name, check_local_name, skeleton
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.metrics import Metrics
from node.services.actor import Actor
from node.services.invites import Invites, check_reach, parse_token, require_admin
from node.services.login_throttle import LoginThrottle
from node.services.passwords import Hashed, Passwords
from node.services.ports import NameDoor
from node.services.sessions import Origin, Sessions
from node.services.settings import Settings
from node.storage.accounts import AccountRow, AccountStore, AccountUse, NewAccount
from node.storage.audit import AuditLine, AuditStore
from node.storage.database import Database, Tx
from node.storage.log import Log
from node.storage.users import Users

CONSOLE_LOCAL: Final = "node"  # a reserved name, so nobody has this account
PAGE_MAX: Final = 100


class SignedIn(Struct, frozen=True):
    """A new session; the token is told only now."""

    actor: Actor
    token: str


class NewPerson(Struct, frozen=True, kw_only=True):
    """Who wants an account. `token` is an invitation as text, or empty."""

    local: str
    password: str
    name: str = ""
    lang: str = ""
    token: str = ""


class Accounts:
    """Opens, finds and changes accounts. Implements `services.posting.People`."""

    def __init__(
        self,
        *,
        db: Database,
        users: Users,
        log: Log,
        clock: Clock,
        entropy: Entropy,
        node: NodeId,
        passwords: Passwords,
        settings: Settings,
        invites: Invites,
        throttle: LoginThrottle,
        sessions: Sessions,
        names: NameDoor,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._log = log
        self._clock = clock
        self._entropy = entropy
        self._node = node
        self._passwords = passwords
        self._settings = settings
        self._invites = invites
        self._throttle = throttle
        self._sessions = sessions
        self._names = names
        self._metrics = metrics
        self._accounts = AccountStore(users=users)
        self._audit = AuditStore()

    # --- opening an account -----------------------------------------------------------------------------

    async def register(self, person: NewPerson, origin: Origin) -> SignedIn:
        """A new account, signed in on its first device. Raises Rejected."""
        local = check_local_name(person.local)
        name = check_display_name(person.name or local)
        token = parse_token(person.token) if person.token else b""
        password = self._passwords.check(person.password, local)
        self._db.view(lambda tx: self._admission(tx, local, token))
        hashed = await self._passwords.hash(password)
        secret = self._entropy.token_bytes(limits.TOKEN_BYTES)

        def write(tx: Tx) -> Actor:
            role, invite = self._admission(tx, local, token)
            now_ms = self._clock.now_ms()
            new = NewAccount(
                user=make_user(local, self._node),
                local=local,
                skeleton=skeleton(local),
                name=name,
                role=role,
                password=hashed.text,
                pepper=hashed.pepper,
                lang=person.lang,
                invited_by=invite,
            )
            if token:
                self._invites.spend_account(tx, self._invites.for_account(tx, token, now_ms))
            pk = self._accounts.insert(tx, new, now_ms)
            self._accounts.set_name(tx, pk, name, self._log.next_seq(tx))
            return self._sessions.open(tx, self._account(tx, pk), origin, secret)

        return SignedIn(await self._db.write(write), format_id(secret))

    def _admission(self, tx: Tx, local: str, token: bytes) -> tuple[NodeRole, int]:
        """(role, invitation) somebody may register with now. Raises Rejected."""
        mode = self._settings.registration
        role, invite = NodeRole.USER, 0
        if token:
            row = self._invites.for_account(tx, token, self._clock.now_ms())
            role, invite = NodeRole(row.role), row.id
            if role is NodeRole.OWNER and self.has_owner(tx):
                raise Rejected(Code.INVITE_USED_UP, "This node has an owner already.", field="token")
        if mode is Registration.CLOSED and role is not NodeRole.OWNER:
            raise Rejected(Code.REGISTRATION_CLOSED, "This node takes no new accounts.")
        if mode is Registration.INVITE and not token:
            raise Rejected(Code.INVITE_NEEDED, "You need an invitation to open an account here.", field="token")
        if self._accounts.name_is_taken(tx, skeleton(local)):
            raise Rejected(Code.NAME_TAKEN, "This user name, or one that looks like it, is taken.", field="local")
        return role, invite

    def has_owner(self, tx: Tx) -> bool:
        """Whether somebody owns this node."""
        return self._accounts.count_role(tx, NodeRole.OWNER) > 0

    @property
    def owner_needed(self) -> bool:
        """Whether the node still waits for its owner."""
        return not self._db.view(self.has_owner)

    # --- signing in and out -----------------------------------------------------------------------------

    async def login(self, local: str, password: str, origin: Origin, *, end_oldest: bool = False) -> SignedIn:
        """A new session. Same text, cost and throttle for an unknown name and a wrong password. Raises Rejected.

        With `end_oldest` the device that was away longest makes room when there are ten.
        """
        try:
            signed_in = await self._login(local.strip().lower(), password, origin, end_oldest=end_oldest)
        except Rejected as error:
            self._metrics.logins.inc(of=error.code.value)
            raise
        self._metrics.logins.inc(of="ok")
        return signed_in

    async def _login(self, local: str, password: str, origin: Origin, *, end_oldest: bool) -> SignedIn:
        account = await self._prove(local, password, origin.address)
        if account.frozen_ms:
            raise _frozen()
        hashed = await self._renewed(password, account)
        secret = self._entropy.token_bytes(limits.TOKEN_BYTES)

        def write(tx: Tx) -> Actor:
            present = self._account(tx, account.pk)
            if present.frozen_ms:
                raise _frozen()
            if present.password != account.password:
                raise _wrong()
            oldest = self._sessions.make_room(tx, account.pk, end_oldest=end_oldest)
            if hashed is not None:
                self._accounts.set_password(tx, account.pk, hashed.text, hashed.pepper)
            if oldest is not None:
                self._sessions.end(tx, account.pk, oldest)
            return self._sessions.open(tx, present, origin, secret)

        return SignedIn(await self._db.write(write), format_id(secret))

    async def _prove(self, local: str, password: str, address: str) -> AccountRow:
        """The account with this name and password. Raises Rejected."""
        self._throttle.admit(local, address)
        account = self._db.view(lambda tx: self._accounts.by_local(tx, local))
        try:
            if account is None:
                right = await self._passwords.waste(password)
            else:
                right = await self._passwords.verify(password, Hashed(account.password, account.pepper))
        except Rejected:
            self._throttle.withdrawn(local, address)
            raise
        if account is None or not right:
            raise _wrong()
        self._throttle.succeeded(local, address)
        return account

    async def _renewed(self, password: str, account: AccountRow) -> Hashed | None:
        if self._passwords.is_outdated(Hashed(account.password, account.pepper)):
            return await self._passwords.hash(password)
        return None

    def later(self, tx: Tx, pk: int, device_pk: int) -> Actor:
        """An account that asked for something earlier, on a device that may be gone by now; for what happens only now."""
        account = self._account(tx, pk)
        return Actor(
            user=account.user,
            user_pk=pk,
            account_role=account.role,
            device=DeviceId(bytes(DEVICE_ID_BYTES)),
            device_pk=device_pk,
            local=account.local,
            name=account.name,
        )

    def console(self) -> Actor:
        """Whoever may open the admin socket: acts as the owner, without an account of their own."""
        return Actor(
            user=make_user(CONSOLE_LOCAL, self._node),
            user_pk=0,
            account_role=NodeRole.OWNER,
            device=DeviceId(bytes(DEVICE_ID_BYTES)),
            device_pk=0,
            local=CONSOLE_LOCAL,
            name=CONSOLE_LOCAL,
        )

    # --- one's own account ------------------------------------------------------------------------------

    def account(self, actor: Actor) -> AccountRow:
        """The actor's account as it is now."""
        return self._db.view(lambda tx: self._account(tx, actor.user_pk))

    async def change_profile(self, actor: Actor, *, name: str | None, lang: str | None) -> None:
        """A new display name or language; None stays. Devices of others learn the name. Raises Rejected."""
        checked = None if name is None else check_display_name(name)

        def write(tx: Tx) -> None:
            if lang is not None:
                self._accounts.set_lang(tx, actor.user_pk, lang)
            if checked is not None and checked != self._account(tx, actor.user_pk).name:
                self._accounts.set_name(tx, actor.user_pk, checked, self._log.next_seq(tx))
                self._names.renaming(tx, actor.user, checked)
                tx.after_commit(lambda: self._names.renamed(actor.user, checked))

        await self._db.write(write)

    async def change_password(
        self, actor: Actor, *, old: str, new: str, address: str, end_others: bool, renew: bool
    ) -> str:
        """A new password. With `renew` this session gets a new token, which is returned (else empty). Raises Rejected."""
        account = await self._prove(actor.local, old, address)
        hashed = await self._passwords.hash(self._passwords.check(new, actor.local))
        secret = self._entropy.token_bytes(limits.TOKEN_BYTES) if renew else b""

        def write(tx: Tx) -> None:
            if self._account(tx, actor.user_pk).password != account.password:
                raise Rejected(Code.CONFLICT, "The password was changed on another device just now.")
            self._store_password(tx, actor.user_pk, hashed)
            if secret:
                self._sessions.renew(tx, actor, secret)
            if end_others:
                self._sessions.end_others(tx, actor.user_pk, actor.device_pk)

        await self._db.write(write)
        return format_id(secret) if secret else ""

    async def reset_password(self, token: str, password: str) -> None:
        """Sets a password with an admin's one-time token, and ends all sessions. Raises Rejected."""
        secret = parse_token(token)
        row = self._db.view(lambda tx: self._invites.for_reset(tx, secret, self._clock.now_ms()))
        local = self._db.view(lambda tx: self._account(tx, row.account)).local
        hashed = await self._passwords.hash(self._passwords.check(password, local))

        def write(tx: Tx) -> None:
            live = self._invites.for_reset(tx, secret, self._clock.now_ms())
            self._invites.spend_account(tx, live)
            self._store_password(tx, live.account, hashed)
            self._sessions.end_others(tx, live.account, 0)

        await self._db.write(write)

    def _store_password(self, tx: Tx, pk: int, hashed: Hashed) -> None:
        self._accounts.set_password(tx, pk, hashed.text, hashed.pepper)
        self._invites.end_resets(tx, pk, self._clock.now_ms())

    # --- people -----------------------------------------------------------------------------------------

    def exists(self, tx: Tx, user: UserId) -> bool:
        """Whether somebody of this node can be written to: has an account that is not frozen."""
        try:
            local, node = parse_user(user)
        except ValueError:
            return False
        account = self._accounts.by_local(tx, local) if node == self._node else None
        return account is not None and not account.frozen_ms

    async def directory(self, query: str, after: str, limit: int) -> list[tuple[UserId, str, str]]:
        """(user, local, name) of people on this node after local name `after`."""
        query, limit = query.strip().lower(), min(limit, PAGE_MAX)
        return await self._db.read(lambda tx: self._accounts.directory(tx, query, after, limit))

    async def page(self, actor: Actor, query: str, after: str, limit: int) -> list[AccountUse]:
        """Accounts for an admin. Raises Rejected."""
        require_admin(actor)
        query, limit = query.strip().lower(), min(limit, PAGE_MAX)
        return await self._db.read(lambda tx: self._accounts.page(tx, query, after, limit))

    def find(self, actor: Actor, user: UserId) -> AccountUse:
        """One account for an admin. Raises Rejected."""
        require_admin(actor)
        row = self._db.view(lambda tx: self._target(tx, user))
        devices, seen_ms = self._db.view(lambda tx: self._sessions.summary(tx, row.pk))
        return AccountUse(row, devices, seen_ms)

    async def change_account(self, actor: Actor, user: UserId, *, role: NodeRole | None, frozen: bool | None) -> None:
        """What admins do to others: role and freezing. Freezing closes open sockets. Raises Rejected."""
        require_admin(actor)
        if role is not None and actor.account_role is not NodeRole.OWNER:
            raise Rejected(Code.ROLE_TOO_LOW, "Only the node's owner changes roles.", role_needed=NodeRole.OWNER)
        if role not in {None, NodeRole.USER, NodeRole.ADMIN}:
            raise Rejected(Code.BAD_REQUEST, "The role is user or node_admin.", field="role")

        def write(tx: Tx) -> None:
            account = self._target(tx, user)
            if account.role is NodeRole.OWNER or account.pk == actor.user_pk:
                raise Rejected(Code.FORBIDDEN, "Nobody can do this to the owner or to themselves.", field="user")
            check_reach(actor, account.role)
            if role is not None and role is not account.role:
                self._accounts.set_role(tx, account.pk, role)
                self._note(tx, actor, f"account.role.{role}", user)
            if frozen is not None and frozen != bool(account.frozen_ms):
                self._freeze(tx, account, frozen=frozen)
                self._note(tx, actor, "account.freeze" if frozen else "account.thaw", user)

        await self._db.write(write)

    def _freeze(self, tx: Tx, account: AccountRow, *, frozen: bool) -> None:
        self._accounts.set_frozen(tx, account.pk, self._clock.now_ms() if frozen else 0)
        if frozen:
            self._sessions.close(tx, account.pk)

    def _note(self, tx: Tx, actor: Actor, action: str, user: UserId) -> None:
        self._audit.add(tx, AuditLine(self._clock.now_ms(), actor.user, action, user))

    def _target(self, tx: Tx, user: UserId) -> AccountRow:
        try:
            local, node = parse_user(user)
        except ValueError:
            local, node = "", self._node
        account = self._accounts.by_local(tx, local) if node == self._node else None
        if account is None:
            raise Rejected(Code.NOT_FOUND, "There is no such account.", field="user")
        return account

    def _account(self, tx: Tx, pk: int) -> AccountRow:
        account = self._accounts.by_pk(tx, pk)
        if account is None:
            raise Rejected(Code.FORBIDDEN, "The node itself has no account; sign in as a person.")
        return account


def _wrong() -> Rejected:
    return Rejected(Code.BAD_CREDENTIALS, "User name or password is wrong.")


def _frozen() -> Rejected:
    return Rejected(Code.FORBIDDEN, "This account is frozen; ask the admin of this node.")
