"""What keeps a node that a test starts as a process from talking to anything but loopback."""

from __future__ import annotations

import os
from typing import Final

OFFLINE: Final = {"STARTALK_MDNS": "false", "STARTALK_DHT": "false", "STARTALK_PORTMAP": "false"}


def environment() -> dict[str, str]:
    """This process's, without settings of a node, and with those."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STARTALK_")}
    return {**kept, **OFFLINE}
