"""PCP, NAT-PMP and UPnP with a router on loopback."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from node.base import limits
from node.base.errors import RemoteError
from node.discovery.mappers import Found, Mapper, NatPmp, Pcp, Upnp, converse, ssdp_search
from node.discovery.proto import pmp
from node.runtime.entropy import SeededEntropy
from node.runtime.outgoing import Outgoing
from node.runtime.targets import Targets
from tests.unit.discovery.router import Router, router

LOOPBACK = IPv4Address("127.0.0.1")


def nat_pmp(by: Router, transport: pmp.Transport = "tcp") -> NatPmp:
    return NatPmp(gateway=LOOPBACK, transport=transport, port=by.port)


def pcp(by: Router, transport: pmp.Transport = "tcp") -> Pcp:
    return Pcp(gateway=LOOPBACK, entropy=SeededEntropy(1), transport=transport, port=by.port)


def upnp(by: Router, transport: pmp.Transport = "tcp") -> Upnp:
    return Upnp(fetcher=Outgoing(targets=Targets()), entropy=SeededEntropy(1), search=by.search, transport=transport)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("kind", [nat_pmp, pcp, pytest.param(upnp, marks=pytest.mark.slow)])
async def test_a_mapping_is_of_the_transport_that_was_asked_for(
    kind: Callable[[Router, pmp.Transport], Mapper], transport: pmp.Transport
) -> None:
    async with router(upnp=True) as by:
        mapper = kind(by, transport)
        await mapper.probe()
        await mapper.map(8444, 8444)
        assert by.transports == {transport}
        await mapper.unmap(8444, 8444)
        assert not by.mappings


@pytest.mark.parametrize("kind", [nat_pmp, pcp])
async def test_a_mapping_is_granted_renewed_and_taken_back(kind: Callable[[Router], NatPmp | Pcp]) -> None:
    async with router() as by:
        mapper = kind(by)
        await mapper.probe()
        assert not by.mappings, "a probe changes nothing"
        granted = await mapper.map(8443, 8443)
        assert (granted.ip, granted.port, granted.lifetime_s) == (str(by.outside), 8443, limits.PORTMAP_LEASE_S)
        assert by.mappings == {8443: (8443, 3600)}
        assert await mapper.map(8443, granted.port) == granted
        await mapper.unmap(8443, granted.port)
        assert not by.mappings


@pytest.mark.parametrize("kind", [nat_pmp, pcp])
async def test_a_taken_port_is_replaced_by_another(kind: Callable[[Router], NatPmp | Pcp]) -> None:
    async with router() as by:
        by.taken = {8443}
        assert (await kind(by).map(8443, 8443)).port == 8444


@pytest.mark.parametrize("kind", [nat_pmp, pcp])
async def test_a_refusal_is_an_error(kind: Callable[[Router], NatPmp | Pcp]) -> None:
    async with router() as by:
        by.refuse = 2
        with pytest.raises(pmp.Refused, match="result 2"):
            await kind(by).map(8443, 8443)


@pytest.mark.slow
async def test_lost_datagrams_are_sent_again() -> None:
    async with router() as by:
        by.drop = 2
        await nat_pmp(by).probe()
        assert by.heard == 3


async def test_a_router_of_nat_pmp_does_not_speak_pcp() -> None:
    async with router() as by:
        by.pcp = False
        with pytest.raises(pmp.Refused, match="result 1"):
            await pcp(by).probe()


async def test_a_machine_that_speaks_neither_is_left_at_once() -> None:
    async with router() as by:
        pass
    with pytest.raises(RemoteError, match="does not speak"):
        await nat_pmp(by).probe()


async def test_silence_is_an_error() -> None:
    async with router() as by:
        by.nat_pmp = False
        with pytest.raises(RemoteError, match="does not answer"):
            await converse(("127.0.0.1", by.port), lambda own: b"\0\0", pmp.read_address, [0.01, 0.01])


async def test_a_way_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(RemoteError, match="cannot be asked"):
        await converse(("127.0.0.1", 5351), lambda own: b"", pmp.read_address, [], source="203.0.113.77")


# --- UPnP -----------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_upnp_grants_renews_and_takes_back() -> None:
    async with router(upnp=True) as by:
        mapper = upnp(by)
        await mapper.probe()
        granted = await mapper.map(8443, 8443)
        assert (granted.ip, granted.port, granted.lifetime_s) == (str(by.outside), 8443, limits.PORTMAP_LEASE_S)
        assert by.mappings == {8443: (8443, 3600)}
        await mapper.map(8443, 8443)
        await mapper.unmap(8443, 8443)
        assert not by.mappings


@pytest.mark.slow
async def test_upnp_takes_another_port_and_no_lease_if_it_must() -> None:
    async with router(upnp=True) as by:
        by.taken, by.permanent_only = {8443}, True
        mapper = upnp(by)
        await mapper.probe()
        granted = await mapper.map(8443, 8443)
        assert granted.port != 8443
        assert granted.lifetime_s == 0
        assert by.mappings == {granted.port: (8443, 0)}


@pytest.mark.slow
async def test_upnp_refusals_are_errors() -> None:
    async with router(upnp=True) as by:
        mapper = upnp(by)
        with pytest.raises(RemoteError, match="No router"):
            await mapper.map(8443, 8443)
        await mapper.probe()
        by.refuse = 606
        with pytest.raises(RemoteError, match="refused"):
            await mapper.map(8443, 8443)


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("http://127.0.0.1:{port}/device", "192.168.1.1"),
        ("http://8.8.8.8/device", "8.8.8.8"),
        ("http://router.example/device", "127.0.0.1"),
        ("file:///etc/passwd", ""),
    ],
)
async def test_a_router_describes_itself_at_its_own_address_only(location: str, address: str) -> None:
    async with router(upnp=True) as by:

        async def search() -> list[Found]:
            return [Found(location.format(port=by.http), address)]

        liar = Upnp(fetcher=Outgoing(targets=Targets()), entropy=SeededEntropy(1), search=search)
        with pytest.raises(RemoteError, match="No router"):
            await liar.probe()


async def test_a_description_is_bounded() -> None:
    async with router(upnp=True) as by:
        by.padding = limits.UPNP_BYTES_MAX
        with pytest.raises(RemoteError, match="No router"):
            await upnp(by).probe()


def test_the_search_of_the_network_is_the_default() -> None:
    assert Upnp(fetcher=Outgoing(targets=Targets()), entropy=SeededEntropy(1))._search is ssdp_search
