"""The device socket at its edges: who may open it, what is said first, who stays, how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from node.base import limits
from node.base.errors import Code
from node.base.ids import format_id
from node.client import Client
from node.client.errors import SignedOut
from node.core import content
from node.wire import c2s
from tests.cast import Node, hears, sees, stage

BAD = json.loads((Path(__file__).parents[2] / "docs/spec/vectors/c2s-invalid.json").read_text(encoding="utf-8"))
HELLO = c2s.encode_frame(c2s.Hello(c2s.VERSION))


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with stage(tmp_path / "node") as running:
        yield running


@pytest_asyncio.fixture
async def alice(node: Node) -> Client:
    return await node.person("alice")


class Wire:
    """A socket in the hands of the test, frame by frame."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def say(self, *frames: c2s.Frame) -> None:
        for frame in frames:
            await self.ws.send_bytes(c2s.encode_frame(frame))

    async def hear(self) -> c2s.NodeFrame:
        message = await asyncio.wait_for(self.ws.receive(), 5)
        assert message.type is aiohttp.WSMsgType.BINARY, f"closed with {self.ws.close_code}"
        return c2s.decode_node_frame(message.data)

    async def welcome(self, cursor: int | None = None) -> c2s.Welcome:
        """Hello, welcome, snapshot."""
        await self.say(c2s.Hello(c2s.VERSION, cursor))
        welcome = await self.hear()
        assert isinstance(welcome, c2s.Welcome)
        while True:
            frame = await self.hear()
            if isinstance(frame, c2s.Rooms) and not frame.more:
                return welcome

    async def ends(self, code: Code | None, close: int | None) -> None:
        """The node says why (`code`) and closes with `close`, or just drops the connection (None); earlier frames are skipped."""
        said: str | None = None
        while True:
            message = await asyncio.wait_for(self.ws.receive(), 5)
            if message.type is not aiohttp.WSMsgType.BINARY:
                break
            frame = c2s.decode_node_frame(message.data)
            said = frame.code if isinstance(frame, c2s.Error) else said
        assert said == code
        # ws.close_code would be 1006: the library answers the close frame on a connection that is gone already
        assert (message.data if message.type is aiohttp.WSMsgType.CLOSE else None) == close


@asynccontextmanager
async def wire(
    node: Node, token: str, *, protocols: tuple[str, ...] = (c2s.SUBPROTOCOL,), **headers: str
) -> AsyncIterator[Wire]:
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{node.url}/c2s", protocols=protocols, headers={**sent, **headers}) as ws,
    ):
        yield Wire(ws)


async def upgrade_status(node: Node, **headers: str) -> tuple[int, str]:
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": c2s.SUBPROTOCOL,
    }  # fmt: skip
    async with aiohttp.ClientSession() as http, http.get(f"{node.url}/c2s", headers={**upgrade, **headers}) as response:
        return response.status, (await response.json())["error"]["code"]


# --- who may come in ------------------------------------------------------------------------------------


async def test_without_a_session_there_is_no_socket(node: Node) -> None:
    assert await upgrade_status(node, Origin=node.url) == (401, Code.NOT_SIGNED_IN)
    assert await upgrade_status(node, Authorization="Bearer " + "x" * 43) == (401, Code.NOT_SIGNED_IN)
    assert await upgrade_status(node, Authorization="Basic eA==") == (401, Code.NOT_SIGNED_IN)


async def test_a_foreign_page_gets_no_socket(node: Node, alice: Client) -> None:
    bearer = f"Bearer {alice.token}"
    assert await upgrade_status(node, Authorization=bearer, Origin="https://evil.example") == (403, Code.CROSS_SITE)
    cookie = f"startalk-{(await alice.api.me()).node[:8]}={alice.token}"
    assert await upgrade_status(node, Cookie=cookie) == (403, Code.CROSS_SITE)
    assert await upgrade_status(node, Cookie=cookie, Origin="null") == (403, Code.CROSS_SITE)


async def test_a_browser_comes_in_with_its_cookie_and_our_origin(node: Node, alice: Client) -> None:
    cookie = f"startalk-{(await alice.api.me()).node[:8]}={alice.token}"
    async with wire(node, "", Cookie=cookie, Origin=node.url) as socket:
        assert (await socket.welcome()).user == alice.user


async def test_a_plain_request_is_told_that_this_is_a_websocket(node: Node, alice: Client) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{node.url}/c2s", headers={"Authorization": f"Bearer {alice.token}"}) as response,
    ):
        assert response.status == 400


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("protocols", [(), ("startalk.c2s.2",), ("chat",)])
async def test_an_unknown_subprotocol_is_refused(node: Node, alice: Client, protocols: tuple[str, ...]) -> None:
    async with wire(node, alice.token, protocols=protocols) as socket:
        await socket.ends(Code.UNSUPPORTED, c2s.CLOSE_VERSION)


# --- the first frame ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", BAD, ids=lambda case: str(case["name"]))
async def test_a_hostile_first_message_gets_its_code(node: Node, alice: Client, case: dict[str, str]) -> None:
    async with wire(node, alice.token) as socket:
        await socket.ws.send_bytes(bytes.fromhex(case["hex"]))
        close = c2s.CLOSE_VERSION if case["code"] == Code.UNSUPPORTED else c2s.CLOSE_BAD_FRAME
        await socket.ends(Code(case["code"]), close)


async def test_anything_before_hello_ends_the_socket(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        await socket.say(c2s.Ping(1))
        await socket.ends(Code.BAD_REQUEST, c2s.CLOSE_BAD_FRAME)


async def test_a_second_hello_ends_the_socket(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        await socket.welcome()
        await socket.say(c2s.Hello(c2s.VERSION))
        await socket.ends(Code.BAD_REQUEST, c2s.CLOSE_BAD_FRAME)


async def test_text_messages_end_the_socket(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        await socket.ws.send_str("hello")
        await socket.ends(Code.BAD_REQUEST, c2s.CLOSE_BAD_FRAME)


async def test_a_message_above_the_limit_ends_the_socket(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        await socket.welcome()
        await socket.ws.send_bytes(bytes(limits.FRAME_BYTES_MAX + 1))
        await socket.ends(Code.TOO_LARGE, c2s.CLOSE_TOO_LARGE)


async def test_a_message_far_above_the_limit_is_not_even_read(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        await socket.welcome()
        await socket.ws.send_bytes(bytes(3 * limits.FRAME_BYTES_MAX))
        await socket.ends(None, aiohttp.WSCloseCode.MESSAGE_TOO_BIG)


async def test_who_says_no_hello_is_dropped(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        node.clock.advance(seconds=limits.HELLO_S + 1)
        await alice.typing(next(iter(alice.rooms), bytes(32)))  # type: ignore[arg-type]  # keeps Alice's own socket heard
        await socket.ends(None, None)


# --- hearing and not hearing ----------------------------------------------------------------------------


async def test_a_ping_is_answered_with_its_number(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        await socket.welcome()
        await socket.say(c2s.Ping(77))
        assert await socket.hear() == c2s.Pong(77)


async def test_a_silent_socket_is_dropped_and_one_that_pings_stays(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as silent, wire(node, alice.token) as lively:
        await silent.welcome()
        await lively.welcome()
        node.clock.advance(seconds=limits.IDLE_S - 1)
        await lively.say(c2s.Ping(1))
        assert await lively.hear() == c2s.Pong(1)
        node.clock.advance(seconds=2)
        await silent.ends(None, None)
        await lively.say(c2s.Ping(2))
        assert await lively.hear() == c2s.Pong(2)


async def test_an_acknowledgement_of_what_was_never_sent_ends_the_socket(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        welcome = await socket.welcome()
        await socket.say(c2s.Ack(welcome.head))
        await socket.say(c2s.Ack(welcome.head + 1))
        await socket.ends(Code.BAD_REQUEST, c2s.CLOSE_BAD_FRAME)


async def test_a_cursor_of_another_life_starts_anew(node: Node, alice: Client) -> None:
    async with wire(node, alice.token) as socket:
        assert not (await socket.welcome(cursor=2**53)).resumed


async def test_requests_about_foreign_things_are_refused_one_by_one(node: Node, alice: Client) -> None:
    text = content.encode_body(content.Text(text="x"))
    async with wire(node, alice.token) as socket:
        await socket.welcome()
        await socket.say(
            c2s.Post(1, bytes(32), bytes(16), "text", text),
            c2s.History(2, bytes(32), 0),
            c2s.Read(3, bytes(32), 1),
            c2s.Post(4, bytes(32), bytes(16), "text", b"\xc1"),
            c2s.Post(5, b"", bytes(16), "text", text),
        )
        answers = [await socket.hear() for _ in range(5)]
        assert all(isinstance(answer, c2s.Refused) for answer in answers)
        found = {answer.n: answer.code for answer in answers if isinstance(answer, c2s.Refused)}
        assert found == {1: "not_found", 2: "not_found", 3: "not_found", 4: "bad_request", 5: "not_found"}
        await socket.say(c2s.Ping(1))
        assert await socket.hear() == c2s.Pong(1)


# --- how it ends ----------------------------------------------------------------------------------------


async def test_a_device_that_is_signed_out_hears_it_at_once(node: Node, alice: Client) -> None:
    phone = await node.device(alice, "phone")
    async with wire(node, phone.token) as socket:
        await socket.welcome()
        await alice.api.end_device(format_id(phone.welcome.device))
        async with asyncio.timeout(1):
            await socket.ends(Code.NOT_SIGNED_IN, c2s.CLOSE_SIGNED_OUT)
    with pytest.raises(SignedOut):
        async with asyncio.timeout(5):
            await phone.until(lambda: False)
    assert (await alice.api.me()).user == alice.user


async def test_the_oldest_of_too_many_sockets_gives_way(node: Node, alice: Client) -> None:
    phone = await node.device(alice, "phone")
    token = phone.token
    await phone.drop()
    async with wire(node, token) as first:
        await first.welcome()
        async with wire(node, token), wire(node, token), wire(node, token), wire(node, token):
            await first.ends(Code.CONFLICT, c2s.CLOSE_REPLACED)


async def test_at_the_end_of_the_node_every_device_hears_when_to_come_back(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http, stage(tmp_path / "node") as node:
        alice = await node.person("alice")
        ws = await http.ws_connect(
            f"{node.url}/c2s", protocols=(c2s.SUBPROTOCOL,), headers={"Authorization": f"Bearer {alice.token}"}
        )
        socket = Wire(ws)
        await socket.welcome()
        node.node.sockets.stop()
        frame = await socket.hear()
        while not isinstance(frame, c2s.Error):
            frame = await socket.hear()
        assert (frame.code, frame.retry_after_ms > 0) == (Code.UPGRADING, True)
        assert (await ws.receive()).data == c2s.CLOSE_RESTARTING
        assert await upgrade_status(node, Authorization=f"Bearer {alice.token}") == (503, Code.UPGRADING)


async def test_a_device_cut_off_while_catching_up_still_gets_every_entry(node: Node, alice: Client) -> None:
    """Receipts of a page come before its entries and must not move the cursor past them."""
    bob = await node.person("bob")
    room = await alice.open_direct(bob.user)
    await alice.say(room, "one")
    await hears(bob, room, "one")
    cursor = alice.welcome.head
    await bob.read(room, 1)
    await sees(alice, lambda: bob.user in alice.rooms[room].receipts)
    await bob.say(room, "two")
    async with wire(node, alice.token) as socket:
        await socket.welcome(cursor)
        seen = cursor
        while True:
            frame = await socket.hear()
            if isinstance(frame, c2s.Receipts):
                seen = max(seen, frame.seq)
            if isinstance(frame, c2s.Entries):
                assert seen < c2s.decode_entry(bytes(frame.entries[0])).seq
                break
