"""The client: one device of one account, connected as long as its ``async with`` block runs.

It keeps one cursor. Each connection says hello with it, gets what changed since, and acknowledges frame by frame once
they are folded into its view (client/view.py) and handed to every reader of `events`; a reader that is slow therefore
slows the node down instead of filling memory. Requests wait in the outbox until they are answered, however many
connections that takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from node.base.ids import EVENT_ID_BYTES, ROOM_ID_BYTES, ClientId, EventId, RoomId, UserId, format_id, parse_id
from node.client.api import Api, make_refusal, trust
from node.client.backoff import Backoff
from node.client.calling import Calls
from node.client.connection import Connection
from node.client.errors import Lost, SignedOut, Untrusted
from node.client.events import Events, Readers
from node.client.news import Connected, Disconnected, Entry
from node.client.outbox import Answer, Outbox, Request
from node.client.room import Room
from node.client.view import View
from node.core import content
from node.core.content import Body
from node.runtime.clock import Clock, SystemClock
from node.runtime.entropy import Entropy, SystemEntropy
from node.wire import api, c2s, calling

PROGRAM: Final = "startalk-client-python"
GOODBYE_S: Final = 2.0


class Client:
    """One device. Made by `connect`, `register` and `login`, which are ``async with`` blocks."""

    def __init__(
        self, *, api: Api, clock: Clock, entropy: Entropy, cursor: int | None = None, program: str = PROGRAM
    ) -> None:
        self.api = api
        self.fault: SignedOut | Untrusted | None = None
        self.connections = 0
        self._clock = clock
        self._entropy = entropy
        self._program = program
        self._view = View(cursor)
        self._readers = Readers(lambda: self.fault)
        self._outbox = Outbox()
        self.calls = Calls(ask=self._ask, number=self._outbox.next_number, send=self._signal, tell=self._readers.tell)
        self._connection: Connection | None = None
        self._welcome: c2s.Welcome | None = None
        self._ready = asyncio.Event()

    # --- opening and closing ----------------------------------------------------------------------------

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        *,
        token: str,
        cursor: int | None = None,
        ca: str | None = None,
        insecure: bool = False,
        program: str = PROGRAM,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> AsyncIterator[Client]:
        """Connects with a session token. `cursor` goes on where an earlier `Client.cursor` stopped.

        Raises SignedOut, Untrusted; keeps trying as long as the node cannot be reached.
        """
        async with Api(url, token=token, trust=trust(ca=ca, insecure=insecure)) as api:
            client = cls(
                api=api,
                clock=clock or SystemClock(),
                entropy=entropy or SystemEntropy(),
                cursor=cursor,
                program=program,
            )
            async with client.running() as running:
                yield running

    @classmethod
    @asynccontextmanager
    async def register(
        cls,
        url: str,
        *,
        invite: str,
        local: str,
        password: str,
        name: str = "",
        ca: str | None = None,
        insecure: bool = False,
    ) -> AsyncIterator[Client]:
        """Opens an account with an invitation (link or token) and connects; keep `token` for the next time."""
        async with Api(url, trust=trust(ca=ca, insecure=insecure)) as api:
            await api.register(invite=invite, local=local, password=password, name=name, device_name=PROGRAM)
            async with cls(api=api, clock=SystemClock(), entropy=SystemEntropy()).running() as running:
                yield running

    @classmethod
    @asynccontextmanager
    async def login(
        cls,
        url: str,
        *,
        local: str,
        password: str,
        device_name: str = PROGRAM,
        ca: str | None = None,
        insecure: bool = False,
    ) -> AsyncIterator[Client]:
        """Signs in as a new device and connects; keep `token` for the next time."""
        async with Api(url, trust=trust(ca=ca, insecure=insecure)) as api:
            await api.login(local=local, password=password, device_name=device_name)
            async with cls(api=api, clock=SystemClock(), entropy=SystemEntropy()).running() as running:
                yield running

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Client]:
        """Connects, and stays connected as long as the block runs."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._run())
            try:
                await self._ready.wait()
                if self.fault is not None:
                    raise self.fault
                yield self
            except Exception as error:  # noqa: BLE001 - handed on below, without the group's wrapping
                failure = error
            finally:
                running.cancel()
        if failure is not None:
            raise failure

    # --- who and what -----------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        """The session token; whoever has it is this device."""
        return self.api.token

    @property
    def welcome(self) -> c2s.Welcome:
        """What the node said on the latest connection."""
        assert self._welcome is not None, "the client is connected"
        return self._welcome

    @property
    def user(self) -> UserId:
        """The canonical id of this account."""
        return self._view.user

    @property
    def cursor(self) -> int | None:
        """Up to where everything was folded and handed to every reader; None before the first snapshot."""
        return self._view.cursor

    @property
    def rooms(self) -> dict[RoomId, Room]:
        """The chats of the account."""
        return self._view.rooms

    @property
    def names(self) -> dict[UserId, str]:
        """What people call themselves."""
        return self._view.names

    @property
    def waiting(self) -> dict[EventId, c2s.WaitingItem]:
        """Posts that wait for other nodes or were refused by them."""
        return self._view.waiting

    @property
    def nodes(self) -> dict[RoomId, c2s.Nodes]:
        """How far other nodes have a room, as last heard."""
        return self._view.nodes

    @property
    def contacts_seen(self) -> int:
        """Grows when contacts on other nodes changed."""
        return self._view.contacts_seen

    @property
    def online(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    def events(self) -> Events:
        """An endless iterator of what happens. The first one begins with the connection, later ones with now."""
        return self._readers.add()

    async def until(self, met: Callable[[], bool]) -> None:
        """Waits until `met()` is true of what this client knows. Raises SignedOut."""
        await self._readers.until(lambda: self.fault is not None or met())
        if self.fault is not None and not met():
            raise self.fault

    # --- doing ------------------------------------------------------------------------------------------

    async def post(
        self,
        room: RoomId,
        body: Body,
        *,
        kind: str = "",
        client_id: ClientId | None = None,
        guests: Sequence[UserId] = (),
        token: bytes = b"",
    ) -> c2s.PostedItem:
        """Appends an event; returns when it is on the node's disk. Raises Rejected."""
        fresh = client_id or ClientId(self._entropy.uuid7(self._clock.now_ms()))
        frame = c2s.Post(
            self._outbox.next_number(),
            room,
            fresh,
            kind or kind_of(body),
            content.encode_body(body),
            tuple(guests),
            token,
        )
        answer = await self._ask(frame)
        assert isinstance(answer, c2s.PostedItem)
        return answer

    async def say(self, room: RoomId, text: str, *, mentions: Sequence[content.Mention] = ()) -> c2s.PostedItem:
        """Posts a text message."""
        return await self.post(room, content.Text(text=text, mentions=tuple(mentions)))

    async def reply(self, to: Entry, text: str) -> c2s.PostedItem:
        """Posts a text message that quotes `to`."""
        quote = content.ReplyTo(event=to.event_id, author=to.author, quote=to.text[:200])
        return await self.post(to.room, content.Text(text=text, reply_to=quote))

    async def edit(self, room: RoomId, target: bytes, text: str) -> c2s.PostedItem:
        """Gives one's own message another text."""
        return await self.post(room, content.Edit(target=target, text=text))

    async def recall(self, room: RoomId, target: bytes) -> c2s.PostedItem:
        """Takes one's own message back."""
        return await self.post(room, content.Recall(target=target))

    async def redact(self, room: RoomId, target: bytes, reason: str = "") -> c2s.PostedItem:
        """Removes somebody's message (owner, admins)."""
        return await self.post(room, content.Redact(target=target, reason=reason))

    async def react(self, room: RoomId, target: bytes, value: str, *, on: bool = True) -> c2s.PostedItem:
        """Puts or takes away one emoji."""
        return await self.post(room, content.Reaction(target=target, value=value, on=on))

    async def ordered(self, item: c2s.PostedItem) -> Entry:
        """The entry that a post became: at once in a chat of the own node, else when the other node gave it a place.

        Raises Rejected when that node refused it.
        """
        view, room, event = self._view, RoomId(item.room), EventId(item.event_id)
        await self.until(lambda: view.entry(room, event) is not None or view.refusal(event) is not None)
        entry, refusal = view.entry(room, event), view.refusal(event)
        if entry is None:
            assert refusal is not None
            raise make_refusal(refusal.code, refusal.text, {})
        return entry

    async def ask(self, address: str, text: str = "") -> api.people.Contact:
        """Asks somebody on another node (address, user id or contact link) whether one may write to them. Raises Rejected."""
        return await self.api.ask_contact(address, text)

    async def agree(self, user: UserId) -> RoomId:
        """Says yes to somebody's question; the direct chat with them. Raises Rejected."""
        contact = await self.api.accept_contact(user)
        return RoomId(parse_id(contact.room, ROOM_ID_BYTES))

    async def contacts(self) -> list[api.people.Contact]:
        """People on other nodes the account has to do with, questions included."""
        return await self.api.contacts()

    async def join_elsewhere(self, link: str) -> c2s.PostedItem:
        """Enters the chat that a link of another node leads to; its entry comes when that node lets us in. Raises Rejected."""
        posted = await self.api.join_elsewhere(link, format_id(self._entropy.uuid7(self._clock.now_ms())))
        room, event = parse_id(posted.room, ROOM_ID_BYTES), parse_id(posted.event_id, EVENT_ID_BYTES)
        return c2s.PostedItem(0, room, posted.idx, posted.seq, event, posted.at_ms)

    async def create_group(self, name: str, guests: Sequence[UserId] = (), *, topic: str = "") -> RoomId:
        """A new group; `guests` are invited."""
        made = await self.post(RoomId(b""), content.Create(name=name, topic=topic), guests=guests)
        return RoomId(made.room)

    async def open_direct(self, user: UserId) -> RoomId:
        """The direct chat with `user`."""
        return RoomId(parse_id((await self.api.open_direct(user)).room, ROOM_ID_BYTES))

    async def invite(self, room: RoomId, user: UserId) -> c2s.PostedItem:
        """Asks `user` in."""
        return await self.post(room, content.Invite(user=user))

    async def accept(self, room: bytes) -> c2s.PostedItem:
        """Follows an invitation."""
        return await self.post(RoomId(room), content.Join())

    async def decline(self, room: RoomId) -> c2s.PostedItem:
        """Says no to an invitation."""
        return await self.post(room, content.Decline())

    async def leave(self, room: RoomId) -> c2s.PostedItem:
        """Goes."""
        return await self.post(room, content.Leave())

    async def history(
        self, room: RoomId, idx: int = 0, *, back: bool = True, limit: int = 60
    ) -> tuple[list[Entry], bool]:
        """A page in rising idx and whether there is more: before `idx` (0: the newest), or from `idx` on."""
        page = await self._ask(c2s.History(self._outbox.next_number(), room, idx, back, limit))
        assert isinstance(page, c2s.Page)
        return self._view.take_page(room, page), page.more

    async def read(self, room: RoomId, idx: int) -> None:
        """Marks `room` as read up to `idx`."""
        await self._ask(c2s.Read(self._outbox.next_number(), room, idx))
        known = self.rooms.get(room)
        if known is not None:
            known.read(idx)

    async def typing(self, room: RoomId, *, on: bool = True) -> None:
        """Shows or hides that this user is typing; lost when offline."""
        await self._signal(c2s.Typing(room, on))

    async def presence(self, state: str) -> None:
        """``online`` or ``away``; lost when offline."""
        await self._signal(c2s.Presence(state))

    async def _signal(self, frame: c2s.Frame) -> None:
        """Says something that is not answered; lost when offline."""
        if self._connection is not None:
            await self._connection.send(frame)

    async def drop(self) -> None:
        """Closes the connection; the client comes back by itself."""
        if self._connection is not None:
            await self._connection.close()

    async def _ask(self, frame: Request) -> Answer:
        if self.fault is not None:
            raise self.fault
        answer = self._outbox.add(frame)
        try:
            if self._connection is not None:
                await self._outbox.flush(self._connection)
            return await answer
        finally:
            self._outbox.forget(frame.n)

    # --- the connection ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        backoff = Backoff(entropy=self._entropy)
        while self.fault is None:
            try:
                connection = await Connection.open(
                    self.api, cursor=self.cursor, program=self._program, clock=self._clock
                )
                backoff.reset()
                await self._serve(connection)
            except (SignedOut, Untrusted) as error:
                await self._end(error)
            except Lost as error:
                await self._readers.tell(Disconnected(str(error)))
                await asyncio.sleep(backoff.next_s())

    async def _serve(self, connection: Connection) -> None:
        """One connection until it is lost."""
        try:
            await self._begin(connection)
            while True:
                await self._take(connection, await connection.receive())
        finally:
            self._connection = None
            self._outbox.lose(connection)
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await connection.close()

    async def _begin(self, connection: Connection) -> None:
        """Takes the welcome and the snapshot, then says again what was not answered."""
        welcome = self._welcome = connection.welcome
        self.connections += 1
        self._view.begin(welcome)
        await self._readers.tell(Connected(welcome.resumed))
        more = True
        while more:
            frame = await connection.receive()
            more = not isinstance(frame, c2s.Rooms) or frame.more
            await self._take(connection, frame)
        if self.cursor is None:
            self._view.cursor = welcome.head
            await connection.acknowledge(welcome.head)
        self._connection = connection
        self._ready.set()
        await self._outbox.flush(connection)
        if self.connections > 1:
            self.calls.reconnected()

    async def _end(self, error: SignedOut | Untrusted) -> None:
        self.fault = error
        self._outbox.fail_all(error)
        self.calls.end()
        self._ready.set()
        await self._readers.wake()

    async def _take(self, connection: Connection, frame: c2s.NodeFrame) -> None:
        """What one frame means."""
        match frame:
            case c2s.Posted():
                for item in frame.items:
                    self._outbox.settle(item.n, item)
            case c2s.Page() | c2s.Done() | calling.CallSdp():
                self._outbox.settle(frame.n, frame)
            case calling.CallSeat():
                if not self._outbox.settle(frame.n, frame):
                    await self.calls.unwanted(frame)
            case c2s.Refused():
                self._outbox.fail(frame.n, make_refusal(frame.code, frame.text, frame.detail))
            case c2s.Error():
                raise _error_of(frame)
            case _:
                await self._news(connection, frame)

    async def _news(self, connection: Connection, frame: c2s.NodeFrame) -> None:
        if isinstance(frame, calling.NodeCallFrame):
            await self.calls.take(frame)
            return
        for event in self._view.take(frame):
            await self._readers.tell(event)
        if isinstance(frame, c2s.Entries):
            assert self.cursor is not None
            await connection.acknowledge(self.cursor)


def _error_of(frame: c2s.Error) -> Exception:
    """What the node's last frame means for the next connection."""
    if frame.retry_after_ms < 0:
        return SignedOut(frame.text)
    return Lost(f"{frame.code}: {frame.text}")


def kind_of(body: Body) -> str:
    """The name of a body's kind."""
    found = next((kind for kind, struct in content.KINDS.items() if type(body) is struct), None)
    assert found is not None, "say the kind of an unknown body"
    return found
