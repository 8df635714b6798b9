"""The node of a browser test: the program as people start it, on an empty folder, on this machine's plain listener.

It can be killed like a power cut and started again on the same address, so that open pages find it where it was.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TextIO

from tests import offline

ROOT = Path(__file__).parents[2]
STOP_S = 20
# Nodes of one machine find each other at its loopback addresses, as others do in a network that their owners named.
# away.example is a name whose node is off: nobody listens at that port, and no DNS is asked.
LOOPBACK = 'net_allow = ["127.0.0.0/8"]\nnet_hosts = ["away.example=127.0.0.1:9"]\n'
# A test looks for nobody outside this machine, and several nodes carry calls on it.
QUIET = "mdns = false\ndht = false\nportmap = false\nmedia_port = 0\n"


class Program:
    """`startalk run`. `greeting` is what it printed until it served; `root` is the checkout it runs from; `settings` are
    lines of its boot file."""

    def __init__(self, data: Path, *, root: Path = ROOT, settings: str = "") -> None:
        self._root = root
        self._data = data
        self._log = data.parent / "node.log"
        self._ports = 0, 0  # http, https: whatever is free at first, the same after a restart
        self._process: subprocess.Popen[str] | None = None
        self.greeting = ""
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data / "startalk.toml").write_text(QUIET + settings)

    @property
    def origin(self) -> str:
        """Where browsers of this machine go."""
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def owner_link(self) -> str:
        """The one-time link, as the terminal shows it for this machine."""
        found = re.search(r"^  (http://\S+/i#\S+)$", self.greeting, re.MULTILINE)
        assert found, self.greeting
        return found[1]

    def start(self) -> None:
        """Returns when it serves."""
        http, https = self._ports
        options = [
            "--data",
            str(self._data),
            "--http-port",
            str(http),
            "--https-port",
            str(https),
            "--https-host",
            "127.0.0.1",
        ]
        with self._log.open("a") as log:
            self._process = self._launch(options, log)
        self.greeting = self._read_greeting(self._process)
        self._ports = self._port("http"), self._port("https")

    def _port(self, scheme: str) -> int:
        found = re.search(rf"^  {scheme}://127\.0\.0\.1:(\d+) ", self.greeting, re.MULTILINE)
        assert found, self.greeting
        return int(found[1])

    def _launch(self, options: list[str], log: TextIO) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "node", "run", *options, "--password-cost", "small"],
            cwd=self._root,
            env=offline.environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def _read_greeting(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl+C" in line:
                return "".join(lines)
        raise AssertionError(f"the node did not start: {self._log.read_text()}")

    def kill(self) -> None:
        """`kill -9`: no goodbye, no last write."""
        assert self._process
        self._process.kill()
        self._process.communicate(timeout=STOP_S)

    def stop(self) -> None:
        """Ctrl+C."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        self._process.communicate(timeout=STOP_S)
