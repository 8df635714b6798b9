"""A proof against a hub convinces by itself, and whatever is changed about it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from node.base.errors import Code, Rejected
from node.main import Services, open_services
from node.runtime.clock import ManualClock
from node.runtime.config import Config
from node.runtime.entropy import SeededEntropy
from node.services.gossip import Gossip
from node.wire import exchange
from node.wire.exchange import Proof, Seen, Shown, Step
from tests.vectors import rooms

NOW_MS = rooms.T0 + 10_000


@pytest_asyncio.fixture
async def gossip(tmp_path: Path) -> AsyncIterator[Gossip]:
    services: Services = open_services(
        Config(data=str(tmp_path)), clock=ManualClock(now_ms=NOW_MS), entropy=SeededEntropy("gossip")
    )
    yield services.exchange.steps.gossip
    await services.close()


def changed() -> dict[str, Proof]:
    """Every way to bend it."""
    good = rooms.proof()
    other_signature = replace(good.one, signature=bytes(64))
    return {
        "another room": replace(good, room=bytes(32)),
        "another hub": replace(good, hub=rooms.B.nid),
        "another signer": replace(good, signer=rooms.B.signer),
        "unsigned": replace(good, one=other_signature),
        "another incarnation": replace(good, one=replace(good.one, incarnation=2)),
        "another epoch": replace(good, one=replace(good.one, epoch=2)),
        "the same head twice": replace(good, one=good.other, other=good.other, fork=good.other.hash, steps=()),
        "one history": replace(good, one=good.other, steps=(), fork=bytes(32)),
        "a step too few": replace(good, steps=()),
        "a step too many": replace(good, steps=(*good.steps, *good.steps)),
        "another step": replace(good, steps=(Step(bytes(32), good.steps[0].at_ms),)),
        "in the wrong order": replace(good, one=good.other, other=good.one),
    }


async def test_the_proof_convinces(gossip: Gossip) -> None:
    gossip.check(rooms.proof())


@pytest.mark.parametrize("name", changed())
async def test_a_bent_proof_does_not(gossip: Gossip, name: str) -> None:
    with pytest.raises(Rejected) as refusal:
        gossip.check(changed()[name])
    assert refusal.value.code is Code.BAD_SIGNATURE


def test_a_head_before_the_first_entry_is_not_read() -> None:
    """There is nothing it could be compared with, whoever signed it."""
    head = replace(rooms.proof().one, idx=0)
    with pytest.raises(Rejected) as refusal:
        exchange.decode_seen(exchange.encode_item(Seen((Shown(bytes(32), rooms.B.nid, head),))))
    assert refusal.value.code is Code.BAD_REQUEST
