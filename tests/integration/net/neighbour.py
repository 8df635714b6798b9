"""Runs in a namespace: a node reduced to mDNS. Prints whom it found, where and after how long.

python neighbour.py alice 8443 192.168.1.11
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys

from node.base.ids import NodeId
from node.discovery.lan import Lan, machine_addresses
from node.runtime.clock import SystemClock
from node.runtime.targets import Targets


async def main(name: str, port: int) -> None:
    clock = SystemClock()
    nid = NodeId(hashlib.sha256(name.encode()).digest())
    began = clock.monotonic()

    def found(other: NodeId) -> None:
        (claim, *_) = lan.claims(other)
        seconds = round(clock.monotonic() - began, 3)
        print(json.dumps({"found": other.hex(), "at": claim.addresses, "port": claim.port, "s": seconds}))

    lan = Lan(
        nid=nid,
        clock=clock,
        targets=Targets(),
        port=lambda: port,
        seq=lambda: 1,
        known=lambda other: False,
        found=found,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(json.dumps({"addresses": machine_addresses()}))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(lan.run())
        alone = group.create_task(_tell_when_alone(lan))
        await stop.wait()
        running.cancel()
        alone.cancel()


async def _tell_when_alone(lan: Lan) -> None:
    known = 0
    while True:
        await asyncio.sleep(0.1)
        now = len(lan.nearby())
        if now < known:
            print(json.dumps({"left": known - now}))
        known = now


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
