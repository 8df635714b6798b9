"""The front door: what anybody may know, and how one gets in and out."""

from __future__ import annotations

from typing import Literal

import node
from node.base.errors import Code
from node.base.ids import NodeId, format_id, format_node
from node.services.accounts import Accounts, NewPerson, SignedIn
from node.services.actor import Actor
from node.services.invites import Inspected, Invites
from node.services.ports import PhraseKeeper
from node.services.sessions import Origin, Sessions
from node.services.settings import Settings
from node.web.clients import describe
from node.web.endpoints import Access, Call, endpoint
from node.wire import api

SetupState = Literal["owner_needed", "phrase", "done"]
_INVITATION = (Code.INVITE_INVALID, Code.INVITE_USED_UP, Code.EXPIRED)
_PASSWORD = (Code.PASSWORD_TOO_SHORT, Code.PASSWORD_TOO_LONG, Code.PASSWORD_TOO_COMMON, Code.PASSWORD_HAS_NAME)


class Greeter:
    """Shapes what signed-in people learn about themselves and everybody about the node."""

    def __init__(self, *, accounts: Accounts, settings: Settings, phrase: PhraseKeeper, node: NodeId) -> None:
        self._accounts = accounts
        self._settings = settings
        self._phrase = phrase
        self._node = format_node(node)

    def setup(self) -> SetupState:
        """What is left of the first run."""
        if self._accounts.owner_needed:
            return "owner_needed"
        return "phrase" if self._phrase.phrase_pending else "done"

    def node(self) -> api.account.NodeInfo:
        """For anybody."""
        return api.account.NodeInfo(
            name=self._settings.name,
            domain=self._settings.domain,
            node=self._node,
            version=node.__version__,
            registration=self._settings.registration.value,
            setup=self.setup(),
        )

    def me(self, actor: Actor) -> api.account.Me:
        """For the actor."""
        account = self._accounts.account(actor)
        return api.account.Me(
            user=account.user,
            local=account.local,
            name=account.name,
            role=account.role.value,
            lang=account.lang,
            device=format_id(actor.device),
            node=self._node,
            domain=self._settings.domain,
            setup=self.setup(),
        )


class DoorResource:
    """Registration, login, logout, password links."""

    def __init__(
        self, *, greeter: Greeter, accounts: Accounts, sessions: Sessions, invites: Invites, settings: Settings
    ) -> None:
        self._greeter = greeter
        self._accounts = accounts
        self._sessions = sessions
        self._invites = invites
        self._settings = settings

    @endpoint("GET", "/node", answer=api.account.NodeInfo, access=Access.PUBLIC)
    async def show_node(self, call: Call[None]) -> api.account.NodeInfo:
        """Name, id and state of this node."""
        return self._greeter.node()

    @endpoint(
        "POST",
        "/invites/inspect",
        request=api.account.InspectInvite,
        answer=api.account.InviteInfo,
        access=Access.PUBLIC,
        errors=_INVITATION,
    )
    async def inspect_invite(self, call: Call[api.account.InspectInvite]) -> api.account.InviteInfo:
        """What an invitation is good for. Nothing is spent."""
        return _invite_info(self._invites.inspect(call.body.token), self._settings.name)

    @endpoint(
        "POST",
        "/register",
        request=api.account.Register,
        answer=api.account.Session,
        access=Access.PUBLIC,
        errors=(
            Code.NAME_INVALID, Code.NAME_TAKEN, Code.REGISTRATION_CLOSED, Code.INVITE_NEEDED, *_PASSWORD, *_INVITATION,
        ),
    )  # fmt: skip
    async def register(self, call: Call[api.account.Register]) -> api.account.Session:
        """Opens an account and signs in. After a room link, `POST /links/join` enters the room."""
        body = call.body
        person = NewPerson(local=body.local, password=body.password, name=body.name, lang=body.lang, token=body.token)
        signed_in = await self._accounts.register(person, _origin(call, body.device_name))
        return self._session(call, signed_in, body.mode)

    @endpoint(
        "POST",
        "/login",
        request=api.account.Login,
        answer=api.account.Session,
        access=Access.PUBLIC,
        errors=(Code.BAD_CREDENTIALS, Code.FORBIDDEN, Code.LIMIT_REACHED),
    )
    async def login(self, call: Call[api.account.Login]) -> api.account.Session:
        """A new session for a password. An unknown name and a wrong password get the same answer in the same time."""
        body = call.body
        origin = _origin(call, body.device_name)
        signed_in = await self._accounts.login(body.local, body.password, origin, end_oldest=body.end_oldest)
        return self._session(call, signed_in, body.mode)

    @endpoint("POST", "/logout", answer=api.base.Empty, access=Access.USER)
    async def logout(self, call: Call[None]) -> api.base.Empty:
        """Ends this session; its open sockets close."""
        await self._sessions.logout(call.actor)
        call.forget = True
        return api.base.Empty()

    @endpoint(
        "POST",
        "/password-reset",
        request=api.account.ResetPassword,
        answer=api.base.Empty,
        access=Access.PUBLIC,
        errors=(*_PASSWORD, *_INVITATION),
    )
    async def reset_password(self, call: Call[api.account.ResetPassword]) -> api.base.Empty:
        """Sets a password with the one-time link an admin made, and ends all sessions of the account."""
        await self._accounts.reset_password(call.body.token, call.body.password)
        return api.base.Empty()

    def _session(
        self, call: Call[api.account.Register] | Call[api.account.Login], signed_in: SignedIn, mode: api.account.Mode
    ) -> api.account.Session:
        me = self._greeter.me(signed_in.actor)
        if mode == "token":
            return api.account.Session(me=me, token=signed_in.token)
        call.token = signed_in.token
        return api.account.Session(me=me)


def _origin(call: Call[api.account.Register] | Call[api.account.Login], device_name: str) -> Origin:
    client = describe(call.request.headers.get("User-Agent", ""))
    return Origin(address=call.peer.address, client=client, device_name=device_name)


def _invite_info(found: Inspected, node_name: str) -> api.account.InviteInfo:
    row, room = found.row, found.room
    preview = None
    if room is not None:
        preview = api.account.RoomPreview(
            room=format_id(room.room), name=room.name, topic=room.topic, members=room.members
        )
    kinds: dict[str, Literal["account", "room", "reset"]] = {"account": "account", "room": "room", "reset": "reset"}
    return api.account.InviteInfo(
        kind=kinds[row.kind],
        node_name=node_name,
        role=row.role if row.kind == "account" else "",
        expires_ms=row.expires_ms,
        uses_left=row.uses_max - row.uses,
        local=found.local,
        room=preview,
    )
