"""Who may do what in a room: one table, the same in code, wire, docs and UI.

A member has exactly one role. `muted` is a role, so that silencing somebody is one entry in the log; it may
end by itself (`Member.muted_until_ms`), after which the member counts as `member` again.
A direct chat has no ranks: both people are `member` of `DIRECT_TABLE`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Role of a member, highest first."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VISITOR = "visitor"
    MUTED = "muted"


class Capability(StrEnum):
    """One thing a member may be allowed to do."""

    READ = "read"
    POST = "post"
    REACT = "react"
    RECALL_OWN = "recall_own"
    EDIT_OWN = "edit_own"
    INVITE = "invite"
    LINK = "link"
    KICK = "kick"
    MUTE = "mute"
    REDACT = "redact"
    RENAME = "rename"
    TOPIC = "topic"
    MUTE_ALL = "mute_all"
    SETTINGS = "settings"
    ROLE = "role"
    TRANSFER = "transfer"
    LEAVE = "leave"
    MENTION_ALL = "mention_all"
    CALL = "call"  # begin a call; taking part in one needs a voice (POST) only


_C = Capability
_READER = frozenset({_C.READ, _C.LEAVE})
_MEMBER = _READER | {_C.POST, _C.REACT, _C.RECALL_OWN, _C.EDIT_OWN, _C.INVITE, _C.CALL}
_ADMIN = _MEMBER | {
    _C.LINK, _C.KICK, _C.MUTE, _C.REDACT, _C.RENAME, _C.TOPIC, _C.MUTE_ALL, _C.SETTINGS, _C.MENTION_ALL,
}  # fmt: skip
_OWNER = _ADMIN | {_C.ROLE, _C.TRANSFER}

GROUP_TABLE: Final[dict[Role, frozenset[Capability]]] = {
    Role.OWNER: frozenset(_OWNER),
    Role.ADMIN: frozenset(_ADMIN),
    Role.MEMBER: frozenset(_MEMBER),
    Role.VISITOR: _READER,
    Role.MUTED: _READER,
}
DIRECT_TABLE: Final[frozenset[Capability]] = frozenset(
    {_C.READ, _C.POST, _C.REACT, _C.RECALL_OWN, _C.EDIT_OWN, _C.SETTINGS, _C.CALL}
)

RANK: Final[dict[Role, int]] = {
    Role.OWNER: 4,
    Role.ADMIN: 3,
    Role.MEMBER: 2,
    Role.VISITOR: 1,
    Role.MUTED: 1,
}


def lowest_with(capability: Capability) -> Role:
    """The lowest role that has `capability`; named in refusals as `role_needed`."""
    having = [role for role, allowed in GROUP_TABLE.items() if capability in allowed]
    return min(having, key=lambda role: RANK[role])


def outranks(actor: Role, target: Role) -> bool:
    """Whether `actor` may act on a member with role `target` (kick, mute, redact)."""
    return RANK[actor] > RANK[target]
