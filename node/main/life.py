"""The whole life of ``startalk run``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from node.base.errors import ExitStatus
from node.main.edges import build, origins
from node.main.inside import open_services
from node.runtime import lifecycle
from node.runtime.clock import SystemClock
from node.runtime.config import Config
from node.runtime.entropy import SystemEntropy

if TYPE_CHECKING:
    from collections.abc import Callable

SWITCH_INTERVAL_S: Final = 0.0005  # a commit that ends waits at most this long for the event loop to let go


class Started(Struct, frozen=True, kw_only=True):
    """What a person wants to know once the node serves. `origins` begins with the one for others; `owner_token` opens the
    owner's account while there is none."""

    name: str
    node: str
    origins: tuple[str, ...]
    owner_token: str | None


async def serve(config: Config, announce: Callable[[Started], None]) -> ExitStatus:
    """A node from start to orderly end. Raises Fatal when it cannot start or must stop."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    services = open_services(config, clock=SystemClock(), entropy=SystemEntropy())
    try:
        node = build(services)
        owner_token = await services.invites.owner_invite()
        supervisor = lifecycle.Supervisor(
            node.parts, clock=services.clock, entropy=services.entropy, metrics=services.metrics
        )

        def started() -> None:
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
