"""The doctor's check of calls: what this machine can do for them (node/media/selftest.py), tried in the doctor's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from node.cli.findings import Finding, Level

if TYPE_CHECKING:
    from node.runtime.config import Config


def check_calls(config: Config) -> Iterator[Finding]:
    """One finding. Without calls the rest of a node works, so it is never worse than a warning."""
    if not config.calls:
        yield Finding(Level.OK, "Calls are switched off.")
        return
    try:
        from node.media import selftest
    except ImportError as error:
        yield Finding(Level.WARN, f"There can be no calls: a library is missing ({error}). Install the node anew.")
        return
    found = asyncio.run(selftest.examine())
    if found.level == 2:
        yield Finding(Level.OK, "Calls work, in batches and in place (level 2).")
    elif found.level == 1:
        how = "in place" if found.direct else "by copies"
        yield Finding(Level.OK, f"Calls work, packet by packet and {how} (level 1): they take more of the processor.")
    else:
        yield Finding(Level.WARN, f"There can be no calls (level 0): {found.reason}.")
