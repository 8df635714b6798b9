"""The network between a client and the relay: a UDP proxy on the machine's own address that loses packets and changes addresses.

A client is told the proxy's port in the place of the relay's. For each of the client's sockets the proxy has one towards the relay, so the
relay sees a client behind a NAT; `rebind` gives it new ones, which is what happens when a phone leaves its Wi-Fi.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
from typing import Final

_CANDIDATE: Final = re.compile(r"(a=candidate:\S+ 1 udp \d+ )(\S+) (\d+)( typ host)")


class Wire:
    """Ends with `close`. `up_loss` and `down_loss` are shares of the datagrams; `seed` makes them the same in every run."""

    def __init__(self, host: str, *, up_loss: float = 0.0, down_loss: float = 0.0, seed: int = 1) -> None:
        self.up_loss, self.down_loss = up_loss, down_loss
        self.cut = False
        self.passed = 0
        self.lost = 0
        self.sources: set[int] = set()  # ports that the relay saw
        self._host = host
        self._random = random.Random(seed)
        self._relay: tuple[str, int] | None = None
        self._near = self._socket()
        self._far: dict[tuple[str, int], socket.socket] = {}
        asyncio.get_running_loop().add_reader(self._near.fileno(), self._up)

    def _socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        sock.setblocking(False)
        sock.bind((self._host, 0))
        return sock

    def through(self, sdp: str) -> str:
        """The relay's description as the client may see it."""
        found = [match for match in _CANDIDATE.finditer(sdp) if ":" not in match[2]]
        if found:
            self._relay = (found[0][2], int(found[0][3]))
        port = self._near.getsockname()[1]
        lines = [line for line in sdp.split("\r\n") if not line.startswith("a=candidate") or _CANDIDATE.match(line)]
        return _CANDIDATE.sub(rf"\g<1>{self._host} {port}\g<4>", "\r\n".join(lines))

    def rebind(self) -> None:
        """The client has another address from now on."""
        loop = asyncio.get_running_loop()
        for client, sock in self._far.items():
            loop.remove_reader(sock.fileno())
            sock.close()
            self._far[client] = self._towards(client)

    def _towards(self, client: tuple[str, int]) -> socket.socket:
        sock = self._socket()
        self.sources.add(sock.getsockname()[1])
        asyncio.get_running_loop().add_reader(sock.fileno(), self._down, sock, client)
        return sock

    def _up(self) -> None:
        while True:
            try:
                data, client = self._near.recvfrom(2048)
            except OSError:
                return
            if client not in self._far:
                self._far[client] = self._towards(client)
            if self._passes(self.up_loss) and self._relay is not None:
                _send(self._far[client], data, self._relay)

    def _down(self, sock: socket.socket, client: tuple[str, int]) -> None:
        while True:
            try:
                data = sock.recv(2048)
            except OSError:
                return
            if self._passes(self.down_loss):
                _send(self._near, data, client)

    def _passes(self, loss: float) -> bool:
        if self.cut or self._random.random() < loss:
            self.lost += 1
            return False
        self.passed += 1
        return True

    def close(self) -> None:
        """Ends it."""
        loop = asyncio.get_running_loop()
        for sock in (self._near, *self._far.values()):
            loop.remove_reader(sock.fileno())
            sock.close()


def _send(sock: socket.socket, data: bytes, address: tuple[str, int]) -> None:
    try:
        sock.sendto(data, address)
    except OSError:
        return  # a full buffer loses packets, as networks do
