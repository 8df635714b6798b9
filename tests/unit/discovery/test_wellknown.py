"""What a domain may say, and what is made of it when it lies."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import RemoteError
from node.base.ids import format_node
from node.discovery.wellknown import WellKnown, Zone, host_of, link_url, parse_body, parse_txt
from node.runtime.clock import ManualClock
from node.runtime.outgoing import Answer, Ask
from node.wire.record import Verifier
from tests.unit.discovery.records import NOW_S, nid_of, raw_of

ALICE = nid_of("alice")
DOMAIN = "casa.example"


def body(**changes: Any) -> bytes:
    record = base64.urlsafe_b64encode(raw_of("alice", domain=DOMAIN, spots=("1.1.1.1",))).decode().rstrip("=")
    said = {"v": 1, "id": format_node(ALICE), "record": record, "url": "wss://casa.example/s2s", **changes}
    return json.dumps(said).encode()


def parse(data: bytes, domain: str = DOMAIN) -> Any:
    return parse_body(data, domain=domain, now_s=NOW_S, verify=Verifier())


def test_domain_and_node_name_each_other() -> None:
    announced = parse(body())
    assert (announced.domain, announced.nid, announced.url) == (DOMAIN, ALICE, "wss://casa.example/s2s")
    assert announced.record.raw == raw_of("alice", domain=DOMAIN, spots=("1.1.1.1",))


def spelt(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"id": format_node(nid_of("bob"))},
        {"id": "short"},
        {"record": "!!"},
        {"record": ""},
        {"record": spelt(raw_of("alice", domain=DOMAIN))[:-8]},
        {"record": spelt(raw_of("alice", domain="other.example"))},
        {"record": spelt(raw_of("alice"))},
        {"record": spelt(raw_of("bob", domain=DOMAIN))},
        {"record": 7},
    ],
)
def test_a_body_that_does_not_hold_together_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        parse(body(**changes))


def test_the_body_of_another_domain_is_refused() -> None:
    with pytest.raises(RemoteError, match="does not name this domain"):
        parse(body(), domain="thief.example")


@pytest.mark.parametrize("url", ["", "http://casa.example/s2s", "wss://casa.example/admin", "wss://127.0.0.1/s2s", "wss://a@casa.example/s2s",
                                 "wss://casa.example:0/s2s", "wss://CASA.example/s2s"])  # fmt: skip
def test_a_url_that_is_not_one_of_links_is_left_out(url: str) -> None:
    assert parse(body(url=url)).url == ""


def test_urls_of_links() -> None:
    assert link_url("wss://casa.example:8443/s2s") == "wss://casa.example:8443/s2s"
    assert host_of("wss://casa.example:8443/s2s") == ("casa.example", 8443)
    assert host_of("wss://casa.example/s2s") == ("casa.example", 443)


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with pytest.raises(RemoteError):
        parse(data)


class Web:
    """Answers what it is told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Ask] = []

    async def ask(self, asked: Ask) -> Answer:
        self.asked.append(asked)
        return self.answer


async def test_a_domain_is_asked_within_its_bounds() -> None:
    web = Web(Answer(200, {}, body(), "https://casa.example/.well-known/startalk"))
    got = await WellKnown(fetcher=web, clock=ManualClock(), verify=Verifier()).fetch(DOMAIN)
    (asked,) = web.asked
    assert got.nid == ALICE
    assert asked.url == "https://casa.example/.well-known/startalk"
    assert (asked.size_bytes_max, asked.timeout_s) == (limits.WELL_KNOWN_BYTES_MAX, limits.WELL_KNOWN_S) == (8192, 5)
    assert asked.same_host


async def test_a_domain_without_a_node_is_an_error() -> None:
    web = Web(Answer(404, {}, b"", ""))
    with pytest.raises(RemoteError, match="status 404"):
        await WellKnown(fetcher=web, clock=ManualClock(), verify=Verifier()).fetch(DOMAIN)


# --- TXT ------------------------------------------------------------------------------------------------

LINE = f"v=1;id={format_node(ALICE)};s=1700000000000"


def test_a_txt_record_names_a_node() -> None:
    word = parse_txt(["v=spf1 -all", LINE])
    assert word is not None
    assert (word.nid, word.seq) == (ALICE, 1_700_000_000_000)
    assert parse_txt([]) is None
    assert parse_txt(["v=spf1 -all"]) is None


@pytest.mark.parametrize("texts", [[LINE + ";x"], [LINE.upper()[:0] + "v=1;id=abc;s=1"], [LINE, LINE[:-1]], ["v=2;id=x;s=1"],
                                   [LINE.replace("s=", "s=-")], ["v=1;"]])  # fmt: skip
def test_a_malformed_or_second_txt_record_is_refused(texts: list[str]) -> None:
    with pytest.raises(RemoteError):
        parse_txt(texts)


class NameServer(asyncio.DatagramProtocol):
    """Answers every TXT question with `texts`; an empty list is NXDOMAIN."""

    def __init__(self, *texts: bytes) -> None:
        self.texts = texts
        self.questions: list[bytes] = []
        self.port = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        self.questions.append(data[12:end])
        flags = 0x8180 if self.texts else 0x8183
        head = data[:2] + struct.pack("!HHHHH", flags, 1, len(self.texts), 0, 0)
        answers = b""
        for text in self.texts:
            parts = b"".join(
                bytes((len(text[at : at + 255]),)) + text[at : at + 255] for at in range(0, len(text), 255)
            )
            answers += b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(parts)) + parts
        self._transport.sendto(head + data[12:end] + answers, addr)


@asynccontextmanager
async def name_server(*texts: bytes) -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: NameServer(*texts), local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


async def test_the_zone_is_asked_under_its_label() -> None:
    async with name_server(LINE.encode()) as server:
        word = await Zone(nameservers=["127.0.0.1"], port=server.port).ask(DOMAIN)
    assert word is not None
    assert word.nid == ALICE
    assert server.questions == [b"\x09_startalk\x04casa\x07example\0\0\x10\0\x01"]


async def test_a_zone_without_a_word_and_one_with_a_novel() -> None:
    async with name_server() as server:
        assert await Zone(nameservers=["127.0.0.1"], port=server.port).ask(DOMAIN) is None
    async with name_server(LINE.encode().ljust(limits.TXT_BYTES_MAX + 1, b";")) as server:
        assert await Zone(nameservers=["127.0.0.1"], port=server.port).ask(DOMAIN) is None
    assert limits.TXT_LOOKUP_S <= 5
