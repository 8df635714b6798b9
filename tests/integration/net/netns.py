"""A small Internet of network namespaces: a backbone, public hosts, homes behind routers (federation.md section 12).

    with Internet("w0") as net:
        net.host("pub", "11.22.33.10")
        net.home("ra", outside="11.22.33.1", hosts={"a1": "192.168.1.11"})
        net.run("a1", "python", "-c", "…")

Needs root, ``ip`` and ``nft``. The backbone uses addresses that look public, because miniupnpd refuses to work with documentation
networks; no packet leaves the namespaces, which have no way out. Everything is deleted at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Self

ROOT = Path(__file__).parents[3]


def unavailable() -> str:
    """Why network namespaces cannot be made here whatever is installed; empty if they can."""
    if os.getuid() != 0:
        return "network namespaces need root"
    name = f"startalk-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "`ip netns add` is not allowed here"


def missing(*tools: str) -> list[str]:
    """Those of `tools`, and of what every test here needs, that are not installed."""
    return [tool for tool in ("ip", "nft", *tools) if shutil.which(tool) is None]


class Internet:
    """Namespaces whose names begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"st{prefix}"
        self._spaces: list[str] = []
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        self._space("wan")
        self._ip("wan", "link add wan0 type bridge")
        self._ip("wan", "link set wan0 up")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        for space in reversed(self._spaces):
            subprocess.run(["ip", "netns", "del", space], check=False)

    # --- building ---------------------------------------------------------------------------------------

    def host(self, name: str, ip: str) -> None:
        """A public host."""
        self._space(name)
        self._cable(name, "wan", "wan0")
        self._ip(name, f"addr add {ip}/24 dev eth0")
        self._ip(name, "link set eth0 up")

    def lan(self, name: str, hosts: Mapping[str, str]) -> None:
        """A network of its own, without a router."""
        self._space(name)
        self._ip(name, "link add br0 type bridge")
        self._ip(name, "link set br0 up")
        for host, ip in hosts.items():
            self._inside(host, name, ip)

    def home(self, router: str, *, outside: str, hosts: Mapping[str, str]) -> None:
        """A home behind a router that translates and lets nothing in; its inner address ends with .1."""
        self.lan(router, {})
        self._cable(router, "wan", "wan0")
        self._ip(router, f"addr add {outside}/24 dev eth0")
        self._ip(router, "link set eth0 up")
        inner = next(iter(hosts.values())).rpartition(".")[0] + ".1"
        self._ip(router, f"addr add {inner}/24 dev br0")
        for host, ip in hosts.items():
            self._inside(host, router, ip)
            self._ip(host, f"route add default via {inner}")
        self.run(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.nft(router, _NAT)

    def move(self, host: str, to: str, ip: str) -> None:
        """Plugs the cable of `host` into the network of `to`, where it has `ip`."""
        self._ip(host, "link del eth0")
        self._cable(host, to, "br0")
        self._ip(host, f"addr add {ip}/24 dev eth0")
        self._ip(host, "link set eth0 up")

    def space(self, name: str) -> str:
        """The namespace of `name`."""
        return self._prefix + name

    def cut(self, host: str) -> None:
        """The far end of the cable of `host` is pulled out, so nobody notices at once."""
        self._ip("wan", f"link set {self._far(host)} down")

    def heal(self, host: str) -> None:
        """It is plugged in again."""
        self._ip("wan", f"link set {self._far(host)} up")

    def _far(self, host: str) -> str:
        return f"{self._prefix}{host}"[-14:]

    def _inside(self, host: str, router: str, ip: str) -> None:
        self._space(host)
        self._cable(host, router, "br0")
        self._ip(host, f"addr add {ip}/24 dev eth0")
        self._ip(host, "link set eth0 up")

    def _space(self, name: str) -> None:
        space = self._prefix + name
        subprocess.run(["ip", "netns", "add", space], check=True)
        self._spaces.append(space)
        self._ip(name, "link set lo up")

    def _cable(self, name: str, to: str, bridge: str) -> None:
        """A veth pair: eth0 in `name`, the other end on `bridge` in `to`."""
        far = self._far(name)
        ends = f"link add {far} netns {self._prefix}{to} type veth peer name eth0 netns {self._prefix}{name}"
        subprocess.run(["ip", *ends.split()], check=True)
        self._ip(to, f"link set {far} master {bridge} up")

    def _ip(self, name: str, command: str) -> None:
        subprocess.run(["ip", "-n", self._prefix + name, *command.split()], check=True)

    def nft(self, name: str, script: str) -> None:
        """Runs an nft script in `name`."""
        subprocess.run(
            ["ip", "netns", "exec", self._prefix + name, "nft", "-f", "-"], input=script, text=True, check=True
        )

    # --- running ----------------------------------------------------------------------------------------

    def run(self, name: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in `name`, to its end."""
        return subprocess.run(
            ["ip", "netns", "exec", self._prefix + name, *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=check,
        )

    def start(self, name: str, *command: str) -> Program:
        """A command in `name` that goes on."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._prefix + name, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._running.append(process)
        return Program(process)

    def python(self, name: str, script: str, *arguments: str) -> Program:
        """One of the scripts of this folder in `name`."""
        return self.start(name, sys.executable, "-u", str(Path(__file__).with_name(script)), *arguments)

    def connects(self, name: str, ip: str, port: int) -> bool:
        """Whether a TCP connection from `name` is accepted and greeted."""
        code = f"import socket; s = socket.create_connection(('{ip}', {port}), 1); assert s.recv(5) == b'hello'"
        return self.run(name, sys.executable, "-c", code, check=False).returncode == 0


class Program:
    """A running script that prints JSON objects, one a line; other lines are kept for the message of a failure."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: Queue[str] = Queue()
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self.process.stdout.close()

    def hear(self, key: str, within_s: float = 20) -> dict[str, Any]:
        """The next object that has `key`."""
        while True:
            try:
                line = self._lines.get(timeout=within_s)
            except Empty:
                raise AssertionError(f"nothing about {key!r} within {within_s} s; said: {self.said[-20:]}") from None
            self.said.append(line.rstrip())
            if line.startswith("{") and key in (said := json.loads(line)):
                return dict(said)

    def wait_for(self, text: str, within_s: float = 20) -> None:
        """Until a line has `text`."""
        while not (self.said and text in self.said[-1]):
            try:
                self.said.append(self._lines.get(timeout=within_s).rstrip())
            except Empty:
                raise AssertionError(f"no {text!r} within {within_s} s; said: {self.said[-20:]}") from None

    def stop(self) -> None:
        """Asks it to end, and waits."""
        self.process.terminate()
        self.process.wait(timeout=20)


_NAT = """
table ip nat {
 chain post { type nat hook postrouting priority 100; oifname "eth0" masquerade
 }
}
table inet fw {
 chain f { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "br0" accept; ct status dnat accept
 }
}
"""
