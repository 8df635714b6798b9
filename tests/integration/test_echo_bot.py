"""docs/howto/echo_bot.py as a person would run it: a process of its own, told where and who by its environment."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from node.base.ids import UserId
from node.client import Api, PresenceChanged
from tests.cast import PASSWORD, PATIENCE_S, hears, sees, stage

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "howto" / "echo_bot.py"


@pytest.mark.slow
async def test_the_bot_of_the_manual_answers_in_direct_chats_and_groups(tmp_path: Path) -> None:
    async with stage(tmp_path / "node") as node, Api(node.url) as account:
        alice = await node.person("alice")
        session = await account.register(invite=await node.invite(), local="echo", password=PASSWORD)
        bot = UserId(session.me.user)
        direct = await alice.open_direct(bot)
        await alice.say(direct, "anybody there?")
        presence = alice.events()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "STARTALK_URL": node.url, "STARTALK_TOKEN": session.token},
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                async for event in presence:
                    if event == PresenceChanged(bot, "online"):
                        break
            await alice.say(direct, "hello")
            await hears(alice, direct, "anybody there?", "hello", "hello")
            walk = await alice.create_group("Walk", [bot])
            await sees(alice, lambda: any(entry.kind == "join" for entry in alice.rooms[walk].entries.values()))
            await alice.say(walk, "hello, bot")
            await hears(alice, walk, "hello, bot", "hello, bot")
        finally:
            process.kill()
            await process.wait()


def test_it_is_as_short_as_promised() -> None:
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 15
