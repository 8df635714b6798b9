"""What holds in every room after any sequence of commands, legal or not.

Random people say random things in a random order. A second, independent set of books (`Books`) says who must not be
heard; the rules of core/commands.py must agree with it at every step, and every replica must end in the same state.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from node.base.errors import Code, Rejected
from node.base.ids import EventId, UserId
from node.core import commands, content, message, room
from node.core.content import Body
from node.core.roles import RANK, Role
from node.core.room import Command
from tests.unit.core.chronicle import ALICE, BOB, CAST, KIND_OF, Chronicle

MINUTE_MS = 60_000
KINDS = (*sorted(set(content.KINDS) - {"create"}), "x.poll", "text", "text", "join", "join", "join", "leave")
Step = tuple[int, str, int, int, int, int]

steps = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 1, 1, 2, 3, 4)),  # who
        st.sampled_from(KINDS),  # does what
        st.integers(0, 4),  # to whom
        st.integers(0, 30),  # about which message
        st.integers(0, 3),  # a choice
        st.sampled_from((0, 1, 1000, MINUTE_MS, 3 * MINUTE_MS, 25 * 60 * MINUTE_MS)),  # how much later
    ),
    max_size=60,
)


def say(log: Chronicle, step: Step) -> tuple[UserId, Body]:
    """The command that a step stands for."""
    who, kind, whom, about, choice, _ = step
    actor, other = CAST[who], CAST[whom]
    targets = list(log.messages) or [EventId(bytes(32))]
    target = targets[about % len(targets)]
    until = (0, log.now_ms + MINUTE_MS, log.now_ms + 10 * MINUTE_MS, log.now_ms)[choice]
    fields: dict[str, dict[str, Any]] = {
        "text": {"text": "hello"},
        "x.poll": {"fallback": "a poll"},
        "edit": {"target": target, "text": "changed"},
        "recall": {"target": target},
        "redact": {"target": target, "reason": "rude"},
        "reaction": {"target": target, "value": "👍🌱"[choice % 2], "on": choice < 2},
        "join": {"via": ("invite", "link")[choice % 2]},
        "decline": {},
        "leave": {},
        "role": {"user": other, "role": (Role.ADMIN, Role.MEMBER, Role.VISITOR, Role.OWNER)[choice]},
        "mute": {"user": other, "until_ms": until},
        "ban": {"user": other, "until_ms": until},
        "mute_all": {"on": choice < 2},
        "ban_node": {"node": ("a" * 52, other.rpartition("@")[2])[choice % 2]},
        "unban_node": {"node": "a" * 52},
        "name": {"name": f"Garden {choice}"},
        "topic": {"topic": f"topic {choice}"},
        "settings": {
            "recall_window_s": (0, 60, 120, 3600)[choice],
            "edit_window_s": (None, 60, 3600, 0)[choice],
            "calls": (None, "everybody", "admins", "nobody")[choice],
        },
        "call": {"call": bytes(16), "media": "audio"}
        | ({"state": "start"} if choice < 2 else {"state": "end", "start": target, "result": "answered"}),
    }
    struct = content.KINDS.get(kind, content.Unknown)
    return actor, struct(**fields.get(kind, {"user": other}))


class Books:
    """Who may not speak, kept apart from the code under test: only from entries that were accepted."""

    def __init__(self) -> None:
        self.inside: dict[UserId, str] = {}  # present members and their appointed role
        self.silent: dict[UserId, int] = {}  # muted until; 0 for ever
        self.out: dict[UserId, int] = {}  # banned until; 0 for ever
        self.all_muted = False

    def muted(self, user: UserId, now_ms: int) -> bool:
        return user in self.silent and (self.silent[user] == 0 or self.silent[user] > now_ms)

    def banned(self, user: UserId, now_ms: int) -> bool:
        return user in self.out and (self.out[user] == 0 or self.out[user] > now_ms)

    def note(self, actor: UserId, body: Body) -> None:
        match body:
            case content.Create():
                self.inside = {actor: "owner"}
            case content.Join():
                self.inside[actor] = "member" if self.inside else "owner"
                if self.inside[actor] == "owner":
                    self.silent.pop(actor, None)
                self.out.pop(actor, None)
            case content.Leave():
                self.inside.pop(actor)
            case content.Kick() | content.Ban():
                self.inside.pop(UserId(body.user), None)
                if isinstance(body, content.Ban):
                    self.out[UserId(body.user)] = body.until_ms
            case content.Unban():
                self.out.pop(UserId(body.user))
            case content.MuteAll():
                self.all_muted = body.on
            case _:
                self._note_rank(actor, body)

    def _note_rank(self, actor: UserId, body: Body) -> None:
        match body:
            case content.SetRole():
                self.inside[UserId(body.user)] = body.role.value
                self.silent.pop(UserId(body.user), None)
            case content.Transfer():
                self.inside |= {actor: "admin", UserId(body.user): "owner"}
                self.silent.pop(UserId(body.user), None)
            case content.Mute():
                self.silent[UserId(body.user)] = body.until_ms
            case content.Unmute():
                self.silent.pop(UserId(body.user))


def check_allowed(books: Books, log: Chronicle, actor: UserId, body: Body) -> None:
    """The hub just accepted this (the books are still those of before): was that right?"""
    now_ms = log.now_ms
    if actor not in books.inside:
        assert isinstance(body, content.Join | content.Decline), "somebody outside was heard"
        assert not (isinstance(body, content.Join) and books.banned(actor, now_ms)), "a banned person came in"
        return
    assert not isinstance(body, content.Join | content.Decline)
    if books.muted(actor, now_ms):
        assert isinstance(body, content.Leave), "a muted member was heard"
    rank = books.inside[actor]
    if books.all_muted and rank not in {"owner", "admin"}:
        assert not isinstance(body, content.Text | content.Unknown | content.Edit), "heard although everyone is muted"
    if isinstance(body, content.Kick | content.Ban | content.Mute | content.Unmute) and body.user in books.inside:
        assert RANK[Role(rank)] > RANK[Role(books.inside[UserId(body.user)])], "acted on a superior"
    if isinstance(body, content.SetRole | content.Transfer):
        assert rank == "owner"


def check_mark(log: Chronicle, actor: UserId, body: Body) -> None:
    """The hub is asked for a mark and says yes: may it?"""
    if isinstance(body, content.Edit | content.Recall | content.Redact | content.Reaction):
        message = log.messages[EventId(body.target)]
        assert not message.erased
        age_ms = log.now_ms - message.at_ms
        if isinstance(body, content.Edit | content.Recall):
            assert actor == message.author
            window_s = log.room.edit_window_s if isinstance(body, content.Edit) else log.room.recall_window_s
            assert age_ms <= window_s * 1000
        if isinstance(body, content.Redact):
            assert room.role_of(log.room.members[actor], log.now_ms) in {Role.OWNER, Role.ADMIN}


def run(plan: list[Step], log: Chronicle, books: Books) -> Chronicle:
    for step in plan:
        log.now_ms += step[-1]
        actor, body = say(log, step)
        try:
            commands.decide(
                log.room, Command(actor, KIND_OF[type(body)], body), log.now_ms, log.messages.get(_target(body))
            )
        except Rejected:
            assert log.refusal(actor, body) in set(Code)
            continue
        check_mark(log, actor, body)
        log.post(actor, body)
        check_allowed(books, log, actor, body)
        books.note(actor, body)
        check_room(log, books)
    return log


def _target(body: Body) -> EventId:
    return message.named_by(body) or EventId(b"")


def check_room(log: Chronicle, books: Books) -> None:
    """Invariants of a group."""
    state = log.room
    assert set(state.members) == set(books.inside)
    owners = [user for user, member in state.members.items() if member.role is Role.OWNER]
    assert len(owners) == (1 if state.members else 0), "a room with people has exactly one owner"
    assert not state.members.keys() & state.invited.keys()
    for user in state.members:
        assert not books.banned(user, log.now_ms)
        joined = state.members[user].joined_idx
        assert log.entries[joined - 1].command.actor == user
        assert isinstance(log.entries[joined - 1].command.body, content.Join | content.Create)


def new_group() -> tuple[Chronicle, Books]:
    log, books = Chronicle(), Books()
    first = content.Create(name="Garden")
    log.post(ALICE, first)
    books.note(ALICE, first)
    for user in CAST[1:4]:
        log.post(user, content.Join(via="link"))
        books.note(user, content.Join(via="link"))
    return log, books


@given(steps)
@settings(deadline=None, max_examples=300)
def test_every_replica_reaches_the_same_state(plan: list[Step]) -> None:
    log = run(plan, *new_group())
    for restarts in (False, True):
        follower = log.replay(restarts=restarts)
        assert follower.room == log.room
        assert follower.messages == log.messages
        assert [entry.command for entry in follower.entries] == [entry.command for entry in log.entries]


@given(steps)
@settings(deadline=None, max_examples=200)
def test_a_direct_chat_keeps_its_two_people(plan: list[Step]) -> None:
    log = Chronicle(room.new_direct(ALICE, BOB))
    for step in plan:
        log.now_ms += step[-1]
        actor, body = say(log, step)
        try:
            log.post(actor, body)
        except Rejected:
            continue
        assert actor in {ALICE, BOB}
        allowed = (
            content.Text,
            content.Call,
            content.Unknown,
            content.Edit,
            content.Recall,
            content.Reaction,
            content.Settings,
        )
        assert isinstance(body, allowed)
    assert set(log.room.members) == {ALICE, BOB}
    assert log.replay(restarts=True).room == log.room
