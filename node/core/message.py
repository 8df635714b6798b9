"""One message and what was done to it: edits, reactions, recall. A pure fold over the marks of the log.

The content itself (`body`) is data that may be erased; everything here is derived from entries, so every
replica that folds the same log shows the same message.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import EventId, UserId
from node.core import content
from node.core.content import Body, Edit, Reaction, Recall, Redact


class Message(Struct, frozen=True, kw_only=True):
    """State of one content entry. `erased` is ``""``, ``recall`` or ``redact``; `reactions` maps value to users."""

    event: EventId
    idx: int
    author: UserId
    kind: str
    at_ms: int
    edits: int = 0
    edited: Edit | None = None
    erased: str = ""
    erased_by: UserId | None = None
    reason: str = ""
    reactions: dict[str, tuple[UserId, ...]] = {}


def check_edit(message: Message, actor: UserId, body: Edit, window_s: int, now_ms: int) -> None:
    """Only the author, only text, inside the window, at most 50 times."""
    _check_alive(message)
    if message.author != actor:
        raise Rejected(Code.ROLE_TOO_LOW, "Only the author can edit a message.", role_needed="author")
    if message.kind != "text":
        raise Rejected(Code.UNSUPPORTED, "Messages of this kind cannot be edited.", field="kind")
    if now_ms - message.at_ms > window_s * 1000:
        raise Rejected(Code.WINDOW_CLOSED, "This message is too old to be edited.", limit=window_s)
    if message.edits >= limits.EDITS_MAX:
        raise Rejected(
            Code.LIMIT_REACHED, "A message can be edited 50 times.", limit=limits.EDITS_MAX, used=message.edits
        )


def check_recall(message: Message, actor: UserId, window_s: int, now_ms: int) -> None:
    """Only the author, inside the window."""
    _check_alive(message)
    if message.author != actor:
        raise Rejected(Code.ROLE_TOO_LOW, "Only the author can recall a message.", role_needed="author")
    if message.kind == "call":
        raise Rejected(Code.UNSUPPORTED, "A call cannot be taken back.", field="kind")
    if now_ms - message.at_ms > window_s * 1000:
        raise Rejected(Code.WINDOW_CLOSED, "This message is too old to be recalled.", limit=window_s)


def check_redact(message: Message) -> None:
    """Rank is checked by the room; here only that there is something left to erase."""
    _check_alive(message)


def check_reaction(message: Message, actor: UserId, body: Reaction) -> None:
    """Per member and per message limits; the same reaction twice is `already_done`."""
    _check_alive(message)
    users = message.reactions.get(body.value, ())
    if (actor in users) == body.on:
        raise Rejected(Code.ALREADY_DONE, "You have already done this.", field="value")
    if not body.on:
        return
    if sum(actor in who for who in message.reactions.values()) >= limits.REACTIONS_PER_MEMBER_MAX:
        raise Rejected(
            Code.LIMIT_REACHED, "You can put 12 reactions on one message.", limit=limits.REACTIONS_PER_MEMBER_MAX
        )
    if not users and len(message.reactions) >= limits.REACTIONS_DISTINCT_MAX:
        raise Rejected(
            Code.LIMIT_REACHED, "This message has 64 different reactions already.", limit=limits.REACTIONS_DISTINCT_MAX
        )


def _check_alive(message: Message) -> None:
    if message.erased == "recall":
        raise Rejected(Code.GONE, "This message was recalled.")
    if message.erased:
        raise Rejected(Code.ALREADY_DONE, "This message was removed.")


def target_of(body: Body) -> EventId | None:
    """The message a mark acts on."""
    if isinstance(body, (Edit, Recall, Redact, Reaction)):
        return EventId(body.target)
    return None


def named_by(body: Body) -> EventId | None:
    """The message that a body acts on or replies to."""
    if isinstance(body, (content.Text, content.Unknown)) and body.reply_to is not None:
        return EventId(body.reply_to.event)
    if isinstance(body, content.Call) and body.start is not None:
        return EventId(body.start)
    return target_of(body)


def evolve(message: Message, actor: UserId, body: Body) -> Message:
    """The message after a mark that was accepted."""
    match body:
        case Edit():
            return replace(message, edits=message.edits + 1, edited=body)
        case Recall():
            return replace(message, erased="recall", erased_by=actor, edited=None, reactions={})
        case Redact():
            return replace(message, erased="redact", erased_by=actor, reason=body.reason, edited=None, reactions={})
        case Reaction():
            return replace(message, reactions=_react(message.reactions, actor, body))
        case _:
            return message


def _react(reactions: dict[str, tuple[UserId, ...]], actor: UserId, body: Reaction) -> dict[str, tuple[UserId, ...]]:
    users = reactions.get(body.value, ())
    users = (*users, actor) if body.on else tuple(user for user in users if user != actor)
    changed = {value: who for value, who in reactions.items() if value != body.value or users}
    if users:
        changed[body.value] = users
    return changed


def mentions(body: Body, actor: UserId) -> tuple[str, ...]:
    """Users named by the body, without repeats and without the author; ``all`` stands for everyone. A call names who missed it."""
    if isinstance(body, (content.Text, content.Unknown)):
        return tuple(dict.fromkeys(m.user for m in body.mentions if m.user != actor))
    if isinstance(body, content.Call):
        return tuple(dict.fromkeys(user for user in body.missed if user != actor))
    return ()
