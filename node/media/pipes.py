"""The pipes of one call: to each other node that has seats in it, what goes there (outflow.py), what comes from there (inflow.py), and the
pipe of now.

*New keys*: `half` makes a pipe that waits for the other's half, `joined` lets it look for its way. What goes out moves over when somebody
answers there; what comes in, when the other side has said in it what is what. Then the old one is closed. Until then it serves, so that new keys
cost no packet; if the new one never finds a way, nothing got worse.

*One hop*: `offer` takes tracks of seats here only.

`wanted` of each node is told to `RelayEvents.pipe_wanted` whenever it changes. Nothing waits here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, format_node
from node.media.fanout import Fanout
from node.media.host import Host
from node.media.inflow import Inflow, Listener
from node.media.layer import Layer, Track
from node.media.outflow import Outflow
from node.media.pipe import PipeTransport
from node.media.proto import pipe, pipesaid, rtcp
from node.services import relay
from node.services.relay import RelayEvents, Wanted


class _Joint:
    """One other node."""

    def __init__(self, outflow: Outflow, inflow: Inflow) -> None:
        self.outflow = outflow
        self.inflow = inflow
        self.pipes: list[PipeTransport] = []  # that live, the newest last; at most four
        self.going: PipeTransport | None = None  # what goes out takes this one
        self.coming: PipeTransport | None = None  # what comes in comes by this one
        self.told: list[Wanted] | None = None

    @property
    def newest(self) -> PipeTransport | None:
        return self.pipes[-1] if self.pipes else None

    def go(self, transport: PipeTransport) -> None:
        """Somebody answers there, perhaps again."""
        if self.going is None or self.pipes.index(transport) >= self.pipes.index(self.going):
            self.going = transport
            self.outflow.move(transport)
            self.tidy()

    def come(self, transport: PipeTransport) -> bool:
        """It was said there what is what. False: a newer one is in use."""
        if self.coming is not None and self.pipes.index(transport) < self.pipes.index(self.coming):
            return False
        if transport is not self.coming:
            self.coming = transport
            self.inflow.move(transport)
            self.tidy()
        return True

    def tidy(self) -> None:
        """Pipes that are older than both in use are not needed."""
        used = [self.pipes.index(each) for each in (self.going, self.coming) if each is not None]
        if len(used) == 2:
            for old in self.pipes[: min(used)]:
                self.drop(old)

    def drop(self, transport: PipeTransport) -> None:
        self.pipes.remove(transport)
        transport.close()
        if transport is self.going:
            self.going = None
            self.outflow.move(None)
        if transport is self.coming:
            self.coming = None
            self.inflow.move(None)

    def close(self) -> None:
        self.outflow.close()
        self.inflow.close()
        for transport in self.pipes:
            transport.close()
        self.pipes, self.going, self.coming = [], None, None


class _Sink:
    """Takes what one pipe receives (`seam.Sink`)."""

    transport: PipeTransport

    def __init__(self, joint: _Joint) -> None:
        self._joint = joint

    def rtp(self, packet: memoryview, size: int, now: float) -> None:
        if self.transport is self._joint.coming:
            self._joint.inflow.rtp(packet, size, now)

    def rtcp(self, packet: bytes, now: float) -> None:
        joint = self._joint
        if packet[1] == pipesaid.APP:
            said = pipesaid.read(packet)
            if said is not None and joint.come(self.transport):
                joint.inflow.said(said, now)
            return
        for item in rtcp.parse(packet):
            if isinstance(item, rtcp.SenderReport):
                if self.transport is joint.coming:
                    joint.inflow.clock(item, now)
            elif self.transport is joint.going:
                joint.outflow.feedback(item, now)

    def connected(self, on: bool) -> None:
        if on:
            self._joint.go(self.transport)


class Pipes:
    """Of `call`. `width` says how wide a layer is; `tracks` gives those of the seats here."""

    def __init__(
        self, call: bytes, *, host: Host, fanout: Fanout, events: RelayEvents, listener: Listener,
        width: Callable[[Layer], int], tracks: Callable[[], Iterable[Track]],
    ) -> None:  # fmt: skip
        self._call = call
        self._host = host
        self._fanout = fanout
        self._events = events
        self._listener = listener
        self._width = width
        self._tracks = tracks
        self._joints: dict[NodeId, _Joint] = {}

    # --- what the node says (services.relay.CallRelay) --------------------------------------------------

    def half(self, node: NodeId) -> bytes:
        """A new half of ours. Raises Rejected(limit_reached)."""
        joint = self._joint(node)
        if joint is None:
            raise Rejected(Code.LIMIT_REACHED, "A call has no more nodes than seats.", limit=limits.SEATS_PER_CALL_MAX)
        newest = joint.newest
        if newest is not None and not newest.joined:  # its other half never came
            joint.drop(newest)
        sink = _Sink(joint)
        sink.transport = made = PipeTransport(self._host.mux.lanes, sink, host=self._host)
        joint.pipes.append(made)
        for old in [old for old in joint.pipes[:-1] if old not in {joint.going, joint.coming}][:-1]:
            joint.drop(old)
        return pipe.encode(made.half)

    def joined(self, node: NodeId, half: bytes) -> None:
        """The other half. Raises Rejected(bad_request, not_found)."""
        theirs = pipe.decode(half)
        joint = self._joints.get(node)
        newest = joint.newest if joint is not None else None
        if joint is None or newest is None or newest.joined:
            raise Rejected(Code.NOT_FOUND, "There is no half of ours for this one.")
        joint.told = None  # the other side may have forgotten
        newest.join(theirs)

    def allow(self, node: NodeId, tracks: Sequence[relay.Track]) -> None:
        """What the seats of that node publish, by the roster."""
        joint = self._joint(node)
        if joint is not None:
            joint.inflow.allow(tracks)

    def want(self, node: NodeId, tracks: Sequence[Wanted]) -> None:
        """What that node wants."""
        joint = self._joint(node)
        if joint is not None:
            joint.outflow.want(tracks)

    def close(self, node: NodeId) -> None:
        """That node has nobody in the call any more."""
        joint = self._joints.pop(node, None)
        if joint is not None:
            joint.close()

    def end(self) -> None:
        """Frees everything."""
        for node in list(self._joints):
            self.close(node)

    def _joint(self, node: NodeId) -> _Joint | None:
        """Made if need be; None: there are too many nodes."""
        joint = self._joints.get(node)
        if joint is None and len(self._joints) < limits.SEATS_PER_CALL_MAX:
            outflow = Outflow(host=self._host, width=self._width)
            inflow = Inflow(host=self._host, fanout=self._fanout, listener=self._listener)
            joint = self._joints[node] = _Joint(outflow, inflow)
            outflow.offer(self._tracks())
        return joint

    # --- what the room says -----------------------------------------------------------------------------

    @property
    def tracks(self) -> list[Track]:
        """Those of other nodes' seats."""
        return [track for joint in self._joints.values() for track in joint.inflow.tracks.values()]

    @property
    def nodes(self) -> tuple[str, ...]:
        """To which there is a way now."""
        return tuple(
            format_node(node)
            for node, joint in self._joints.items()
            if joint.going is not None and joint.going.writable
        )

    @property
    def rates(self) -> tuple[int, int]:
        """bit/s in and out."""
        joints = self._joints.values()
        return sum(joint.inflow.bps for joint in joints), sum(joint.outflow.bps for joint in joints)

    def offer(self) -> None:
        """Tracks or layers of the seats here came or went."""
        for joint in self._joints.values():
            joint.outflow.offer(self._tracks())

    def planned(self, now: float) -> None:
        """The seats here may want something else."""
        for node, joint in self._joints.items():
            wanted = sorted(joint.inflow.wanted(now), key=_order)
            if wanted != joint.told and (wanted or joint.told is not None):
                joint.told = wanted
                self._events.pipe_wanted(self._call, node, wanted)

    def tick(self, now: float) -> None:
        """Each second."""
        for joint in self._joints.values():
            joint.outflow.tick()
            joint.inflow.tick(now)
        self.planned(now)


def _order(one: Wanted) -> tuple[bool, bytes, str, int]:
    """Voices first: a list that is too long is cut."""
    return one.track.source in pipesaid.VIDEO, one.track.seat, one.track.source, one.width
