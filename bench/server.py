"""The node under test: ``startalk run`` as a process of its own on the first core, and what /proc says about it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final, Self

SERVER_CORE: Final = 0
GENERATOR_CORE: Final = 1
START_S_MAX: Final = 30
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024


class Server:
    """Starts in ``with``, serves plain HTTP on a free loopback port, ends at the end."""

    def __init__(self, data: Path, *, port: int = 0) -> None:
        self._data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = port or probe.getsockname()[1]
        self.started_s = 0.0

    def __enter__(self) -> Self:
        began = time.perf_counter()
        command = [
            "taskset",
            "--cpu-list",
            str(SERVER_CORE),
            sys.executable,
            "-m",
            "node",
            "run",
            "--data",
            str(self._data),
            "--no-https",
            "--http-port",
            str(self.port),
        ]
        alone = ["--no-mdns", "--no-dht", "--no-portmap", "--media-port", "0"]  # what is measured stays on loopback
        self._process = subprocess.Popen([*command, *alone, "--log-level", "warning"], stdout=subprocess.DEVNULL)
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - began > START_S_MAX:
                raise RuntimeError("the node did not start")
            time.sleep(0.005)
        self.started_s = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """User and system time so far, all threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def rss_kib(self) -> int:
        """Resident memory."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE_KIB

    def metric(self, name: str) -> float:
        """A number from /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        raise LookupError(name)
