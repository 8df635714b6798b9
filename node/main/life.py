"""The whole life of ``startalk run``."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from node.base.errors import ExitStatus
from node.main.edges import build, origins
from node.main.inside import open_services
from node.runtime import lifecycle
from node.runtime.clock import Clock, SystemClock
from node.runtime.config import Config
from node.runtime.entropy import SystemEntropy

if TYPE_CHECKING:
    from collections.abc import Callable

SWITCH_INTERVAL_S: Final = 0.0005  # a commit that ends waits at most this long for the event loop to let go
GC_THRESHOLDS: Final = (
    20_000,
    20,
    20,
)  # a message makes some twenty objects and no cycle: Python's 700 is a look every 30 messages


class Started(Struct, frozen=True, kw_only=True):
    """What a person wants to know once the node serves. `origins` begins with the one for others; `owner_token` opens the
    owner's account while there is none."""

    name: str
    node: str
    origins: tuple[str, ...]
    owner_token: str | None


async def serve(config: Config, announce: Callable[[Started], None], *, clock: Clock | None = None) -> ExitStatus:
    """A node from start to orderly end, on the machine's clock unless told otherwise. Raises Fatal when it cannot start or must stop."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    services = open_services(config, clock=clock or SystemClock(), entropy=SystemEntropy())
    try:
        node = build(services)
        owner_token = await services.invites.owner_invite()
        supervisor = lifecycle.Supervisor(
            node.parts, clock=services.clock, entropy=services.entropy, metrics=services.metrics
        )

        def started() -> None:
            calm_collector()
            announce(
                Started(
                    name=services.settings.name,
                    node=services.identity.text,
                    origins=origins(config, node.web.bound),
                    owner_token=owner_token,
                )
            )

        with lifecycle.signals(supervisor.stop):
            status = await supervisor.run(started)
        if supervisor.fault is not None:
            raise supervisor.fault
        return status
    finally:
        await services.close()


def calm_collector() -> None:
    """What is here once the node serves stays, so collections look at younger objects only, and seldom: about 6 % of the CPU of a busy
    node went there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
