"""One hostile peer floods as fast as its link takes it: what the honest ones say to each other goes on, and little is kept of the flood.

How much slower it goes on is printed and not judged: other tests share the machine."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.base import limits
from node.storage.database import Tx
from tests.cast import hears
from tests.integration.hostile.villain import Scene

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
SAMPLES = 60


@asynccontextmanager
async def flood(s: Scene, folder: Path) -> AsyncIterator[None]:
    """While open, somebody floods."""
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("flood.py")), str(folder), s.a.url.replace("http", "ws") + "/s2s",
        s.a.nid.hex(), s.room.hex(),
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"linked\n"
        async with asyncio.timeout(60):
            while not s.count("SELECT count(*) FROM quarantine"):
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        yield
        assert process.returncode is None, "the flood lasted"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def p95_ms(s: Scene) -> float:
    """From Alice's device to Bob's on the other node."""
    found = []
    for n in range(SAMPLES):
        began = time.perf_counter()
        s.said.append(f"p{len(s.said)}")
        await s.alice.say(s.room, s.said[-1])
        await s.bob.until(lambda: s.bob.rooms[s.room].texts()[-1:] == s.said[-1:])
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.02 * (n % 3))
    await hears(s.bob, s.room, *s.said)
    return sorted(found)[int(SAMPLES * 0.95)]


async def test_a_post_has_nothing_of_a_flood_in_front(
    stage_set: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a flood that nothing slows down. Counted, not timed: how many of the flooder's items take effect between the moment when somebody here wants to write and the moment
    when it is their turn. The batch under way was there first; of what waits nothing is."""
    for rate in ("LINK_USELESS_PER_S", "LINK_QUESTIONS_PER_S"):
        monkeypatch.setattr(limits, rate, 10**9)
    s = stage_set
    db = s.a.services.db

    def place(tx: Tx) -> int:
        [[found]] = tx.all("SELECT max(last) FROM peer_in")
        return int(found)

    async with flood(s, tmp_path / "flood"):
        passed = [0]
        async with asyncio.timeout(60):
            while len(passed) < SAMPLES or not any(passed):  # until a batch was under way at least once
                before = db.view(place)
                passed.append(await db.write(place) - before)
                await asyncio.sleep(0.01)
    assert max(passed) <= limits.LINK_BATCH


async def test_others_are_served_during_a_flood(
    stage_set: Scene, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    s = stage_set
    before = await p95_ms(s)
    async with flood(s, tmp_path / "flood"):
        during = await p95_ms(s)
        sql = "SELECT max(n) FROM (SELECT count(*) n FROM quarantine GROUP BY peer)"
        assert 0 < s.count(sql) <= limits.QUARANTINE_PER_PEER_MAX
    print(f"p95 {before:.1f} ms alone, {during:.1f} ms during the flood")
    record_property("p95_ms", (round(before, 1), round(during, 1)))
    assert s.count("SELECT count(*) FROM signers") == s.before["signers"]
