"""The ICE-lite side of one transport (RFC 8445 section 2.5): it answers checks and goes where the other side nominates. Sans-IO.

*Who may*: only a request whose MESSAGE-INTEGRITY was made with our password, and whose USERNAME begins with our ufrag. Such a request
proves its source address for `MEDIA_CONSENT_S` (RFC 7675); media is sent to the nominated one among the proven, and taken from all of them.
*Migration*: a nomination from another address moves the transport there. A NAT may give a client another address without its knowing; its
checks, which nominate nothing once it has nominated (aioice, Firefox), then come from there alone. So an address that checks for the
second time since the nominated one fell silent counts as nominated. Whoever recorded a check and sends it again from elsewhere
proves nothing: a transaction is believed from the address that was first with it.
*Restart*: `restart` makes a second pair of credentials beside the first, which is dropped when the second is nominated or a third made.

*Return*: a check proves who sent it, not where from, for an address can be forged. The first nomination is followed by a handshake,
which proves the way back; before media moves to another address, `Return` sends one check of our own there and waits for its answer.

It never checks unasked, so two lite sides never connect. The caller hands in the source as an opaque key (and the
address to be shown), and keeps its table of keys in step by what `receive` says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import IntEnum
from typing import Final

from msgspec import Struct

from node.base import limits
from node.media.proto import stun

HOST_PRIORITY: Final = 126 << 24 | 65_535 << 8 | 255  # RFC 8445 section 5.1.2.1
SILENCE_S: Final = (
    5.0  # an agent checks the path it uses more often than that, or nearly (aioice: 4 to 6 s, Chromium: 2.5 s)
)
UFRAG_BYTES: Final = 6  # 8 characters, so that nobody's clashes with another's
_MARKS: Final = "ABCDEFGHIJKLMNOP"  # of MEDIA_WORKERS_MAX
PWD_BYTES: Final = 18  # 24 characters: 144 bits


def mark(number: int, ufrag: str) -> str:
    """A ufrag that says which worker it is of, for connections that come to another process first."""
    assert 0 <= number < len(_MARKS)
    return _MARKS[number] + ufrag


def marked(ufrag: bytes) -> int:
    """The number in a ufrag, -1 if there is none."""
    return _MARKS.find(ufrag[:1].decode("latin-1")) if ufrag else -1


class Credentials(Struct, frozen=True):
    """Of one generation."""

    ufrag: str
    pwd: str


class Verdict(IntEnum):
    """What a request was."""

    FORGED = 0  # unauthenticated, or none of ours: no answer
    REFUSED = 1  # authenticated and wrong; `answer` says why
    CHECKED = 2  # the source is proven
    NOMINATED = 3  # and is where media goes from now on


class Reply(Struct, frozen=True):
    """`answer` goes back to the source of the request."""

    verdict: Verdict
    answer: bytes = b""
    dropped: tuple[Hashable, ...] = ()  # keys that are no longer proven
    retired: str = ""  # our ufrag that is no longer in use


class IceLite:
    """One transport. `selected` is the key of the nominated address, None before."""

    def __init__(self, credentials: Credentials) -> None:
        self._current = credentials
        self._former: Credentials | None = None
        self._proven: dict[Hashable, float] = {}  # key -> time of the last check
        self._transactions: OrderedDict[bytes, Hashable] = OrderedDict()
        self._nominated = False  # ever
        self.selected: Hashable | None = None

    @property
    def credentials(self) -> Credentials:
        """To be told to the other side."""
        return self._current

    @property
    def ufrags(self) -> tuple[str, ...]:
        """Ours that are in use, the newest first."""
        return (self._current.ufrag,) if self._former is None else (self._current.ufrag, self._former.ufrag)

    @property
    def sources(self) -> tuple[Hashable, ...]:
        """Keys of all proven addresses."""
        return tuple(self._proven)

    def restart(self, credentials: Credentials) -> str:
        """New credentials. Returns the ufrag that is no longer in use, or an empty string."""
        if self._former is not None:
            # The second generation was never nominated: the first still carries media and stays.
            unused, self._current = self._current.ufrag, credentials
            return unused
        self._former, self._current = self._current, credentials
        return ""

    def receive(self, message: stun.Message, source: Hashable, shown: stun.Address, now: float) -> Reply:
        """Answers a binding request from `source`, whose address is `shown`."""
        generation = self._generation(message)
        if generation is None or message.kind != stun.REQUEST:
            return Reply(Verdict.FORGED)
        password = generation.pwd.encode()
        if not message.verified(password):
            return Reply(Verdict.FORGED)
        if message.unknown:
            return Reply(Verdict.REFUSED, stun.error(message.transaction, 420, password, message.unknown))
        if stun.ICE_CONTROLLED in message.attributes:  # a lite side is always the controlled one
            return Reply(Verdict.REFUSED, stun.error(message.transaction, 487, password))
        if self._replayed(message.transaction, source):
            return Reply(Verdict.FORGED)
        moved = self._moved(source, now)
        dropped = self._prove(source, now)
        answer = stun.success(message.transaction, shown, password)
        if stun.USE_CANDIDATE not in message.attributes and not moved:
            return Reply(Verdict.CHECKED, answer, dropped=dropped)
        retired = ""
        if self._former is not None:
            if generation is self._former and self.selected is not None and self.selected != source:
                # The old generation moves no more once there is a new one.
                return Reply(Verdict.CHECKED, answer, dropped=dropped)
            if generation is self._current:
                retired, self._former = self._former.ufrag, None
        self.selected, self._nominated = source, True
        return Reply(Verdict.NOMINATED, answer, dropped=dropped, retired=retired)

    def consented(self, now: float) -> bool:
        """Media may be sent to the nominated address."""
        last = self._proven.get(self.selected) if self.selected is not None else None
        return last is not None and now - last < limits.MEDIA_CONSENT_S

    def expire(self, now: float) -> tuple[Hashable, ...]:
        """Forgets addresses whose proof is too old; returns their keys. The nominated one may be among them: then nothing is
        selected until the next nomination."""
        gone = tuple(key for key, last in self._proven.items() if now - last >= limits.MEDIA_CONSENT_S)
        for key in gone:
            self._forget(key)
        return gone

    def drop(self, source: Hashable) -> None:
        """A path is gone, however well it was proven. Unknown ones are ignored."""
        if source in self._proven:
            self._forget(source)

    def _generation(self, message: stun.Message) -> Credentials | None:
        receiver = message.users[0]
        for credentials in (self._current, self._former):
            if credentials is not None and receiver == credentials.ufrag.encode():
                return credentials
        return None

    def _moved(self, source: Hashable, now: float) -> bool:
        """Whether a check from `source` means that the other side is there now without knowing it."""
        if not self._nominated or source == self.selected:
            return False
        if self.selected is None:
            return True
        heard, before = self._proven[self.selected], self._proven.get(source)
        return before is not None and before > heard and now - heard >= SILENCE_S

    def _replayed(self, transaction: bytes, source: Hashable) -> bool:
        known = self._transactions.setdefault(transaction, source)
        if len(self._transactions) > limits.MEDIA_TRANSACTIONS_MAX:
            self._transactions.popitem(last=False)
        return known != source

    def _prove(self, source: Hashable, now: float) -> tuple[Hashable, ...]:
        self._proven[source] = now
        if len(self._proven) <= limits.MEDIA_SOURCES_MAX:
            return ()
        oldest = min((key for key in self._proven if key not in {source, self.selected}), key=self._proven.__getitem__)
        self._forget(oldest)
        return (oldest,)

    def _forget(self, key: Hashable) -> None:
        del self._proven[key]
        if self.selected == key:
            self.selected = None


class Return:
    """Whether somebody answers at an address that was nominated: one check there, its answer believed from there only."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, tuple[Hashable, bytes]] = OrderedDict()

    def check(self, path: Hashable, transaction: bytes, *, theirs: Credentials, ours: str) -> bytes:
        """A request to be sent to `path`; `transaction` is fresh."""
        password = theirs.pwd.encode()
        self._waiting[transaction] = (path, password)
        if len(self._waiting) > limits.MEDIA_SOURCES_MAX:
            self._waiting.popitem(last=False)
        attributes = (
            (stun.USERNAME, f"{theirs.ufrag}:{ours}".encode()),
            (stun.ICE_CONTROLLED, transaction[:8]),
            (stun.PRIORITY, HOST_PRIORITY.to_bytes(4, "big")),
        )
        return stun.build(stun.REQUEST, transaction, attributes, password)

    def answered(self, message: stun.Message, path: Hashable) -> bool:
        """The answer to a check that was sent to `path`, from there."""
        expected = self._waiting.get(message.transaction)
        if message.kind != stun.SUCCESS or expected is None or expected[0] != path or not message.verified(expected[1]):
            return False
        del self._waiting[message.transaction]
        return True
