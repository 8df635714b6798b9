"""One pipe to the relay of another node: its half, its ways, its keys, on the same port as everything else.

*Life*: made with a half of ours, to be told over the link between the nodes; `join` brings the other's. From then on it asks around
(proto/pipe.py) and is `writable` while somebody at the other end answers. New keys mean a new pipe: whoever owns it (pipes.py) lets the
two overlap.

*What is let in* comes on our lane, under an SSRC that was said inside the pipe (`admit`), and is authentic. So a hostile node makes us remember no
more streams than it may say, and pays for each wrong packet before we compute anything.

*SSRCs* of what we send are counted up from a random number and never used again under these keys; the sequence numbers beside
them are the publisher's, so a stream that paused or was cut gets a new one, and (SSRC, index) is protected once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from contextlib import suppress
from typing import Any, Protocol

import pylibsrtp

from node.base import limits
from node.media import compat, lanes
from node.media.host import Timer
from node.media.lanes import Lanes, LaneSrtp
from node.media.proto import pipe, stun
from node.media.seam import Sink
from node.runtime.clock import Clock


class Host(Protocol):
    """What a pipe asks of the worker (part of `host.Host`)."""

    @property
    def clock(self) -> Clock:
        """The time."""

    def later(self, delay_s: float, call: Any) -> Timer:
        """Calls back on the loop once."""


class PipeTransport:
    """See above. Public attributes are read by the loops of mux and sender, as those of `transport.PeerTransport`."""

    def __init__(self, ways: Lanes, sink: Sink, *, host: Host) -> None:
        self.sink = sink
        self.writable = False
        self.joined = False
        self.rtt_s: float | None = None
        self.tx: Any = None
        self.rx: Any = None
        self.srtp: LaneSrtp | None = None
        self.sockaddr: Any = None
        self.path: Hashable | None = None
        self.lane = b""  # the other side's
        self.packets_left = limits.PIPE_PACKETS_PER_S  # of this second, as the following
        self.bytes_left = limits.PIPE_BYTES_PER_S
        self.rtcp_left = limits.PIPE_RTCP_PER_S
        self.checks_left = limits.MEDIA_CHECKS_PER_S
        self.packets_in = 0
        self.bytes_in = 0
        self.closed = False
        self._lanes = ways
        self._port = ways.port
        self._host = host
        self._timer: Timer | None = None
        self._inbound: pylibsrtp.Session | None = None
        self._admitted: set[int] = set()
        self._their_ssrc = 0
        self.half = pipe.make(self._port.token, self._port.credentials(), self._port.candidates)
        self._checks = pipe.Checks(self.half)
        self._next_ssrc = int.from_bytes(self._port.token(4), "big")
        ways.open(self, self.half)

    # --- halves -----------------------------------------------------------------------------------------

    def join(self, theirs: pipe.Half) -> None:
        """The other half. Once."""
        assert not self.joined
        self.joined = True
        outbound, _ = compat.sessions(self.half.master, gcm=True)
        _, self._inbound = compat.sessions(theirs.master, gcm=True)
        made = compat.DirectSrtp if self._port.direct else compat.PortableSrtp
        self.lane = theirs.lane
        self.srtp = LaneSrtp(made(outbound, self._inbound), theirs.lane)
        self.tx, self.rx = self.srtp.tx, self.srtp.rx
        self._their_ssrc = theirs.ssrc
        loopback = any(candidate.host in {"127.0.0.1", "::1"} for candidate in self.half.candidates)
        paths = []
        for ip, port in pipe.places(theirs, loopback=loopback):
            path = lanes.path(self._port.family, ip, port, raw=self.raw)
            if path is not None:
                paths.append(path)
        self._checks.begin(theirs, paths, self._host.clock.monotonic())
        self._look()

    @property
    def raw(self) -> bool:
        """Paths are raw addresses."""
        return bool(getattr(self._port, "batch", None) is not None)

    def fresh_ssrc(self) -> int:
        """For a stream of ours."""
        while True:
            self._next_ssrc = self._next_ssrc + 1 & 0xFFFFFFFF
            if self._next_ssrc not in {0, self.half.ssrc}:
                return self._next_ssrc

    def admit(self, ssrcs: Iterable[int]) -> None:
        """The streams that the other side says it sends, all of them anew."""
        now = set(ssrcs)
        if self._inbound is not None:
            for gone in self._admitted - now:
                with suppress(pylibsrtp.Error):  # nothing came of it
                    self._inbound.remove_stream(gone)
        self._admitted = now

    # --- what arrives (lanes.Peer) ----------------------------------------------------------------------

    def take(self, view: memoryview, pointer: Any, size: int, now: float) -> None:
        """SRTP or SRTCP."""
        srtp, port = self.srtp, self._port
        if srtp is None or self.closed:
            port.drop("early")
        elif 191 < view[1] < 224:
            self.rtcp_left -= 1
            if self.rtcp_left < 0:
                port.drop("flood")
            elif int.from_bytes(view[4:8], "big") != self._their_ssrc:
                port.drop("pipe ssrc")
            elif (size := srtp.unprotect_rtcp(view, pointer, size)) < 8:
                port.drop("unauthentic")
            else:
                self.sink.rtcp(view[:size].tobytes(), now)
        else:
            self.packets_left -= 1
            self.bytes_left -= size
            if self.packets_left < 0 or self.bytes_left < 0:
                port.drop("flood")
            elif int.from_bytes(view[8:12], "big") not in self._admitted:
                port.drop("pipe ssrc")
            elif (size := srtp.unprotect(view, pointer, size)) < 12:
                port.drop("unauthentic")
            else:
                self.packets_in += 1
                self.bytes_in += size
                self.sink.rtp(view, size, now)

    def asked(self, message: stun.Message, path: Hashable, source: stun.Address, now: float) -> bool:
        """A question for our ufrag. False: forged."""
        self.checks_left -= 1
        if self.checks_left < 0:
            return False
        answer = self._checks.receive(message, path, source, now)
        if not answer:
            return False
        self._port.send_to(path, answer)
        self._look()
        return True

    def answered(self, message: stun.Message, path: Hashable, now: float) -> bool:
        """An answer to a question of ours. False: forged."""
        if self.closed or not self._checks.answered(message, path, now):
            return False
        self.rtt_s = self._checks.rtt_s
        self._go()
        self._look()
        return True

    def tick(self, now: float) -> None:
        """Allowances are renewed, consent ends."""
        self.packets_left = limits.PIPE_PACKETS_PER_S
        self.bytes_left = limits.PIPE_BYTES_PER_S
        self.rtcp_left = limits.PIPE_RTCP_PER_S
        self.checks_left = limits.MEDIA_CHECKS_PER_S
        self._checks.tick(now)
        self._go()

    # --- sending ----------------------------------------------------------------------------------------

    def send_rtcp(self, packet: bytes) -> None:
        """A compound RTCP packet; nothing before the pipe is writable."""
        if self.writable:
            self._port.send_rtcp(self, packet)

    def close(self) -> None:
        """Frees everything. The other side is told over the link."""
        if self.closed:
            return
        self.closed = True
        self._port.settle()
        self._lanes.close(self.half)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.writable = False
        self.tx = self.rx = self.srtp = self.sockaddr = self.path = self._inbound = None
        self._admitted = set()

    # --- inside -----------------------------------------------------------------------------------------

    def _go(self) -> None:
        """Media goes where the checks say."""
        if self.closed or self._checks.way == self.path:
            return
        self._port.settle()
        self._lanes.vouch(self, self.path, self._checks.way)
        self.path = self._checks.way
        self.sockaddr = None if self.path is None else self._port.sockaddr(self.path)
        before, self.writable = self.writable, self.path is not None
        if before != self.writable:
            self.sink.connected(self.writable)

    def _look(self) -> None:
        """Asks what is to be asked now, and comes again."""
        if self.closed or not self.joined:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._host.clock.monotonic()
        question = self._checks.due(now, self._port.token)
        if question is not None:
            path, transaction, request = question
            self._lanes.expect(transaction, self)
            self._port.send_to(path, request)
            self._go()
        again = self._checks.next_at
        if again != float("inf"):
            self._timer = self._host.later(max(again - now, limits.PIPE_PACE_S), self._look)
