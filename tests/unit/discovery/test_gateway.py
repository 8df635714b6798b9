"""The router's address, from tables as kernels print them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from node.discovery.gateway import default_gateway, default_gateway_6, own_address_towards, parse_routes, parse_routes_6

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
WIFI = "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
CABLE = "eth0\t00000000\tFE01A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
LINK = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
ZERO = "0" * 32


def test_the_default_route_with_the_lowest_metric_counts() -> None:
    assert parse_routes(HEAD + WIFI + LINK) == IPv4Address("192.168.1.1")
    assert parse_routes(HEAD + WIFI + CABLE) == IPv4Address("192.168.1.254")


def test_without_a_default_route_there_is_no_router() -> None:
    assert parse_routes(HEAD + LINK) is None
    assert parse_routes("") is None


def test_an_ipv6_router_has_a_scope() -> None:
    router = "fe80" + "0" * 27 + "1"
    line = f"{ZERO} 00 {ZERO} 00 {router} 00000400 00000001 00000000 00000003     eth0\n"
    lo = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n"
    assert parse_routes_6(lo + line) == IPv6Address("fe80::1%eth0")
    assert parse_routes_6(lo) is None


def test_this_machine_answers_something() -> None:
    for found in (default_gateway(), default_gateway_6()):
        assert found is None or not found.is_unspecified
    assert own_address_towards(ip_address("127.0.0.1")) == "127.0.0.1"
