"""What must be true of many nodes after everything went wrong and healed.

The log of an honest hub is the truth about its room. Every honest replica of it is compared entry by entry, every post that an
author's node took is looked for in it, and each node's own books are checked as in the world of one node. Where the hub lies, honest
followers still may not hold anything that is illegal or unsigned, and somebody must notice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from node.base import limits
from node.base.ids import NodeId, parse_user
from node.core import content, hub
from node.core.room import nodes_of
from node.storage.database import Tx
from node.storage.log import Link
from tests.sim import checkers
from tests.sim.checkers import Chronicle
from tests.sim.device import Device, Wish
from tests.sim.machine import Machine
from tests.sim.nodes.world import Nodes

Held = dict[NodeId, dict[tuple[bytes, int], bytes]]
WAITS_S = 700.0  # longer than a peer that was unlucky waits before it dials again after half a minute of trouble


class Ledger(Struct, frozen=True):
    """What one node has on its disk."""

    machine: Machine
    nid: NodeId
    logs: dict[bytes, Chronicle]
    links: dict[bytes, list[Link]]
    posts: dict[tuple[bytes, bytes], bytes]  # by (device, client id), the event that a post is now


def read(machine: Machine) -> Ledger:
    """Everything about rooms of a node that was opened again."""
    services = machine.services
    logs = checkers.read_logs(services)

    def look(tx: Tx) -> dict[bytes, list[Link]]:
        return {key: list(services.log.links(tx, log.row.pk, 1, 1 << 30)) for key, log in logs.items()}

    sql = """SELECT d.device, p.client_id, p.event_id FROM {} p JOIN devices d ON d.id = p.device"""
    posts = {
        (device, client_id): event
        for table in ("entries", "pending")
        for device, client_id, event in services.db.view(lambda tx, table=table: tx.all(sql.format(table)))  # type: ignore[misc]
    }
    return Ledger(machine, services.identity.nid, logs, services.db.view(look), posts)


def check(ledgers: Sequence[Ledger], world: Nodes) -> list[str]:
    """All complaints about honest nodes."""
    honest = [ledger for ledger in ledgers if ledger.nid != world.villain]
    found: list[str] = []
    for ledger in honest:
        found += [f"{ledger.machine.name}: {text}" for text in check_books(ledger)]
    by_nid = {ledger.nid: ledger for ledger in honest}
    for key in sorted({key for ledger in honest for key in ledger.logs}):
        found += check_room(key, honest, by_nid, world)
    keys = {ledger.nid: public_keys(ledger.machine) for ledger in ledgers}
    for ledger in honest:
        found += check_posts(ledger, by_nid, world)
        found += check_signed(ledger, keys)
    if world.villain is not None:
        found += check_noticed(honest, world.villain)
    return found


# --- one node -----------------------------------------------------------------------------------------------


def check_books(ledger: Ledger) -> Iterator[str]:
    """The checks of the world of one node."""
    services, machine = ledger.machine.services, ledger.machine
    for device in machine.devices:
        yield from device.complaints
        yield from checkers.check_delivery(device, ledger.logs)
        yield from checkers.check_spans(device, ledger.logs)
    yield from checkers.check_chains(services)
    for log in ledger.logs.values():
        yield from checkers.check_fold(services, log)
        yield from checkers.check_unread(services, log)
        yield from _check_once(log)


def _check_once(log: Chronicle) -> Iterator[str]:
    """Nothing twice: neither an event nor what somebody said."""
    events = Counter(line.event for line in log.lines)
    said = Counter(line.body.text for line in log.lines if line.kind == "text" and isinstance(line.body, content.Text))
    for times in (*events.values(), *(times for text, times in said.items() if "says" in text)):
        if times > 1:
            yield f"something is {times} times in room {log.row.pk}"


# --- replicas -----------------------------------------------------------------------------------------------


def check_room(key: bytes, honest: Sequence[Ledger], by_nid: dict[NodeId, Ledger], world: Nodes) -> Iterator[str]:
    """Every honest replica is the hub's log, as far as its node follows it."""
    holders = [ledger for ledger in honest if key in ledger.logs]
    hub = by_nid.get(holders[0].logs[key].row.hub)
    if hub is None:
        return
    truth = hub.logs.get(key)
    if truth is None:
        if any(ledger.logs[key].lines for ledger in holders):
            yield f"the hub {hub.machine.name} does not know a room of its own"
        return
    ends = _followed(truth)
    for ledger in honest:
        if hub.nid in world.unreachable(ledger.machine):
            continue
        if ledger is not hub and (ledger.nid in ends or key in ledger.logs):
            where = f"{ledger.machine.name}: room {truth.row.pk} of {hub.machine.name}"
            yield from (f"{where}: {text}" for text in _check_replica(key, ledger, hub, ends.get(ledger.nid, 0)))


def _followed(truth: Chronicle) -> dict[NodeId, int]:
    """By node, the last idx it is owed: of the present ones the head."""
    found: defaultdict[NodeId, int] = defaultdict(int)
    for user, spans in truth.spans.items():
        for _, last in spans:
            nid = parse_user(user)[1]
            found[nid] = max(found[nid], min(last, len(truth.lines)))
    return found


def _check_replica(key: bytes, ledger: Ledger, hub: Ledger, end: int) -> Iterator[str]:
    truth, log = hub.logs[key], ledger.logs.get(key)
    if log is None:
        if end:
            yield f"there is no replica, the log has {end} entries"
        return
    if log.row.trouble:
        yield f"an honest hub is accused: {log.row.trouble}"
    if len(log.lines) != end:
        yield f"has {len(log.lines)} entries, should have {end} of {len(truth.lines)}"
        return
    for mine, theirs in zip(ledger.links[key], hub.links[key][:end], strict=True):
        if (mine.idx, mine.epoch, mine.at_ms, mine.log_hash, mine.event) != (
            theirs.idx, theirs.epoch, theirs.at_ms, theirs.log_hash, theirs.event,
        ):  # fmt: skip
            yield f"another entry {mine.idx}"
        elif (mine.salt, mine.body) != (theirs.salt, theirs.body) and end == len(truth.lines):
            yield f"another body at {mine.idx}: {mine.body is None} {theirs.body is None}"
    if end == len(truth.lines) and log.row.state != truth.row.state:
        yield "another state"


def public_keys(machine: Machine) -> list[Ed25519PublicKey]:
    """Every op key that a node ever had."""
    return [Ed25519PublicKey.from_public_bytes(cert.op) for cert in machine.services.identity.certs]


def check_signed(ledger: Ledger, keys: dict[NodeId, list[Ed25519PublicKey]]) -> Iterator[str]:
    """Every entry was signed by the node of its author, or is of the hub's own user."""
    for key, log in ledger.logs.items():
        for line, link in zip(log.lines, ledger.links[key], strict=True):
            author = parse_user(line.actor)[1]
            if link.signature is None:
                if author != log.row.hub:
                    yield f"{ledger.machine.name}: entry {link.idx} of room {log.row.pk} has no signature of its author's node"
            elif not any(_is_signed(key, link) for key in keys[author]):
                yield f"{ledger.machine.name}: entry {link.idx} of room {log.row.pk} was not signed by its author's node"


def _is_signed(key: Ed25519PublicKey, link: Link) -> bool:
    assert link.signature is not None
    try:
        key.verify(link.signature, hub.CONTEXT + link.event)
    except InvalidSignature:
        return False
    return True


def check_noticed(honest: Sequence[Ledger], villain: NodeId) -> Iterator[str]:
    """When two honest nodes that know each other to be in a room hold two histories of it, somebody there knows and shows it."""
    for key in sorted({key for ledger in honest for key, log in ledger.logs.items() if log.row.hub == villain}):
        holders = [ledger for ledger in honest if key in ledger.logs]
        aware = [ledger for ledger in holders if ledger.logs[key].row.trouble]
        if not aware and any(_contradict(key, one, other) for one, other in combinations(holders, 2)):
            yield f"two histories of room {holders[0].logs[key].row.pk} of {holders[0].machine.name} and nobody noticed"
        for ledger in aware:
            for device in ledger.machine.devices:
                card = device.cards.get(key)
                if card is not None and card.state == "member" and card.trouble != ledger.logs[key].row.trouble:
                    yield f"{device.name} is not shown that a hub broke its rules"


def _contradict(key: bytes, one: Ledger, other: Ledger) -> bool:
    """Both are followers, for all they know, and hold different entries."""
    if any({one.nid, other.nid} - set(nodes_of(ledger.logs[key].row.state)) for ledger in (one, other)):
        return False
    return any(mine.log_hash != theirs.log_hash for mine, theirs in zip(one.links[key], other.links[key], strict=False))


# --- posts --------------------------------------------------------------------------------------------------


def check_posts(ledger: Ledger, by_nid: dict[NodeId, Ledger], world: Nodes) -> Iterator[str]:
    """What an author's node took is in the log once, or refused with a code that its author sees."""
    for device in ledger.machine.devices:
        if device.outbox:
            yield f"{device.name}: {len(device.outbox)} posts were never answered, first {device.outbox[0].kind}"
        placed: defaultdict[bytes, list[int]] = defaultdict(list)
        for wish in device.wishes:
            if wish.posted is None:
                continue
            truth = _truth(wish, ledger, by_nid)
            if truth is None or truth.row.hub in world.unreachable(ledger.machine):
                continue
            event = ledger.posts.get((device.device, wish.client_id), wish.posted.event_id)
            idx = next((line.idx for line in truth.lines if line.event == event), 0)
            yield from _check_wish(device, wish, event, idx)
            if idx and (device.device, wish.client_id) not in ledger.machine.refused:
                placed[wish.posted.room].append(idx)
        for idxs in placed.values():
            if idxs != sorted(idxs):
                yield f"{device.name}: posts are not in the order they were sent: {idxs}"


def _truth(wish: Wish, ledger: Ledger, by_nid: dict[NodeId, Ledger]) -> Chronicle | None:
    """The hub's log of the room of a post; None when the hub lies or nobody knows it."""
    assert wish.posted is not None
    room = wish.posted.room
    if room in ledger.logs:
        hub = by_nid.get(ledger.logs[room].row.hub)
        return None if hub is None else hub.logs.get(room)
    return next(
        (one.logs[room] for one in by_nid.values() if room in one.logs and one.logs[room].row.hub == one.nid), None
    )


def _check_wish(device: Device, wish: Wish, event: bytes, idx: int) -> Iterator[str]:
    assert wish.posted is not None
    where = f"{device.name}: post {wish.number} ({wish.kind})"
    item = device.waiting.get(event)
    refused = "" if item is None else item.code
    if wish.refused:
        yield f"{where} was refused with {wish.refused} and accepted"
    if idx and refused:
        yield f"{where} is at {idx} and refused with {refused}"
    elif not idx and not refused and not (wish.kind == "decline" and item is None):  # the invitation was gone anyway
        shown = "nowhere" if item is None else "as waiting"
        yield f"{where} was taken (seq {wish.posted.seq}) and is neither in the log nor refused; it is shown {shown}"


# --- while it runs ------------------------------------------------------------------------------------------


class Watch:
    """Looks at running nodes from time to time."""

    def __init__(self) -> None:
        self._stable: dict[tuple[str, bytes], tuple[int, bytes, object]] = {}
        self._cursors: dict[tuple[str, int, bytes], int] = {}
        self.found: list[str] = []

    def look(self, machines: Sequence[Machine], villain: NodeId | None) -> None:
        """Queues have bounds, the stable mark only grows and is true."""
        running = [machine for machine in machines if machine.node is not None]
        held = {machine.services.identity.nid: _hashes(machine) for machine in running}
        for machine in running:
            for text in (
                *_check_queues(machine), *self._check_stable(machine, held, villain), *self._check_cursors(machine)
            ):  # fmt: skip
                if text not in self.found:
                    self.found.append(text)

    def look_away(self, machines: Sequence[Machine], old: Sequence[Machine]) -> None:
        """Nobody who has met a node talks to an older copy of it."""
        for machine in machines:
            self.found += _old_links(machine)
        for machine in old:
            if machine.node is not None and machine.node.federation.open_links():
                self.found.append(f"{machine.name} is an old copy and was taken in")

    def _check_cursors(self, machine: Machine) -> Iterator[str]:
        """What was heard of a peer is not heard again."""
        for peer, run, last in machine.services.db.view(lambda tx: tx.all("SELECT peer, run, last FROM peer_in")):
            place = (machine.name, peer, run)
            if last < self._cursors.get(place, 0):
                yield f"{machine.name}: a cursor fell from {self._cursors[place]} to {last}"
            self._cursors[place] = last

    def _check_stable(self, machine: Machine, held: Held, villain: NodeId | None) -> Iterator[str]:
        services = machine.services
        acks = services.exchange.steps.acks

        def marks(tx: Tx) -> list[tuple[bytes, NodeId, int, bytes, tuple[NodeId, ...], tuple[int, ...]]]:
            found = []
            for row in services.rooms.everyone(tx):
                idx = acks.stable_idx(tx, row)
                at = services.log.hash_at(tx, row.pk, idx) or b""
                since = tuple(member.joined_idx for member in row.state.members.values())
                found.append((bytes(row.room), row.hub, idx, at, tuple(nodes_of(row.state)), since))
            return found

        for room, hub_nid, idx, at, voters, since in services.db.view(marks):
            others = [nid for nid in voters if nid != hub_nid][: limits.VOTERS_MAX - 1]
            holding = sum(nid == villain or nid not in held or held[nid].get((room, idx)) == at for nid in others)
            if idx and hub_nid != villain and holding < hub.acks_needed(len(others) + 1):
                yield f"{machine.name} called entry {idx} stable, {holding} of {len(others)} other voters hold it"
            before = self._stable.get((machine.name, room))
            if before is not None and before[2] == (voters, since) and idx < before[0]:
                yield f"{machine.name}: the stable mark of a room fell from {before[0]} to {idx}"
            self._stable[machine.name, room] = idx, at, (voters, since)

    def check(self, ledgers: Sequence[Ledger], villain: NodeId | None) -> Iterator[str]:
        """What was stable is in every honest replica as it was."""
        yield from self.found
        for (name, room), (idx, at, _) in sorted(self._stable.items(), key=lambda one: one[0]):
            for ledger in ledgers:
                links = ledger.links.get(room, [])
                if villain is not None and ledger.logs.get(room) is not None and ledger.logs[room].row.hub == villain:
                    continue
                if idx and len(links) >= idx and links[idx - 1].log_hash != at:
                    yield f"{name} called entry {idx} stable, {ledger.machine.name} has another one"


def _old_links(machine: Machine) -> Iterator[str]:
    services = machine.services
    for nid, session in () if machine.node is None else machine.node.federation._links.items():
        row = services.db.view(lambda tx, nid=nid: services.peers.find(tx, nid))  # type: ignore[misc]
        if row is not None and session.up and session.peer.incarnation < row.incarnation:
            yield f"{machine.name} has a link with an older copy of a node"


def _hashes(machine: Machine) -> dict[tuple[bytes, int], bytes]:
    sql = "SELECT r.room, e.idx, e.log_hash FROM entries e JOIN rooms r ON r.id = e.room"
    return {(room, idx): at for room, idx, at in machine.services.db.view(lambda tx: tx.all(sql))}


def _check_queues(machine: Machine) -> Iterator[str]:
    node, services, name = machine.node, machine.services, machine.name
    assert node is not None
    if services.db.waiting > limits.WRITE_QUEUE_MAX:
        yield f"{name}: {services.db.waiting} writes wait"
    slack = limits.FRAME_BYTES_MAX + 64 * 1024
    for session in node.federation._links.values():
        if session.link.unacknowledged > limits.LINK_CREDIT:
            yield f"{name}: {session.link.unacknowledged} items are under way to a peer"
        waiting = len(session.receiver._waiting)
        if waiting > limits.LINK_WAITING_MAX + limits.LINK_CREDIT:
            yield f"{name}: {waiting} items of a peer wait for the disk"
        if session._socket.buffered > 4 * limits.SOCKET_BUFFER_BYTES_MAX + 2 * slack:
            yield f"{name}: {session._socket.buffered} bytes wait for a peer"
    if node.federation.listener.half_open > limits.HANDSHAKES_MAX:
        yield f"{name}: {node.federation.listener.half_open} handshakes are half open"
    if len(node.federation.dialling) > len(services.db.view(services.peers.all)):
        yield f"{name}: more campaigns than peers"


def unsettled(machine: Machine, but: set[NodeId]) -> Iterator[str]:
    """What a running node still has to do, for all peers `but` these."""
    services, name = machine.services, machine.name
    for device in machine.devices:
        if not device.settled:
            yield f"{device.name} waits for its node, {len(device.outbox)} posts"

    def look(tx: Tx) -> list[str]:
        found = []
        for row in services.peers.all(tx):
            if row.nid in but:
                continue
            if waiting := services.outbox.waiting(tx, row.pk):
                found.append(f"{name}: {waiting} items wait for a peer")
            if rooms := services.rooms.behind(tx, row.nid):
                found.append(f"{name}: {len(rooms)} replicas are behind")
        kinds = [kind for hub, kind in tx.all("SELECT hub, kind FROM pending WHERE code = ''") if hub not in but]
        if kinds:
            found.append(f"{name}: posts wait for another node: {kinds}")
        return found

    yield from services.db.view(look)


def troubles(ledger: Ledger, villain: NodeId) -> list[str]:
    """Why this node takes no more from the villain, by room."""
    return [log.row.trouble for log in ledger.logs.values() if log.row.hub == villain and log.row.trouble]
