"""A device's side of one transport, made of the project's own parts and a real socket: a controlling ICE agent, DTLS, SRTP.

Every step is taken when a test says so: checks go out on `check`, so that a test decides when consent ends and from where it comes.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from node.media import compat, port
from node.media.proto import sdp, sdpread, stun
from tests.unit.media.proto import offers

CERTIFICATE = compat.Certificate()


class Device:
    """Talks to `local` (of the transport under test) from its own socket on `host`."""

    role = "controlling"
    state = "completed"

    def __init__(
        self, local: sdp.Local, tasks: asyncio.TaskGroup, *, host: str = "127.0.0.1", server: bool = False
    ) -> None:
        self.host = host
        self.local = local
        self.ufrag, self.pwd = os.urandom(4).hex(), os.urandom(16).hex()
        self.server = server
        self.srtp: compat.Srtp | None = None
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        self.answers: list[stun.Message] = []
        self.asked = 0  # checks by the other side
        self.mute = False  # answers none of them
        self.ended = False
        self._tasks = tasks
        self._flights: asyncio.Queue[bytes] = asyncio.Queue()
        self._slots = compat.Slots(1)
        self._news = asyncio.Event()
        self.socks: list[socket.socket] = []
        self.rebind()

    @property
    def remote(self) -> sdp.Remote:
        """What its description says."""
        return sdp.Remote(
            ufrag=self.ufrag,
            pwd=self.pwd,
            fingerprints=(CERTIFICATE.fingerprint,),
            setup="passive" if self.server else "active",
        )

    def rebind(self) -> None:
        """Another address from now on; the old socket still hears."""
        self.sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((self.host, 0))
        self.socks.append(self.sock)
        asyncio.get_running_loop().add_reader(self.sock.fileno(), self._readable, self.sock)

    def close(self) -> None:
        for sock in self.socks:
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()

    def send(self, data: bytes, sock: socket.socket | None = None) -> None:
        self.to(data, sock or self.sock)

    def to(self, data: bytes, sock: socket.socket) -> None:
        sock.sendto(data, (self.host, self.local.candidates[0].port))

    def check(self, *, nominate: bool = True, transaction: bytes = b"", pwd: str = "", ufrag: str = "") -> bytes:
        """One connectivity check; returns its bytes."""
        data = stun.request(
            transaction or os.urandom(12),
            username=f"{ufrag or self.local.ufrag}:{self.ufrag}".encode(),
            password=(pwd or self.local.pwd).encode(),
            priority=1,
            controlling=7,
            nominate=nominate,
        )
        self.send(data)
        return data

    async def connect(self) -> None:
        """Nominates, and shakes hands."""
        self.check()
        await self.until(lambda: bool(self.answers))
        await self.shake()

    async def shake(self) -> None:
        dtls = compat.Dtls(self, CERTIFICATE, server=self.server, closed=self._end)
        self.dtls = dtls
        self.srtp = await asyncio.wait_for(dtls.handshake((self.local.fingerprint,), direct=True), 10)

    def send_rtp(self, packet: bytes) -> None:
        self.send(self.protected(packet, "protect"))

    def send_rtcp(self, packet: bytes) -> None:
        self.send(self.protected(packet, "protect_rtcp"))

    def protected(self, packet: bytes, how: str) -> bytes:
        view = self._slots.views[0]
        view[: len(packet)] = packet
        size = getattr(self.srtp, how)(view, self._slots.pointers[0], len(packet))
        assert size > 0
        return bytes(view[:size])

    def described(self, text: str) -> str:
        """A description made for nobody in particular, with this device's credentials."""
        named = text.replace("a=ice-ufrag:abcd", f"a=ice-ufrag:{self.ufrag}").replace(
            offers.PRINT, CERTIFICATE.fingerprint.value
        )
        return named.replace("a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa", f"a=ice-pwd:{self.pwd}")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), 0.02)
                except TimeoutError:
                    continue

    def _readable(self, sock: socket.socket) -> None:
        while True:
            try:
                data = sock.recv(2048)
            except OSError:
                break
            self._take(data, sock)
        self._news.set()

    def _take(self, data: bytes, sock: socket.socket) -> None:
        if data[0] < 4:
            message = stun.parse(data)
            assert message is not None
            if message.kind == stun.REQUEST:
                self.asked += 1
                assert message.verified(self.pwd.encode())
                if not self.mute:
                    shown = port.packed(self.host), 9
                    self.to(stun.success(message.transaction, shown, self.pwd.encode()), sock)
            else:
                self.answers.append(message)
        elif data[0] < 64:
            self._flights.put_nowait(data)
        else:
            view = self._slots.views[0]
            view[: len(data)] = data
            control = 191 < data[1] < 224
            assert self.srtp is not None
            how = self.srtp.unprotect_rtcp if control else self.srtp.unprotect
            size = how(view, self._slots.pointers[0], len(data))
            assert size > 0
            (self.rtcp if control else self.rtp).append(bytes(view[:size]))

    def _end(self) -> None:
        self.ended = True
        self._news.set()

    async def _recv(self) -> bytes:
        return await self._flights.get()

    async def _send(self, data: bytes) -> None:
        self.send(data)


def local_of(text: str) -> sdp.Local:
    """The node's side, out of its description."""
    description = sdpread.read(text, sections_max=100)
    section = description.sections[0]
    ufrag, pwd = sdpread.credentials(description, section)
    fields = [value.split(" ") for value in section.values("candidate")]
    return sdp.Local(
        ufrag=ufrag,
        pwd=pwd,
        fingerprint=sdpread.fingerprints(description, section)[0],
        candidates=tuple(sdp.Candidate(each[4], int(each[5]), each[2]) for each in fields),
    )


class Sink:
    """Notes what a transport hands on."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.reports: list[bytes] = []
        self.states: list[bool] = []

    def rtp(self, packet: memoryview, size: int, now: float) -> None:
        self.packets.append(bytes(packet[:size]))

    def rtcp(self, packet: bytes, now: float) -> None:
        self.reports.append(packet)

    def connected(self, on: bool) -> None:
        self.states.append(on)
