"""Security class 5: nothing that a stranger names makes this node speak to its own network.

A trap listens on every address a target could end at; each story ends with the trap untouched. The callers of today are
the fetch of ``/.well-known/startalk`` and links to other nodes; both go through `Outgoing`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from node.base.errors import RemoteError
from node.base.ids import NodeId
from node.discovery.resolver import Resolver
from node.discovery.wellknown import WellKnown
from node.federation.dialer import Connector
from node.runtime.clock import SystemClock
from node.runtime.entropy import SystemEntropy
from node.runtime.outgoing import Ask, FetchFailed, Outgoing, Route
from node.runtime.targets import Exceptions, TargetRefused, Targets
from node.runtime.tls import Certificate
from node.services.ports import Candidate
from node.wire.address import Place
from node.wire.record import Record, Verifier

# What people have tried elsewhere: literals, odd spellings, embedded addresses, ports, schemes.
TARGETS = """
https://127.0.0.1/ https://127.0.0.1:8443/ https://127.1/ https://127.0.1/ https://127.0.0.1./ https://0.0.0.0/ https://0/
https://2130706433/ https://017700000001/ https://0x7f000001/ https://0x7f.0.0.1/ https://0177.0.0.1/ https://0177.1/
https://127.0.0.01/ https://127.00.0.1/ https://[::1]/ https://[::]/ https://[0:0:0:0:0:0:0:1]/ https://[::ffff:127.0.0.1]/
https://[::ffff:7f00:1]/ https://[::127.0.0.1]/ https://[0:0:0:0:0:ffff:127.0.0.1]/ https://[64:ff9b::127.0.0.1]/
https://[64:ff9b::7f00:1]/ https://[64:ff9b:1::7f00:1]/ https://[2002:7f00:1::]/ https://[2001:0:7f00:1::]/
https://10.0.0.1/ https://172.16.0.1/ https://172.31.255.255/ https://192.168.0.1/ https://192.168.1.1:80/
https://169.254.169.254/latest/meta-data/ https://169.254.169.254:80/ https://100.64.0.1/ https://100.100.100.200/
https://192.0.0.192/ https://198.18.0.1/ https://224.0.0.251/ https://239.255.255.250:443/ https://255.255.255.255/
https://240.0.0.1/ https://192.88.99.1/ https://[fe80::1]/ https://[fe80::1%25lo]/ https://[fe80::1%lo]/ https://[fc00::1]/
https://[fd00:ec2::254]/ https://[ff02::1]/ https://[fec0::1]/ https://[::ffff:169.254.169.254]/ https://[2001:db8::1]/
https://1.1.1.1:22/ https://1.1.1.1:25/ https://1.1.1.1:6379/ https://1.1.1.1:8443/ http://1.1.1.1/ ftp://1.1.1.1/
file:///etc/passwd gopher://127.0.0.1/ https://user@127.0.0.1/ https://1.1.1.1@127.0.0.1/ https://127.0.0.1\\@1.1.1.1/
https://①②⑦.0.0.1/ https://127。0。0。1/ https://localhost/ https://localhost./ https://localhost:8080/
https://127.0.0.1%00.casa.example/ https://[127.0.0.1]/
""".split()


class Trap:
    """A TCP server on loopback that counts who connects, and answers TLS requests with what it is told."""

    def __init__(self) -> None:
        self.touched = 0
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        self.port = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.touched += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def trap(tmp_path: Path) -> AsyncIterator[Trap]:
    made = Trap()
    context = Certificate.own(tmp_path, domain="casa.test", clock=SystemClock()).context
    server = await asyncio.start_server(made.take, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


@pytest.fixture
def ca(trap: Trap, tmp_path: Path) -> str:
    """The file of the authority that vouches for the trap."""
    return str(next(path for path in tmp_path.iterdir() if b"BEGIN CERTIFICATE" in path.read_bytes()))


def pinned(trap: Trap) -> Targets:
    """The rule of an owner who says that casa.test is the trap."""
    return Targets(exceptions=Exceptions.parse(hosts=[f"casa.test=127.0.0.1:{trap.port}"]))


def links(*, allow: Sequence[str] = ()) -> Connector:
    return Connector(targets=Targets(exceptions=Exceptions.parse(allow=allow)), entropy=SystemEntropy())


class Blank:
    """A memory without content."""

    def pin(self, nid: NodeId) -> None:
        return None

    def addresses(self, nid: NodeId) -> Sequence[Candidate]:
        return ()

    def owner(self, domain: str) -> None:
        return None

    def learned(self, record: Record) -> None:
        raise AssertionError("nothing is pinned")


def names(**table: tuple[str, ...]) -> Outgoing:
    async def look(name: str) -> tuple[str, ...]:
        return table[name.split(".", maxsplit=1)[0]]

    return Outgoing(targets=Targets(), names=look)


def ask(url: str, route: Route | None = None) -> Ask:
    return Ask(url=url, size_bytes_max=100, timeout_s=2, redirects_max=3, same_host=False, route=route or Route())


def test_there_are_sixty_targets() -> None:
    assert len(set(TARGETS)) >= 60


@pytest.mark.parametrize("url", TARGETS)
async def test_a_target_inside_is_refused_before_a_packet_leaves(url: str) -> None:
    with pytest.raises(TargetRefused):
        await Outgoing(targets=Targets()).ask(ask(url))


@pytest.mark.parametrize("url", [url.replace("https:", "wss:", 1) for url in TARGETS if "1.1.1.1:8443" not in url])
async def test_a_link_is_refused_there_too(url: str) -> None:
    with pytest.raises((RemoteError, socket.gaierror)):
        await links().open(Candidate(url, "link"))


@pytest.mark.parametrize("url", [url for url in TARGETS if "1.1.1.1" not in url])
async def test_an_invitation_gives_no_candidate_there(url: str) -> None:
    """The resolver drops such addresses before anybody dials."""
    host = url.partition("://")[2].partition("/")[0].strip("[]")
    try:
        place = Place(ip_address(host).packed, 443)
    except ValueError:
        return  # a link holds addresses as bytes and has no odd spellings
    resolver = Resolver(clock=SystemClock(), targets=Targets(), memory=Blank(), verify=Verifier())
    async with resolver.open():
        assert [one.url async for one in resolver.find(nid=NodeId(bytes(32)), places=[place])] == []


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1", "169.254.169.254"])
async def test_a_name_that_leads_inside_is_refused_even_if_it_also_leads_outside(inside: str) -> None:
    for found in ((inside,), ("1.1.1.1", inside), (inside, "1.1.1.1")):
        with pytest.raises(TargetRefused):
            await names(evil=found).ask(ask("https://evil.example/"))


async def test_a_name_that_changes_between_check_and_connection_gains_nothing(trap: Trap) -> None:
    """Rebinding: the first answer is fine, every later one leads inside. There is one look-up, and its answer is used."""
    asked = 0

    async def flips(name: str) -> tuple[str, ...]:
        nonlocal asked
        asked += 1
        return ("192.0.2.7",) if asked == 1 else ("127.0.0.1",)

    # 192.0.2.0/24 leads nowhere (RFC 5737); it stands for a public address here.
    door = Outgoing(
        targets=Targets(exceptions=Exceptions.parse(allow=["192.0.2.0/24"])),
        names=flips,
    )
    first = Ask(
        url=f"https://evil.example:{trap.port}/",
        size_bytes_max=9,
        timeout_s=0.2,
        route=Route(ports=frozenset({trap.port})),
    )
    with pytest.raises(FetchFailed):
        await door.ask(first)
    assert asked == 1
    with pytest.raises(TargetRefused):
        await door.ask(first)
    assert trap.touched == 0


async def test_a_redirect_is_a_new_target(trap: Trap, ca: str) -> None:
    """The pinned name is allowed; where it sends us is not."""
    door = Outgoing(targets=pinned(trap), ca=ca)
    assert (await door.ask(ask("https://casa.test/"))).body == b"hi"
    touched = trap.touched
    for to in (f"https://127.0.0.1:{trap.port + 1}/", "https://[::1]/", "https://169.254.169.254/", "https://localhost/",
               "https://0x7f.1/", "http://casa.test/", "file:///etc/passwd", "//10.0.0.1/"):  # fmt: skip
        trap.answer = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
        with pytest.raises(TargetRefused):
            await door.ask(ask("https://casa.test/"))
        touched += 1
    assert trap.touched == touched


async def test_a_domain_that_leads_inside_says_nothing(trap: Trap, ca: str) -> None:
    """The well-known page of a stranger's domain: no packet, a named error."""
    for inside in ("127.0.0.1", "192.168.1.1", "::ffff:127.0.0.1"):
        web = WellKnown(fetcher=names(evil=(inside,)), clock=SystemClock(), verify=Verifier())
        with pytest.raises(TargetRefused, match="not a public address"):
            await web.fetch("evil.example")
    assert trap.touched == 0
    home = WellKnown(fetcher=Outgoing(targets=pinned(trap), ca=ca), clock=SystemClock(), verify=Verifier())
    with pytest.raises(RemoteError, match="malformed"):
        await home.fetch("casa.test")
    trap.answer = b"HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(TargetRefused, match="another host"):
        await home.fetch("casa.test")


async def test_a_proxy_variable_is_ignored(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    door = Outgoing(targets=Targets(exceptions=Exceptions.parse(allow=["192.0.2.0/24"])))
    with pytest.raises(FetchFailed):
        await door.ask(Ask(url="https://192.0.2.7/", size_bytes_max=9, timeout_s=0.1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await links(allow=["192.0.2.0/24"]).open(Candidate("wss://192.0.2.7/s2s", "link"))
    assert trap.touched == 0


async def test_a_certificate_nobody_vouches_for_is_refused(trap: Trap) -> None:
    with pytest.raises(FetchFailed, match="Certificate"):
        await Outgoing(targets=pinned(trap)).ask(ask("https://casa.test/"))


async def test_a_neighbour_found_by_mdns_is_no_way_to_loopback() -> None:
    for url in (
        "wss://127.0.0.1:8443/s2s",
        "wss://[::1]:8443/s2s",
        "wss://192.168.1.1:22/s2s",
        "wss://224.0.0.1:8443/s2s",
    ):
        with pytest.raises(TargetRefused):
            await links().open(Candidate(url, "mdns", lan=True))
