"""What a socket can do before and after it proved who it is: every breach ends that socket, by its name, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import pytest
from msgspec.structs import replace

from node.base import limits
from node.base.errors import RemoteError
from node.base.ids import NodeId, make_user
from node.federation.proto.handshake import Channel, Handshake, OwnIdentity, Role
from node.wire import exchange, keys, s2s
from node.wire.exchange import Ask
from tests.cast import Node
from tests.integration.hostile.villain import Scene
from tests.links import Who, identity

pytestmark = pytest.mark.slow
RUN: Final = b"12345678"


class Socket:
    """A WebSocket to the victim, and the handshake as far as it came."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.channel: Channel | None = None
        self.sent: list[bytes] = []

    async def receive(self) -> bytes | None:
        """The next binary message; None at the end."""
        async with asyncio.timeout(20):
            message = await self.ws.receive()
        return message.data if message.type is aiohttp.WSMsgType.BINARY else None

    async def shake(self, shake: Handshake) -> bool:
        """Runs the handshake; False when the victim hung up."""
        while True:
            for message in shake.to_send():
                self.sent.append(message)
                await self.ws.send_bytes(message)
            if shake.proven is not None:
                self.channel = shake.channel
                return True
            data = await self.receive()
            if data is None:
                return False
            shake.receive(data)

    async def say(self, *frames: s2s.AnyFrame | bytes) -> None:
        assert self.channel is not None
        for frame in frames:
            plain = frame if isinstance(frame, bytes) else s2s.encode_frame(frame)
            await self.ws.send_bytes(self.channel.seal(plain))

    async def rest(self) -> list[s2s.AnyFrame]:
        """Frames until the victim closes."""
        assert self.channel is not None
        found: list[s2s.AnyFrame] = []
        while (data := await self.receive()) is not None:
            found.append(s2s.decode_frame(self.channel.open(data)))
        return found

    async def heard(self, kind: type[s2s.Frame]) -> s2s.AnyFrame:
        """The next frame of this kind."""
        assert self.channel is not None
        while True:
            data = await self.receive()
            assert data is not None, "the link ended"
            frame = s2s.decode_frame(self.channel.open(data))
            if isinstance(frame, kind):
                return frame


@asynccontextmanager
async def dial(node: Node) -> AsyncIterator[Socket]:
    url = node.url.replace("http", "ws") + s2s.PATH
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=(s2s.SUBPROTOCOL,), max_msg_size=0) as ws,
    ):
        yield Socket(ws)


def liar(s: Scene, name: str = "stranger", **more: int) -> Who:
    return identity(name, now_s=s.a.clock.now_ms() // 1000, **more)  # type: ignore[arg-type]


def handshake(s: Scene, own: OwnIdentity, *, target: NodeId | None = None, **more: bytes) -> Handshake:
    return Handshake(
        role=Role.INITIATOR, own=own, target=target or s.a.nid, now_s=s.a.clock.now_ms() // 1000, accept=lambda who: None,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


async def closes(s: Scene, shake: Handshake) -> None:
    """The victim hangs up during the handshake, or at once after it, without a word."""
    async with dial(s.a) as socket:
        if await socket.shake(shake):
            assert await socket.rest() == []


def _of_bob(s: Scene) -> OwnIdentity:
    true = s.b.services.identity
    return replace(liar(s), nid=true.nid, chain=true.chain, cert=true.cert)


def _certified_by_nobody(s: Scene) -> OwnIdentity:
    return replace(liar(s), chain=liar(s, "other").chain)


def _expired(s: Scene) -> OwnIdentity:
    return identity("stranger", now_s=s.a.clock.now_ms() // 1000 - 3 * 365 * 24 * 3600)


def _with_the_cert_of_bob(s: Scene) -> OwnIdentity:
    return replace(liar(s), cert=s.b.services.identity.cert)


def _second_op_key(s: Scene) -> OwnIdentity:
    return identity("mallory", copy="two", now_s=s.a.clock.now_ms() // 1000)


IDENTITIES: Final[dict[str, Callable[[Scene], OwnIdentity]]] = {
    "of another node": _of_bob,
    "certified by nobody": _certified_by_nobody,
    "with the certificate of another node": _with_the_cert_of_bob,
    "out of its time": _expired,
    "with a second op key at the same incarnation": _second_op_key,
}


@pytest.mark.parametrize("name", IDENTITIES)
async def test_an_identity_that_is_not_the_own_opens_nothing(stage_set: Scene, name: str) -> None:
    s = stage_set
    await closes(s, handshake(s, IDENTITIES[name](s)))
    await s.quiet()


async def test_a_handshake_for_another_node_opens_nothing(stage_set: Scene) -> None:
    """Somebody forwards to the victim what was meant for Bob's node."""
    s = stage_set
    with pytest.raises(RemoteError):
        await closes(s, handshake(s, liar(s), target=s.b.nid))
    await s.quiet()


async def test_a_replayed_handshake_opens_nothing(stage_set: Scene) -> None:
    s = stage_set
    async with dial(s.a) as first:
        assert await first.shake(handshake(s, liar(s)))
        recorded = list(first.sent)
    assert len(recorded) == 2
    async with dial(s.a) as again:
        await again.ws.send_bytes(recorded[0])
        assert await again.receive() is not None
        await again.ws.send_bytes(recorded[1])
        assert await again.receive() is None
    await s.quiet()


async def test_a_reflected_handshake_opens_nothing(stage_set: Scene) -> None:
    """The victim's own message comes back to it."""
    s = stage_set
    async with dial(s.a) as socket:
        shake = handshake(s, liar(s))
        [first] = shake.to_send()
        await socket.ws.send_bytes(first)
        answer = await socket.receive()
        assert answer is not None
        await socket.ws.send_bytes(answer)
        assert await socket.receive() is None
    await s.quiet()


async def test_an_older_incarnation_is_shown_the_later_one(stage_set: Scene) -> None:
    """After a newer copy was here the older one gets nothing but the proof; what it says is not heard."""
    s = stage_set
    async with dial(s.a) as newer:
        assert await newer.shake(handshake(s, liar(s, "twice", incarnation=2)))
        await newer.say(hello())
        await newer.heard(s2s.Ack)
        await newer.say(s2s.Msg(1, 1, exchange.encode_item(Ask(asker(s, "twice"), "T", "alice", "It is me", 1))))
        await newer.heard(s2s.Ack)
    s.remember()
    async with dial(s.a) as older:
        assert await older.shake(handshake(s, liar(s, "twice")))
        await older.say(hello(), s2s.Msg(1, 1, b"ignored"))
        [goaway] = await older.rest()
    assert isinstance(goaway, s2s.Goaway)
    assert goaway.reason == "superseded"
    chain, cert = s2s.decode_later(goaway.proof)
    assert keys.check_identity(chain, cert, now_s=cert.nbf).incarnation == 2
    await s.quiet()


def asker(s: Scene, name: str) -> str:
    return make_user("mal", liar(s, name).nid)


async def test_who_claims_tls_where_there_is_none_opens_nothing(stage_set: Scene) -> None:
    """Somebody between ends TLS and goes on without it: the signatures name a certificate that the victim does not serve."""
    s = stage_set
    shake = handshake(s, liar(s), binding=bytes(32))
    payload = shake._payload
    shake._payload = lambda kind: payload(1)  # type: ignore[method-assign]
    await closes(s, shake)
    await s.quiet()


async def test_slow_handshakes_take_no_places_from_others(stage_set: Scene) -> None:
    """Eight of one address at a time, each five seconds; the honest link and the devices go on."""
    s = stage_set
    gate = s.a.node.federation.listener
    sockets = [await aiohttp.ClientSession().__aenter__() for _ in range(limits.HANDSHAKES_PER_NETWORK_MAX + 2)]
    try:
        url = s.a.url.replace("http", "ws") + s2s.PATH
        opened, refused = [], 0
        for session in sockets:
            try:
                opened.append(await session.ws_connect(url, protocols=(s2s.SUBPROTOCOL,)))
            except aiohttp.WSServerHandshakeError as error:
                refused += error.status == 429
        assert (len(opened), refused) == (limits.HANDSHAKES_PER_NETWORK_MAX, 2)
        assert gate.half_open == limits.HANDSHAKES_PER_NETWORK_MAX
        await opened[0].send_bytes(bytes(31))  # a first message that is none ends at once
        assert (await opened[0].receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        await s.goes_on()
        async with asyncio.timeout(limits.HANDSHAKE_S + 5):
            for ws in opened[1:]:
                await ws.receive()
        assert gate.half_open == 0
    finally:
        for session in sockets:
            await session.close()
    await s.quiet()


async def test_thirty_handshakes_a_minute_of_one_address(stage_set: Scene) -> None:
    s = stage_set
    s.a.node.federation.hosts.clear()
    statuses = []
    for _ in range(limits.HANDSHAKES_PER_MIN + 5):
        try:
            async with dial(s.a):
                statuses.append(101)
        except aiohttp.WSServerHandshakeError as error:
            statuses.append(error.status)
    assert statuses.count(101) <= limits.HANDSHAKES_PER_MIN
    assert statuses[-1] == 429
    s.a.clock.advance(seconds=61)
    async with dial(s.a) as later:
        assert await later.shake(handshake(s, liar(s)))
    await s.goes_on()


def hello(run: bytes = RUN, last_in: int = 0, run_in: bytes | None = None) -> s2s.Hello:
    return s2s.Hello(run, run_in, last_in, 1_700_000_000_000, 1, limits.LINK_CREDIT)


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


BREACHES: Final[dict[str, list[s2s.AnyFrame | bytes]]] = {
    "an acknowledgement above what was sent": [s2s.Ack(10**6, 256)],
    "a refusal above what was sent": [s2s.Nack(10**6, "bad_request")],
    "a gap in the numbers": [s2s.Msg(7, 1, b"x")],
    "a number twice": [s2s.Msg(1, 1, b"\xc1"), s2s.Msg(1, 1, b"\xc1")],
    "a second hello": [hello()],
    "a frame of no type": [b"\x92\x63\x01"],
    "a frame that is none": [b"\xc1"],
    "a frame that is too deep": [nested(10_000)],
    "a body above its limit": [
        s2s.encode_frame(s2s.Msg(1, 1, b""))[:-2] + b"\xc6\x00\x04\x00\x00" + bytes(256 * 1024 - 64)
    ],
    "a whisper above its limit": [b"\x93\x07\xa1t\xc6\x00\x00\x80\x00" + bytes(32 * 1024)],
    "an integer beyond the range": [b"\x93\x02\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x01"],
    "more than the credit": [s2s.Msg(n, 1, b"\xc1") for n in range(1, 5 * limits.LINK_CREDIT)],
}


@pytest.mark.parametrize("name", BREACHES)
async def test_a_breach_of_the_protocol_ends_the_link(stage_set: Scene, name: str) -> None:
    s = stage_set
    async with dial(s.a) as socket:
        assert await socket.shake(handshake(s, liar(s)))
        await socket.say(hello())
        await socket.heard(s2s.Ack)
        assert socket.channel is not None
        frames = BREACHES[name]
        payloads = [
            socket.channel.seal(frame if isinstance(frame, bytes) else s2s.encode_frame(frame)) for frame in frames
        ]
        try:
            for payload in payloads:
                await socket.ws.send_bytes(payload)
            heard = await socket.rest()
        except ConnectionError:
            heard = []
    if name != "more than the credit":  # whoever is read as fast as it writes never has more under way
        assert all(not isinstance(frame, s2s.Nack) or frame.seq == 1 for frame in heard)
    await s.quiet()
    assert not s.a.node.federation.linked(liar(s).nid)


@pytest.mark.parametrize(
    "raw", [b"\x00" * 100, bytes(limits.LINK_MESSAGE_BYTES_MAX + 1), b""], ids=["noise", "oversize", "empty"]
)
async def test_bytes_that_do_not_decrypt_end_the_link(stage_set: Scene, raw: bytes) -> None:
    s = stage_set
    async with dial(s.a) as socket:
        assert await socket.shake(handshake(s, liar(s)))
        await socket.say(hello())
        await socket.heard(s2s.Ack)
        await socket.ws.send_bytes(raw)
        await socket.rest()
    await s.quiet()


async def test_text_ends_the_link(stage_set: Scene) -> None:
    s = stage_set
    async with dial(s.a) as socket:
        assert await socket.shake(handshake(s, liar(s)))
        await socket.ws.send_str("hello?")
        await socket.rest()
    await s.quiet()


async def test_a_peer_numbers_anew_once_in_ten_minutes(stage_set: Scene) -> None:
    """A flood of runs makes the victim do nothing: the second one is sent away."""
    s = stage_set
    reasons: list[str] = []
    for n in range(5):
        async with dial(s.a) as socket:
            assert await socket.shake(handshake(s, liar(s, "renewer")))
            await socket.say(hello(run=bytes([n]) * 8))
            if not reasons:
                await socket.heard(s2s.Ack)
                item = exchange.encode_item(Ask(asker(s, "renewer"), "R", "alice", "Hello?", 1))
                await socket.say(s2s.Msg(1, 1, item))
                await socket.heard(s2s.Ack)
                reasons.append("")
                s.remember()
                continue
            goaway = await socket.heard(s2s.Goaway)
            assert isinstance(goaway, s2s.Goaway)
            reasons.append(goaway.reason)
    assert reasons[1:] == ["new_run"] * 4
    await s.quiet()


async def test_a_cursor_ahead_of_what_was_sent_deletes_nothing(stage_set: Scene) -> None:
    """It claims to have had a million items: the victim numbers anew and keeps what waits."""
    s = stage_set
    who = liar(s, "ahead")
    pk = (await s.a.services.db.write(lambda tx: s.a.services.peers.ensure(tx, who.nid, 1))).pk
    await s.a.services.db.write(lambda tx: s.a.services.outbox.enqueue(tx, pk, 1, body=b"waits"))
    run = s.a.services.db.view(lambda tx: s.a.services.outbox.peek(tx, pk))
    assert run is not None
    async with dial(s.a) as socket:
        assert await socket.shake(handshake(s, who))
        await socket.say(hello(run_in=run.run, last_in=10**6))
        goaway = await socket.heard(s2s.Goaway)
    assert isinstance(goaway, s2s.Goaway)
    assert goaway.reason == "new_run"
    assert s.count("SELECT count(*) FROM outbox WHERE peer = ?", pk) == 1


async def test_too_many_open_questions_are_refused_one_by_one(stage_set: Scene) -> None:
    s = stage_set
    async with dial(s.a) as socket:
        assert await socket.shake(handshake(s, liar(s)))
        await socket.say(hello())
        await socket.heard(s2s.Ack)
        number = 4 * limits.LINK_REQUESTS_MAX
        for n in range(1, number + 1):
            await socket.say(s2s.Request(n, "log.range", b"\xc1"))
        codes = set()
        for _ in range(number):
            reply = await socket.heard(s2s.Reply)
            assert isinstance(reply, s2s.Reply)
            codes.add(reply.code)
    assert codes <= {"bad_request", "rate_limited"}
    await s.quiet()
