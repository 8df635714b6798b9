"""Two sides of a handshake or a link, without anything between them."""

from __future__ import annotations

from node.base.ids import NodeId
from node.federation.proto.handshake import Channel, Handshake, Proven, Role
from node.federation.proto.link import Event, Link
from node.wire import s2s
from node.wire.keys import Certified
from tests.links import Who, identity

NOW_S = 1_700_000_000
ALICE = identity("casa")
BOB = identity("nido")


def welcome(who: Certified) -> None:
    """Takes everybody."""


def initiator(own: Who = ALICE, target: NodeId = BOB.nid, **more: object) -> Handshake:
    """Alice's node dials."""
    given: dict[str, object] = {"accept": welcome, "now_s": NOW_S, **more}
    return Handshake(role=Role.INITIATOR, own=own, target=target, **given)  # type: ignore[arg-type]


def responder(own: Who = BOB, **more: object) -> Handshake:
    """Bob's node is dialled."""
    given: dict[str, object] = {"accept": welcome, "now_s": NOW_S, "target": own.nid, **more}
    return Handshake(role=Role.RESPONDER, own=own, **given)  # type: ignore[arg-type]


def run(dials: Handshake, listens: Handshake) -> tuple[Proven, Proven]:
    """The whole handshake; what each side proved. Raises RemoteError."""
    while dials.proven is None or listens.proven is None:
        for message in dials.to_send():
            listens.receive(message)
        for message in listens.to_send():
            dials.receive(message)
    return dials.proven, listens.proven


def channels() -> tuple[Channel, Channel]:
    """An open channel, both ends."""
    dials, listens = initiator(), responder()
    run(dials, listens)
    assert dials.channel is not None
    assert listens.channel is not None
    return dials.channel, listens.channel


def hello(**fields: object) -> s2s.Hello:
    """A hello that asks for nothing special."""
    given: dict[str, object] = {
        "run_out": b"run of A",
        "run_in": None,
        "last_in": 0,
        "now_ms": 1,
        "incarnation": 1,
        "credit": 256,
    }
    return s2s.Hello(**{**given, **fields})  # type: ignore[arg-type]


class Pair:
    """Two links; `pass_on` carries everything that waits, both ways, until nothing does."""

    def __init__(self, *, rekey_records: int = 2**20) -> None:
        one, two = channels()
        self.a = Link(one, 0.0, rekey_records=rekey_records)
        self.b = Link(two, 0.0, rekey_records=rekey_records)
        self.now = 0.0
        self.events: dict[str, list[Event]] = {"a": [], "b": []}

    def open(self, *, credit: int = 256, caps: tuple[str, ...] = ()) -> None:
        """Hello both ways, from nothing."""
        self.a.hello(hello(credit=credit, caps=caps))
        self.b.hello(hello(run_out=b"run of B", credit=credit, caps=caps))
        self.pass_on()
        self.a.start(receive_after=0, send_after=0)
        self.b.start(receive_after=0, send_after=0)
        for events in self.events.values():
            events.clear()

    def pass_on(self) -> None:
        moving = True
        while moving:
            moving = False
            for name, here, there in (("b", self.a, self.b), ("a", self.b, self.a)):
                for message in here.to_send():
                    moving = True
                    there.receive(message, self.now)
                    while (event := there.next_event()) is not None:
                        self.events[name].append(event)
