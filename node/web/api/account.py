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

    @endpoint("GET", "/me", answer=api.Me, access=Access.USER)
    async def show_me(self, call: Call[None]) -> api.Me:
        """The signed-in account."""
        return self._greeter.me(call.actor)

    @endpoint("PATCH", "/me", request=api.ChangeMe, answer=api.Me, access=Access.USER)
    async def change_me(self, call: Call[api.ChangeMe]) -> api.Me:
        """A new display name or language; others see the name at once."""
        await self._accounts.change_profile(call.actor, name=call.body.name, lang=call.body.lang)
        return self._greeter.me(call.actor)

    @endpoint(
        "POST",
        "/me/password",
        request=api.ChangePassword,
        answer=api.Empty,
        access=Access.USER,
        errors=(
            Code.BAD_CREDENTIALS, Code.PASSWORD_TOO_SHORT, Code.PASSWORD_TOO_LONG, Code.PASSWORD_TOO_COMMON,
            Code.PASSWORD_HAS_NAME, Code.CONFLICT,
        ),
    )  # fmt: skip
    async def change_password(self, call: Call[api.ChangePassword]) -> api.Empty:
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
        return api.Empty()

    @endpoint("GET", "/devices", answer=api.Devices, access=Access.USER)
    async def list_devices(self, call: Call[None]) -> api.Devices:
        """Where the account is signed in, the last used first."""
        return api.Devices(devices=[_device(view) for view in self._sessions.devices(call.actor)])

    @endpoint(
        "PATCH",
        "/devices/{device}",
        request=api.ChangeDevice,
        answer=api.Device,
        access=Access.USER,
        errors=(Code.NOT_FOUND,),
    )
    async def rename_device(self, call: Call[api.ChangeDevice]) -> api.Device:
        """Another name for a device."""
        device = device_in(call)
        await self._sessions.rename_device(call.actor, device, call.body.name)
        return self._one(call.actor, device)

    @endpoint("DELETE", "/devices/{device}", answer=api.Empty, access=Access.USER, errors=(Code.NOT_FOUND,))
    async def end_device(self, call: Call[None]) -> api.Empty:
        """Signs a device out; its open sockets close at once."""
        await self._sessions.end_device(call.actor, device_in(call))
        return api.Empty()

    @endpoint("POST", "/devices/end-others", answer=api.Empty, access=Access.USER)
    async def end_other_devices(self, call: Call[None]) -> api.Empty:
        """Signs every other device out."""
        await self._sessions.end_other_devices(call.actor)
        return api.Empty()

    def _one(self, actor: Actor, device: DeviceId) -> api.Device:
        return next(_device(view) for view in self._sessions.devices(actor) if view.row.device == device)


def _device(view: DeviceView) -> api.Device:
    row = view.row
    return api.Device(
        id=format_id(row.device),
        name=row.name,
        client=row.client,
        address=row.address,
        created_ms=row.created_ms,
        seen_ms=row.seen_ms,
        current=view.current,
        online=view.online,
    )
