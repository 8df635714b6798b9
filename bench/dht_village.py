"""A network of DHT nodes on loopback addresses, honest ones and attackers; for bench/dht.py and the tests of attacks.

Every node has an address of its own under 127/8, in a network (/24) of its own, so that the rules about addresses count as
on the Internet. Honest nodes are `node.discovery.dht.Dht` as shipped, with real limits and real sockets; only the time
between two jobs of theirs is the caller's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.base import limits
from node.base.ids import NodeId
from node.discovery.bootstrap import BootstrapList
from node.discovery.dht import Dht
from node.discovery.dht_protocol import Endpoint, SignedProtocol
from node.discovery.dht_server import SignedServer
from node.discovery.proto import datagram
from node.discovery.proto.datagram import Answer, Request
from node.discovery.proto.policy import ID_BYTES, R_MASK, Contact, Policy, make_id
from node.runtime.clock import Clock, SystemClock
from node.runtime.entropy import SeededEntropy
from node.wire import keys, record
from node.wire.location import LocBody, Spot
from node.wire.record import dht_key

LOOPBACK: Final = Policy(public=(ipaddress.IPv4Network("127.0.0.0/8"),))
JOIN_AT_ONCE: Final = 10
FRIENDS: Final = 8  # contacts through which a node joins, hostile ones included


class Home:
    """Somebody's identity, with as many versions of its location record as one likes."""

    def __init__(self, number: int, *, now_s: int) -> None:
        self._now_s = now_s
        entropy = SeededEntropy(f"home {number}").token_bytes(32)
        root = keys.derive_root(entropy, 0)
        self._key = Ed25519PrivateKey.from_private_bytes(SeededEntropy(f"op {number}").token_bytes(32))
        self._chain = keys.make_chain(entropy, 0)
        self.nid: NodeId = keys.check_chain(self._chain)
        op = self._key.public_key().public_bytes_raw()
        self._cert = keys.sign_cert(root, nid=self.nid, op=op, now_s=now_s, incarnation=1)
        self.key = dht_key(self.nid, record.SALT_LOC)

    def version(self, seq: int) -> bytes:
        """The record with this number, valid for 42 hours."""
        body = LocBody(domain=f"v{seq}.example", addresses=(Spot(4, bytes([203, 0, 113, 7]), 443),), versions=(1,))
        return record.make_loc(
            chain=self._chain, cert=self._cert, op_key=self._key, seq=seq, now_s=self._now_s, body=body
        )


class Plot:
    """What the attackers of a network know and do together."""

    def __init__(self, attack: str) -> None:
        self.attack = attack
        self.members: list[Contact] = []
        self.old: dict[bytes, bytes] = {}  # an earlier version, by key
        self.random = random.Random(attack)

    def near(self, key: bytes) -> list[Contact]:
        """Fellows that are nearest to the key."""
        place = int.from_bytes(key, "big")
        return sorted(self.members, key=lambda contact: contact.place ^ place)[:20]

    def forgery(self, key: bytes) -> bytes:
        """Something that is not the record of this key: garbage, another's record, or its own with a changed byte."""
        real = self.old.get(key)
        others = [raw for other, raw in self.old.items() if other != key]
        kinds = [self.random.randbytes(300)]
        if real is not None:
            place = self.random.randrange(len(real))
            kinds.append(real[:place] + bytes([real[place] ^ 1]) + real[place + 1 :])
        if others:
            kinds.append(self.random.choice(others))
        return self.random.choice(kinds)

    def crash_packet(self, message_id: bytes) -> bytes:
        """An answer of a shape nobody expects."""
        head = b"\x01" + message_id
        shapes: Sequence[object] = (
            {"value": []}, None, [[]] * 6, [b"", b"", b"", b"", b"", b""], [b"i" * 20, b"t" * 8, b"", b"n" * 25, b"", 0],
            [b"i" * 20, b"t" * 8, b"s", b"", b"v" * 999, -1], "text", 2**63, [b"i" * 20, b"t" * 8, b"", [b"n"], b"", 0],
        )  # fmt: skip
        raw: Sequence[bytes] = (
            b"\x81" * 1_300, b"\x91" * 1_300, b"\xdd\xff\xff\xff\xff", b"\xc7\xff\x01", b"\xd9\x04\xff\xff\xff\xff",
        )  # fmt: skip
        chosen = self.random.choice((*shapes, *raw))
        return head + (chosen if chosen in raw and isinstance(chosen, bytes) else msgspec.msgpack.encode(chosen))


class HostileProtocol(SignedProtocol):
    """Speaks the protocol and means harm. `plot` is set by its server."""

    plot: Plot

    def answer(self, request: Request, endpoint: Endpoint, proven: bool) -> Answer | None:
        """What the attack says."""
        honest = super().answer(request, endpoint, proven)
        if honest is None or request.method in {"ping", "stun"}:
            return honest
        if request.method == "store":
            return msgspec.structs.replace(honest, code=0)  # "stored"
        attack = self.plot.attack
        near = datagram.pack_contacts(self.plot.near(request.key)[:20])
        if attack in {"sink", "stale+collude"}:
            honest = msgspec.structs.replace(honest, nodes=near)
        if request.method != "find_value":
            return honest
        value = b""
        if attack == "forge":
            value = self.plot.forgery(request.key)
        elif attack in {"stale", "stale+collude"}:
            value = self.plot.old.get(request.key, b"")
        size = datagram.contact_bytes(4) * (8 if value else 20)
        return msgspec.structs.replace(honest, value=value[:1_000], nodes=honest.nodes[:size])

    def _serve(self, data: bytes, endpoint: Endpoint) -> None:
        if self.plot.attack == "crash" and self.plot.random.random() < 0.8 and data[22:27] != b"\xa4ping":
            self._send(self.plot.crash_packet(datagram.message_id_of(data)), endpoint)
        else:
            super()._serve(data, endpoint)


class HostileServer(SignedServer):
    """A server whose protocol is the attack's."""

    protocol_class = HostileProtocol

    def __init__(self, plot: Plot, node_id: bytes | None, **collaborators: object) -> None:
        super().__init__(**collaborators)  # type: ignore[arg-type]
        self._plot = plot
        self._wanted = node_id

    def _create_protocol(self) -> SignedProtocol:
        made = super()._create_protocol()
        assert isinstance(made, HostileProtocol)
        made.plot = self._plot
        return made

    def _take_address(self, ip: str) -> None:
        super()._take_address(ip)
        if self._wanted is not None:
            self.own = self.own._replace(id=self._wanted)
            self.storage.place = self.own.place


class Village:
    """The network. `alive` are the honest nodes, `hostile` the others."""

    def __init__(self, *, seed: int, attack: str = "", clock: Clock | None = None, friends: int = FRIENDS) -> None:
        self.random = random.Random(seed)
        self.clock = clock or SystemClock()
        self.plot = Plot(attack)
        self._friends_each = friends
        self.alive: list[Dht] = []
        self.hostile: list[Dht] = []
        self._numbers = iter(self.random.sample(range(1, 2**16 - 1), 2_000))
        self._made = 0

    def address(self) -> str:
        """A loopback address in a /24 that no other node has; below 127.64."""
        number = next(self._numbers) & 0x3FFF
        return f"127.{number >> 8}.{number & 0xFF}.{self.random.randrange(1, 255)}"

    async def grow(self, kinds: Iterable[str]) -> None:
        """Starts nodes, "honest" or "hostile", ten at a time; the first must be honest."""
        waiting = list(kinds)
        if waiting and not self.alive:
            await self.start(hostile=waiting.pop(0) == "hostile")
        while waiting:
            batch, waiting = waiting[:JOIN_AT_ONCE], waiting[JOIN_AT_ONCE:]
            await asyncio.gather(*(self.start(hostile=kind == "hostile") for kind in batch))

    async def start(self, *, hostile: bool = False, ip: str | None = None, node_id: bytes | None = None) -> Dht:
        """One node that has joined."""
        self._made += 1
        where = ip or self.address()
        dht = self._make(where, hostile=hostile, node_id=node_id, friends=self._friends())
        await dht.open()
        (self.hostile if hostile else self.alive).append(dht)
        if hostile:
            self.plot.members.append(dht.servers[4].own)
        await dht.join()
        return dht

    def _make(self, ip: str, *, hostile: bool, node_id: bytes | None, friends: list[Endpoint]) -> Dht:
        contacts = BootstrapList(None)
        for friend in friends:
            contacts.learn(*friend)

        def server(**collaborators: object) -> SignedServer:
            return HostileServer(self.plot, node_id, **collaborators)

        return Dht(
            clock=self.clock,
            entropy=SeededEntropy(f"{self.random.random()} {self._made}"),
            bootstrap=contacts,
            own_record=lambda: None,
            port=0,
            hosts=(ip, ""),
            policy=LOOPBACK,
            server=server if hostile else SignedServer,
        )

    def _friends(self) -> list[Endpoint]:
        """As a list of contacts has them: with ids that their addresses may have, two of a network at most."""
        pool = [dht.servers[4].own for dht in self.alive + self.hostile]
        self.random.shuffle(pool)
        networks: Counter[bytes] = Counter()
        friends: list[Endpoint] = []
        for contact in filter(LOOPBACK.allows, pool):
            network = LOOPBACK.network_of(contact)
            if networks[network] < limits.DHT_NETWORK_MAX and len(friends) < self._friends_each:
                networks[network] += 1
                friends.append(contact.endpoint)
        return friends

    async def settle(self) -> None:
        """Everybody looks around once more: the first ones did not know the last ones."""
        for start in range(0, len(self.alive), JOIN_AT_ONCE):
            some = self.alive[start : start + JOIN_AT_ONCE]
            await asyncio.gather(*(dht.servers[4].find_nodes(dht.servers[4].own.id) for dht in some))

    def kill(self, count: int) -> None:
        """Honest nodes vanish without a word."""
        for dht in self.random.sample(self.alive, count):
            self.alive.remove(dht)
            dht.close()

    async def churn(self, share: float) -> None:
        """A share of the honest nodes vanishes, as many new ones come."""
        count = int(len(self.alive) * share)
        self.kill(count)
        await self.grow(["honest"] * count)

    async def surround(self, key: bytes, count: int) -> None:
        """Attackers with the ids nearest to a key, whatever their addresses are."""
        place = int.from_bytes(key, "big")
        for number in range(count):
            await self.start(hostile=True, node_id=(place ^ (number + 1)).to_bytes(ID_BYTES, "big"))

    async def surround_by_grinding(self, key: bytes, count: int, *, addresses: int) -> None:
        """The same with ids that their addresses may have: the attacker owns `addresses` in 127.128…, and picks."""
        place = int.from_bytes(key, "big")
        ground = []
        for number in range(addresses):
            ip = f"127.{128 + (number >> 16)}.{number >> 8 & 0xFF}.{number & 0xFF}"
            for r in range(R_MASK + 1):
                tail = key[:-1] + bytes([key[-1] & ~R_MASK & 0xFF | r])
                made = make_id(ip, tail)
                ground.append((int.from_bytes(made, "big") ^ place, ip, made))
        ground.sort()
        used: set[str] = set()
        for _, ip, made in ground:
            if ip not in used and len(used) < count:
                used.add(ip)
                await self.start(hostile=True, ip=ip, node_id=made)

    def close(self) -> None:
        """Closes every socket."""
        for dht in self.alive + self.hostile:
            dht.close()
