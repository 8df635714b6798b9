"""``startalk run`` of a later day: the node's calendar is ahead of the machine's, everything else is as it always is.

python later.py SECONDS --data FOLDER
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from node import main
from node.cli.boot import load
from node.cli.run import announce
from node.runtime import log
from node.runtime.clock import SystemClock


class Later(SystemClock):
    """The machine's clock, set forward."""

    def __init__(self, ahead_s: int) -> None:
        self._ahead_ms = ahead_s * 1000

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms


def run(ahead_s: int, data: str) -> int:
    config = load(data)
    log.configure(level=config.log_level, style=config.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main.serve(config, lambda started: announce(config, started), clock=Later(ahead_s)))


sys.exit(run(int(sys.argv[1]), sys.argv[3]))
