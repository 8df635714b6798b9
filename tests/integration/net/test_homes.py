"""Two homes behind routers and a public node: what they have to say to each other goes over the links that the homes dialled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from node.base.errors import Code
from node.base.ids import RoomId
from node.client import Client
from tests.cast import group, hears, refuses, sees, stands
from tests.integration.net.netns import Internet
from tests.integration.net.towns import Settler, settle

pytestmark = [pytest.mark.slow, pytest.mark.netns, pytest.mark.xdist_group("netns")]
PUBLIC = "11.22.33.10"
WEEK_S = 7 * 24 * 3600
BACKLOG = 10_000


async def town(stack: AsyncExitStack, net: Internet, folder: Path) -> tuple[Settler, Settler, Settler]:
    """A public node and one in each home."""
    net.host("pub", PUBLIC)
    net.home("ra", outside="11.22.33.1", hosts={"a1": "192.168.1.11"})
    net.home("rb", outside="11.22.33.2", hosts={"b1": "192.168.2.11"})
    pub = await settle(stack, net, "pub", folder / "pub", https_port=443, public_url=f"wss://{PUBLIC}/s2s")
    return pub, await settle(stack, net, "a1", folder / "a"), await settle(stack, net, "b1", folder / "b")


async def met(far: Client, host: Client) -> None:
    """Somebody in a home follows a contact link of somebody on the public node."""
    link = await host.api.make_contact_link()
    _, slash, invitation = link.url.removeprefix("https://").partition("/")
    await far.ask(
        f"https://{PUBLIC}{slash}{invitation}", "Hello from home"
    )  # as one who opened the page at this address
    await stands(host, far, "contact")
    await stands(far, host, "contact")


async def three(
    stack: AsyncExitStack, net: Internet, folder: Path
) -> tuple[tuple[Settler, Settler, Settler], tuple[Client, Client, Client], RoomId]:
    """Carol on the public node has a group with Alice and Bob in their homes."""
    nodes = await town(stack, net, folder)
    carol, alice, bob = [await node.person(name) for node, name in zip(nodes, ("carol", "alice", "bob"), strict=True)]
    await met(alice, carol)
    await met(bob, carol)
    return nodes, (carol, alice, bob), await group(carol, alice, bob)


async def test_homes_talk_over_the_links_they_dialled(internet: Internet, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        (pub, home_a, home_b), (carol, alice, bob), room = await three(stack, internet, tmp_path)
        await alice.say(room, "from one home")
        await hears(bob, room, "from one home")
        await bob.say(room, "from the other")
        for client in (carol, alice, bob):
            await hears(client, room, "from one home", "from the other")
        for node in (home_a, home_b):
            [peer] = await asyncio.to_thread(node.admin.peers)
            assert peer.path.startswith("out wss://"), "homes dial; nobody reaches them"
        assert {peer.path.partition(" ")[0] for peer in await asyncio.to_thread(pub.admin.peers)} == {"in"}
        # Nobody can dial the other home, and nothing relays a first contact yet: it is said at once, not swallowed.
        await refuses(Code.PEER_UNREACHABLE, alice.ask(bob.user, "Hello neighbour"))
        assert not [contact for contact in await alice.contacts() if contact.person.user == bob.user]


async def test_what_was_written_during_a_cut_arrives_once_and_in_order(internet: Internet, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        _, (carol, alice, bob), room = await three(stack, internet, tmp_path)
        await alice.say(room, "before")
        await hears(bob, room, "before")
        internet.cut("pub")
        waiting = [await alice.say(room, f"alice {n}") for n in range(20)]
        assert all(posted.idx == 0 for posted in waiting), "shown at once, without a place"
        await asyncio.gather(*(carol.say(room, f"carol {n}") for n in range(20)))
        for n in range(20):
            await bob.say(room, f"bob {n}")
        await sees(alice, lambda: len(alice.waiting) == 20)
        await asyncio.sleep(5)
        internet.heal("pub")
        for client in (carol, alice, bob):
            await until(lambda client=client: len(client.rooms[room].texts()) == 61)  # type: ignore[misc]
        assert carol.rooms[room].texts() == alice.rooms[room].texts() == bob.rooms[room].texts()
        for who in ("alice", "bob"):
            said = [text for text in carol.rooms[room].texts() if text.startswith(who)]
            assert said == [f"{who} {n}" for n in range(20)]
        await sees(alice, lambda: not alice.waiting)


async def until(met: Callable[[], bool], within_s: float = 45) -> None:
    async with asyncio.timeout(within_s):
        while not met():
            await asyncio.sleep(0.05)


async def test_a_week_away(internet: Internet, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """10,000 messages wait for a home that was off for a week: both nodes start again on a clock that is a week ahead."""
    async with AsyncExitStack() as stack:
        (pub, home_a, _), (carol, _, _), room = await three(stack, internet, tmp_path)
        home_a.stop()
        last = 0
        for start in range(0, BACKLOG, 250):
            posted = await asyncio.gather(*(carol.say(room, f"{n}") for n in range(start, start + 250)))
            last = max(one.idx for one in posted)
        pub.stop()
        pub.start(ahead_s=WEEK_S)
        began = time.monotonic()
        home_a.start(ahead_s=WEEK_S)
        started = time.monotonic()
        await until(lambda: reached(home_a, room) >= last)
        done = time.monotonic()
        print(f"start {started - began:.1f} s, then {BACKLOG} messages in {done - started:.1f} s")
        record_property("catchup_s", round(done - started, 2))
        assert done - started < 30
        assert home_a.ask("SELECT count(*) FROM entries e JOIN rooms r ON r.id = e.room WHERE r.room = ?", room) == last
        assert hashes(home_a, room) == hashes(pub, room)
        late = await carol.say(room, "a week later")
        await until(lambda: reached(home_a, room) >= late.idx)
        sql = "SELECT e.at_ms - f.at_ms FROM entries e, entries f WHERE e.idx = ? AND f.idx = ? AND e.room = f.room"
        assert home_a.ask(sql, late.idx, last) >= WEEK_S * 1000, "the calendar did move"


def reached(node: Settler, room: RoomId) -> int:
    return int(node.ask("SELECT head_idx FROM rooms WHERE room = ?", room))


def hashes(node: Settler, room: RoomId) -> bytes:
    return bytes(node.ask("SELECT head_hash FROM rooms WHERE room = ?", room))


async def test_neighbours_without_internet_pair_and_write(internet: Internet, tmp_path: Path) -> None:
    """Two nodes on one bridge: they see each other, one of their people scans the link of the other, and they write."""
    internet.lan("br", {"a": "192.168.7.11", "b": "192.168.7.12"})
    async with AsyncExitStack() as stack:
        home_a = await settle(stack, internet, "a", tmp_path / "a", mdns=True)
        home_b = await settle(stack, internet, "b", tmp_path / "b", mdns=True)
        alice, bob = await home_a.person("alice"), await home_b.person("bob")
        near = await nearby(alice)
        assert near == [bob.user.partition("@")[2]]
        assert await nearby(bob) == [alice.user.partition("@")[2]]
        link = await bob.api.make_contact_link()
        await alice.ask(link.url, "Hello neighbour")
        await stands(alice, bob, "contact")
        room = await bob.open_direct(alice.user)
        await hears(bob, room, "Hello neighbour")
        await bob.say(room, "Without any Internet")
        await hears(alice, room, "Hello neighbour", "Without any Internet")


async def nearby(client: Client) -> list[str]:
    from node.wire import api

    async with asyncio.timeout(20):
        while True:
            found = await client.api.call("GET", "/nearby", api.peers.Nearby)
            if found.nodes:
                return [one.node for one in found.nodes]
            await asyncio.sleep(0.2)
