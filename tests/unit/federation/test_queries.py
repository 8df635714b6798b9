"""Questions of the link itself: who knows, and can I be dialled."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.storage.database import Tx
from tests.links import identity
from tests.unit.federation.conftest import Town
from tests.unit.federation.stranger import Simulate


def test_who_tells_of_the_asker_and_of_shared_rooms_only(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        c = identity("c")

        def note(tx: Tx) -> None:
            for nid, record in ((c.nid, b"record of c"), (a.nid, b"record of a")):
                b.peers.put_record(tx, b.peers.ensure(tx, nid, 1).pk, record, 1)

        await b.db.write(note)
        await a.federation.reach(b.nid)
        assert await a.federation.request(b.nid, "who", a.nid) == b"record of a"
        for nid in (c.nid, bytes(32), b.nid):
            with pytest.raises(Rejected) as refused:
                await a.federation.request(b.nid, "who", nid)
            assert refused.value.code is Code.NOT_FOUND
        b.inbox.shared, b.inbox.record = {c.nid}, b"record of b"
        assert await a.federation.request(b.nid, "who", c.nid) == b"record of c"
        assert await a.federation.request(b.nid, "who", b.nid) == b"record of b"
        with pytest.raises(Rejected) as refused:
            await a.federation.request(b.nid, "who", b"short")
        assert refused.value.code is Code.BAD_REQUEST

    simulate(story)


def test_dialback_goes_to_the_address_of_the_link_once_a_minute(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.federation.reach(b.nid)
        town.street.homes["ws://192.0.2.2:8443/s2s"] = a  # where b sees this link come from
        port = msgspec.msgpack.encode([8443, False])
        assert await a.federation.request(b.nid, "dialback", port) == b""
        with pytest.raises(Rejected) as refused:
            await a.federation.request(b.nid, "dialback", port)
        assert refused.value.code is Code.RATE_LIMITED
        await asyncio.sleep(limits.DIALBACK_S)
        with pytest.raises(Rejected) as refused:
            await a.federation.request(b.nid, "dialback", msgspec.msgpack.encode([8444, False]))
        assert refused.value.code is Code.PEER_UNREACHABLE

    simulate(story)
