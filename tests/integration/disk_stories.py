"""What a node's services live through on a bad disk; each story is run by test_disk.py in a process of its own.

``python -m tests.integration.disk_stories STORY FOLDER`` prints one JSON object. Alice writes to Bob; every message that was
acknowledged is listed, so that the test can look for it afterwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from node.base.errors import Rejected
from node.core import content
from node.storage.database import RETRY_S
from tests.unit.storage.ledger import Ledger

TEXT = "twelve words that fill a page when there are many of them " * 100
BALLAST = "ballast"
MARGIN_BYTES = 400_000


class Diary:
    """What happened, for the test."""

    def __init__(self, ledger: Ledger, room: bytes) -> None:
        self.ledger, self.room = ledger, room
        self.acknowledged: list[int] = []
        self.code = self.text = ""

    async def write_until_refused(self, most: int) -> None:
        """Alice writes; stops at the first refusal."""
        for _ in range(most):
            try:
                await self.write()
            except Rejected as error:
                self.code, self.text = error.code, error.text
                return

    async def write(self) -> None:
        """One message."""
        self.acknowledged.append((await self.ledger.post("alice", self.room, content.Text(text=TEXT))).idx)

    def tell(self) -> dict[str, object]:
        """As JSON."""
        trouble = self.ledger.services.db.trouble
        return {"acknowledged": self.acknowledged, "code": self.code, "text": self.text, "trouble": trouble}


async def begin(folder: Path) -> Diary:
    """Five messages on a good disk."""
    ledger = await Ledger.open(folder)
    diary = Diary(ledger, await ledger.direct("alice", "bob"))
    await diary.write_until_refused(5)
    return diary


async def full(folder: Path) -> dict[str, object]:
    """The disk fills under the node, and is freed again."""
    diary = await begin(folder)
    ballast = folder / BALLAST
    room_left = os.statvfs(folder)
    ballast.write_bytes(bytes(room_left.f_bavail * room_left.f_frsize - MARGIN_BYTES))
    await diary.write_until_refused(500)
    told = diary.tell()
    sync, bob = diary.ledger.services.sync, diary.ledger.actors["bob"]
    told["readable"] = len(sync.page(bob, 0, 9999).entries)
    ballast.unlink()
    diary.ledger.clock.advance(seconds=RETRY_S)
    await diary.write()
    told |= {"acknowledged": diary.acknowledged, "after": diary.ledger.services.db.trouble}
    await diary.ledger.close()
    return told


async def nearly_full(folder: Path) -> dict[str, object]:
    """The node stops before the disk is full."""
    diary = await begin(folder)
    room_left = os.statvfs(folder)
    (folder / BALLAST).write_bytes(bytes(room_left.f_bavail * room_left.f_frsize - MARGIN_BYTES))
    diary.ledger.clock.advance(seconds=RETRY_S)
    await diary.write_until_refused(1)
    told = diary.tell()
    await diary.ledger.close()
    return told


async def write_error(folder: Path) -> dict[str, object]:
    """The kernel refuses to let the log grow."""
    diary = await begin(folder)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = (folder / "data" / "startalk.db-wal").stat().st_size + 50_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    await diary.write_until_refused(500)
    told = diary.tell()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    diary.ledger.clock.advance(seconds=10 * RETRY_S)
    try:
        await diary.write()
    except Rejected as error:
        told["later"] = error.code
    await diary.ledger.close()
    return told


async def killed_before_commit(folder: Path) -> dict[str, object]:
    """Power goes when entries were appended and not committed."""
    diary = await begin(folder)
    db = diary.ledger.services.db
    db._committer.submit(threading.Event().wait)
    pending = asyncio.ensure_future(diary.write())
    while not db._conn.in_transaction:
        await asyncio.sleep(0)
    die(diary)
    await pending
    raise AssertionError


async def killed_after_commit(folder: Path) -> dict[str, object]:
    """Power goes when entries were committed and not yet answered."""
    diary = await begin(folder)
    diary.ledger.services.db._committed = lambda tx, jobs, error: die(diary)  # type: ignore[method-assign]
    await diary.write()
    raise AssertionError


def die(diary: Diary) -> None:
    print(json.dumps(diary.tell()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


async def damaged(folder: Path) -> dict[str, object]:
    """Pages in the middle of the database turn into rubbish between two runs."""
    diary = await begin(folder)
    await diary.write_until_refused(100)
    acknowledged = diary.acknowledged
    await diary.ledger.close()
    path = folder / "data" / "startalk.db"
    stored = bytearray(path.read_bytes())
    middle = len(stored) // 2 // 4096 * 4096
    stored[middle : middle + 20 * 4096] = b"\xa5" * (20 * 4096)
    path.write_bytes(stored)
    return await use_damaged(folder, acknowledged)


async def use_damaged(folder: Path, acknowledged: list[int]) -> dict[str, object]:
    """Reading meets the damage; then nothing is written any more."""
    from node.main import open_services
    from node.runtime.clock import ManualClock
    from node.runtime.config import Config
    from node.runtime.entropy import SeededEntropy

    services = open_services(Config(data=str(folder / "data")), clock=ManualClock(), entropy=SeededEntropy(2))
    error = code = ""
    try:
        services.db.view(lambda tx: tx.all("SELECT body FROM entries"))
    except Exception as fault:  # noqa: BLE001 - which one is what the test asks
        error = repr(fault)
    try:
        await services.db.write(lambda tx: tx.execute("INSERT INTO meta (key, value) VALUES ('x', 1)"))
    except Rejected as refused:
        code = refused.code
    told: dict[str, object] = {
        "error": error,
        "code": code,
        "trouble": services.db.trouble,
        "acknowledged": acknowledged,
    }
    services.abandon()
    return told


STORIES = {
    story.__name__: story
    for story in (full, nearly_full, write_error, killed_before_commit, killed_after_commit, damaged)
}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(STORIES[sys.argv[1]](Path(sys.argv[2])))), flush=True)
