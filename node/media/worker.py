"""A worker: one process, one UDP port, the rooms of some calls. ``python -m node.media.worker FD FD`` begins one.

It does what comes over the control socket (control.py) and ends with it, so that it never outlives its node. Media stays here; the node's
own process never loads the libraries of calls. There is one loop and no thread.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.media import compat, control, port, selftest, tcp, udpmux
from node.media.fanout import Fanout
from node.media.proto import sdp
from node.media.room import Room
from node.runtime import log
from node.runtime.clock import Clock, SystemClock
from node.runtime.entropy import Entropy, SystemEntropy
from node.services.relay import Quality, Track, Wanted

_log: Final = log.Log("media.worker")


class Worker:
    """The rooms of one port; implements `host.Host`, and `services.relay.RelayEvents` towards the node. `say` sends a frame to it."""

    def __init__(
        self, mux: udpmux.UdpMux, *, clock: Clock, entropy: Entropy, say: Callable[[control.ToNode], None]
    ) -> None:
        self.mux = mux
        self.clock = clock
        self.entropy = entropy
        self.rooms: dict[bytes, Room] = {}
        self._say = say
        self._fanout = Fanout(mux)

    def later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Calls back on the loop once."""
        return asyncio.get_running_loop().call_later(delay_s, call)

    def do(self, frame: control.ToWorker) -> None:
        """One frame of the node."""
        match frame:
            case control.Seat() | control.Offer() | control.Answer() | control.AskHalf() | control.Join():
                self._say(self._answer(frame))
            case control.AskReport(n=n):
                self._say(self._report(n))
            case control.Reachable(candidates=candidates):
                self.mux.candidates = tuple(self._placed(candidate) for candidate in candidates)
            case control.Begin():
                pass
            case control.End(call=call):
                room = self.rooms.pop(call, None)
                if room is not None:
                    room.end()
            case _:
                self._do_in_room(frame)
        self.mux.flush()

    def _do_in_room(self, frame: control.Saying) -> None:
        room = self.rooms.get(frame.call)
        if room is None:
            return
        match frame:
            case control.Restart(seat=seat):
                room.restart(seat)
            case control.Want(seat=seat, wishes=wishes):
                room.want(seat, wishes)
            case control.Mute(seat=seat, on=on):
                room.mute(seat, on=on)
            case control.Unseat(seat=seat):
                room.unseat(seat)
            case control.PipeTracks(node=node, tracks=tracks):
                room.pipes.allow(node, tracks)
            case control.PipeWant(node=node, tracks=wanted):
                room.pipes.want(node, wanted)
            case control.PipeClosed(node=node):
                room.pipes.close(node)

    def _answer(self, frame: control.Asking) -> control.Done | control.Half | control.Refused:
        try:
            match frame:
                case control.Seat(n=n, call=call, seat=seat, up_kbps=up_kbps):
                    room = self.rooms.get(call)
                    if room is None:
                        room = self.rooms[call] = Room(call, host=self, events=self, fanout=self._fanout)
                    room.seat(seat, up_kbps=up_kbps)
                    return control.Done(n)
                case control.Offer(n=n, call=call, seat=seat, sdp=text, sources=sources):
                    return control.Done(n, self._room(call).offer(seat, text, sources))
                case control.Answer(n=n, call=call, seat=seat, version=version, sdp=text):
                    self._room(call).answer(seat, version, text)
                    return control.Done(n)
                case control.AskHalf(n=n, call=call, node=node):
                    return control.Half(n, self._room(call).pipes.half(node))
                case control.Join(n=n, call=call, node=node, half=half):
                    self._room(call).pipes.joined(node, half)
                    return control.Done(n)
        except Rejected as refused:
            return control.Refused(frame.n, refused.code, refused.text)

    def _room(self, call: bytes) -> Room:
        room = self.rooms.get(call)
        if room is None:
            raise Rejected(Code.NOT_FOUND, "There is no such call here.")
        return room

    def _placed(self, candidate: sdp.Candidate) -> sdp.Candidate:
        return candidate if candidate.port else sdp.Candidate(candidate.host, self.mux.port, candidate.transport)

    def _report(self, n: int) -> control.Report:
        used = os.times()
        return control.Report(
            n,
            calls=tuple(room.report() for room in self.rooms.values()),
            packets_in=self.mux.packets_in,
            packets_out=self.mux.packets_out,
            dropped=dict(self.mux.dropped),
            cpu_s=used.user + used.system,
        )

    def close(self) -> None:
        """Ends every room and the port."""
        for room in self.rooms.values():
            room.end()
        self.rooms.clear()
        self.mux.close()

    # --- what rooms tell (services.relay.RelayEvents) ---------------------------------------------------

    def offered(self, call: bytes, seat: bytes, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        """To the node."""
        self._say(control.Offered(call, seat, version, sdp, dict(tracks)))

    def connected(self, call: bytes, seat: bytes, *, on: bool) -> None:
        """To the node."""
        self._say(control.Connected(call, seat, on))

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        """To the node."""
        self._say(control.Published(call, seat, tuple(sources)))

    def speakers(self, call: bytes, seats: Sequence[bytes]) -> None:
        """To the node."""
        self._say(control.Speakers(call, tuple(seats)))

    def quality(self, call: bytes, seat: bytes, quality: Quality) -> None:
        """To the node."""
        self._say(control.Measured(call, seat, quality))

    def failed(self, call: bytes) -> None:
        """The node notices by itself when a worker dies."""

    def pipe_wanted(self, call: bytes, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """To the node."""
        self._say(control.PipeWanted(call, node, tuple(tracks)))


async def serve(controls: socket.socket, inlet: socket.socket) -> None:
    """The life of a worker on its control socket; connections of TCP come over `inlet`."""
    reader, writer = await asyncio.open_connection(sock=controls)
    bodies = control.frames(reader)
    try:
        begin = control.to_worker.decode(await anext(bodies))
        assert isinstance(begin, control.Begin)
        log.configure(level=begin.log_level, style=begin.log_format)

        def say(frame: control.ToNode) -> None:
            writer.write(control.encode(frame))

        found = await selftest.examine()
        if not found.level:
            say(control.Began(0, reason=found.reason))
            return
        try:
            bound = port.bind(begin.host, begin.port)
        except OSError as error:
            say(control.Began(0, reason=f"UDP port {begin.port} cannot be used ({error.strerror})"))
            return
        async with asyncio.TaskGroup() as tasks:
            clock, entropy = SystemClock(), SystemEntropy()
            mux = udpmux.UdpMux(
                bound,
                clock=clock,
                entropy=entropy,
                tasks=tasks,
                certificate=compat.Certificate(),
                mmsg_works=found.batches,
                direct=found.direct,
                number=begin.number,
            )
            door = tcp.Door(mux, inlet, tasks)
            worker = Worker(mux, clock=clock, entropy=entropy, say=say)
            gc.collect()
            gc.freeze()  # what is here now stays; collections look at calls only
            say(control.Began(found.level, port=mux.port))
            try:
                async for body in bodies:
                    worker.do(control.to_worker.decode(body))
            finally:
                door.close()
                worker.close()
    finally:
        with suppress(OSError):
            await writer.drain()
        writer.close()


def main(arguments: Sequence[str]) -> None:
    """Begins a worker on the file descriptors of its two sockets."""
    import resource

    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # sent to the whole group: the node ends first, and this with its socket
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # keys of media do not end in a core dump
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        controls, inlet = (socket.socket(fileno=int(descriptor)) for descriptor in arguments)
        runner.run(serve(controls, inlet))


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main(sys.argv[1:])
