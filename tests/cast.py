"""The cast of the plays: a real node in this process, and people with devices who talk to it over loopback.

    async with stage(tmp_path) as node:
        alice = await node.person("alice")      # a new account with one device, connected
        phone = await node.device(alice, "phone")   # one more device of hers

A `Person` is a `node.client.Client` and nothing else; every step of a play goes over real sockets. The node's clock stands
still until `node.clock.advance(…)`, passwords cost little, rates are as high as they go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from node import main
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, UserId
from node.client import Client
from node.core.account import NodeRole
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.settings import RATE_MAX, RATES, Change
from node.storage.database import Tx

PASSWORD: Final = "a-long-enough-word"
PATIENCE_S: Final = 20.0  # a play that waits longer has failed


class Node:
    """A running node of a play."""

    def __init__(self, node: main.Node, clock: ManualClock, people: AsyncExitStack) -> None:
        self.node = node
        self.services = node.services
        self.clock = clock
        self._people = people
        self.url = f"http://127.0.0.1:{next(bound.port for bound in node.web.bound if bound.name == 'http')}"

    @property
    def nid(self) -> NodeId:
        """Who it is."""
        return self.services.identity.nid

    async def learn(self, other: Node) -> None:
        """This node knows an address of `other`."""
        peers, now_ms = self.services.peers, self.clock.now_ms()
        url = other.url.replace("http", "ws") + "/s2s"

        def note(tx: Tx) -> None:
            peers.address_ok(tx, peers.ensure(tx, other.nid, now_ms).pk, url, "typed", now_ms, tls=False)

        await self.services.db.write(note)

    @asynccontextmanager
    async def cut(self, other: Node) -> AsyncIterator[None]:
        """No link between the two meanwhile: each takes the other for blocked, which closes what is open and refuses what comes."""
        for one, far in ((self, other), (other, self)):
            await one.services.peer_book.set_policy(far.nid, "block")
        try:
            yield
        finally:
            for one, far in ((self, other), (other, self)):
                await one.services.peer_book.set_policy(far.nid, "open")
            self.node.federation.wake(other.nid)

    async def forget_addresses(self, other: Node) -> None:
        """This node no longer knows where `other` is."""
        peers, now_ms = self.services.peers, self.clock.now_ms()
        await self.services.db.write(
            lambda tx: (
                tx.execute(
                    "DELETE FROM peer_addresses WHERE peer = ?", (peers.ensure(tx, other.nid, now_ms).pk,)
                ).rowcount
            )
        )

    async def invite(self, *, role: NodeRole = NodeRole.USER) -> str:
        """The token of an invitation for one account."""
        made = await self.services.invites.make_account(
            self.services.accounts.console(), role=role, expires_s=0, uses=1
        )
        return made.text

    async def person(self, local: str) -> Client:
        """Somebody new, connected with a first device."""
        coming = Client.register(
            self.url, invite=await self.invite(), local=local, password=PASSWORD, name=local.title()
        )
        return await self._people.enter_async_context(coming)

    async def enter(self, coming: AbstractAsyncContextManager[Client]) -> Client:
        """Somebody who stays to the end."""
        return await self._people.enter_async_context(coming)

    async def device(self, person: Client, name: str = "phone") -> Client:
        """One more device of `person`, connected."""
        local = person.user.partition("@")[0]
        return await self._people.enter_async_context(
            Client.login(self.url, local=local, password=PASSWORD, device_name=name)
        )

    async def again(self, person: Client, *, cursor: int | None) -> Client:
        """The same device once more, as after a restart of its program."""
        return await self._people.enter_async_context(Client.connect(self.url, token=person.token, cursor=cursor))


@asynccontextmanager
async def stage(data: Path, *, relaxed: bool = True, now_ms: int | None = None, **boot: Any) -> AsyncIterator[Node]:
    """A node from start to end, with the cast that enters meanwhile; `boot` are further boot settings."""
    clock = ManualClock() if now_ms is None else ManualClock(now_ms=now_ms)
    config = Config(
        data=str(data),
        password_cost="small",
        http_port=0,
        **{"https": False, "net_allow": ("127.0.0.0/8",), "mdns": False, "dht": False, "portmap": False, **boot},
    )
    services = main.open_services(config, clock=clock, entropy=SeededEntropy(f"cast {data}"))
    built = main.build(services)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Event()
        inside = (services.calls, built.sockets, services.exchange, built.discovery, built.federation)
        running = [
            *(group.create_task(part.run(lambda: None)) for part in inside),
            group.create_task(built.web.run(ready.set)),
        ]
        await ready.wait()
        try:
            async with AsyncExitStack() as people:
                if relaxed:
                    await services.settings.change(Change(rates=dict.fromkeys(RATES, RATE_MAX)), actor="test")
                yield Node(built, clock, people)
        except Exception as error:  # noqa: BLE001 - handed on without the group's wrapping
            failure = error
        finally:
            for task in running:
                task.cancel()
    await services.close()
    if failure is not None:
        raise failure


async def acquaint(*nodes: Node) -> None:
    """Each node knows where the others are, as after a first contact by address."""
    for node in nodes:
        for other in nodes:
            if other is not node:
                await node.learn(other)


async def befriend(a: Client, b: Client) -> RoomId:
    """Two people of different nodes agree to write to each other; their direct chat."""
    await a.ask(b.user, "May I?")
    await stands(b, a, "asking")
    room = await b.agree(a.user)
    await sees(a, lambda: room in a.rooms)
    await hears(b, room, "May I?")
    await hears(a, room, "May I?")
    return room


async def stands(me: Client, other: Client, state: str) -> None:
    """`me` sees that it stands like this with `other`, of another node."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            seen = me.contacts_seen
            if any(contact.person.user == other.user and contact.state == state for contact in await me.contacts()):
                return
            await me.until(lambda seen=seen: me.contacts_seen != seen)  # type: ignore[misc]


async def sees(client: Client, met: Callable[[], bool]) -> None:
    """`met()` becomes true of what the device knows."""
    async with asyncio.timeout(PATIENCE_S):
        await client.until(met)


async def hears(client: Client, room: RoomId, *texts: str) -> None:
    """The device shows exactly these messages in `room`."""
    expected = list(texts)

    def met() -> bool:
        return room in client.rooms and client.rooms[room].texts() == expected

    try:
        await sees(client, met)
    except TimeoutError:
        shown = client.rooms[room].texts() if room in client.rooms else "no such room"
        raise AssertionError(f"expected {expected}, the device shows {shown}") from None


async def offered(client: Client, room: RoomId) -> None:
    """The device shows an open invitation."""
    await sees(client, lambda: room in client.rooms and client.rooms[room].card.state == "invited")


async def joined(client: Client, room: RoomId) -> None:
    """The device shows the room as its own."""
    await sees(client, lambda: room in client.rooms and client.rooms[room].card.state == "member")


async def left(client: Client, room: RoomId) -> None:
    """The device shows that its user is not in the room any more."""
    await sees(client, lambda: room not in client.rooms or client.rooms[room].card.state == "left")


async def group(owner: Client, *members: Client, name: str = "Walk") -> RoomId:
    """A group in which everybody is."""
    room = await owner.create_group(name, [member.user for member in members])
    for member in members:
        await offered(member, room)
        await member.accept(room)
        await joined(member, room)
    return room


async def refuses(code: Code, doing: Awaitable[object]) -> Rejected:
    """Awaiting `doing` is refused with `code`."""
    with pytest.raises(Rejected) as refusal:
        await doing
    assert refusal.value.code == code, repr(refusal.value)
    return refusal.value


def users(*clients: Client) -> list[UserId]:
    """Their ids."""
    return [client.user for client in clients]
