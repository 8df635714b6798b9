"""What must be true after everything went wrong and healed. Each checker yields sentences; none means all is well.

The log on disk is the witness: it is read from a freshly opened database, folded anew with the pure rules, and compared
with what devices were told, what they received and what the database derived.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec import Struct

from node.base import limits
from node.base.errors import Rejected
from node.base.ids import EventId, UserId, parse_user
from node.core import commands, content, message, room
from node.core.message import Message
from node.core.room import Command, Room
from node.core.unread import Counts
from node.main import Services
from node.services.actor import Actor
from node.storage import log as log_module
from node.storage.database import Tx
from node.storage.rooms import RoomRow
from node.wire import c2s
from node.wire.envelope import decode_event
from tests.sim.device import Device, Wish
from tests.sim.world import World


class Line(Struct, frozen=True):
    """One entry of a log, decoded."""

    seq: int
    idx: int
    at_ms: int
    event: EventId
    actor: UserId
    kind: str
    body: content.Body | None


class Chronicle:
    """A room folded from its log: final state, messages, and who was inside from which to which idx."""

    def __init__(self, row: RoomRow, lines: list[Line]) -> None:
        self.row, self.lines = row, lines
        self.room = Room(kind=row.kind, members=row.state.members) if row.kind == room.DIRECT else Room(kind=room.GROUP)
        self.messages: dict[EventId, Message] = {}
        self.spans: defaultdict[UserId, list[list[int]]] = defaultdict(list)
        self.illegal: list[str] = []
        self.unsure: set[EventId] = set()  # edits of these may be erased
        if row.kind == room.DIRECT:
            for user in row.state.members:
                self.spans[user].append([1, 1 << 60])
        for line in lines:
            self._fold(line)

    def _fold(self, line: Line) -> None:
        body = line.body
        if body is None and content.is_content(line.kind):
            body = content.Text(text="erased")
        if body is None:
            return
        command = Command(line.actor, line.kind, body)
        target = self.messages.get(_target(body))
        try:
            if not isinstance(body, content.Create):
                commands.decide(self.room, command, line.at_ms, target)
        except Rejected as error:
            self.illegal.append(f"entry {line.idx} ({line.kind} by {line.actor}) is illegal: {error.text}")
        if message.target_of(body) is not None and target is not None:
            self.messages[target.event] = message.evolve(target, line.actor, body)
            return
        before, self.room = self.room, room.evolve(self.room, command, line.at_ms, line.idx)
        for user in self.room.members.keys() - before.members.keys():
            self.spans[user].append([line.idx, 1 << 60])
        for user in before.members.keys() - self.room.members.keys():
            self.spans[user][-1][1] = line.idx
        if content.is_content(line.kind):
            self.messages[line.event] = Message(
                event=line.event, idx=line.idx, author=line.actor, kind=line.kind, at_ms=line.at_ms
            )

    def inside(self, user: UserId, idx: int) -> bool:
        """Whether `user` may have received this entry."""
        return any(first <= idx <= last for first, last in self.spans[user])


def _target(body: content.Body) -> EventId:
    named = message.target_of(body)
    if named is None and isinstance(body, content.Text) and body.reply_to is not None:
        named = EventId(body.reply_to.event)
    return named or EventId(b"")


def read_logs(services: Services) -> dict[bytes, Chronicle]:
    """Every room of the database."""

    def look(tx: Tx) -> dict[bytes, Chronicle]:
        found: dict[bytes, Chronicle] = {}
        for row in services.rooms.everyone(tx):
            raws = services.log.page(tx, row.room, row.pk, 1, row.head.idx, 1 << 30, back=False)
            found[row.room] = Chronicle(row, [_line(c2s.decode_entry(bytes(raw))) for raw in raws])
        return found

    return services.db.view(look)


def _line(entry: c2s.Entry) -> Line:
    event = decode_event(entry.event)
    body = None if entry.body is None else content.decode_body(event.kind, entry.body)
    return Line(entry.seq, entry.idx, entry.at_ms, EventId(entry.event_id), UserId(event.author), event.kind, body)


def check(world: World, services: Services) -> list[str]:
    """All complaints about a healed world; `services` is opened on what it left behind."""
    logs = read_logs(services)
    found: list[str] = list(world.faults) + world.loop.faults
    for device in world.devices:
        found += device.complaints
    found += check_chains(services)
    for log in logs.values():
        found += check_fold(services, log)
        found += check_unread(services, log)
    found += check_posts(world, services, logs)
    for device in world.devices:
        found += check_delivery(device, logs)
        found += check_spans(device, logs)
    return found


def check_chains(services: Services) -> Iterator[str]:
    """Ids, bodies, chain and head of every log fit."""
    faults = services.db.view(lambda tx: [f for row in services.rooms.everyone(tx) for f in log_module.verify(tx, row)])
    for fault in faults:
        yield f"log damaged at {fault.idx}: {fault.text}"


def check_fold(services: Services, log: Chronicle) -> Iterator[str]:
    """The stored state is the fold of the log, and every entry was legal at its time."""
    yield from log.illegal
    if log.row.kind == room.GROUP and log.room != log.row.state:
        yield f"the stored state of room {log.row.pk} is not the fold of its log"
    marks = services.db.view(lambda tx: services.log.marks(tx, log.row.pk, 0, 1 << 60))
    for stored in marks:
        folded = log.messages[stored.event]
        if stored.erased:
            same = (folded.erased, folded.erased_by, folded.reason) == (stored.erased, stored.erased_by, stored.reason)
        else:
            same = folded == stored
        if not same:
            yield f"the marks of message {stored.idx} are not the fold of the log"
    touched = {folded.event for folded in log.messages.values() if folded.edits or folded.erased or folded.reactions}
    if touched - {stored.event for stored in marks}:
        yield "a message lost its marks"


def check_posts(world: World, services: Services, logs: dict[bytes, Chronicle]) -> Iterator[str]:
    """Acknowledged: there, once, in the order its device sent. Refused: nowhere. Else: not at all or once."""
    sql = "SELECT d.device, e.client_id, e.seq, e.event_id FROM entries e JOIN devices d ON d.id = e.device"
    stored = {(row[0], row[1]): (row[2], row[3]) for row in services.db.view(lambda tx: tx.all(sql))}
    for device in world.devices:
        if device.outbox:
            yield f"{device.name}: {len(device.outbox)} posts were never answered, first {device.outbox[0].kind}"
        placed: list[int] = []
        for wish in device.wishes:
            entry = stored.get((device.device, wish.client_id))
            yield from _check_wish(device, wish, entry, logs)
            if entry is not None and (device.device, wish.client_id) not in world.refused:
                placed.append(entry[0])
        if placed != sorted(placed):
            yield f"{device.name}: posts are not in the order they were sent: {placed}"


def _check_wish(
    device: Device, wish: Wish, entry: tuple[int, bytes] | None, logs: dict[bytes, Chronicle]
) -> Iterator[str]:
    where = f"{device.name}: post {wish.number} ({wish.kind})"
    if wish.refused and entry is not None:
        yield f"{where} was refused with {wish.refused} and is in the log"
    if wish.posted is None:
        return
    if entry is None:
        yield f"{where} was acknowledged at seq {wish.posted.seq} and is lost"
    elif entry != (wish.posted.seq, wish.posted.event_id):
        yield f"{where} was acknowledged at seq {wish.posted.seq} and is at {entry[0]}"
    elif wish.posted.event_id not in {line.event for line in logs[wish.posted.room].lines[wish.posted.idx - 1 :][:1]}:
        yield f"{where} is not at idx {wish.posted.idx}"


def check_delivery(device: Device, logs: dict[bytes, Chronicle]) -> Iterator[str]:
    """Everything of the last stay in each room reached the device live, once, unchanged."""
    if device.first_head is None:
        yield f"{device.name} never got in"
        return
    for key, log in logs.items():
        if not log.spans[device.user]:
            continue
        first, last = log.spans[device.user][-1]
        for line in log.lines[first - 1 : last]:
            if line.seq <= device.first_head:
                continue
            entry = device.live.get((key, line.idx))
            if entry is None:
                yield f"{device.name} never got entry {line.idx} (seq {line.seq}, {line.kind}) of room {log.row.pk}, cursor {device.cursor}"
            elif (entry.seq, entry.event_id, entry.at_ms) != (line.seq, line.event, line.at_ms):
                yield f"{device.name} got another entry {line.idx} of room {log.row.pk}"


def check_spans(device: Device, logs: dict[bytes, Chronicle]) -> Iterator[str]:
    """Nobody received what was said while they were not inside; and all agree on what was said."""
    for (key, idx), event in device.seen.items():
        log = logs.get(key)
        if log is None or idx > len(log.lines):
            yield f"{device.name} has entry {idx} that the node lost"
        elif log.lines[idx - 1].event != event:
            yield f"{device.name} has another entry {idx} than the node"
        elif not log.inside(device.user, idx):
            yield f"{device.name} got entry {idx} of room {log.row.pk} from outside; spans {log.spans[device.user]}"


def check_unread(services: Services, log: Chronicle) -> Iterator[str]:
    """The counts of cards are the fold of the log."""
    for user in log.row.state.members:
        if parse_user(user)[1] != services.identity.nid:
            continue
        card = services.sync.card(_actor(services, user), log.row.room)
        assert card is not None
        counts = Counts(user, card.read_idx)
        first = log.spans[user][-1][0]
        for line in log.lines[first - 1 :]:
            named = [mention.user for mention in line.body.mentions] if isinstance(line.body, content.Text) else []
            counts.entry(line.idx, line.actor, line.kind, named)
        for folded in log.messages.values():
            if folded.erased:
                counts.erased(folded.idx)
        if (card.unread, card.mentions) != (min(counts.unread, limits.UNREAD_COUNT_MAX), counts.mentions):
            yield f"{user} has {card.unread}/{card.mentions} unread in room {log.row.pk}, the fold says {counts.unread}/{counts.mentions}"


def _actor(services: Services, user: UserId) -> Actor:
    pk = services.db.view(lambda tx: services.users.find(tx, user))
    assert pk is not None
    actor = services.accounts.console()
    return Actor(
        user=user, user_pk=pk, account_role=actor.account_role, device=actor.device, device_pk=0, local="", name=""
    )


def check_queues(world: World) -> Iterable[str]:
    """Asked again and again while the world runs: no queue of the node is beyond its limit."""
    node = world.node
    if node is None:
        return
    if world.services.db.waiting > limits.WRITE_QUEUE_MAX:
        yield f"{world.services.db.waiting} writes wait"
    for session in node.sockets._sessions:
        page = max(limits.SYNC_PAGE_ENTRIES, limits.BATCH_WRITES_MAX)
        if session._unacked > limits.WINDOW_ENTRIES + page:
            yield f"{session._unacked} entries are not acknowledged"
        if session._socket.buffered > limits.SOCKET_BUFFER_BYTES_MAX + 2 * limits.ENTRIES_FRAME_BYTES_MAX + 64 * 1024:
            yield f"{session._socket.buffered} bytes wait for one device"
