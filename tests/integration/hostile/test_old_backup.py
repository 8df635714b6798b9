"""A hub that comes back from an old backup: the others show it what it signed later, it stops writing until its owner says that this is
the one copy, and then it gets back from them what the backup does not have. The copy that was left behind is refused."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import RoomId
from node.client import Client
from node.runtime.clock import SystemClock
from node.storage import backup, database
from tests.cast import PASSWORD, Node, acquaint, group, hears, joined, offered, refuses, stage

pytestmark = pytest.mark.slow
LATER_S = 2 * limits.LINK_NEW_RUN_S


def move(data: Path, words: tuple[str, ...]) -> None:
    """`startalk identity move`, as its owner does it."""
    done = subprocess.run(
        [sys.executable, "-m", "node", "identity", "move", "--yes", "--data", str(data)],
        input=" ".join(words) + "\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "incarnation 2" in done.stdout


async def health(node: Node) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{node.url}/health") as response:
        return await response.text()


async def again(stack: AsyncExitStack, node: Node, local: str) -> Client:
    return await stack.enter_async_context(Client.login(node.url, local=local, password=PASSWORD))


def texts(n: int) -> list[str]:
    return [f"after the backup {i}" for i in range(n)]


async def goes_on_after_a_backup(a: Node, b: Node, bob: Client, tmp_path: Path) -> tuple[Client, RoomId]:
    """Alice on `a` shares a group with Bob; a backup is made, and she says thirty things more."""
    await acquaint(a, b)
    alice = await a.person("alice")
    room = await group(alice, bob)
    await alice.say(room, "before")
    await hears(bob, room, "before")
    backup.pack(tmp_path / "a", tmp_path / "old.tar", clock=SystemClock())
    for text in texts(30):
        await alice.say(room, text)
    return alice, room


async def test_what_an_old_backup_lacks_comes_back_from_the_others(tmp_path: Path) -> None:
    now_ms = SystemClock().now_ms()
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(stage(tmp_path / "b", now_ms=now_ms))
        bob = await b.person("bob")
        async with stage(tmp_path / "a", now_ms=now_ms) as a:
            words = a.services.identity.phrase()
            alice, room = await goes_on_after_a_backup(a, b, bob, tmp_path)
            await bob.say(room, "and Bob")
            lost = await alice.create_group("Made after the backup", [bob.user])
            await offered(bob, lost)
            await bob.accept(lost)
            await joined(bob, lost)
            await bob.say(lost, "kept by Bob")
            await hears(alice, lost, "kept by Bob")
            everything = ["before", *texts(30), "and Bob"]
            await hears(bob, room, *everything)
        backup.unpack(tmp_path / "old.tar", tmp_path / "restored")
        shutil.copytree(tmp_path / "restored", tmp_path / "twin")
        b.clock.advance(seconds=LATER_S)  # a peer numbers anew once in ten minutes

        async with stage(tmp_path / "restored", now_ms=now_ms) as old:
            await acquaint(old, b)
            with suppress(Rejected):  # it may have reached Bob's node by itself, and then takes no new device
                alice = await again(stack, old, "alice")
                await refuses(Code.READ_ONLY, alice.say(room, "too early"))
            await old.node.federation.reach(b.nid)
            await until_fenced(old)
            assert '"status":"read_only"' in await health(old)
            assert "startalk identity move" in await health(old)
        move(tmp_path / "restored", words)
        b.clock.advance(seconds=LATER_S)

        async with AsyncExitStack() as life:
            new = await life.enter_async_context(stage(tmp_path / "restored", now_ms=now_ms))
            assert (tmp_path / "restored" / database.RESTORED).exists()
            alice = await again(life, new, "alice")
            await refuses(Code.READ_ONLY, alice.say(room, "too early"))
            await acquaint(new, b)
            await new.node.federation.reach(b.nid)
            await hears(alice, room, *everything[1:])  # older ones are there to be paged
            await hears(alice, lost, "kept by Bob")
            await alice.say(room, "on we go")
            await hears(bob, room, *everything, "on we go")
            await bob.say(room, "indeed")
            await hears(alice, room, *everything[1:], "on we go", "indeed")
            await hears(bob, room, *everything, "on we go", "indeed")
            assert logs(new, room) == logs(b, room)
            assert not (tmp_path / "restored" / database.RESTORED).exists()

            twin = await life.enter_async_context(stage(tmp_path / "twin", now_ms=now_ms))
            await twin.learn(b)
            with pytest.raises(Exception):  # noqa: B017, PT011 - refused in one of several ways, all of them final
                await twin.node.federation.reach(b.nid)
            await until_fenced(twin)
            assert b.node.federation.linked(new.nid)


async def test_what_was_written_while_the_hub_was_away_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrived before the hub had asked what its backup lacks, and each message was refused for good: every author had to send anew."""
    monkeypatch.setattr(limits, "UNANSWERED_LOOK_S", 0.3)
    now_ms = SystemClock().now_ms()
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(stage(tmp_path / "b", now_ms=now_ms))
        bob = await b.person("bob")
        async with stage(tmp_path / "a", now_ms=now_ms) as a:
            words = a.services.identity.phrase()
            _, room = await goes_on_after_a_backup(a, b, bob, tmp_path)
            await hears(bob, room, "before", *texts(30))
        for n in range(5):
            await bob.say(room, f"while you were away {n}")
        backup.unpack(tmp_path / "old.tar", tmp_path / "restored")
        move(tmp_path / "restored", words)
        b.clock.advance(seconds=LATER_S)
        new = await stack.enter_async_context(stage(tmp_path / "restored", now_ms=now_ms))
        await acquaint(new, b)
        with suppress(Rejected):
            await new.node.federation.reach(b.nid)
        await hears(bob, room, "before", *texts(30), *(f"while you were away {n}" for n in range(5)))
        assert logs(new, room) == logs(b, room)


async def until_fenced(node: Node) -> None:
    async with asyncio.timeout(20):
        while not node.services.identity.fenced:
            await asyncio.sleep(0.05)


def logs(node: Node, room: bytes) -> list[tuple[object, ...]]:
    return node.services.db.view(
        lambda tx: tx.all(
            "SELECT e.idx, e.log_hash, e.event_id, e.body FROM entries e JOIN rooms r ON r.id = e.room WHERE r.room = ? ORDER BY e.idx",
            (room,),
        )
    )
