"""What admins of the node do: invitations, accounts, live settings. Every change is audited by its service."""

from __future__ import annotations

from node.base.errors import Code
from node.core.account import NodeRole, Registration
from node.services.accounts import Accounts
from node.services.invites import Invites
from node.services.settings import Change, Circle, Settings
from node.storage.accounts import AccountUse
from node.web.api.links import Origins, to_link
from node.web.api.paths import number_in, user_in
from node.web.api.people import Page
from node.web.endpoints import Access, Call, endpoint
from node.wire import api


class AdminResource:
    """``/admin``."""

    def __init__(self, *, accounts: Accounts, invites: Invites, settings: Settings, origins: Origins) -> None:
        self._accounts = accounts
        self._invites = invites
        self._settings = settings
        self._origins = origins

    @endpoint("GET", "/admin/invites", answer=api.rooms.Links, access=Access.ADMIN)
    async def list_invites(self, call: Call[None]) -> api.rooms.Links:
        """Live account invitations, newest first."""
        return api.rooms.Links(links=[to_link(row) for row in self._invites.accounts(call.actor)])

    @endpoint(
        "POST",
        "/admin/invites",
        request=api.admin.MakeInvite,
        answer=api.rooms.Link,
        access=Access.ADMIN,
        errors=(Code.ROLE_TOO_LOW, Code.LIMIT_REACHED),
    )
    async def make_invite(self, call: Call[api.admin.MakeInvite]) -> api.rooms.Link:
        """An invitation to open an account; link and token are shown only now."""
        body = call.body
        made = await self._invites.make_account(
            call.actor, role=NodeRole(body.role), expires_s=body.expires_s, uses=body.uses
        )
        url = self._invites.account_url(self._origins.of(call), made.token, hint=self._settings.name)
        return to_link(made.row, url=url, token=made.text)

    @endpoint("DELETE", "/admin/invites/{id}", answer=api.base.Empty, access=Access.ADMIN, errors=(Code.NOT_FOUND,))
    async def revoke_invite(self, call: Call[None]) -> api.base.Empty:
        """An invitation works no more."""
        await self._invites.revoke_account(call.actor, number_in(call))
        return api.base.Empty()

    @endpoint("GET", "/admin/users", request=Page, answer=api.admin.Accounts, access=Access.ADMIN)
    async def list_accounts(self, call: Call[Page]) -> api.admin.Accounts:
        """Accounts by local name, frozen ones too."""
        page = call.body
        found = await self._accounts.page(call.actor, page.q, page.after, page.limit)
        after = found[-1].row.local if len(found) == page.limit else ""
        return api.admin.Accounts(accounts=[_account(use) for use in found], after=after)

    @endpoint(
        "PATCH",
        "/admin/users/{user}",
        request=api.admin.ChangeAccount,
        answer=api.admin.Account,
        access=Access.ADMIN,
        errors=(Code.NOT_FOUND, Code.FORBIDDEN, Code.ROLE_TOO_LOW),
    )
    async def change_account(self, call: Call[api.admin.ChangeAccount]) -> api.admin.Account:
        """Role (by the owner) and freezing; a frozen account is signed out everywhere until it is thawed."""
        user, body = user_in(call), call.body
        role = None if body.role is None else NodeRole(body.role)
        await self._accounts.change_account(call.actor, user, role=role, frozen=body.frozen)
        return _account(self._accounts.find(call.actor, user))

    @endpoint(
        "POST",
        "/admin/users/{user}/reset-password",
        answer=api.rooms.Link,
        access=Access.ADMIN,
        errors=(Code.NOT_FOUND, Code.ROLE_TOO_LOW),
    )
    async def make_reset(self, call: Call[None]) -> api.rooms.Link:
        """A link, good once and for 30 minutes, with which somebody sets a new password."""
        local = self._accounts.find(call.actor, user_in(call)).row.local
        made = await self._invites.make_reset(call.actor, local)
        url = self._invites.account_url(self._origins.of(call), made.token, hint=self._settings.name, local=local)
        return to_link(made.row, url=url, token=made.text)

    @endpoint("GET", "/admin/settings", answer=api.admin.NodeSettings, access=Access.ADMIN)
    async def show_settings(self, call: Call[None]) -> api.admin.NodeSettings:
        """Live settings with their present values."""
        return self._present()

    @endpoint(
        "PATCH", "/admin/settings", request=api.admin.ChangeSettings, answer=api.admin.NodeSettings, access=Access.ADMIN
    )
    async def change_settings(self, call: Call[api.admin.ChangeSettings]) -> api.admin.NodeSettings:
        """In force as soon as it is answered."""
        body = call.body
        change = Change(
            name=body.name,
            domain=body.domain,
            registration=None if body.registration is None else Registration(body.registration),
            circle=None if body.circle is None else Circle(body.circle),
            rates=body.rates or {},
            calls=body.calls or {},
        )
        await self._settings.change(change, actor=call.actor.user)
        return self._present()

    def _present(self) -> api.admin.NodeSettings:
        settings = self._settings
        return api.admin.NodeSettings(
            name=settings.name,
            domain=settings.domain,
            registration=settings.registration.value,
            circle=settings.circle.value,
            rates=settings.rates(),
            calls=settings.call_limits(),
        )


def _account(use: AccountUse) -> api.admin.Account:
    row = use.row
    return api.admin.Account(
        user=row.user,
        local=row.local,
        name=row.name or row.local,
        role=row.role.value,
        created_ms=row.created_ms,
        seen_ms=use.seen_ms,
        devices=use.devices,
        frozen=bool(row.frozen_ms),
    )
