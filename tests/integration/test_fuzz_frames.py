"""Whatever a device sends: the node answers with a code or ends the socket with one, never with `internal`; it keeps serving
others, and its memory stays where it was. Hypothesis invents the messages: bytes, msgpack of any shape, broken frames, and
frames of every name with fields from a box of hostile values.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aiohttp
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code
from node.base.ids import RoomId
from node.client import Client
from node.core import content
from node.wire import c2s, calling
from tests.cast import Node, group, hears, stage
from tests.handset import handset
from tests.tape import Tape

T = TypeVar("T")
PATIENCE_S: Final = 20.0
GROWTH_BYTES_MAX: Final = 96 * 1024 * 1024  # of the whole test process, hypothesis and client included
EXAMPLES: Final = 120
MARKER: Final = 424_242
CLOSES: Final = {
    c2s.CLOSE_BAD_FRAME, c2s.CLOSE_VERSION, c2s.CLOSE_TOO_LARGE, aiohttp.WSCloseCode.MESSAGE_TOO_BIG,
    aiohttp.WSCloseCode.OK, aiohttp.WSCloseCode.PROTOCOL_ERROR,
}  # fmt: skip


class Theatre:
    """A node on a loop of its own in another thread, so that a plain test may ask it for one thing after the other."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._play()))
        self.node: Node
        self.alice: Client
        self.mallory: Client
        self.room: RoomId
        self.direct: RoomId
        self.message: bytes
        self.seat: calling.CallSeat  # of Alice
        self.said = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(PATIENCE_S)

    async def _play(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with stage(self._data) as self.node:
            self.alice, self.mallory = await self.node.person("alice"), await self.node.person("mallory")
            self.room = await group(self.alice, self.mallory)
            self.direct = await self.mallory.open_direct(self.alice.user)
            self.message = (await self.mallory.say(self.room, "hello")).event_id
            await hears(self.alice, self.room, "hello")
            self.node.services.calls.attach(Tape())
            async with handset(self.alice) as phone:
                self.seat = await phone.start(self.room)
                self._ready.set()
                await self._over.wait()

    async def send(self, messages: list[bytes], *, hello: bool) -> None:
        """Mallory's device says all this, then asks for a sign of life. Checks all that comes back."""
        headers = {"Authorization": f"Bearer {self.mallory.token}"}
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"{self.node.url}/c2s", protocols=(c2s.SUBPROTOCOL,), headers=headers) as ws,
        ):
            try:
                for message in [*([c2s.encode_frame(c2s.Hello(c2s.VERSION))] if hello else []), *messages]:
                    await ws.send_bytes(message)
                await ws.send_bytes(c2s.encode_frame(c2s.Ping(MARKER)))
            except (aiohttp.ClientError, ConnectionError):
                pass  # closed already; what was said is still to be read
            await self._check_answers(ws)

    async def _check_answers(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            message = await ws.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                code = message.data if message.type is aiohttp.WSMsgType.CLOSE else None
                assert code in {*CLOSES, None}, f"closed with {code}"
                return
            frame = c2s.decode_node_frame(message.data)
            if isinstance(frame, c2s.Error | c2s.Refused):
                assert Code(frame.code) is not Code.INTERNAL, frame
                assert frame.text
            if frame == c2s.Pong(MARKER):
                return

    async def still_serves(self) -> None:
        """Alice notices nothing of all this."""
        self.said += 1
        text = f"still here {self.said}"
        await self.alice.say(self.direct, text)
        assert self.alice.connections == 1
        faults = self.node.services.metrics.internal_errors
        assert faults.values == {"": 0.0}


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    with Theatre(tmp_path_factory.mktemp("fuzz") / "node") as running:
        before = _resident_bytes()
        yield running
        assert _resident_bytes() - before < GROWTH_BYTES_MAX


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# --- boxes of hostile things ----------------------------------------------------------------------------

INTEGERS = st.sampled_from([0, 1, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**63), MARKER])
STRINGS = st.sampled_from(
    ["", "a", "text", "\x00", "\u202e", "\ud7ff", "\U0010ffff", "x" * 33, "x" * 70_000, "'; DROP TABLE entries; --", "all", "owner",
     "alice@" + "a" * 52, "../../etc", "__proto__", "\n\n", "👍", "md", "<script>"]
)  # fmt: skip
BYTES = st.one_of(
    st.sampled_from([b"", bytes(15), bytes(16), bytes(17), bytes(31), bytes(32), bytes(33)]), st.binary(max_size=40)
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INTEGERS,
    st.floats(),
    STRINGS,
    BYTES,
    st.integers(min_value=-(2**63), max_value=2**64 - 1),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.one_of(STRINGS, st.integers(0, 9)), inner, max_size=5)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from([frame.__struct_config__.tag for frame in c2s.ClientFrame.__args__])
KINDS = st.one_of(st.sampled_from([*content.KINDS, "x.poll", "X", "", "k" * 33, "\x00"]), STRINGS)
FIELDS = st.sampled_from(
    [*sorted({name for kind in content.KINDS.values() for name in kind.__struct_fields__}), "fallback"]
)


def any_frame() -> st.SearchStrategy[bytes]:
    """A known name and anything for fields."""
    return st.builds(lambda name, fields: _pack([name, *fields]), NAMES, st.lists(ANYTHING, max_size=9))


def bodies(theatre_values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """A body with fields that kinds know, and wrong things in them; or no body at all."""
    known = st.dictionaries(FIELDS, st.one_of(theatre_values, ANYTHING), max_size=5).map(_pack)
    return st.one_of(known, st.binary(max_size=60), ANYTHING.map(_pack))


def _pack(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return b"\xc1"


def _mutate(data: bytes, places: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(data)
    for place, value in places:
        changed[place % len(changed)] = value
    return bytes(changed[: max(1, len(changed) - cut)])


VALID = [
    c2s.encode_frame(frame)
    for frame in (
        c2s.Ack(1), c2s.Post(1, bytes(32), bytes(16), "text", b"\x81\xa4text\xa1x"), c2s.History(2, bytes(32), 1),
        c2s.Read(3, bytes(32), 1), c2s.Typing(bytes(32)), c2s.Presence("away"), c2s.Ping(7), c2s.Hello(1, 5, "x"),
    )
]  # fmt: skip
MUTANTS = st.builds(
    _mutate,
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
    st.integers(0, 4),
)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    messages=st.lists(st.one_of(st.binary(max_size=300), MUTANTS, any_frame(), ANYTHING.map(_pack)), max_size=6),
    hello=st.booleans(),
)
@example(messages=[b"\x91" * 100_000], hello=True)
@example(messages=[b"\xdd\xff\xff\xff\xff" * 1000], hello=False)
@example(messages=[bytes(limits.FRAME_BYTES_MAX)], hello=True)
@example(messages=[bytes(limits.FRAME_BYTES_MAX + 1)], hello=True)
@example(messages=[bytes(4 * limits.FRAME_BYTES_MAX)], hello=False)
@example(messages=[_pack(["post", 1, bytes(32), bytes(16), "x.deep", b"\x91" * 60_000])], hello=True)
@example(messages=[_pack(["post", 1, bytes(32), bytes(16), "x.deep", b"\x81\xa1a" * 20_000])], hello=True)
def test_any_bytes(theatre: Theatre, messages: list[bytes], hello: bool) -> None:
    theatre.run(theatre.send(messages, hello=hello))
    theatre.run(theatre.still_serves())


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_any_event(theatre: Theatre, data: st.DataObject) -> None:
    """Posts of every kind into rooms that exist, with ids that exist and bodies that do not fit."""
    rooms = st.sampled_from([theatre.room, theatre.direct, b"", bytes(32), theatre.room[:31]])
    users = st.sampled_from([theatre.alice.user, theatre.mallory.user, "nobody@" + "a" * 52])
    targets = st.sampled_from([theatre.message, bytes(32)])
    mention = st.fixed_dictionaries({"user": users, "start": st.integers(-1, 20_001), "len": st.integers(-1, 20_001)})
    reply = st.fixed_dictionaries({"event": targets, "author": users, "quote": STRINGS})
    values = st.one_of(users, targets, STRINGS, INTEGERS, reply, st.lists(mention, max_size=3), st.booleans())
    posts = st.builds(
        lambda n, room, client_id, kind, body, guests, token: _pack(["post", n, room, client_id, kind, body, guests, token]),
        st.integers(0, 9), rooms, st.binary(min_size=16, max_size=16), KINDS, bodies(values), st.lists(users, max_size=3),
        st.binary(max_size=17),
    )  # fmt: skip
    # Mallory must stay in the group for the examples to mean something, so the kinds that end that are left to the plays
    messages = [m for m in data.draw(st.lists(posts, max_size=5)) if b"\xa5leave" not in m]
    theatre.run(theatre.send(messages, hello=True))
    theatre.run(theatre.still_serves())


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_any_request(theatre: Theatre, data: st.DataObject) -> None:
    """Acknowledgements, pages, read marks and signals with numbers from everywhere."""
    rooms = st.sampled_from([theatre.room, theatre.direct, bytes(32)])
    numbers = st.one_of(st.integers(0, 20), st.sampled_from([2**31, 2**53 - 1, 2**53]))
    frames: st.SearchStrategy[c2s.Frame] = st.one_of(
        st.builds(c2s.Ack, numbers),
        st.builds(c2s.History, numbers, rooms, numbers, st.booleans(), st.integers(1, 200)),
        st.builds(c2s.Read, numbers, rooms, numbers),
        st.builds(c2s.Typing, rooms, st.booleans()),
        st.builds(c2s.Presence, st.sampled_from(["online", "away"])),
        st.builds(c2s.Ping, numbers),
        st.builds(c2s.Hello, numbers, st.one_of(st.none(), numbers)),
    )
    messages = [c2s.encode_frame(frame) for frame in data.draw(st.lists(frames, max_size=12))]
    theatre.run(theatre.send(messages, hello=True))
    theatre.run(theatre.still_serves())


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_any_call(theatre: Theatre, data: st.DataObject) -> None:
    """Frames of calls, about a call that goes on and seats that are somebody else's, in any order."""
    numbers = st.integers(0, 9)
    calls = st.sampled_from([theatre.seat.call, bytes(16)])
    seats = st.sampled_from([theatre.seat.seat, bytes(8)])
    rooms = st.sampled_from([theatre.room, theatre.direct, bytes(32)])
    users = st.sampled_from([theatre.alice.user, theatre.mallory.user, "nobody", "nobody@" + "a" * 52, "\x00"])
    sources = st.sampled_from(["mic", "camera", "screen", "sound"])
    sdp = st.one_of(STRINGS, st.just("v=0\r\n" * 1000))
    frames: st.SearchStrategy[c2s.Frame] = st.one_of(
        st.builds(calling.CallStart, numbers, rooms, st.sampled_from(["audio", "video"]), st.lists(users, max_size=3).map(tuple)),
        st.builds(calling.CallRinging, calls),
        st.builds(calling.CallJoin, numbers, calls, st.one_of(seats, st.just(b""))),
        st.builds(calling.CallDecline, numbers, calls, st.booleans()),
        st.builds(calling.CallLeave, numbers, calls, seats, st.booleans()),
        st.builds(calling.CallRemove, numbers, calls, seats, st.booleans()),
        st.builds(calling.CallUp, numbers, calls, seats, sdp, st.dictionaries(st.text("019", min_size=1, max_size=3), sources)),
        st.builds(calling.CallDown, numbers, calls, seats, numbers, sdp),
        st.builds(calling.CallRestart, calls, seats),
        st.builds(calling.CallState, calls, seats, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
        st.builds(
            calling.CallWant, calls, seats, st.lists(st.builds(calling.Wish, seats, sources, st.integers(0, 9000))).map(tuple)
        ),
    )  # fmt: skip
    messages = [c2s.encode_frame(frame) for frame in data.draw(st.lists(frames, max_size=12))]
    theatre.run(theatre.send(messages, hello=True))
    theatre.run(theatre.still_serves())
