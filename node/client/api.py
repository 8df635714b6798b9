"""The HTTP API of a node, typed by node/wire/api/. One object holds one session (a bearer token, or none).

Every call raises `Rejected` with the node's own code and sentence, `Lost` when the node cannot be
reached, or `Untrusted` when its certificate is not accepted.
"""

from __future__ import annotations

import ssl as tls
from types import TracebackType
from typing import Final, Literal, Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import RoomId, UserId, format_id
from node.client.errors import Lost, Untrusted
from node.wire import api
from node.wire.address import parse_link

T = TypeVar("T")
Trust = tls.SSLContext | bool
TIMEOUT_S: Final = 30.0
PREFIX: Final = "/api/v1"
Method = Literal["GET", "POST", "PATCH", "DELETE"]


def trust(*, ca: str | None = None, insecure: bool = False) -> Trust:
    """What certificates to accept: the system's, those signed by the file `ca`, or (`insecure`) any."""
    if insecure:
        return False
    return True if ca is None else tls.create_default_context(cafile=ca)


def invite_token(link: str) -> str:
    """The token of an invitation: the whole link as people send it, or the token alone."""
    return format_id(parse_link(link)[1].token) if "://" in link else link


class Api:
    """Requests to ``<url>/api/v1``. Use as ``async with``."""

    def __init__(self, url: str, *, token: str = "", trust: Trust = True) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise Rejected(Code.BAD_REQUEST, "The address of a node looks like https://casa.example:8443.", field="url")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.token = token
        self.trust = trust
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    @property
    def http(self) -> aiohttp.ClientSession:
        """The open session."""
        assert self._http is not None, "use `async with Api(...)`"
        return self._http

    @property
    def headers(self) -> dict[str, str]:
        """Who we are."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def call(self, method: Method, path: str, answer: type[T], body: msgspec.Struct | None = None) -> T:
        """One request below ``/api/v1``. Raises Rejected, Lost."""
        data = None if body is None else msgspec.json.encode(body)
        headers = self.headers if data is None else {**self.headers, "Content-Type": "application/json"}
        try:
            async with self.http.request(
                method, self.origin + PREFIX + path, data=data, headers=headers, ssl=self.trust, allow_redirects=False
            ) as response:
                content = await response.content.read(limits.JSON_BODY_BYTES_MAX * 16)
                status = response.status
        except aiohttp.ClientConnectorCertificateError as error:
            raise untrusted(self.origin, error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Lost(f"The node at {self.origin} does not answer ({type(error).__name__} {error}).") from error
        if status >= 400:
            raise refusal(status, content)
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.DecodeError as error:
            raise RemoteError(f"The node at {self.origin} answered something unexpected: {error}.") from error

    # --- coming in --------------------------------------------------------------------------------------

    async def register(
        self, *, invite: str = "", local: str, password: str, name: str = "", device_name: str = ""
    ) -> api.account.Session:
        """Opens an account and signs in; `invite` is a link or a token."""
        asked = api.account.Register(
            local=local, name=name, password=password, token=invite_token(invite), device_name=device_name, mode="token"
        )
        return self._signed_in(await self.call("POST", "/register", api.account.Session, asked))

    async def login(self, *, local: str, password: str, device_name: str = "") -> api.account.Session:
        """Signs in as a new device."""
        asked = api.account.Login(local=local, password=password, device_name=device_name, mode="token")
        return self._signed_in(await self.call("POST", "/login", api.account.Session, asked))

    async def logout(self) -> None:
        """Ends this session."""
        await self.call("POST", "/logout", api.base.Empty)
        self.token = ""

    def _signed_in(self, session: api.account.Session) -> api.account.Session:
        self.token = session.token
        return session

    # --- people, rooms ----------------------------------------------------------------------------------

    async def node(self) -> api.account.NodeInfo:
        """What anybody may know about the node."""
        return await self.call("GET", "/node", api.account.NodeInfo)

    async def me(self) -> api.account.Me:
        """The signed-in account."""
        return await self.call("GET", "/me", api.account.Me)

    async def devices(self) -> list[api.account.Device]:
        """The account's devices."""
        return (await self.call("GET", "/devices", api.account.Devices)).devices

    async def end_device(self, device: str) -> None:
        """Signs a device out."""
        await self.call("DELETE", f"/devices/{quote(device, safe='')}", api.base.Empty)

    async def users(self, q: str = "") -> list[api.people.Person]:
        """First page of the directory."""
        return (await self.call("GET", f"/users?q={quote(q, safe='')}", api.people.People)).people

    async def open_direct(self, user: UserId) -> api.rooms.Room:
        """The direct chat with `user`."""
        return await self.call("POST", "/rooms/direct", api.rooms.Room, api.rooms.OpenDirect(user=user))

    async def rooms(self) -> list[api.rooms.Room]:
        """The account's rooms."""
        return (await self.call("GET", "/rooms", api.rooms.Rooms)).rooms

    async def members(self, room: RoomId) -> api.rooms.Members:
        """Who is in, invited, banned."""
        return await self.call("GET", f"/rooms/{format_id(room)}/members", api.rooms.Members)

    async def make_link(self, room: RoomId, *, uses: int = 1) -> api.rooms.Link:
        """A link that leads into the room."""
        return await self.call("POST", f"/rooms/{format_id(room)}/links", api.rooms.Link, api.rooms.MakeLink(uses=uses))

    async def contacts(self) -> list[api.people.Contact]:
        """People on other nodes, questions included."""
        return (await self.call("GET", "/contacts", api.people.Contacts)).contacts

    async def ask_contact(self, address: str, text: str = "") -> api.people.Contact:
        """Asks somebody on another node whether one may write to them."""
        return await self.call(
            "POST", "/contacts", api.people.Contact, api.people.AskContact(address=address, text=text)
        )

    async def accept_contact(self, user: UserId) -> api.people.Contact:
        """Says yes to a question."""
        return await self.call("POST", f"/contacts/{quote(user, safe='')}/accept", api.people.Contact)

    async def make_contact_link(self) -> api.rooms.Link:
        """A link that makes one person on another node a contact."""
        return await self.call("POST", "/contact-links", api.rooms.Link)

    async def join_elsewhere(self, link: str, client_id: str) -> api.rooms.Posted:
        """Enters the chat that a link of another node leads to."""
        body = api.people.JoinElsewhere(link=link, client_id=client_id)
        return await self.call("POST", "/introductions/join", api.rooms.Posted, body)


def untrusted(origin: str, error: aiohttp.ClientConnectorCertificateError) -> Untrusted:
    """Says what to do about a certificate."""
    return Untrusted(f"The certificate of {origin} is not trusted ({error.certificate_error}). Give its file as `ca`.")


def refusal(status: int, content: bytes) -> Rejected | RemoteError:
    """The node's refusal as it was raised there."""
    try:
        problem = msgspec.json.decode(content, type=api.base.Failure).error
    except msgspec.DecodeError:
        return RemoteError(f"The node answered with status {status} and no explanation.")
    return make_refusal(problem.code, problem.text, problem.detail)


def make_refusal(code: str, text: str, detail: dict[str, str | int | bool | None]) -> Rejected:
    """A refusal with a code this program may not know yet (then it counts as `internal`)."""
    known = Code(code) if code in set(Code) else Code.INTERNAL
    rejected = Rejected(known, text)
    rejected.detail = dict(detail)
    return rejected
