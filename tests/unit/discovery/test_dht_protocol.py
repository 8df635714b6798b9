"""The socket of the DHT, on a wire that only the test holds: what strangers get, what they change, what it believes.

`Wire` is a datagram transport that keeps what is sent. The protocol does not know the difference: both are what asyncio
promises of a transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.dht_village import Home
from node.base import limits
from node.discovery.dht_protocol import Endpoint, SignedProtocol
from node.discovery.dht_store import Checker, SignedStorage
from node.discovery.dht_table import node_of
from node.discovery.proto import datagram
from node.discovery.proto.datagram import Answer, Method, Outcome, Request
from node.discovery.proto.policy import Contact, Policy, make_id
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy

OWN = Contact(make_id("93.0.0.1", bytes(20)), "93.0.0.1", 8_444)
TOKEN = b"t" * 8
MESSAGE = b"m" * 20


def contact(number: int, *, last: int = 1) -> Contact:
    ip = f"94.{number >> 8}.{number & 255}.{last}"
    return Contact(make_id(ip, (number * 7919).to_bytes(20, "big")), ip, 8_444)


class Wire(asyncio.DatagramTransport):
    """Keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[bytes, Endpoint]] = []
        self.closed = False

    def sendto(self, data: bytes, addr: Endpoint | None = None) -> None:  # type: ignore[override]
        assert addr is not None
        self.sent.append((data, addr))

    def is_closing(self) -> bool:
        return self.closed

    def take(self) -> list[tuple[bytes, Endpoint]]:
        taken, self.sent = self.sent, []
        return taken


class Bench:
    """One node, its wire and its clock."""

    def __init__(self, *, client: bool = False) -> None:
        self.clock = ManualClock()
        self.seen: list[tuple[Contact, Endpoint]] = []
        self.storage = SignedStorage(clock=self.clock, check=Checker(clock=self.clock))
        self.wire = Wire()
        self.node = SignedProtocol(
            OWN,
            family=4,
            storage=self.storage,
            policy=Policy(),
            clock=self.clock,
            entropy=SeededEntropy(1),
            seen=lambda voter, endpoint: self.seen.append((voter, endpoint)),
            client=client,
        )
        self.node.connection_made(self.wire)

    async def hear(self, data: bytes, source: Contact) -> None:
        """A datagram arrives and is served."""
        self.node.datagram_received(data, source.endpoint)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(limits.DHT_IN_FLIGHT_MAX // 16 + 2):
            await asyncio.sleep(0)

    async def ask(
        self, source: Contact, method: Method, *, key: bytes = b"", value: bytes = b"", token: bytes = b"", flags: int = 0, size: int = 490,
    ) -> Answer | None:  # fmt: skip
        """A request of `source`; the answer it gets, if it gets one."""
        request = Request(method, source.id, flags, token, key, value)
        await self.hear(datagram.encode_request(MESSAGE, request, size_bytes=size), source)
        answers = [data for data, to in self.wire.sent if data[0] == datagram.ANSWER and to == source.endpoint]
        self.wire.sent = [item for item in self.wire.sent if item[0][0] != datagram.ANSWER]
        return datagram.decode_answer(answers[0]) if answers else None

    async def answer(
        self, source: Contact, *, node: bytes | None = None, nodes: bytes = b"", value: bytes = b""
    ) -> Request:
        """`source` answers the newest request that was sent to it; that request."""
        data = next(data for data, to in reversed(self.wire.sent) if data[0] == 0 and to == source.endpoint)
        seen = datagram.pack_endpoint("93.0.0.1", 8_444)
        reply = Answer(node or source.id, TOKEN, seen, nodes, value)
        await self.hear(datagram.encode_answer(datagram.message_id_of(data), reply), source)
        return datagram.decode_request(data)

    async def befriend(self, source: Contact) -> None:
        """`source` enters the table, as it must: by answering."""
        self.node.ask(source, "ping")
        await self.answer(source)
        self.wire.take()


@pytest.fixture
async def bench() -> Bench:
    return Bench()


ANNA = contact(1)


# --- being asked ------------------------------------------------------------------------------------------------


async def test_a_ping_is_answered_with_id_token_and_where_it_came_from(bench: Bench) -> None:
    answer = await bench.ask(ANNA, "ping")
    assert answer is not None
    assert answer.node == OWN.id
    assert len(answer.token) == 8
    assert datagram.unpack_endpoint(answer.seen, family=4) == ANNA.endpoint


async def test_find_node_names_the_nearest_but_not_the_asker(bench: Bench) -> None:
    people = [contact(number) for number in range(1, 40)]
    for one in people:
        await bench.befriend(one)
    answer = await bench.ask(ANNA, "find_node", key=ANNA.id, size=1_000)
    assert answer is not None
    named = bench.node.contacts_of(answer)
    assert len(named) == limits.DHT_K
    assert ANNA not in named
    assert named == bench.node.table.nearest(ANNA.id, but=ANNA.endpoint)


async def test_find_value_brings_the_record_and_eight_contacts(bench: Bench) -> None:
    home = Home(1, now_s=bench.clock.now_ms() // 1000)
    bench.storage.put(home.key, home.version(1))
    for number in range(2, 40):
        await bench.befriend(contact(number))
    answer = await bench.ask(ANNA, "find_value", key=home.key)
    assert answer is not None
    assert answer.value == home.version(1)
    assert len(bench.node.contacts_of(answer)) == limits.DHT_NEAR_WITH_VALUE
    nothing = await bench.ask(ANNA, "find_value", key=bytes(20), size=1_000)
    assert nothing is not None
    assert nothing.value == b""
    assert len(bench.node.contacts_of(nothing)) == limits.DHT_K


async def test_store_needs_the_token_of_the_address_and_a_valid_record(bench: Bench) -> None:
    home = Home(1, now_s=bench.clock.now_ms() // 1000)
    hello = await bench.ask(ANNA, "ping")
    assert hello is not None
    for source, token, value, code in (
        (ANNA, b"", home.version(1), Outcome.BAD_TOKEN),
        (ANNA, bytes(8), home.version(1), Outcome.BAD_TOKEN),
        (contact(2), hello.token, home.version(1), Outcome.BAD_TOKEN),
        (ANNA, hello.token, b"garbage", Outcome.REFUSED),
    ):
        answer = await bench.ask(source, "store", key=home.key, value=value, token=token)
        assert answer is not None
        assert answer.code == code
        assert len(bench.storage) == 0
    answer = await bench.ask(ANNA, "store", key=home.key, value=home.version(1), token=hello.token)
    assert answer is not None
    assert answer.code == Outcome.DONE
    assert bench.storage.get(home.key) == home.version(1)


async def test_an_unproven_source_gets_three_times_what_it_sent(bench: Bench) -> None:
    for number in range(2, 60):
        await bench.befriend(contact(number))
    home = Home(1, now_s=bench.clock.now_ms() // 1000)
    bench.storage.put(home.key, home.version(1))
    methods: tuple[Method, ...] = ("ping", "stun", "find_node", "find_value", "store")
    for number, method in enumerate(methods):
        for size in (0, 100, 150, 300, 490, 1_000):
            source = contact(1_000 + number, last=1 + size % 200)
            keyed = b"" if method in {"ping", "stun"} else home.key
            data = datagram.encode_request(MESSAGE, Request(method, source.id, 0, b"", keyed), size_bytes=size)
            await bench.hear(data, source)
            sent = sum(len(packet) for packet, to in bench.wire.take() if to == source.endpoint)
            assert 0 < sent <= limits.DHT_AMPLIFICATION_MAX * len(data), (method, size)


async def test_a_proven_source_gets_all_of_it(bench: Bench) -> None:
    for number in range(2, 60):
        await bench.befriend(contact(number))
    hello = await bench.ask(ANNA, "ping")
    assert hello is not None
    answer = await bench.ask(ANNA, "find_node", key=bytes(20), token=hello.token, size=0)
    assert answer is not None
    assert len(bench.node.contacts_of(answer)) == limits.DHT_K


async def test_a_source_has_its_rate(bench: Bench) -> None:
    answers = [await bench.ask(ANNA, "stun") for _ in range(limits.DHT_REQUESTS_BURST + 5)]
    assert [answer is not None for answer in answers] == [True] * limits.DHT_REQUESTS_BURST + [False] * 5
    assert bench.node.dropped["rate"] == 5
    assert await bench.ask(contact(2), "stun") is not None
    bench.clock.advance(seconds=1)
    assert await bench.ask(ANNA, "stun") is not None


async def test_512_wait_and_the_next_is_dropped(bench: Bench) -> None:
    for number in range(limits.DHT_IN_FLIGHT_MAX + 1):
        source = contact(number)
        bench.node.datagram_received(datagram.encode_request(MESSAGE, Request("stun", source.id)), source.endpoint)
    assert bench.node.dropped["busy"] == 1
    assert bench.wire.sent == [], "nothing is served in the callback of the socket"
    await bench.settle()
    assert len(bench.wire.sent) == limits.DHT_IN_FLIGHT_MAX


async def test_a_client_neither_answers_nor_is_remembered() -> None:
    bench = Bench(client=True)
    assert await bench.ask(ANNA, "ping") is None
    assert bench.node.dropped["client"] == 1
    bench.node.ask(ANNA, "find_node", key=bytes(20))
    request = await bench.answer(ANNA)
    assert request.read_only
    assert ANNA in bench.node.table, "a client knows others"
    other = Bench()
    await other.ask(contact(2), "find_node", key=bytes(20), flags=datagram.READ_ONLY)
    assert other.wire.sent == [], "not pinged back"
    assert len(other.node.table) == 0


# --- newcomers --------------------------------------------------------------------------------------------------


async def test_a_stranger_enters_by_answering_a_ping(bench: Bench) -> None:
    await bench.ask(ANNA, "ping")
    assert len(bench.node.table) == 0
    assert (await bench.answer(ANNA)).method == "ping"
    assert bench.node.table.contacts() == [ANNA]


async def test_one_that_answers_with_another_id_does_not(bench: Bench) -> None:
    await bench.ask(ANNA, "ping")
    await bench.answer(ANNA, node=contact(2).id)
    assert len(bench.node.table) == 0


async def test_an_id_of_another_address_is_not_even_pinged(bench: Bench) -> None:
    await bench.ask(ANNA._replace(id=contact(2).id), "ping")
    assert bench.wire.sent == []


async def test_stun_asks_for_nothing_else(bench: Bench) -> None:
    assert await bench.ask(ANNA, "stun") is not None
    assert bench.wire.sent == []


async def test_sixty_four_are_pinged_back_at_once(bench: Bench) -> None:
    for number in range(limits.DHT_PROBES_MAX + 10):
        await bench.ask(contact(number), "ping")
    assert len(bench.wire.sent) == limits.DHT_PROBES_MAX
    await bench.answer(contact(0))
    await bench.ask(contact(500), "ping")
    assert bench.wire.sent[-1][1] == contact(500).endpoint


async def test_an_endpoint_is_pinged_back_once(bench: Bench) -> None:
    for _ in range(5):
        await bench.ask(ANNA, "ping")
    assert len(bench.wire.sent) == 1


async def test_the_oldest_of_a_full_bucket_is_checked_unless_it_was_heard_lately(bench: Bench) -> None:
    for number in range(400):
        await bench.befriend(contact(number))
    crowded = [one for one in map(contact, range(400, 500)) if bench.node.table.is_new_node(node_of(one))]
    for one in crowded:
        bench.node.hello(one.endpoint)
        await bench.answer(one)
    asked = {to for data, to in bench.wire.take() if data[0] == datagram.REQUEST}
    assert asked == {one.endpoint for one in crowded}, "everybody was heard just now"
    bench.clock.advance(seconds=limits.DHT_FRESH_S)
    for one in map(contact, range(500, 600)):
        bench.node.hello(one.endpoint)
        await bench.answer(one)
    checked = [to for data, to in bench.wire.take() if data[0] == datagram.REQUEST and to[0] < contact(500).ip]
    assert 0 < len(checked) == len(set(checked)) <= limits.DHT_PROBES_MAX


async def test_a_newcomer_gets_what_it_is_to_hold_from_its_nearest_neighbour_only(bench: Bench) -> None:
    homes = [Home(number, now_s=bench.clock.now_ms() // 1000) for number in range(40)]
    for home in homes:
        bench.storage.put(home.key, home.version(1))
    rival = contact(2)
    await bench.befriend(rival)
    bench.wire.take()
    await bench.ask(ANNA, "ping")
    await bench.answer(ANNA)
    stored = [datagram.decode_request(data) for data, to in bench.wire.take()[1:] if to == ANNA.endpoint]
    ours = {home.key for home in homes if _closer(OWN, rival, home.key)}
    assert {request.key for request in stored} <= ours
    assert len(stored) == min(len(ours), limits.DHT_HANDOFF_MAX) > 0
    assert all(request.token == TOKEN for request in stored)


def _closer(one: Contact, other: Contact, key: bytes) -> bool:
    place = int.from_bytes(key, "big")
    return one.place ^ place < other.place ^ place


async def test_a_hand_off_is_bounded(bench: Bench) -> None:
    for number in range(2 * limits.DHT_HANDOFF_MAX):
        home = Home(number, now_s=bench.clock.now_ms() // 1000)
        bench.storage.put(home.key, home.version(1))
    await bench.ask(ANNA, "ping")
    await bench.answer(ANNA)
    assert len([data for data, _ in bench.wire.sent if len(data) > 300]) == limits.DHT_HANDOFF_MAX


# --- asking -----------------------------------------------------------------------------------------------------


async def test_an_answer_counts_from_the_address_that_was_asked(bench: Bench) -> None:
    reply = bench.node.ask(ANNA, "ping")
    message = datagram.message_id_of(bench.wire.sent[0][0])
    forged = datagram.encode_answer(message, Answer(ANNA.id, TOKEN))
    await bench.hear(forged, contact(2))
    await bench.hear(forged, ANNA._replace(port=9_999))
    await bench.hear(datagram.encode_answer(bytes(20), Answer(ANNA.id, TOKEN)), ANNA)
    assert not reply.done()
    assert bench.node.dropped["unasked"] == 3
    await bench.answer(ANNA)
    assert reply.result() is not None


async def test_an_answer_counts_once(bench: Bench) -> None:
    bench.node.ask(ANNA, "ping")
    await bench.answer(ANNA)
    await bench.answer(ANNA)
    assert bench.node.dropped["unasked"] == 1


@pytest.mark.parametrize(
    "tail", [b"", b"\x90", b"\xc0", b"\x81\xa5value\x90", b"\x91" * 1_000, b"\xdd\xff\xff\xff\xff"]
)
async def test_a_malformed_answer_is_no_answer(bench: Bench, tail: bytes) -> None:
    reply = bench.node.ask(ANNA, "find_value", key=bytes(20))
    message = datagram.message_id_of(bench.wire.sent[0][0])
    await bench.hear(b"\x01" + message + (tail or b"\xc1"), ANNA)
    assert reply.result() is None
    assert bench.node.dropped["malformed"] == 1


async def test_ragged_contacts_are_no_answer(bench: Bench) -> None:
    reply = bench.node.ask(ANNA, "find_node", key=bytes(20))
    await bench.answer(ANNA, nodes=bytes(25))
    assert reply.result() is None


async def test_another_node_at_the_address_is_no_answer_and_the_old_one_is_gone(bench: Bench) -> None:
    await bench.befriend(ANNA)
    reply = bench.node.ask(ANNA, "ping")
    await bench.answer(ANNA, node=contact(2).id)
    assert reply.result() is None
    assert ANNA not in bench.node.table


async def test_the_token_of_an_answer_is_shown_next_time_and_saves_the_padding(bench: Bench) -> None:
    bench.node.ask(ANNA, "find_node", key=bytes(20))
    assert len(bench.wire.sent[0][0]) >= limits.DHT_PADDED_BYTES
    first = await bench.answer(ANNA)
    assert first.token == b""
    bench.node.ask(ANNA, "find_node", key=bytes(20))
    assert len(bench.wire.sent[-1][0]) < 100
    assert datagram.decode_request(bench.wire.sent[-1][0]).token == TOKEN
    bench.clock.advance(seconds=limits.DHT_TOKEN_S)
    bench.node.ask(ANNA, "find_node", key=bytes(20))
    assert datagram.decode_request(bench.wire.sent[-1][0]).token == b""


async def test_tokens_of_others_are_bounded(bench: Bench) -> None:
    for number in range(limits.DHT_TOKENS_MAX + 1):
        bench.node._remember(Answer(ANNA.id, TOKEN), (f"93.1.{number >> 8}.{number & 255}", 8_444))
    assert len(bench.node._given) == limits.DHT_TOKENS_MAX


async def test_every_answer_says_where_we_were_seen(bench: Bench) -> None:
    bench.node.ask(ANNA, "ping")
    await bench.answer(ANNA)
    assert bench.seen == [(ANNA, ("93.0.0.1", 8_444))]


async def test_512_requests_may_be_open(bench: Bench) -> None:
    await bench.befriend(ANNA)
    replies = [bench.node.ask(contact(number), "ping") for number in range(2, limits.DHT_IN_FLIGHT_MAX + 2)]
    replies.append(bench.node.ask(ANNA, "ping"))
    await asyncio.sleep(0)
    assert ANNA in bench.node.table, "it was not asked"
    assert [reply.done() for reply in replies] == [False] * limits.DHT_IN_FLIGHT_MAX + [True]
    bench.node.connection_lost(None)
    assert all(reply.result() is None for reply in replies)


async def test_nothing_is_asked_of_a_closed_socket(bench: Bench) -> None:
    bench.wire.closed = True
    assert bench.node.ask(ANNA, "ping").result() is None
    bench.node.error_received(OSError())
    assert bench.node.dropped["unreachable"] == 1


@pytest.mark.slow
async def test_who_does_not_answer_within_a_second_is_gone(bench: Bench) -> None:
    await bench.befriend(ANNA)
    reply = bench.node.ask(ANNA, "ping")
    began = asyncio.get_running_loop().time()
    assert await reply is None
    assert asyncio.get_running_loop().time() - began >= limits.DHT_REPLY_S - 0.01
    await asyncio.sleep(0)
    assert ANNA not in bench.node.table


async def test_an_awaiter_that_gave_up_is_no_fault(bench: Bench) -> None:
    bench.node.ask(ANNA, "ping").cancel()
    await bench.answer(ANNA)
    bench.node.hello(contact(2).endpoint).cancel()
    await bench.answer(contact(2))
    assert set(bench.node.table.contacts()) == {ANNA, contact(2)}, "they answered all the same"


async def test_hello_befriends_an_address(bench: Bench) -> None:
    bench.node.hello(ANNA.endpoint)
    await bench.answer(ANNA)
    assert ANNA in bench.node.table


async def test_another_id_keeps_the_contacts(bench: Bench) -> None:
    for number in range(1, 10):
        await bench.befriend(contact(number))
    before = set(bench.node.table.contacts())
    own = OWN._replace(id=make_id(OWN.ip, b"\x05" * 20))
    bench.node.rename(own)
    assert set(bench.node.table.contacts()) == before
    assert bench.storage.place == own.place
    answer = await bench.ask(ANNA, "ping")
    assert answer is not None
    assert answer.node == own.id


def test_a_missing_name_is_a_mistake_and_no_remote_call() -> None:
    with pytest.raises(AttributeError):
        Bench().node.call_everybody  # noqa: B018


# --- anything at all --------------------------------------------------------------------------------------------


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=1_500),
            st.binary(max_size=400).map(lambda tail: b"\x00" + MESSAGE + tail),
            st.binary(max_size=400).map(lambda tail: b"\x01" + MESSAGE + tail),
            st.tuples(st.sampled_from(["ping", "stun", "find_node", "find_value", "store"]), st.binary(min_size=20, max_size=20),
                      st.sampled_from([b"", TOKEN]), st.binary(max_size=1_000)).map(lambda of: datagram.encode_request(
                          MESSAGE, Request(of[0], of[1], 0, of[2], of[1], of[3]))),  # type: ignore[arg-type]
        ),
        max_size=8,
    )
)  # fmt: skip
def test_no_datagram_raises_stores_or_enters(loop: asyncio.AbstractEventLoop, packets: list[bytes]) -> None:
    async def story() -> None:
        bench = Bench()
        for number, data in enumerate(packets):
            await bench.hear(data, contact(number))
        assert len(bench.storage) == 0
        assert len(bench.node.table) == 0
        bench.node.connection_lost(None)

    loop.run_until_complete(story())
