"""The admin's few acts, on the node that runs or, when none does, on its folder.

Both ways lead to the same services: a running node is asked over ``admin.sock``, a stopped one is opened without its
edges, under the lock of its folder. A verb cannot tell which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote, urlencode

from msgspec import Struct

from node.base.errors import Code, ExitStatus, Fatal, Rejected
from node.base.ids import NodeId, UserId, format_id, make_user, parse_node
from node.cli.links import origins
from node.client.admin import AdminClient, NotRunning
from node.core.account import NodeRole
from node.main import Services, open_services
from node.runtime.clock import SystemClock
from node.runtime.config import Config
from node.runtime.entropy import SystemEntropy
from node.services.accounts import NewPerson
from node.services.sessions import Origin
from node.storage.accounts import AccountUse
from node.storage.keys import KeyFolder
from node.wire import api

PAGE: Final = 100
NEWCOMER_S: Final = 600  # an invitation that this program uses itself, at once
PROGRAM: Final = "startalk command"
T = TypeVar("T")


class Links(Struct, frozen=True):
    """One invitation: its token, and a link for each way to the node, the one for others first."""

    token: str
    urls: tuple[str, ...]


class Desk(Protocol):
    """What verbs may ask for. Everything raises Rejected as the node refuses."""

    def invite(self, *, role: str, expires_s: int, uses: int) -> Links:
        """A link that opens accounts."""

    def people(self) -> list[api.admin.Account]:
        """Every account."""

    def add(self, *, local: str, name: str, password: str, token: str) -> None:
        """A new account from a token."""

    def reset(self, local: str) -> Links:
        """A link that sets a new password."""

    def freeze(self, local: str, *, frozen: bool) -> None:
        """Closes an account to its user, or opens it again."""


@contextmanager
def open_desk(config: Config) -> Iterator[Desk]:
    """The running node of this folder, else the folder itself. Raises Fatal."""
    admin = AdminClient(config.folder)
    try:
        admin.health()
    except NotRunning:
        if not KeyFolder.exists(config.folder):
            raise Fatal(
                ExitStatus.FAILED, f"{config.folder} has no node yet; `startalk run` or `startalk init` makes one."
            ) from None
        with stopped(config) as desk:
            yield desk
    else:
        yield RunningDesk(admin)


@contextmanager
def stopped(config: Config) -> Iterator[StoppedDesk]:
    """The folder of a node that does not run, made if there is none. Raises Fatal, with DATA_IN_USE if it runs."""
    with asyncio.Runner() as runner:
        services = open_services(config, clock=SystemClock(), entropy=SystemEntropy())
        try:
            yield StoppedDesk(services, runner)
        finally:
            runner.run(services.close())


class RunningDesk:
    """The node that runs, by its API."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._node = parse_node(admin.get("/node", api.account.NodeInfo).node)

    def invite(self, *, role: str, expires_s: int, uses: int) -> Links:
        """A link that opens accounts."""
        body = api.admin.MakeInvite(expires_s=expires_s, uses=uses, role=_role(role))
        return _links(self._admin.post("/admin/invites", body, api.rooms.Link))

    def people(self) -> list[api.admin.Account]:
        """Every account."""
        found: list[api.admin.Account] = []
        after = ""
        while True:
            page = self._admin.get("/admin/users?" + urlencode({"after": after, "limit": PAGE}), api.admin.Accounts)
            found += page.accounts
            after = page.after
            if not after:
                return found

    def add(self, *, local: str, name: str, password: str, token: str) -> None:
        """A new account from a token; the session it comes with is ended."""
        body = api.account.Register(
            local=local, name=name, password=password, token=token, device_name=PROGRAM, mode="token"
        )
        session = self._admin.post("/register", body, api.account.Session)
        self._admin.post("/logout", api.base.Empty(), api.base.Empty, token=session.token)

    def reset(self, local: str) -> Links:
        """A link that sets a new password."""
        return _links(
            self._admin.post(f"/admin/users/{self._user(local)}/reset-password", api.base.Empty(), api.rooms.Link)
        )

    def freeze(self, local: str, *, frozen: bool) -> None:
        """Closes an account to its user, or opens it again."""
        self._admin.patch(
            f"/admin/users/{self._user(local)}", api.admin.ChangeAccount(frozen=frozen), api.admin.Account
        )

    def _user(self, local: str) -> str:
        return quote(_user(local, self._node), safe="@")


class StoppedDesk:
    """The services of a node that does not run."""

    def __init__(self, services: Services, runner: asyncio.Runner) -> None:
        self.services = services
        self._runner = runner
        self._console = services.accounts.console()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for a service."""
        return self._runner.run(work)

    def invite(self, *, role: str, expires_s: int, uses: int) -> Links:
        """A link that opens accounts."""
        invites = self.services.invites
        making = invites.make_account(self._console, role=NodeRole(_role(role)), expires_s=expires_s, uses=uses)
        return self._links(self.run(making).token)

    def people(self) -> list[api.admin.Account]:
        """Every account."""
        found: list[api.admin.Account] = []
        while True:
            after = found[-1].local if found else ""
            page = self.run(self.services.accounts.page(self._console, "", after, PAGE))
            found += [_account(use) for use in page]
            if len(page) < PAGE:
                return found

    def add(self, *, local: str, name: str, password: str, token: str) -> None:
        """A new account from a token; the session it comes with is ended."""
        person = NewPerson(local=local, password=password, name=name, token=token)
        session = self.run(self.services.accounts.register(person, Origin(address="", client=PROGRAM)))
        self.run(self.services.sessions.logout(session.actor))

    def reset(self, local: str) -> Links:
        """A link that sets a new password."""
        _user(local, self.services.identity.nid)
        return self._links(self.run(self.services.invites.make_reset(self._console, local)).token, local)

    def freeze(self, local: str, *, frozen: bool) -> None:
        """Closes an account to its user, or opens it again."""
        user = _user(local, self.services.identity.nid)
        self.run(self.services.accounts.change_account(self._console, user, role=None, frozen=frozen))

    def _links(self, token: bytes, local: str = "") -> Links:
        hint, made = self.services.settings.name, self.services.invites.account_url
        urls = tuple(made(origin, token, hint=hint, local=local) for origin in origins(self.services.config))
        return Links(format_id(token), urls)


def _links(link: api.rooms.Link) -> Links:
    """A running node knows best how it is reached, and says one way."""
    return Links(link.token, (link.url,))


def _user(local: str, node: NodeId) -> UserId:
    """The canonical id; `local` may be typed as ``alice`` only."""
    if not local or "@" in local or not local.isascii():
        raise Rejected(
            Code.NAME_INVALID, f"{local!r} is no user name of this node; write it like alice.", field="local"
        )
    return make_user(local.strip().lower(), node)


def _role(role: str) -> Any:
    if role not in {"user", "node_admin", "bot"}:
        raise Rejected(Code.BAD_REQUEST, "A role is user, node_admin or bot.", field="role")
    return role


def _account(use: AccountUse) -> api.admin.Account:
    row = use.row
    return api.admin.Account(
        user=row.user,
        local=row.local,
        name=row.name,
        role=row.role,
        created_ms=row.created_ms,
        seen_ms=use.seen_ms,
        devices=use.devices,
        frozen=bool(row.frozen_ms),
    )
