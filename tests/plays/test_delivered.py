"""*Delivered* means that a device stored it, whatever else happened on the node meanwhile."""

from __future__ import annotations

from node.client import Client
from tests.cast import PASSWORD, Node, hears, sees


async def test_what_a_device_catches_up_on_counts_although_others_talked_since(
    node: Node, alice: Client, carol: Client
) -> None:
    coming = Client.register(node.url, invite=await node.invite(), local="dave", password=PASSWORD)
    async with coming as dave:
        user, token, room = dave.user, dave.token, await alice.open_direct(dave.user)
        await alice.say(room, "one")
        await hears(dave, room, "one")
        cursor = dave.cursor
    await alice.say(room, "two")
    await alice.say(await alice.open_direct(carol.user), "something else")  # the feed's head is not in dave's rooms
    async with Client.connect(node.url, token=token, cursor=cursor) as dave:
        await hears(dave, room, "two")
        receipts = alice.rooms[room].receipts
        await sees(alice, lambda: user in receipts and receipts[user].delivered_idx == 2)
