"""Addresses that a record of a stranger may name."""

from __future__ import annotations

import ipaddress

import pytest

from node.wire.location import Spot, public_spots


def spot(text: str, port: int = 8443) -> Spot:
    ip = ipaddress.ip_address(text)
    return Spot(ip.version, ip.packed, port)


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "2a00:1450::1", "2606:4700::1111", "3ffe::1", "100.63.255.255", "172.32.0.1"]
)
@pytest.mark.parametrize("port", [80, 443, 1024, 65_535])
def test_public_addresses_stay(text: str, port: int) -> None:
    assert public_spots((spot(text, port),)) == (spot(text, port),)


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.2.1", "192.168.1.1",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:8.8.8.8", "::ffff:10.0.0.1",
        "64:ff9b::a00:1", "2001:db8::1", "2001::1", "2002:a00:1::", "fc00::1", "fd00::1", "fe80::1", "ff02::1",
        "192.88.99.1", "::8.8.8.8", "fec0::1", "3fff::1",
    ],
)  # fmt: skip
def test_others_are_dropped(text: str) -> None:
    assert public_spots((spot(text), spot("8.8.8.8"))) == (spot("8.8.8.8"),)


@pytest.mark.parametrize("port", [22, 25, 79, 81, 442, 444, 1023])
def test_low_ports_are_dropped(port: int) -> None:
    assert public_spots((spot("8.8.8.8", port),)) == ()
