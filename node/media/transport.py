"""One peer's way to us: ICE-lite below, DTLS in the middle, SRTP on top; implements `seam.Transport`.

*Life*: made with credentials; `set_remote` brings the fingerprint; the first nomination starts the DTLS handshake, from a proven address
only, so that a stranger never makes this machine compute one. With keys and a nominated address it is *writable*. Consent that runs
out makes it unwritable until the next nomination; the keys stay. DTLS closed by the peer, or a failed handshake, is the end: the
device makes a new seat.

*Paths* are where its datagrams come from and go to: opaque keys of the mux (raw addresses, address tuples, or a TCP stream).
All of it runs on the loop of the worker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Hashable, Sequence
from typing import Any, Final, Protocol

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.media import compat
from node.media.proto import icelite, sdp, stun
from node.media.proto.sdpread import Fingerprint
from node.media.seam import Sink
from node.runtime.log import Log

GOODBYE_S: Final = 2.0  # for the last DTLS datagram
_log = Log("media.transport")


class Port(Protocol):
    """What a transport asks of its mux."""

    certificate: compat.Certificate
    direct: bool  # libsrtp may be called in place

    @property
    def candidates(self) -> tuple[sdp.Candidate, ...]:
        """Where this port can be reached."""

    def spawn(self, task: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs in the worker's task group."""

    def credentials(self) -> icelite.Credentials:
        """Fresh ones, unique on this port."""

    def token(self, size: int) -> bytes:
        """Random bytes."""

    def connected(self, path: Hashable) -> bool:
        """Somebody is known to be at its other end: a TCP stream."""

    def send_to(self, path: Hashable, data: bytes) -> None:
        """Sends a datagram as it is."""

    def send_rtcp(self, transport: PeerTransport, packet: bytes) -> None:
        """Protects and queues a compound RTCP packet."""

    def sockaddr(self, path: Hashable) -> Any:
        """For the batch; None where there is none."""

    def settle(self) -> None:
        """Sends what is queued, since an address that it points to goes away."""

    def listen(self, transport: PeerTransport, ufrag: str) -> None:
        """Requests for `ufrag` are for this transport."""

    def mute(self, ufrag: str) -> None:
        """No more."""

    def claim(self, transport: PeerTransport, path: Hashable) -> None:
        """What comes on `path` is from this transport's peer."""

    def release(self, transport: PeerTransport, path: Hashable) -> None:
        """No more."""

    def admit_handshake(self, path: Hashable) -> bool:
        """One more DTLS handshake may begin, from there."""

    def handshake_over(self) -> None:
        """An admitted one has ended."""

    def forget(self, transport: PeerTransport) -> None:
        """It is closed."""


class PeerTransport:
    """See above. Public attributes are read by the mux's and the sender's loops."""

    def __init__(self, port: Port, sink: Sink) -> None:
        """`port` is the mux, `sink` takes what arrives."""
        self.sink = sink
        self.writable = False
        self.rtt_s: float | None = None
        self.tx: Any = None
        self.rx: Any = None
        self.srtp: compat.Srtp | None = None
        self.sockaddr: Any = None
        self.path: Hashable | None = None  # the nominated one
        self.packets_left = limits.MEDIA_PACKETS_PER_S  # of this second, as the following
        self.bytes_left = limits.MEDIA_BYTES_PER_S
        self.rtcp_left = limits.MEDIA_RTCP_PER_S
        self.checks_left = limits.MEDIA_CHECKS_PER_S
        self.packets_in = 0
        self.bytes_in = 0
        self.closed = False
        self._port = port
        self._certificate = port.certificate
        self._ice = icelite.IceLite(port.credentials())
        self._return = icelite.Return()
        self._remote: sdp.Remote | None = None
        self._flights = _Flights(self)
        self._dtls: compat.Dtls | None = None
        self._handshaking = False
        self._told = False  # what the sink was told last
        port.listen(self, self._ice.credentials.ufrag)

    # --- descriptions -----------------------------------------------------------------------------------

    def local(self) -> sdp.Local:
        """Our credentials, fingerprint and candidates."""
        credentials = self._ice.credentials
        return sdp.Local(
            ufrag=credentials.ufrag,
            pwd=credentials.pwd,
            fingerprint=self._certificate.fingerprint,
            candidates=self._port.candidates,
        )

    def set_remote(self, remote: sdp.Remote) -> None:
        """The other side's description. Raises Rejected(bad_request) when it brings another certificate."""
        if self._remote is not None and set(self._remote.fingerprints) != set(remote.fingerprints):
            raise Rejected(
                Code.BAD_REQUEST, "The certificate of a transport cannot change; take a new seat.", field="fingerprint"
            )
        self._remote = remote
        self._start()

    @property
    def way(self) -> str:
        """How media goes now: udp, tcp, or empty."""
        if not self.writable or self.path is None:
            return ""
        return "tcp" if self._port.connected(self.path) else "udp"

    @property
    def remote_ufrag(self) -> str:
        """The other side's, empty before it is known; another one than before asks for a restart."""
        return "" if self._remote is None else self._remote.ufrag

    def restart(self) -> None:
        """New local ICE credentials beside the old ones."""
        unused = self._ice.restart(self._port.credentials())
        if unused:
            self._port.mute(unused)
        self._port.listen(self, self._ice.credentials.ufrag)

    # --- what arrives -----------------------------------------------------------------------------------

    def checked(self, message: stun.Message, path: Hashable, source: stun.Address, now: float) -> bool:
        """A STUN request for one of our ufrags. False: it was forged."""
        reply = self._ice.receive(message, path, source, now)
        if reply.answer:
            self._port.send_to(path, reply.answer)
        if reply.retired:
            self._port.mute(reply.retired)
        for gone in reply.dropped:
            self._port.release(self, gone)
        if reply.verdict >= icelite.Verdict.CHECKED:
            self._port.claim(self, path)
        if reply.verdict is icelite.Verdict.NOMINATED:
            if path != self.path:
                self._move(path)
            self._start()
        return reply.verdict is not icelite.Verdict.FORGED

    def answered(self, message: stun.Message, path: Hashable) -> bool:
        """A STUN answer from a proven path. False: nothing was asked there."""
        if not self._return.answered(message, path):
            return False
        if path == self._ice.selected:
            self._go(path)
        return True

    def dtls(self, data: bytes) -> bool:
        """A DTLS datagram from a proven path. False: too many wait."""
        taken = self._flights.put(data)
        self._start()  # the handshake may have had to wait for its turn
        return taken

    def tick(self, now: float) -> None:
        """Each second: allowances are renewed, old proofs expire."""
        self.packets_left = limits.MEDIA_PACKETS_PER_S
        self.bytes_left = limits.MEDIA_BYTES_PER_S
        self.rtcp_left = limits.MEDIA_RTCP_PER_S
        self.checks_left = limits.MEDIA_CHECKS_PER_S
        for gone in self._ice.expire(now):
            self.lost(gone)
        self._start()  # one that was refused: a peer that has nominated may never say so again

    def lost(self, path: Hashable) -> None:
        """A path is gone: its proof is too old, or its stream was closed."""
        self._ice.drop(path)
        self._port.release(self, path)
        if path == self.path:
            self._go(None)

    # --- sending ----------------------------------------------------------------------------------------

    def send_rtcp(self, packet: bytes) -> None:
        """A compound RTCP packet; nothing before the transport is writable."""
        if self.writable:
            self._port.send_rtcp(self, packet)

    def close(self) -> None:
        """Frees everything; the peer is told by DTLS."""
        if self.closed:
            return
        self.closed = True
        self.writable = False
        self._port.settle()
        for ufrag in self._ice.ufrags:
            self._port.mute(ufrag)
        for path in self._ice.sources:
            self._port.release(self, path)
        self.tx = self.rx = self.srtp = self.sockaddr = None
        if self._dtls is not None:
            self._port.spawn(self._part(self._dtls))
        self._port.forget(self)

    # --- inside -----------------------------------------------------------------------------------------

    def _move(self, path: Hashable) -> None:
        """To a newly nominated path: at once before there are keys (the handshake proves it), else after it answered."""
        remote = self._remote
        if self.srtp is None or remote is None or self._port.connected(path):
            self._go(path)
            return
        theirs = icelite.Credentials(remote.ufrag, remote.pwd)
        check = self._return.check(path, self._port.token(12), theirs=theirs, ours=self._ice.credentials.ufrag)
        self._port.send_to(path, check)

    def _go(self, path: Hashable | None) -> None:
        """Media goes there from now on."""
        self._port.settle()
        self.path = path
        self.sockaddr = None if path is None else self._port.sockaddr(path)
        self._tell()

    def _tell(self) -> None:
        self.writable = self.srtp is not None and self.path is not None and not self.closed
        if self.writable != self._told:
            self._told = self.writable
            self.sink.connected(self.writable)

    def _start(self) -> None:
        """Begins the handshake if everything for it is there."""
        if self.path is None or self._remote is None or self._dtls is not None or self.closed:
            return
        if not self._port.admit_handshake(self.path):
            return  # the next tick tries again
        server = self._remote.setup != "passive"
        self._dtls = compat.Dtls(self._flights, self._certificate, server=server, closed=self._ended)
        self._port.spawn(self._shake(self._dtls, self._remote.fingerprints))

    async def _shake(self, dtls: compat.Dtls, fingerprints: Sequence[Fingerprint]) -> None:
        try:
            async with asyncio.timeout(limits.MEDIA_HANDSHAKE_S):
                srtp = await dtls.handshake(fingerprints, direct=self._port.direct)
        except (RemoteError, TimeoutError) as error:
            _log.info("no handshake", reason=str(error) or "time")
            self._ended()
            return
        finally:
            self._port.handshake_over()
        if not self.closed:
            self.srtp, self.tx, self.rx = srtp, srtp.tx, srtp.rx
            self._tell()

    def _ended(self) -> None:
        """The association is over."""
        if not self.closed:
            self._port.settle()
            self.tx = self.rx = self.srtp = None
            self._tell()

    async def _part(self, dtls: compat.Dtls) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                await dtls.close()
        except (TimeoutError, OSError):
            pass
        finally:
            self._flights.close()  # ends a handshake that is under way, too

    def send_flight(self, data: bytes) -> None:
        """A DTLS datagram to the nominated path, if there is one."""
        if self.path is not None:
            self._port.send_to(self.path, data)


class _Flights:
    """The DTLS datagrams of one transport, as the object that `compat.Dtls` reads and writes (`compat.Ice`)."""

    role = "controlled"
    state = "completed"

    def __init__(self, transport: PeerTransport) -> None:
        self._transport = transport
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, data: bytes) -> bool:
        if len(self._waiting) >= limits.MEDIA_FLIGHT_MAX:
            return False
        self._waiting.append(data)
        self._arrived.set()
        return True

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._arrived.set()

    async def _recv(self) -> bytes:
        while not self._waiting:
            if self._closed:
                raise ConnectionError("the transport is closed")
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    async def _send(self, data: bytes) -> None:
        self._transport.send_flight(data)
