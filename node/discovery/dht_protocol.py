"""The socket of the DHT: serves requests, matches answers, and trusts neither.

`SignedProtocol` keeps the frame of the library's protocol (kind, message id, msgpack; futures by message id) and
replaces what a stranger can reach:

* A datagram is measured, then its kind read. An **answer** counts only if its message id is outstanding *at the address
  it came from*. A **request** is charged to its source, then waits in one queue of at most 512, which the loop serves a
  few at a time: there is no task per datagram, and nothing a stranger sends raises.
* Shapes are typed (proto/datagram.py); contacts pass the policy before anybody sees them.
* A source without a token gets at most three times what it sent, what we send to check it included.
* `store` needs the token of its sender's address.
* Whoever asks is pinged back, at most 64 at once, and stands in the table only after that answer.
* A **client** (nobody can reach it) marks its requests read-only and drops those of others.

Requests are answered from memory in one go, so serving never waits and holds no state between datagrams.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from kademlia.node import Node
from kademlia.protocol import KademliaProtocol

from node.base import limits
from node.base.errors import RemoteError
from node.discovery.dht_store import SignedStorage
from node.discovery.dht_table import Table, node_of
from node.discovery.proto import datagram
from node.discovery.proto.datagram import Answer, Method, Outcome, Request
from node.discovery.proto.policy import Contact, Policy, Rates, Tokens, allowance
from node.runtime.clock import Clock
from node.runtime.entropy import Entropy

Endpoint: TypeAlias = tuple[str, int]
Reply: TypeAlias = "asyncio.Future[Answer | None]"
BATCH: Final = 16  # requests served before the loop may do something else
_SECRET_BYTES: Final = 32


class Seen(Protocol):
    """Hears where a peer sees us."""

    def __call__(self, voter: Contact, endpoint: Endpoint, /) -> None:
        """`voter` answered a request of ours and saw it come from `endpoint`."""
        ...


class _Outstanding(NamedTuple):
    future: Reply
    timeout: asyncio.TimerHandle
    endpoint: Endpoint
    expected: bytes | None  # id of the node that was asked, if it was known


class SignedProtocol(KademliaProtocol):  # type: ignore[misc]
    """One family's socket. `own` has the DHT id of this node; `client` may be changed at any time."""

    def __init__(
        self,
        own: Contact,
        *,
        family: int,
        storage: SignedStorage,
        policy: Policy,
        clock: Clock,
        entropy: Entropy,
        seen: Seen,
        client: bool = False,
    ) -> None:
        self._policy = policy
        super().__init__(node_of(own), storage, limits.DHT_K)
        self.client = client
        self.own = own
        self.dropped: Counter[str] = Counter()  # by reason
        self._family = family
        self._clock = clock
        self._entropy = entropy
        self._heard_seen = seen
        self._rates = Rates()
        self._made = Tokens(fresh=lambda: entropy.token_bytes(_SECRET_BYTES))
        self._given: OrderedDict[Endpoint, tuple[bytes, float]] = OrderedDict()  # tokens of others
        self._outstanding: dict[bytes, _Outstanding] = {}
        self._waiting: deque[tuple[bytes, Endpoint]] = deque()
        self._draining = False
        self._probing: set[Endpoint] = set()
        self.table = self._new_table(own)

    def __getattr__(self, name: str) -> Any:
        """The library turns any missing attribute into a remote call; here it is a mistake."""
        raise AttributeError(name)

    def rename(self, own: Contact) -> None:
        """Takes another id; the contacts are sorted around it."""
        contacts = self.table.contacts()
        self.own, self.source_node = own, node_of(own)
        self.storage.place = own.place
        self.table = self._new_table(own)
        for contact in contacts:
            self.table.add(contact)

    def _new_table(self, own: Contact) -> Table:
        table = Table(own, policy=self._policy, ping=self._ping)
        self.router = table  # the library's name
        return table

    def _ping(self, contact: Contact) -> None:
        """Checks a contact, unless it is being checked or was heard within the last minute."""
        _, at = self._given.get(contact.endpoint, (b"", -limits.DHT_FRESH_S))
        busy = contact.endpoint in self._probing or len(self._probing) >= limits.DHT_PROBES_MAX
        if not busy and self._clock.monotonic() - at >= limits.DHT_FRESH_S:
            self._probe(contact)

    # --- asking -------------------------------------------------------------------------------------------------

    def ask(self, contact: Contact, method: Method, *, key: bytes = b"", value: bytes = b"") -> Reply:
        """Asks a contact; None for no answer within a second. The table learns from the outcome.

        None comes at once, and says nothing about the contact, when 512 requests are open or the socket is closed.
        """
        return self._ask(contact.endpoint, contact.id, method, key, value)

    def hello(self, endpoint: Endpoint) -> Reply:
        """Pings an address; whoever answers enters the table."""
        return self._ask(endpoint, None, "ping")

    def _ask(
        self, endpoint: Endpoint, expected: bytes | None, method: Method, key: bytes = b"", value: bytes = b""
    ) -> Reply:
        loop = asyncio.get_running_loop()
        future: Reply = loop.create_future()
        if not self._may_ask():
            future.set_result(None)
            return future
        message_id = self._entropy.token_bytes(datagram.MESSAGE_ID_BYTES)
        timeout = loop.call_later(limits.DHT_REPLY_S, self._timeout, message_id)
        self._outstanding[message_id] = _Outstanding(future, timeout, endpoint, expected)
        self._send(self._request(message_id, endpoint, method, key, value), endpoint)
        return future

    def _may_ask(self) -> bool:
        is_open = self.transport is not None and not self.transport.is_closing()
        return is_open and len(self._outstanding) < limits.DHT_IN_FLIGHT_MAX

    def contacts_of(self, answer: Answer) -> list[Contact]:
        """The contacts of an answer; its shape was checked on arrival."""
        return datagram.unpack_contacts(answer.nodes, family=self._family)

    def _request(self, message_id: bytes, endpoint: Endpoint, method: Method, key: bytes, value: bytes) -> bytes:
        token = self._token_for(endpoint)
        flags = datagram.READ_ONLY if self.client else 0
        request = Request(method, self.own.id, flags, token, key, value)
        padded = 0 if token or method not in {"find_node", "find_value"} else limits.DHT_PADDED_BYTES
        return datagram.encode_request(message_id, request, size_bytes=padded)

    def _token_for(self, endpoint: Endpoint) -> bytes:
        token, at = self._given.get(endpoint, (b"", 0.0))
        return token if self._clock.monotonic() - at < limits.DHT_TOKEN_S else b""

    def _timeout(self, message_id: bytes) -> None:
        outstanding = self._outstanding.pop(message_id, None)
        if outstanding is not None:
            self._resolve(outstanding, None)

    def _resolve(self, outstanding: _Outstanding, answer: Answer | None) -> None:
        """Who answered enters the table or stays, who did not leaves it; then whoever waits may go on."""
        node = outstanding.expected if answer is None else answer.node
        if node is not None:
            contact = Contact(node, *outstanding.endpoint)
            if answer is None:
                self.table.remove(contact)
            elif contact in self.table:
                self.table.touch(contact)
            else:
                self._insert(contact)
        if not outstanding.future.done():
            outstanding.future.set_result(answer)

    # --- hearing ------------------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Whatever arrives. Never raises."""
        endpoint: Endpoint = (addr[0], addr[1])
        try:
            if datagram.kind_of(data) == datagram.ANSWER:
                self._hear_answer(data, endpoint)
            elif self._may_serve(endpoint):
                self._enqueue(data, endpoint)
        except (RemoteError, ValueError):
            self.dropped["malformed"] += 1

    def error_received(self, exc: Exception) -> None:
        """Somebody's machine said that nobody listens; the time-out says the same."""
        self.dropped["unreachable"] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed: nobody will answer any more."""
        for outstanding in list(self._outstanding.values()):
            outstanding.timeout.cancel()
            if not outstanding.future.done():
                outstanding.future.set_result(None)
        self._outstanding.clear()
        self._waiting.clear()

    def _hear_answer(self, data: bytes, endpoint: Endpoint) -> None:
        message_id = datagram.message_id_of(data)
        outstanding = self._outstanding.get(message_id)
        if outstanding is None or outstanding.endpoint != endpoint:
            self.dropped["unasked"] += 1
            return
        answer = self._read_answer(data, outstanding)
        del self._outstanding[message_id]
        outstanding.timeout.cancel()
        if answer is not None:
            self._remember(answer, endpoint)
        self._resolve(outstanding, answer)

    def _read_answer(self, data: bytes, outstanding: _Outstanding) -> Answer | None:
        """The answer; None if it is malformed or of another node than was asked. Whoever sent it read our message id."""
        try:
            answer = datagram.decode_answer(data)
            datagram.unpack_contacts(answer.nodes, family=self._family)
        except RemoteError:
            self.dropped["malformed"] += 1
            return None
        return None if outstanding.expected not in {None, answer.node} else answer

    def _remember(self, answer: Answer, endpoint: Endpoint) -> None:
        self._given.pop(endpoint, None)
        self._given[endpoint] = (answer.token, self._clock.monotonic())
        if len(self._given) > limits.DHT_TOKENS_MAX:
            self._given.popitem(last=False)
        try:
            seen = datagram.unpack_endpoint(answer.seen, family=self._family)
        except RemoteError:
            return
        self._heard_seen(Contact(answer.node, *endpoint), seen)

    # --- serving ------------------------------------------------------------------------------------------------

    def _may_serve(self, endpoint: Endpoint) -> bool:
        if self.client:
            reason = "client"
        elif not self._rates.allow(endpoint[0], now=self._clock.monotonic()):
            reason = "rate"
        elif len(self._waiting) >= limits.DHT_IN_FLIGHT_MAX:
            reason = "busy"
        else:
            return True
        self.dropped[reason] += 1
        return False

    def _enqueue(self, data: bytes, endpoint: Endpoint) -> None:
        self._waiting.append((data, endpoint))
        if not self._draining:
            self._draining = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        for _ in range(min(BATCH, len(self._waiting))):
            self._serve(*self._waiting.popleft())
        self._draining = bool(self._waiting)
        if self._draining:
            asyncio.get_running_loop().call_soon(self._drain)

    def _serve(self, data: bytes, endpoint: Endpoint) -> None:
        try:
            request = datagram.decode_request(data)
        except RemoteError:
            self.dropped["malformed"] += 1
            return
        stranger = self._stranger(request, endpoint)
        answer = self._affordable(request, endpoint, size_bytes=len(data), pinged=stranger is not None)
        if answer is None:
            self.dropped["small"] += 1
            return
        self._send(datagram.encode_answer(datagram.message_id_of(data), answer), endpoint)
        if stranger is not None:
            self.welcome_if_new(node_of(stranger))

    def _affordable(self, request: Request, endpoint: Endpoint, *, size_bytes: int, pinged: bool) -> Answer | None:
        """The answer; to a source without a valid token as much of it as its request pays for."""
        now = self._clock.monotonic()
        proven = bool(request.token) and self._made.check(request.token, endpoint[0], now=now)
        answer = self.answer(request, endpoint, proven)
        if proven or answer is None:
            return answer
        size = allowance(size_bytes, reserved_bytes=datagram.PING_BYTES_MAX if pinged else 0)
        return datagram.fit(answer, size_bytes=size, family=self._family)

    def answer(self, request: Request, endpoint: Endpoint, proven: bool) -> Answer | None:
        """What this node says; before it is cut to what the asker may get."""
        blank = self._blank(endpoint)
        match request.method:
            case "ping" | "stun":
                return blank
            case "find_node":
                return msgspec.structs.replace(blank, nodes=self._near(request.key, endpoint, limits.DHT_K))
            case "find_value":
                return self._answer_find_value(request, endpoint, blank)
            case "store":
                return msgspec.structs.replace(blank, code=self._store(request, proven=proven))

    def _blank(self, endpoint: Endpoint) -> Answer:
        token = self._made.make(endpoint[0], now=self._clock.monotonic())
        return Answer(self.own.id, token, datagram.pack_endpoint(*endpoint))

    def _answer_find_value(self, request: Request, endpoint: Endpoint, blank: Answer) -> Answer:
        value = self.storage.get(request.key) or b""
        count = limits.DHT_NEAR_WITH_VALUE if value else limits.DHT_K
        return msgspec.structs.replace(blank, value=value, nodes=self._near(request.key, endpoint, count))

    def _near(self, key: bytes, endpoint: Endpoint, count: int) -> bytes:
        return datagram.pack_contacts(self.table.nearest(key, count, but=endpoint))

    def _store(self, request: Request, *, proven: bool) -> Outcome:
        if not proven:
            return Outcome.BAD_TOKEN
        return Outcome.DONE if self.storage.put(request.key, request.value) else Outcome.REFUSED

    # --- newcomers ----------------------------------------------------------------------------------------------

    def _stranger(self, request: Request, endpoint: Endpoint) -> Contact | None:
        """The sender, if it is to be pinged back: somebody who might enter the table and is not there."""
        if request.read_only or request.method == "stun":
            return None
        contact = Contact(request.node, *endpoint)
        known = contact.id == self.own.id or contact in self.table
        full = endpoint in self._probing or len(self._probing) >= limits.DHT_PROBES_MAX
        return None if known or full or not self._policy.allows(contact) else contact

    def welcome_if_new(self, node: Node) -> None:
        """Pings a stranger back; it enters the table when it answers with the same id."""
        self._probe(Contact(node.id, node.ip, node.port))

    def _probe(self, contact: Contact) -> None:
        self._probing.add(contact.endpoint)
        reply = self.ask(contact, "ping")
        reply.add_done_callback(lambda _: self._probing.discard(contact.endpoint))

    def _insert(self, contact: Contact) -> None:
        if self.table.add(contact) and not self.client:
            self._hand_off(contact)

    def _hand_off(self, newcomer: Contact) -> None:
        """Gives a newcomer the records it is to hold and that we are the nearest to: one neighbour does it, not twenty."""
        heirlooms = (key for key in self._nearest_to_us(newcomer) if newcomer in self.table.nearest(key))
        for key in islice(heirlooms, limits.DHT_HANDOFF_MAX):
            value = self.storage.get(key)
            if value is not None:
                self.ask(newcomer, "store", key=key, value=value)

    def _nearest_to_us(self, newcomer: Contact) -> Iterator[bytes]:
        """Keys that no contact but the newcomer is nearer to. Our neighbours are asked first: they rule out most."""
        neighbours = [other.place for other in self.table.nearest(self.own.id) if other != newcomer]
        for key in self.storage.listed():
            place = int.from_bytes(key, "big")
            distance = self.own.place ^ place
            if all(distance < other ^ place for other in neighbours) and self._is_nearest(place, newcomer):
                yield key

    def _is_nearest(self, place: int, newcomer: Contact) -> bool:
        distance = self.own.place ^ place
        return all(distance < other.place ^ place for other in self.table.contacts() if other != newcomer)

    def _send(self, data: bytes, endpoint: Endpoint) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, endpoint)
