"""Security class 5: nothing that a stranger names makes this node speak to its own network.

A trap listens on every address a target could end at; each story ends with the trap untouched. The callers of today are
the fetch of ``/.well-known/startalk`` and links to other nodes; both go through `Outgoing`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.runtime.clock import SystemClock
from node.runtime.outgoing import Ask, FetchFailed, Outgoing, Route
from node.runtime.targets import WEB_PORTS, Exceptions, TargetRefused, Targets
from node.runtime.tls import Certificate

LINKS = Route(ports=None, check_certificate=False)

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


@pytest.mark.parametrize("url", [url.replace("https:", "wss:", 1) for url in TARGETS if "1.1.1.1:" not in url])
async def test_a_link_is_refused_there_too(url: str) -> None:
    with pytest.raises(TargetRefused):
        async with Outgoing(targets=Targets()).websocket(
            url, protocol="startalk.s2s.1", route=LINKS, timeout_s=2, size_bytes_max=100
        ):
            pass


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


async def test_a_redirect_is_a_new_target(trap: Trap) -> None:
    """The pinned name is allowed; where it sends us is not."""
    door = Outgoing(
        targets=Targets(exceptions=Exceptions.parse(hosts=[f"casa.test=127.0.0.1:{trap.port}"])),
    )
    blind = Route(check_certificate=False)
    assert (await door.ask(ask("https://casa.test/", blind))).body == b"hi"
    touched = trap.touched
    for to in (f"https://127.0.0.1:{trap.port + 1}/", "https://[::1]/", "https://169.254.169.254/", "https://localhost/",
               "https://0x7f.1/", "http://casa.test/", "file:///etc/passwd", "//10.0.0.1/"):  # fmt: skip
        trap.answer = f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
        with pytest.raises(TargetRefused):
            await door.ask(ask("https://casa.test/", blind))
        touched += 1
    assert trap.touched == touched


async def test_a_proxy_variable_is_ignored(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    door = Outgoing(targets=Targets(exceptions=Exceptions.parse(allow=["192.0.2.0/24"])))
    with pytest.raises(FetchFailed):
        await door.ask(Ask(url="https://192.0.2.7/", size_bytes_max=9, timeout_s=0.1))
    with pytest.raises(FetchFailed):
        async with door.websocket("wss://192.0.2.7/s2s", protocol="x", route=LINKS, timeout_s=0.1, size_bytes_max=9):
            pass
    assert trap.touched == 0


async def test_a_certificate_nobody_vouches_for_is_refused(trap: Trap) -> None:
    door = Outgoing(targets=Targets(exceptions=Exceptions.parse(hosts=[f"casa.test=127.0.0.1:{trap.port}"])))
    with pytest.raises(FetchFailed, match="Certificate"):
        await door.ask(ask("https://casa.test/"))


async def test_an_extra_authority_is_believed(trap: Trap, tmp_path: Path) -> None:
    pem = next(path for path in tmp_path.iterdir() if b"BEGIN CERTIFICATE" in path.read_bytes())
    targets = Targets(exceptions=Exceptions.parse(hosts=[f"casa.test=127.0.0.1:{trap.port}"]))
    got = await Outgoing(targets=targets, ca=str(pem)).ask(ask("https://casa.test/"))
    assert got.body == b"hi"


async def test_a_neighbour_found_by_mdns_is_no_way_to_loopback() -> None:
    from node.runtime.targets import Scope

    near = Route(scope=Scope.LAN, ports=None, check_certificate=False)
    for url in (
        "wss://127.0.0.1:8443/s2s",
        "wss://[::1]:8443/s2s",
        "wss://192.168.1.1:22/s2s",
        "wss://224.0.0.1:8443/s2s",
    ):
        with pytest.raises(TargetRefused):
            async with Outgoing(targets=Targets()).websocket(
                url, protocol="startalk.s2s.1", route=near, timeout_s=1, size_bytes_max=9
            ):
                pass
    assert {80, 443} == WEB_PORTS
