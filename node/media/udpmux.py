"""The one UDP port of a worker: every peer, every kind of packet; implements `seam.Mux` and `transport.Port`.

*One socket* for both families (port.py), so that one batch serves both. Replies leave from the address the kernel prefers for that peer.

*In*: up to `MEDIA_BATCH` datagrams by one call. The table of paths says whose a datagram is; who is not in it may say STUN with a
ufrag that somebody here has, at a limited rate, and nothing else. RTP is unprotected where it lies and handed on. All else is
ordinary code. One peer's packet never harms others': a fault while reading it is logged and the loop goes on.

*Out*: see seam.py and sendqueue.py. A path is the raw address on the fast path, the address tuple on the portable one, or a TCP stream.
Whatever is not understood or not wanted is dropped and counted in `dropped`; nothing is ever answered to bytes that are not STUN.
"""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Coroutine, Hashable
from typing import Any, Final, cast

from node.base import limits
from node.base.errors import Code, Rejected
from node.media import compat, mmsg, seam
from node.media.lanes import Lanes
from node.media.port import packed
from node.media.proto import icelite, pipe, sdp, stun
from node.media.sendqueue import SendQueue, Stream, is_stream
from node.media.strangers import Strangers
from node.media.transport import PeerTransport
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy
from node.runtime.log import Log

RENEW_MS: Final = 2 * 24 * 3600 * 1000  # a certificate is made anew so long before it ends; calls last a day
ROUNDS_MAX: Final = 4  # batches of one wake-up, so that timers and control get their turn
_log = Log("media.udpmux")


class UdpMux:
    """See above. Made on a running loop; `close` ends it."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        clock: Clock,
        entropy: Entropy,
        tasks: asyncio.TaskGroup,
        certificate: compat.Certificate,
        mmsg_works: bool,
        direct: bool,
        number: int = 0,
    ) -> None:
        """`number` is the worker's; `mmsg_works` and `direct` are what the self test found; without them everything goes the portable way."""
        self.certificate = certificate
        self.direct = direct
        self.candidates: tuple[sdp.Candidate, ...] = ()
        self.dropped: dict[str, int] = {}
        self.packets_in = 0
        self._number = number
        self._sock = sock
        self._fd = sock.fileno()
        self._clock = clock
        self._entropy = entropy
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._by_path: dict[Hashable, PeerTransport] = {}
        self._by_ufrag: dict[bytes, PeerTransport] = {}
        self._transports: dict[PeerTransport, None] = {}
        self._strangers = Strangers()
        self.lanes = Lanes(self)
        self._handshakes = 0
        self._rx = compat.Slots(limits.MEDIA_BATCH + 1)  # the last one is for what comes over TCP
        self._size: Any = compat.ffi.new("int *")
        self._flushing = False
        self._receiving = False
        fast = mmsg_works and direct
        self._queue = SendQueue(sock, fast=fast, dropped=self.dropped)
        self.batch: seam.Batch | None = self._queue.batch
        self._in = mmsg.Messages(self._rx, self.family) if fast else None
        if fast:
            self._loop.add_reader(self._fd, self._readable)
        else:
            self._loop.add_reader(self._fd, self._readable_portably)
        self._ticking = self._loop.call_later(1.0, self._tick)

    @property
    def port(self) -> int:
        """The UDP port."""
        return int(self._sock.getsockname()[1])

    @property
    def packets_out(self) -> int:
        """How many were sent."""
        return self._queue.sent

    @property
    def family(self) -> socket.AddressFamily:
        """Of the socket."""
        return socket.AddressFamily(self._sock.family)

    @property
    def transports(self) -> int:
        """How many are open."""
        return len(self._transports)

    def open(self, sink: seam.Sink) -> PeerTransport:
        """A new transport. Raises Rejected(limit_reached)."""
        if len(self._transports) >= 2 * limits.MEDIA_PEERS_MAX:
            raise Rejected(
                Code.LIMIT_REACHED, "This node carries as many calls as it can.", limit=limits.MEDIA_PEERS_MAX
            )
        if self._clock.now_ms() > self.certificate.expires_ms - RENEW_MS:
            self.certificate = compat.Certificate()  # those that are open keep theirs
        made = PeerTransport(self, sink)
        self._transports[made] = None
        return made

    def close(self) -> None:
        """Ends every transport and the port."""
        for transport in tuple(self._transports):
            transport.close()
        self._ticking.cancel()
        self._loop.remove_reader(self._fd)
        self._sock.close()

    def drop(self, reason: str) -> None:
        """One more datagram was dropped."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    # --- in ---------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        """Batches from the kernel, the fast way."""
        assert self._in is not None
        messages, by_path = self._in, self._by_path
        names, lengths, views, pointers = messages.names, messages.lengths, self._rx.views, self._rx.pointers
        size_p, unprotect = self._size, compat.unprotect
        self._receiving = True
        for _ in range(ROUNDS_MAX):
            count = messages.receive(self._fd)
            if count <= 0:
                break
            now = self._clock.monotonic()
            self.packets_in += count
            for at in range(count):
                try:
                    size, view = lengths[at].msg_len, views[at]
                    if 127 < view[0] < 192 and 21 < size < 1501 and not 191 < view[1] < 224:
                        transport = by_path.get(names[at][:])
                        if transport is None or transport.rx is None:
                            self.drop("stranger" if transport is None else "early")
                            continue
                        transport.packets_left -= 1
                        transport.bytes_left -= size
                        if transport.packets_left < 0 or transport.bytes_left < 0:
                            self.drop("flood")
                            continue
                        size_p[0] = size
                        if unprotect(transport.rx, pointers[at], size_p):
                            self.drop("unauthentic")
                            continue
                        transport.packets_in += 1
                        transport.bytes_in += size
                        transport.sink.rtp(view, size_p[0], now)
                    else:
                        self._take(at, size, names[at][:], now)
                except Exception as error:  # noqa: BLE001 - the boundary between peers
                    self._fault(error)
            self.flush()
            if count < limits.MEDIA_BATCH:
                break
        self._receiving = False

    def _readable_portably(self) -> None:
        """The same with the calls that every system has."""
        self._receiving = True
        for _ in range(ROUNDS_MAX * limits.MEDIA_BATCH):
            try:
                size, path = self._sock.recvfrom_into(self._rx.views[0])
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # an ICMP error about something that was sent
                continue
            self.packets_in += 1
            self._guarded(0, size, path, self._clock.monotonic())
        self.flush()
        self._receiving = False

    def receive(self, packet: bytes, path: Hashable) -> None:
        """A packet that came over TCP."""
        if len(packet) <= limits.MEDIA_DATAGRAM_BYTES_MAX:
            at = limits.MEDIA_BATCH
            self._rx.views[at][: len(packet)] = packet
            self.packets_in += 1
            self._guarded(at, len(packet), path, self._clock.monotonic())
            self.flush()
        else:
            self.drop("size")

    def _guarded(self, at: int, size: int, path: Hashable, now: float) -> None:
        try:
            self._take(at, size, path, now)
        except Exception as error:  # noqa: BLE001 - the boundary between peers
            self._fault(error)

    def _take(self, at: int, size: int, path: Hashable, now: float) -> None:
        """One datagram in receive slot `at`."""
        if not 2 <= size <= limits.MEDIA_DATAGRAM_BYTES_MAX:
            self.drop("size")
            return
        view = self._rx.views[at]
        first = view[0]
        transport = self._by_path.get(path)
        if first >= pipe.LANE_FIRST:
            if not self.lanes.take(view, self._rx.pointers[at], size, now):
                self.drop("stranger")
        elif first < 4:
            self._check(bytes(view[:size]), path, transport, now)
        elif transport is None:
            self.drop("stranger")
        elif 127 < first < 192:
            self._take_srtp(transport, at, size, now)
        elif 19 < first < 64:
            transport.checks_left -= 1
            if transport.checks_left < 0 or not transport.dtls(bytes(view[:size])):
                self.drop("flood")
        else:
            self.drop("malformed")

    def _take_srtp(self, transport: PeerTransport, at: int, size: int, now: float) -> None:
        view, pointer, srtp = self._rx.views[at], self._rx.pointers[at], transport.srtp
        if srtp is None:
            self.drop("early")
            return
        if 191 < view[1] < 224:
            transport.rtcp_left -= 1
            if transport.rtcp_left < 0:
                self.drop("flood")
                return
            size = srtp.unprotect_rtcp(view, pointer, size)
            if size < 8:
                self.drop("unauthentic")
                return
            transport.sink.rtcp(bytes(view[:size]), now)
            return
        transport.packets_left -= 1
        transport.bytes_left -= size
        if transport.packets_left < 0 or transport.bytes_left < 0:
            self.drop("flood")
            return
        transport.packets_in += 1
        transport.bytes_in += size
        size = srtp.unprotect(view, pointer, size)
        if size < 12:
            self.drop("unauthentic")
            return
        transport.sink.rtp(view, size, now)

    def _check(self, data: bytes, path: Hashable, known: PeerTransport | None, now: float) -> None:
        """STUN: a check of a peer, or somebody who asks where he is."""
        source = self._shown(path)
        if known is not None:
            known.checks_left -= 1
            if known.checks_left < 0:
                self.drop("flood")
                return
        elif not (self.lanes.admits(path) or self._strangers.admit(source[0], now)):
            self.drop("rate")
            return
        message = stun.parse(data)
        if message is None or message.kind in {stun.INDICATION, stun.ERROR}:
            if message is None:
                self.drop("malformed")
            return
        if message.kind == stun.SUCCESS:
            if not (known.answered(message, path) if known is not None else self.lanes.answer(message, path, now)):
                self.drop("forged")
            return
        if stun.USERNAME not in message.attributes:
            self._reflect(message, path, source)
            return
        reason = self._question(message, path, known, source, now)
        if reason:
            self.drop(reason)

    def _question(
        self, message: stun.Message, path: Hashable, known: PeerTransport | None, source: stun.Address, now: float
    ) -> str:
        """A request with a ufrag. Returns why it is dropped, or an empty string."""
        transport = self._by_ufrag.get(message.users[0])
        if transport is None and known is None:
            return self.lanes.question(message, path, source, now)
        if transport is None or (known is not None and known is not transport):
            return "unknown"
        return "" if transport.checked(message, path, source, now) else "forged"

    def _reflect(self, message: stun.Message, path: Hashable, source: stun.Address) -> None:
        """Plain STUN: the device learns its address as seen from here. The answer is hardly longer than the question."""
        if message.signed:
            self.send_to(path, stun.error(message.transaction, 400))
        elif message.unknown:
            self.send_to(path, stun.error(message.transaction, 420, unknown=message.unknown[:2]))
        else:
            self.send_to(path, stun.success(message.transaction, source))

    def _fault(self, error: Exception) -> None:
        self.drop("fault")
        if self.dropped["fault"] & (self.dropped["fault"] - 1) == 0:  # the 1st, 2nd, 4th, 8th …
            _log.error("a packet could not be handled", error, count=self.dropped["fault"])

    # --- out --------------------------------------------------------------------------------------------

    def slot(self) -> memoryview:
        """The next send slot."""
        return self._queue.slot()

    def push(self, transport: seam.Transport, size: int) -> bool:
        """Protects the slot for `transport` and queues it."""
        return self._queue.push(cast(PeerTransport, transport), size)

    def send_rtcp(self, transport: PeerTransport, packet: bytes) -> None:
        """Protects and queues a compound RTCP packet; outside of a batch it is sent soon."""
        if self._queue.push_rtcp(transport, packet) and not self._receiving and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_soon)

    def _flush_soon(self) -> None:
        self._flushing = False
        self.flush()

    def flush(self) -> None:
        """Sends what is queued; what the socket does not take is dropped."""
        self._queue.flush()

    # --- what transports ask (transport.Port) -----------------------------------------------------------

    def spawn(self, task: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs in the worker's task group."""
        return self._tasks.create_task(task)

    def credentials(self) -> icelite.Credentials:
        """Fresh ones."""
        ufrag = base64.b64encode(self._entropy.token_bytes(icelite.UFRAG_BYTES)).decode()
        pwd = base64.b64encode(self._entropy.token_bytes(icelite.PWD_BYTES)).decode()
        return icelite.Credentials(icelite.mark(self._number, ufrag), pwd)

    def token(self, size: int) -> bytes:
        """Random bytes."""
        return self._entropy.token_bytes(size)

    def connected(self, path: Hashable) -> bool:
        """It is a TCP stream."""
        return is_stream(path)

    def send_to(self, path: Hashable, data: bytes) -> None:
        """Sends a datagram as it is."""
        self._queue.send_to(path, data)

    def sockaddr(self, path: Hashable) -> Any:
        """For the batch."""
        return self._queue.sockaddr(path)

    def settle(self) -> None:
        """Sends what is queued."""
        self.flush()

    def listen(self, transport: PeerTransport, ufrag: str) -> None:
        """Requests for `ufrag` are for this transport."""
        self._by_ufrag[ufrag.encode()] = transport

    def mute(self, ufrag: str) -> None:
        """No more."""
        self._by_ufrag.pop(ufrag.encode(), None)

    def claim(self, transport: PeerTransport, path: Hashable) -> None:
        """What comes on `path` is from this transport's peer. A path of another one stays his: an address can be forged."""
        self._by_path.setdefault(path, transport)
        if self.connected(path):
            cast(Stream, path).prove()

    def release(self, transport: PeerTransport, path: Hashable) -> None:
        """No more."""
        if self._by_path.get(path) is transport:
            del self._by_path[path]
            if self.connected(path):
                cast(Stream, path).close()

    def admit_handshake(self, path: Hashable) -> bool:
        """One more DTLS handshake may begin, from there."""
        if self._handshakes >= limits.MEDIA_HANDSHAKES_MAX:
            self.drop("handshakes")
            return False
        if not self._strangers.admit_handshake(self._shown(path)[0], self._clock.monotonic()):
            self.drop("handshakes")
            return False
        self._handshakes += 1
        return True

    def handshake_over(self) -> None:
        """An admitted one has ended."""
        self._handshakes -= 1

    def forget(self, transport: PeerTransport) -> None:
        """It is closed."""
        self._transports.pop(transport, None)

    def lost_stream(self, path: Hashable) -> None:
        """A TCP stream was closed."""
        transport = self._by_path.get(path)
        if transport is not None:
            transport.lost(path)

    def _shown(self, path: Hashable) -> stun.Address:
        if isinstance(path, bytes):
            return mmsg.shown(path)
        if isinstance(path, tuple):
            return packed(str(path[0])), int(path[1])
        return cast(Stream, path).shown

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(1.0, self._tick)
        now = self._clock.monotonic()
        for transport in tuple(self._transports):
            transport.tick(now)
        self.lanes.tick(now)
