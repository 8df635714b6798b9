"""Accounts and their sessions: opening one, signing in and out, passwords, names, devices, what admins do to them.

A session is an opaque token of 256 bits; the database knows its SHA-256 and one row per device (storage/devices.py).
It dies after 30 idle days or 180 days, when it is ended, and for as long as the account is frozen. `authenticate` is
the only maker of an `Actor` for a token.

Passwords are hashed on threads *between* two looks at the database, so whatever was seen before is asked again inside
the transaction that acts on it: two people with one invitation or one name race there, and one of them loses.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import DEVICE_ID_BYTES, DeviceId, NodeId, UserId, format_id, make_user, parse_id, parse_user
from node.core.account import NodeRole, Registration, check_display_name, check_local_name, skeleton
from node.core.content import check_line
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.metrics import Metrics
from node.services.actor import Actor
from node.services.invites import Invites, check_reach, parse_token, require_admin
from node.services.login_throttle import LoginThrottle
from node.services.passwords import Hashed, Passwords
from node.services.ports import DeviceDoor, NameDoor
from node.services.settings import Settings
from node.storage.accounts import AccountRow, AccountStore, AccountUse, NewAccount
from node.storage.audit import AuditLine, AuditStore
from node.storage.database import Database, Tx
from node.storage.devices import DeviceRow, DeviceStore, NewDevice, SessionRow
from node.storage.log import Log
from node.storage.users import Users

SEEN_EVERY_MS: Final = 60_000  # how exact `seen_ms` is; each step costs a write
CONSOLE_LOCAL: Final = "node"  # a reserved name, so nobody has this account
PAGE_MAX: Final = 100
_SIGNED_OUT: Final = "This device was signed out."


class Origin(Struct, frozen=True, kw_only=True):
    """Where a sign-in comes from. `address` is used for throttling and stored shortened."""

    address: str
    client: str = ""
    device_name: str = ""


class SignedIn(Struct, frozen=True):
    """A new session; the token is told only now."""

    actor: Actor
    token: str


class DeviceView(Struct, frozen=True):
    """A device in its owner's list."""

    row: DeviceRow
    current: bool
    online: bool


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
        devices: DeviceDoor,
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
        self._door = devices
        self._names = names
        self._metrics = metrics
        self._accounts = AccountStore(users=users)
        self._devices = DeviceStore()
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
            return self._open_session(tx, self._account(tx, pk), origin, secret)

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
            oldest = self._make_room(tx, present, end_oldest=end_oldest)
            if hashed is not None:
                self._accounts.set_password(tx, account.pk, hashed.text, hashed.pepper)
            if oldest is not None:
                self._end(tx, account.pk, oldest)
            return self._open_session(tx, present, origin, secret)

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

    def _make_room(self, tx: Tx, account: AccountRow, *, end_oldest: bool) -> DeviceId | None:
        """The device to end so that one more fits; None when there is room. Raises Rejected."""
        alive = [
            row for row in self._devices.of_account(tx, account.pk) if not self._is_dead(row.created_ms, row.seen_ms)
        ]
        most = limits.DEVICES_PER_ACCOUNT_MAX
        if len(alive) < most:
            return None
        if not end_oldest:
            text = "You are signed in on ten devices; sign out on one of them first."
            raise Rejected(Code.LIMIT_REACHED, text, limit=most, used=len(alive))
        return alive[-1].device

    def _open_session(self, tx: Tx, account: AccountRow, origin: Origin, secret: bytes) -> Actor:
        now_ms = self._clock.now_ms()
        idle, absolute = now_ms - limits.SESSION_IDLE_S * 1000, now_ms - limits.SESSION_ABSOLUTE_S * 1000
        self._devices.delete_dead(tx, account.pk, idle, absolute)
        device = DeviceId(self._entropy.token_bytes(DEVICE_ID_BYTES))
        new = NewDevice(
            account=account.pk,
            device=device,
            token_hash=_digest(secret),
            name=_device_name(origin.device_name or origin.client),
            client=origin.client,
            address=shorten(origin.address),
        )
        return _actor(account, device, self._devices.insert(tx, new, now_ms))

    def authenticate(self, token: str) -> Actor:
        """Who holds this token. Raises Rejected with `not_signed_in`."""
        try:
            secret = parse_id(token, limits.TOKEN_BYTES)
        except ValueError:
            raise _not_signed_in() from None
        row = self._db.view(lambda tx: self._devices.session(tx, _digest(secret)))
        if row is None or self._is_dead(row.created_ms, row.seen_ms):
            raise _not_signed_in()
        if row.frozen_ms:
            raise Rejected(Code.NOT_SIGNED_IN, "This account is frozen; ask the admin of this node.")
        self._note_seen(row)
        return Actor(
            user=row.user,
            user_pk=row.account_pk,
            account_role=row.role,
            device=row.device,
            device_pk=row.device_pk,
            local=row.local,
            name=row.name,
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

    async def logout(self, actor: Actor) -> None:
        """Ends this session."""
        await self._db.write(lambda tx: self._end(tx, actor.user_pk, actor.device))

    def _is_dead(self, created_ms: int, seen_ms: int) -> bool:
        now_ms = self._clock.now_ms()
        return now_ms - seen_ms > limits.SESSION_IDLE_S * 1000 or now_ms - created_ms > limits.SESSION_ABSOLUTE_S * 1000

    def _note_seen(self, row: SessionRow) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - row.seen_ms < SEEN_EVERY_MS:
            return
        try:
            self._db.submit(lambda tx: self._devices.touch(tx, row.device_pk, now_ms), lambda _result, _error: None)
        except Rejected:
            return  # a node that cannot write can still be read

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
                self._devices.renew(tx, actor.device_pk, _digest(secret))
            if end_others:
                self._end_others(tx, actor.user_pk, actor.device_pk)

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
            self._end_others(tx, live.account, 0)

        await self._db.write(write)

    def _store_password(self, tx: Tx, pk: int, hashed: Hashed) -> None:
        self._accounts.set_password(tx, pk, hashed.text, hashed.pepper)
        self._invites.end_resets(tx, pk, self._clock.now_ms())

    # --- devices ----------------------------------------------------------------------------------------

    def devices(self, actor: Actor) -> list[DeviceView]:
        """The actor's devices, the last used first."""
        rows = self._db.view(lambda tx: self._devices.of_account(tx, actor.user_pk))
        return [
            DeviceView(row, row.pk == actor.device_pk, bool(self._door.of_device(row.device, actor.user)))
            for row in rows
            if not self._is_dead(row.created_ms, row.seen_ms)
        ]

    async def rename_device(self, actor: Actor, device: DeviceId, name: str) -> None:
        """Raises Rejected with `not_found` for somebody else's device."""
        name = name.strip()
        check_line(name, "name")
        if len(name) > limits.DEVICE_NAME_CHARS_MAX:
            raise Rejected(
                Code.BAD_REQUEST,
                "A device name has at most 60 characters.",
                field="name",
                limit=limits.DEVICE_NAME_CHARS_MAX,
            )
        if not await self._db.write(lambda tx: self._devices.rename(tx, actor.user_pk, device, name)):
            raise _no_device()

    async def end_device(self, actor: Actor, device: DeviceId) -> None:
        """Signs a device out, its open sockets too. Raises Rejected with `not_found` for somebody else's."""
        if not await self._db.write(lambda tx: self._end(tx, actor.user_pk, device)):
            raise _no_device()

    async def end_other_devices(self, actor: Actor) -> None:
        """Signs all other devices out."""
        await self._db.write(lambda tx: self._end_others(tx, actor.user_pk, actor.device_pk))

    def _end(self, tx: Tx, account: int, device: DeviceId) -> bool:
        ended = self._devices.delete(tx, account, device)
        if ended:
            tx.after_commit(lambda: self._door.end_device(device, Code.NOT_SIGNED_IN, _SIGNED_OUT))
        return ended

    def _end_others(self, tx: Tx, account: int, keep_pk: int) -> None:
        for device in self._devices.delete_others(tx, account, keep_pk):
            self._close_later(tx, device)

    def _close_later(self, tx: Tx, device: DeviceId) -> None:
        tx.after_commit(lambda: self._door.end_device(device, Code.NOT_SIGNED_IN, _SIGNED_OUT))

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
        devices = self._db.view(lambda tx: self._devices.of_account(tx, row.pk))
        return AccountUse(row, len(devices), max((device.seen_ms for device in devices), default=0))

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
        for row in self._devices.of_account(tx, account.pk) if frozen else ():
            self._close_later(tx, row.device)

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


def shorten(address: str) -> str:
    """What is kept of an address: an IPv4 without its last number, the first 48 bits of an IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv4Address):
        return f"{str(ip).rpartition('.')[0]}.x"
    return str(ipaddress.IPv6Address(int(ip) >> 80 << 80))


def _actor(account: AccountRow, device: DeviceId, device_pk: int) -> Actor:
    return Actor(
        user=account.user,
        user_pk=account.pk,
        account_role=account.role,
        device=device,
        device_pk=device_pk,
        local=account.local,
        name=account.name,
    )


def _device_name(text: str) -> str:
    kept = "".join(char for char in text if char.isprintable()).strip()
    return kept[: limits.DEVICE_NAME_CHARS_MAX]


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _wrong() -> Rejected:
    return Rejected(Code.BAD_CREDENTIALS, "User name or password is wrong.")


def _frozen() -> Rejected:
    return Rejected(Code.FORBIDDEN, "This account is frozen; ask the admin of this node.")


def _not_signed_in() -> Rejected:
    return Rejected(Code.NOT_SIGNED_IN, "You are not signed in, or the session has ended; sign in again.")


def _no_device() -> Rejected:
    return Rejected(Code.NOT_FOUND, "You have no such device.")
