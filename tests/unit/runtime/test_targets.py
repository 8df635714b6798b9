"""Which addresses and ports a stranger may send this node to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.runtime.targets import (
    CGNAT,
    WEB_PORTS,
    Exceptions,
    Scope,
    TargetRefused,
    Targets,
    host_name,
    is_lan,
    is_public,
    literal,
)

INSIDE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.254 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.254
192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1 224.0.0.251 239.255.255.250
240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1
100::1 2001::1 2001:10::1 2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd12::1 fe80::1 fec0::1
ff02::fb ff0e::1 fe80::1%eth0 2600::1%eth0
""".split()
OUTSIDE = (
    "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.32.0.1 192.167.0.1 223.255.255.255 2600::1 2a00:1450::1".split()
)


@pytest.mark.parametrize("text", INSIDE)
def test_what_is_not_of_the_internet_is_refused(text: str) -> None:
    assert not is_public(ip_address(text))
    with pytest.raises(TargetRefused, match="not a public address"):
        Targets().check(ip_address(text), 443)


@pytest.mark.parametrize("text", OUTSIDE)
def test_what_is_of_the_internet_is_allowed(text: str) -> None:
    assert is_public(ip_address(text))
    Targets().check(ip_address(text), 443)


@given(st.ip_addresses())
def test_the_rule_is_never_wider_than_the_one_of_python(ip: object) -> None:
    address = ip_address(str(ip))
    assert not is_public(address) or (address.is_global and not address.is_multicast)


@pytest.mark.parametrize(("port", "web", "link"), [(80, True, True), (443, True, True), (22, False, False),
                                                   (25, False, False), (1023, False, False), (1024, False, True),
                                                   (8443, False, True), (65535, False, True)])  # fmt: skip
def test_ports(port: int, web: bool, link: bool) -> None:
    for ports, allowed in ((WEB_PORTS, web), (None, link)):
        if allowed:
            Targets().check(ip_address("1.1.1.1"), port, ports=ports)
        else:
            with pytest.raises(TargetRefused, match=f"Port {port}"):
                Targets().check(ip_address("1.1.1.1"), port, ports=ports)


@pytest.mark.parametrize("text", ["10.0.0.1", "192.168.1.20", "169.254.3.4", "fd00::1", "fe80::1%2"])
def test_a_neighbour_may_be_private_but_nothing_else(text: str) -> None:
    assert is_lan(ip_address(text))
    Targets().check(ip_address(text), 8443, scope=Scope.LAN, ports=None)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "0.0.0.0", "100.64.0.1", "224.0.0.251", "ff02::fb"])
def test_a_neighbour_is_never_this_machine_or_many(text: str) -> None:
    with pytest.raises(TargetRefused):
        Targets().check(ip_address(text), 8443, scope=Scope.LAN, ports=None)


@pytest.mark.parametrize(
    "text",
    "2130706433 0x7f000001 0x7f.1 017700000001 0177.0.0.1 127.1 127.0.1 010.0.0.1 1.1.1 16843009 127.0.0.1. "
    "[::1] fe80::%zz%y 1.2.3.4.5 a.0x10".split(),
)
def test_an_address_has_one_spelling(text: str) -> None:
    with pytest.raises(TargetRefused, match="usual spelling"):
        literal(text)


def test_names_are_no_literals() -> None:
    assert literal("casa.example") is None
    assert literal("1.1.1.1") == ip_address("1.1.1.1")
    assert literal("fe80::1%eth0") == ip_address("fe80::1%eth0")


@pytest.mark.parametrize("text", ["", ".", "a..b", "-a.example", "a b", "ä.example", "a/b", "x" * 254, "a.example\0"])
def test_a_host_name_has_a_shape(text: str) -> None:
    with pytest.raises(TargetRefused, match="not a host name"):
        host_name(text)
    assert host_name("Casa.Example.") == "casa.example"


def test_the_owner_allows_networks() -> None:
    targets = Targets(exceptions=Exceptions.parse(allow=["10.8.0.0/24", "fd00::/64"]))
    for text in ("10.8.0.7", "fd00::1"):
        targets.check(ip_address(text), 443)
    for text in ("10.8.1.1", "fd00:0:0:1::1"):
        with pytest.raises(TargetRefused):
            targets.check(ip_address(text), 443)
    with pytest.raises(TargetRefused, match="Port 25"):
        targets.check(ip_address("10.8.0.7"), 25)


def test_the_owner_pins_names() -> None:
    targets = Targets(
        exceptions=Exceptions.parse(hosts=["a.test=127.0.0.1:18443", "nas.lan=192.168.1.9", "b.test=[::1]:18444"])
    )
    pin = targets.pin("a.test")
    assert pin is not None
    assert (pin.ip, pin.port) == ("127.0.0.1", 18443)
    targets.check(ip_address("127.0.0.1"), 18443)
    targets.check(ip_address("::1"), 18444)
    targets.check(ip_address("192.168.1.9"), 443)
    assert targets.pin("c.test") is None
    with pytest.raises(TargetRefused):
        targets.check(ip_address("127.0.0.1"), 443)
    with pytest.raises(TargetRefused):
        targets.check(ip_address("127.0.0.1"), 18444, ports=None)


@pytest.mark.parametrize(
    "text", ["a.test", "a.test=", "=127.0.0.1", "a.test=here", "a.test=127.0.0.1:70000", "A=1.1.1.1"]
)
def test_a_pin_has_a_shape(text: str) -> None:
    with pytest.raises(ValueError, match=r"form|port|address"):
        Exceptions.parse(hosts=[text])


def test_carriers_share_a_network() -> None:
    assert ip_address("100.64.0.1") in CGNAT
