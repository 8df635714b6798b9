"""Two nodes over a real loopback WebSocket: what is put into an outbox has its effect on the other node once."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.base.errors import Code, Rejected
from tests.links import home


async def test_items_whispers_and_questions_both_ways(tmp_path: Path) -> None:
    async with home(tmp_path, "a") as a, home(tmp_path, "b", listening=False) as b:
        await b.knows(a)
        await b.post(a, *(b"%d" % n for n in range(300)))
        await a.until(lambda: len(a.noted()) == 300)
        assert a.noted() == [b"%d" % n for n in range(300)]
        await a.post(b, b"back")  # b does not listen: the link it made serves both ways
        await b.until(lambda: b.noted() == [b"back"])
        await b.until(lambda: b.waiting() == 0)
        assert a.federation.linked(b.nid)
        assert await a.federation.request(b.nid, "echo", b"!") == b"echo!"
        assert await b.federation.request(a.nid, "ping", b"x") == b"x"
        with pytest.raises(Rejected) as refused:
            await b.federation.request(a.nid, "refuse", b"")
        assert refused.value.code is Code.NOT_HUB
        assert a.federation.whisper(b.nid, "typing", b"...")
        await b.until(lambda: b.inbox.whispers)
        assert b.inbox.whispers == [("typing", b"...")]
