"""Calls through networks as they are: a home behind a router calls a public node; the pipe between their relays finds its way."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from node.base.ids import format_id
from node.client import Client
from node.wire import api
from tests.cast import group, hears, stands
from tests.integration.net.netns import Internet, Program
from tests.integration.net.towns import HTTP_PORT, Settler, settle

pytestmark = [pytest.mark.slow, pytest.mark.netns, pytest.mark.xdist_group("netns")]
PUBLIC = "11.22.33.10"
SCRIPT = str(Path(__file__).with_name("talker.py"))


async def friends(far: Client, host: Client) -> str:
    """Somebody in a home follows a link of somebody on the public node; their direct chat."""
    link = await host.api.make_contact_link()
    _, slash, invitation = link.url.removeprefix("https://").partition("/")
    await far.ask(f"https://{PUBLIC}{slash}{invitation}", "Hello from home")
    await stands(host, far, "contact")
    await stands(far, host, "contact")
    room = await far.open_direct(host.user)
    await far.say(room, "shall we talk?")
    await hears(host, room, "Hello from home", "shall we talk?")
    return format_id(room)


def talker(net: Internet, node: Settler, local: str, role: str, *more: str) -> Program:
    """A device of `local` in the network of its node."""
    url = f"http://127.0.0.1:{HTTP_PORT}"
    made = net.start(node.name, sys.executable, "-u", SCRIPT, url, local, role, *more)
    made.hear("ready")
    return made


@pytest.mark.parametrize("caller", ["alice", "carol"])
async def test_a_home_behind_a_router_and_a_public_node_talk(internet: Internet, tmp_path: Path, caller: str) -> None:
    async with AsyncExitStack() as stack:
        internet.host("pub", PUBLIC)
        internet.home("ra", outside="11.22.33.1", hosts={"a1": "192.168.1.11"})
        pub = await settle(stack, internet, "pub", tmp_path / "pub", https_port=443, public_url=f"wss://{PUBLIC}/s2s")
        home = await settle(stack, internet, "a1", tmp_path / "a")
        carol, alice = await pub.person("carol"), await home.person("alice")
        room = await friends(alice, carol)
        places = {"alice": home, "carol": pub}
        callee = "carol" if caller == "alice" else "alice"
        answering = talker(internet, places[callee], callee, "join")
        calling = talker(internet, places[caller], caller, "start", room)
        for program in (calling, answering):
            program.hear("seated")
        for program in (calling, answering):
            assert program.hear("loud", within_s=40)["loud"] == 50
        for program in (calling, answering):
            program.stop()


NO_UDP = """
table inet narrow {
 chain out { type filter hook output priority 0; oifname "eth0" meta l4proto udp drop
 }
}
"""


async def test_where_udp_is_blocked_media_goes_over_the_https_port(internet: Internet, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        internet.host("pub", PUBLIC)
        internet.host("cafe", "11.22.33.20")
        internet.nft("cafe", NO_UDP)
        pub = await settle(stack, internet, "pub", tmp_path / "pub", https_port=443, public_url=f"wss://{PUBLIC}/s2s")
        alice, bob = await pub.person("alice"), await pub.person("bob")
        room = await group(alice, bob)
        device = internet.python("cafe", "narrow.py", f"https://{PUBLIC}", "alice", format_id(room))
        found = device.hear("udp")
        assert found == {"udp": False, "tcp": [PUBLIC, 443]}
        device.hear("live")
        now = await asyncio.to_thread(pub.admin.get, "/admin/calls", api.admin.AdminCalls)
        [call] = now.calls
        assert [seat.path for seat in call.seats] == ["tcp"]
