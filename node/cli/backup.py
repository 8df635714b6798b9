"""``startalk backup`` and ``startalk restore``: one file for a whole node (node/storage/backup.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.boot import Data, load


def backup(
    target: Annotated[Path, typer.Argument(help="New file to write, for example startalk.tar.")],
    data: Data = None,
) -> None:
    """Write database and keys into one file, also while the node runs.

    The file holds the keys and every message unencrypted: keep it where only you can read it.
    """
    from node.runtime.clock import SystemClock
    from node.storage.backup import pack

    about = pack(load(data).folder, target, clock=SystemClock())
    print(f"{target}: node {about.node}, schema {about.schema}, {target.stat().st_size:,} bytes.")
    print("It holds the node's keys and every message, unencrypted. Keep it where only you can read it.")


def restore(
    source: Annotated[Path, typer.Argument(help="File that `startalk backup` wrote.", exists=True, dir_okay=False)],
    data: Data = None,
) -> None:
    """Fill a new data folder from a backup.

    Never let the original and the copy run at the same time: they are one identity.
    """
    from node.storage.backup import unpack

    folder = load(data).folder
    about = unpack(source, folder)
    print(f"{folder}: node {about.node} as it was when program {about.program} wrote the backup.")
