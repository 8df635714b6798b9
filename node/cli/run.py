"""``startalk run``: the node itself. On the way up it says where it can be opened and, while it has no owner, how to
become that.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from node.cli import boot
from node.cli.welcome import greet

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from node.main import Started
    from node.runtime.config import Config


def command() -> Callable[..., None]:
    """The verb, with one option for each boot setting."""

    def run(**options: object) -> None:
        """Start the node and serve until it is stopped."""
        data = options.pop("data")
        _serve(None if data is None else str(data), options)

    parameters = boot.option_parameters()
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it, mypy does not know it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _serve(data: str | None, options: dict[str, object]) -> None:
    config = boot.load(data, options)
    _harden()
    import asyncio

    from node import main
    from node.base.errors import ExitStatus
    from node.runtime import log

    log.configure(level=config.log_level, style=config.log_format)
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        status = runner.run(main.serve(config, announce=lambda started: announce(config, started)))
    if status is not ExitStatus.OK:
        raise typer.Exit(int(status))


def _harden() -> None:
    """No file is made for others to read, and a crash writes no keys into a core dump."""
    import os
    import resource

    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _fast_loop() -> Callable[[], AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def announce(config: Config, started: Started) -> None:
    """Tells the person at the terminal where the node is."""
    greet(
        name=started.name,
        node=started.node,
        origins=started.origins,
        self_signed=not config.tls_cert,
        owner_token=started.owner_token,
        to=sys.stdout,
    )
