"""The process of a relay under test, on a core of its own, and what /proc says about it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO, Final

RELAY_CORE: Final = 0
PEERS_CORE: Final = 1
END_S: Final = 10
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024


def start(command: list[str], *, out: IO[bytes] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Starts `command` on the relay's core; its standard input and output are pipes where asked for."""
    return subprocess.Popen(
        ["taskset", "--cpu-list", str(RELAY_CORE), *command],
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=subprocess.DEVNULL,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends it, the hard way if it does not listen."""
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_kib(pid: int) -> int:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]
