"""One's own account: profile, password, devices."""

from __future__ import annotations

from node.base.errors import Code
from node.base.ids import DeviceId, format_id
from node.services.accounts import Accounts
from node.services.actor import Actor
from node.services.sessions import DeviceView, Sessions
from node.web.api.door import Greeter
from node.web.api.paths import device_in
from node.web.endpoints import Access, Call, endpoint
from node.wire import api


class AccountResource:
    """``/me`` and ``/devices``."""

    def __init__(self, *, greeter: Greeter, accounts: Accounts, sessions: Sessions) -> None:
        self._greeter = greeter
        self._accounts = accounts
        self._sessions = sessions

    @endpoint("GET", "/me", answer=api.account.Me, access=Access.USER)
    async def show_me(self, call: Call[None]) -> api.account.Me:
        """The signed-in account."""
        return self._greeter.me(call.actor)

    @endpoint("PATCH", "/me", request=api.account.ChangeMe, answer=api.account.Me, access=Access.USER)
    async def change_me(self, call: Call[api.account.ChangeMe]) -> api.account.Me:
        """A new display name or language; others see the name at once."""
        await self._accounts.change_profile(call.actor, name=call.body.name, lang=call.body.lang)
        return self._greeter.me(call.actor)

    @endpoint(
        "POST",
        "/me/password",
        request=api.account.ChangePassword,
        answer=api.base.Empty,
        access=Access.USER,
        errors=(
            Code.BAD_CREDENTIALS, Code.PASSWORD_TOO_SHORT, Code.PASSWORD_TOO_LONG, Code.PASSWORD_TOO_COMMON,
            Code.PASSWORD_HAS_NAME, Code.CONFLICT,
        ),
    )  # fmt: skip
    async def change_password(self, call: Call[api.account.ChangePassword]) -> api.base.Empty:
        """A new password; a browser gets a new session cookie with it."""
        body = call.body
        call.token = await self._accounts.change_password(
            call.actor,
            old=body.old,
            new=body.new,
            address=call.peer.address,
            end_others=body.end_others,
            renew="Authorization" not in call.request.headers,
        )
        return api.base.Empty()

    @endpoint("GET", "/devices", answer=api.account.Devices, access=Access.USER)
    async def list_devices(self, call: Call[None]) -> api.account.Devices:
        """Where the account is signed in, the last used first."""
        return api.account.Devices(devices=[_device(view) for view in self._sessions.devices(call.actor)])

    @endpoint(
        "PATCH",
        "/devices/{device}",
        request=api.account.ChangeDevice,
        answer=api.account.Device,
        access=Access.USER,
        errors=(Code.NOT_FOUND,),
    )
    async def rename_device(self, call: Call[api.account.ChangeDevice]) -> api.account.Device:
        """Another name for a device."""
        device = device_in(call)
        await self._sessions.rename_device(call.actor, device, call.body.name)
        return self._one(call.actor, device)

    @endpoint("DELETE", "/devices/{device}", answer=api.base.Empty, access=Access.USER, errors=(Code.NOT_FOUND,))
    async def end_device(self, call: Call[None]) -> api.base.Empty:
        """Signs a device out; its open sockets close at once."""
        await self._sessions.end_device(call.actor, device_in(call))
        return api.base.Empty()

    @endpoint("POST", "/devices/end-others", answer=api.base.Empty, access=Access.USER)
    async def end_other_devices(self, call: Call[None]) -> api.base.Empty:
        """Signs every other device out."""
        await self._sessions.end_other_devices(call.actor)
        return api.base.Empty()

    def _one(self, actor: Actor, device: DeviceId) -> api.account.Device:
        return next(_device(view) for view in self._sessions.devices(actor) if view.row.device == device)


def _device(view: DeviceView) -> api.account.Device:
    row = view.row
    return api.account.Device(
        id=format_id(row.device),
        name=row.name,
        client=row.client,
        address=row.address,
        created_ms=row.created_ms,
        seen_ms=row.seen_ms,
        current=view.current,
        online=view.online,
    )
