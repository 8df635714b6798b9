"""The first scene of the demo, on three nodes in this process."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from node.base.errors import Rejected
from node.cli.scene import GROUP, Seat, play
from node.client.api import Api
from tests.cast import PASSWORD, Node, acquaint, stage

PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank")


async def seated(nodes: list[Node]) -> dict[str, Seat]:
    """Two new accounts a node, in turns, named by their ids: these nodes have no domains."""
    seats = {}
    for place, local in enumerate(PEOPLE):
        node = nodes[place % len(nodes)]
        user = (await node.person(local)).user
        seats[local] = Seat(origin=node.url, link=node.url, local=local, address=user)
    return seats


@pytest.mark.slow
async def test_everybody_is_in_the_group(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(stage(tmp_path / name)) for name in "abc"]
        await acquaint(*nodes)
        seats = await seated(nodes)
        await play(seats, PASSWORD)
        for seat in seats.values():
            person = await stack.enter_async_context(Api(seat.origin))
            await person.login(local=seat.local, password=PASSWORD)
            groups = [(room.name, room.state, room.members) for room in await person.rooms() if room.kind == "group"]
            assert groups == [(GROUP, "member", 6)]
            assert len(await person.devices()) == 2, "the device of the scene has signed out"
        waiting = [contact.state for contact in await person.contacts()]
        assert waiting == ["asking"], "somebody waits for Frank"


@pytest.mark.slow
async def test_a_wrong_password_ends_it(tmp_path: Path) -> None:
    async with stage(tmp_path / "a") as node:
        await node.person("alice")
        seat = Seat(origin=node.url, link=node.url, local="alice", address="")
        with pytest.raises(Rejected):
            await play({"alice": seat}, "something else")
