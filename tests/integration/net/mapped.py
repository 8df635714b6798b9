"""Runs in a namespace: greets whoever connects to a port, and asks the router to forward it. Prints what happens.

python mapped.py 8443 [NAT-PMP [2]]      with a number, the router is asked again after so many seconds
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from node.base import limits
from node.discovery.mappers import Mapper
from node.discovery.portmap import PortMap, mappers_here
from node.discovery.reachability import Endpoint
from node.runtime.clock import SystemClock
from node.runtime.entropy import SystemEntropy
from node.runtime.outgoing import Outgoing
from node.runtime.targets import Targets


async def main(port: int, only: str) -> None:
    clock = SystemClock()
    began = clock.monotonic()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        print(json.dumps({"connected": writer.get_extra_info("peername")[0]}))
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    def changed(outside: Endpoint | None) -> None:
        seconds = round(clock.monotonic() - began, 3)
        said = {"mapped": outside is not None, "method": portmap.status.method, "s": seconds}
        print(json.dumps({**said, "ip": outside.ip, "port": outside.port} if outside else said))

    outgoing = Outgoing(targets=Targets())

    def ways() -> list[Mapper]:
        return [
            way for way in mappers_here(fetcher=outgoing, entropy=SystemEntropy()) if way.name == (only or way.name)
        ]

    portmap = PortMap(port=lambda: port, mappers=ways, changed=changed)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await asyncio.start_server(greet, "0.0.0.0", port), asyncio.TaskGroup() as group:
        print(json.dumps({"listening": port}))
        running = group.create_task(portmap.run())
        await stop.wait()
        running.cancel()


if len(sys.argv) > 3:
    limits.PORTMAP_WATCH_S = limits.PORTMAP_RENEW_S_MIN = limits.PORTMAP_AGAIN_S = int(sys.argv[3])  # type: ignore[misc]
asyncio.run(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
