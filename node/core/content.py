"""What an event says: one frozen struct for each kind, and the rules a body obeys by itself.

A body travels as a msgpack map and is kept byte for byte as received, so fields of a newer client survive.
Known kinds are decoded strictly. An unknown kind is accepted when it carries ``fallback`` (text of at most
500 characters, made by the sender) and is shown as that text.

Kinds are of three sorts:

* *content* (`text`, `call`, and every unknown kind): shown, counted as unread, can be a target;
* *marks* (`edit`, `recall`, `redact`, `reaction`): folded into the message they target (core/message.py);
* *room* (`create` … `settings`): change the room's state (core/room.py), shown as notices.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.core.roles import Role

Name = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS_MAX)]
Reason = Annotated[str, Meta(max_length=limits.REASON_CHARS_MAX)]
Id16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Id32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
User = Annotated[str, Meta(min_length=55, max_length=85)]
Node = Annotated[str, Meta(pattern="^[a-z2-7]{52}$")]
Ms = Annotated[int, Meta(ge=0, le=limits.INTEGER_MAX)]


class Body(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all bodies."""


NO_BODY: Final = Body()  # of an entry whose content was erased before it came here


class ReplyTo(Struct, frozen=True, kw_only=True):
    """Reference to a message of the same room; the hub checks that it exists."""

    event: Id32
    author: User
    quote: Annotated[str, Meta(max_length=limits.QUOTE_CHARS_MAX)] = ""


class Mention(Struct, frozen=True, kw_only=True):
    """`len` characters from `start` of the text name `user`; user ``all`` means everyone."""

    user: Annotated[str, Meta(min_length=3, max_length=85)]
    start: Annotated[int, Meta(ge=0, le=limits.TEXT_CHARS_MAX)]
    len: Annotated[int, Meta(ge=1, le=limits.TEXT_CHARS_MAX)]


Mentions = Annotated[tuple[Mention, ...], Meta(max_length=limits.MENTIONS_MAX)]


class Text(Body, frozen=True, kw_only=True):
    """A text message; `format` is ``plain`` or ``md`` (a Markdown subset, never HTML)."""

    text: Annotated[str, Meta(min_length=1, max_length=limits.TEXT_CHARS_MAX)]
    format: Annotated[str, Meta(pattern="^(plain|md)$")] = "plain"
    reply_to: ReplyTo | None = None
    mentions: Mentions = ()


class Unknown(Body, frozen=True, kw_only=True):
    """A kind this program does not know: shown as its fallback."""

    fallback: Annotated[str, Meta(min_length=1, max_length=limits.FALLBACK_CHARS_MAX)]
    reply_to: ReplyTo | None = None
    mentions: Mentions = ()


class Call(Body, frozen=True, kw_only=True):
    """A call began or is over; made by the node of who began it, never by a device. The end names the event of the `start` and says how
    long people talked, how many were in it (`joined`), how it ended and who was called and was not reached in time (`missed`): for
    them it counts as unread. `fallback` is for programs that know no calls."""

    call: Id16
    state: Annotated[str, Meta(pattern="^(start|end)$")]
    media: Annotated[str, Meta(pattern="^(audio|video)$")]
    start: Id32 | None = None
    ms: Ms = 0
    joined: Annotated[int, Meta(ge=0, le=limits.MEMBERS_MAX)] = 0
    result: Annotated[
        str, Meta(pattern="^(answered|missed|declined|busy|cancelled|unreachable|failed|ended|merged)?$")
    ] = ""
    missed: Annotated[tuple[User, ...], Meta(max_length=limits.CALL_TARGETS_MAX)] = ()
    fallback: Annotated[str, Meta(max_length=limits.FALLBACK_CHARS_MAX)] = ""


class Edit(Body, frozen=True, kw_only=True):
    """New text of the author's own text message."""

    target: Id32
    text: Annotated[str, Meta(min_length=1, max_length=limits.TEXT_CHARS_MAX)]
    format: Annotated[str, Meta(pattern="^(plain|md)$")] = "plain"
    mentions: Mentions = ()


class Recall(Body, frozen=True, kw_only=True):
    """The author takes a message back; its content is erased on every replica."""

    target: Id32


class Redact(Body, frozen=True, kw_only=True):
    """An owner or admin erases a message; the tombstone names actor and reason."""

    target: Id32
    reason: Reason = ""


class Reaction(Body, frozen=True, kw_only=True):
    """Puts (`on`) or takes away one emoji of the actor on a message."""

    target: Id32
    value: Annotated[str, Meta(min_length=1, max_length=limits.REACTION_BYTES_MAX)]
    on: bool = True


class Replaces(Struct, frozen=True, kw_only=True):
    """The group that a new one goes on with, whose hub is gone, and the last place of its log that the maker's node holds."""

    room: Id32
    idx: Ms
    hash: Id32


class Create(Body, frozen=True, kw_only=True):
    """First event of a group; its id is the room's id. The random salt of the body makes it unique. `replaces`: it is the successor of
    that group, if its actor was the owner there (services/successors.py)."""

    name: Name
    topic: Annotated[str, Meta(max_length=limits.TOPIC_CHARS_MAX)] = ""
    replaces: Replaces | None = None


class Invite(Body, frozen=True, kw_only=True):
    """Asks somebody in; nothing is shown to them as a chat until they join."""

    user: User


class Uninvite(Body, frozen=True, kw_only=True):
    """Takes an open invitation back."""

    user: User


class Decline(Body, frozen=True, kw_only=True):
    """The invited person says no."""


class Join(Body, frozen=True, kw_only=True):
    """The actor enters, ``via`` an invitation or a link. The service proves a link before the rule sees it."""

    via: Annotated[str, Meta(pattern="^(invite|link)$")] = "invite"


class Leave(Body, frozen=True, kw_only=True):
    """The actor goes."""


class Kick(Body, frozen=True, kw_only=True):
    """Removes a member."""

    user: User
    reason: Reason = ""


class Ban(Body, frozen=True, kw_only=True):
    """Removes somebody (member or not) and keeps them out; `until_ms` 0 means for ever."""

    user: User
    until_ms: Ms = 0
    reason: Reason = ""


class Unban(Body, frozen=True, kw_only=True):
    """Lets somebody in again."""

    user: User


class BanNode(Body, frozen=True, kw_only=True):
    """Removes everybody of a node and keeps its people out."""

    node: Node
    reason: Reason = ""


class UnbanNode(Body, frozen=True, kw_only=True):
    """Lets people of a node in again."""

    node: Node


class SetRole(Body, frozen=True, kw_only=True):
    """The owner appoints: admin, member or visitor."""

    user: User
    role: Role


class Transfer(Body, frozen=True, kw_only=True):
    """The owner hands the room over and becomes admin."""

    user: User


class Mute(Body, frozen=True, kw_only=True):
    """Silences one member; `until_ms` 0 means until unmuted."""

    user: User
    until_ms: Ms = 0


class Unmute(Body, frozen=True, kw_only=True):
    """Lets one member speak again."""

    user: User


class MuteAll(Body, frozen=True, kw_only=True):
    """Only owner and admins may post while `on`."""

    on: bool


class Rename(Body, frozen=True, kw_only=True):
    """New name of the group."""

    name: Name


class Topic(Body, frozen=True, kw_only=True):
    """New announcement."""

    topic: Annotated[str, Meta(max_length=limits.TOPIC_CHARS_MAX)]


class Settings(Body, frozen=True, kw_only=True):
    """Windows of the room in seconds, and who may begin a call (`calls`: everybody, admins, nobody); a field left out stays as it is."""

    recall_window_s: Annotated[int, Meta(ge=0, le=limits.RECALL_WINDOW_S_MAX)] | None = None
    edit_window_s: Annotated[int, Meta(ge=0, le=limits.EDIT_WINDOW_S_MAX)] | None = None
    calls: Annotated[str, Meta(pattern="^(everybody|admins|nobody)$")] | None = None


KINDS: Final[dict[str, type[Body]]] = {
    "text": Text,
    "call": Call,
    "edit": Edit,
    "recall": Recall,
    "redact": Redact,
    "reaction": Reaction,
    "create": Create,
    "invite": Invite,
    "uninvite": Uninvite,
    "decline": Decline,
    "join": Join,
    "leave": Leave,
    "kick": Kick,
    "ban": Ban,
    "unban": Unban,
    "ban_node": BanNode,
    "unban_node": UnbanNode,
    "role": SetRole,
    "transfer": Transfer,
    "mute": Mute,
    "unmute": Unmute,
    "mute_all": MuteAll,
    "name": Rename,
    "topic": Topic,
    "settings": Settings,
}
MARKS: Final = frozenset({"edit", "recall", "redact", "reaction"})
ROOM_KINDS: Final = frozenset(KINDS) - MARKS - {"text", "call"}

MENTION_ALL: Final = "all"
_KIND_NAME = re.compile(r"[a-z][a-z0-9_.]{0,31}")
_CONTROL_ALLOWED = frozenset("\n\t")


def is_content(kind: str) -> bool:
    """Whether messages of this kind are shown and counted as unread."""
    return kind in {"text", "call"} or kind not in KINDS


def counts(kind: str, body: Body) -> bool:
    """Whether this message is shown as the last one of its chat and may be unread; the beginning of a call is only shown in the log."""
    return is_content(kind) and not (isinstance(body, Call) and body.state == "start")


def check_kind(kind: str) -> None:
    """Raises Rejected unless `kind` is spelled like a kind."""
    if not _KIND_NAME.fullmatch(kind):
        raise Rejected(Code.BAD_REQUEST, "A kind is 1-32 characters of a-z 0-9 _ and dot.", field="kind")


def check_text(text: str, field: str) -> None:
    """Refuses control characters other than new line and tab, and lone surrogates."""
    if text.isprintable():
        return
    for char in text:
        category = unicodedata.category(char)
        if (category == "Cc" and char not in _CONTROL_ALLOWED) or category == "Cs":
            raise Rejected(Code.BAD_REQUEST, f"The field {field} has a control character.", field=field)


def check_line(text: str, field: str) -> None:
    """Like `check_text`, for one-line fields: no new line, not blank, no invisible direction changes."""
    if all(unicodedata.category(char)[0] in "CZ" for char in text):  # blank, or only characters that nobody sees
        raise Rejected(Code.BAD_REQUEST, f"The field {field} must not be empty.", field=field)
    for char in text:
        if (
            unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}
            or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        ):
            raise Rejected(Code.BAD_REQUEST, f"The field {field} has a control character.", field=field)


def _check_texts(body: Body) -> None:
    match body:
        case Text() | Edit():
            check_text(body.text, "text")
            if not body.text.strip():
                raise Rejected(Code.BAD_REQUEST, "The message is empty.", field="text")
            return
        case Unknown():
            check_text(body.fallback, "fallback")
        case Call():
            check_text(body.fallback, "fallback")
            if (body.state == "end") != (body.start is not None and body.result != ""):
                raise Rejected(Code.BAD_REQUEST, "The end of a call names its start and its result.", field="state")
        case Create() | Rename():
            check_line(body.name, "name")
        case _:
            pass
    match body:
        case Create() | Topic():
            check_text(body.topic, "topic")
        case Redact() | Kick() | Ban() | BanNode():
            check_text(body.reason, "reason")
        case Reaction():
            check_line(body.value, "value")
            if len(body.value.encode()) > limits.REACTION_BYTES_MAX:
                raise Rejected(
                    Code.TOO_LARGE, "A reaction is one emoji.", field="value", limit=limits.REACTION_BYTES_MAX
                )
        case _:
            pass


def check_shape(value: Any, depth: int = 1) -> None:
    """Bounds of what no struct describes: nesting, keys, items, integers; no floats that are not finite."""
    if depth > limits.DEPTH_MAX:
        raise Rejected(Code.BAD_REQUEST, "The body is nested too deeply.", field="body", limit=limits.DEPTH_MAX)
    if isinstance(value, dict):
        if len(value) > limits.KEYS_MAX:
            raise Rejected(Code.TOO_LARGE, "A map in the body has too many keys.", field="body", limit=limits.KEYS_MAX)
        for key, item in value.items():
            if not isinstance(key, str):
                raise Rejected(Code.BAD_REQUEST, "Keys of a body are text.", field="body")
            check_shape(item, depth + 1)
    elif isinstance(value, list):
        if len(value) > limits.ITEMS_MAX:
            raise Rejected(Code.TOO_LARGE, "A list in the body is too long.", field="body", limit=limits.ITEMS_MAX)
        for item in value:
            check_shape(item, depth + 1)
    elif isinstance(value, int) and abs(value) > limits.INTEGER_MAX:
        raise Rejected(Code.BAD_REQUEST, "An integer in the body is beyond 2^53.", field="body")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Rejected(Code.BAD_REQUEST, "A number in the body is not finite.", field="body")
    elif isinstance(value, msgspec.msgpack.Ext | datetime):  # -1 is the timestamp extension
        raise Rejected(Code.BAD_REQUEST, "Extension types are not used in a body.", field="body")


_DECODERS: Final = {kind: msgspec.msgpack.Decoder(struct) for kind, struct in KINDS.items()}
_UNKNOWN: Final = msgspec.msgpack.Decoder(Unknown)
_ANY: Final = msgspec.msgpack.Decoder()


def decode_body(kind: str, data: bytes) -> Body:
    """The typed body of an event of `kind`. Raises Rejected naming what is wrong."""
    if len(data) > limits.BODY_BYTES_MAX:
        raise Rejected(Code.TOO_LARGE, "A message body is at most 64 KiB.", field="body", limit=limits.BODY_BYTES_MAX)
    decoder = _DECODERS.get(kind)
    try:
        if decoder is not None:
            body: Body = decoder.decode(data)
            if len(encode_body(body)) != len(data):  # fields of a newer client, or defaults spelt out
                check_shape(_ANY.decode(data))
        else:
            check_kind(kind)
            check_shape(_ANY.decode(data))
            body = _UNKNOWN.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise Rejected(
            Code.BAD_REQUEST, f"The body of kind {kind[:32]!r} is not valid: {error}.", field="body"
        ) from None
    _check_texts(body)
    return body


def encode_body(body: Body) -> bytes:
    """Canonical bytes of a body made here."""
    return msgspec.msgpack.encode(body)
