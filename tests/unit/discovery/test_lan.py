"""The parts of mDNS that need no network; the rest is in tests/integration/test_mdns.py."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from node.base import limits
from node.discovery.lan import Lan, machine_addresses
from node.discovery.proto.neighbours import instance_of
from node.runtime.clock import ManualClock
from node.runtime.targets import Targets
from tests.unit.discovery.records import nid_of


def lan() -> Lan:
    return Lan(
        nid=nid_of("alice"),
        clock=ManualClock(),
        targets=Targets(),
        port=lambda: 8443,
        seq=lambda: 1,
        known=lambda nid: False,
        found=lambda nid: None,
        addresses=tuple,
    )


def test_the_machine_has_addresses_with_neighbours() -> None:
    found = machine_addresses()
    assert len(found) <= limits.LAN_ADDRESSES_MAX
    for text in found:
        ip = ip_address(text)
        assert not ip.is_loopback
        assert ip.version == 4 or not ip.is_link_local or "%" in text


@pytest.mark.slow
async def test_without_a_network_there_is_nobody_and_no_fault() -> None:
    alone = lan()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(alone.run())
        assert await alone.look_for(nid_of("bob")) == ()
        assert alone.nearby() == ()
        alone.hear_goodbye(instance_of(nid_of("bob")))
        running.cancel()
    assert limits.LAN_WATCH_S < limits.LAN_GOODBYE_S, "a goodbye is asked about before it counts"
