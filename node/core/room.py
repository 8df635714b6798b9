"""A room: who is in it, with which role, what they may do, and how each event changes it.

    evolve(room, event, at_ms, idx) -> room                never fails for an event that was decided

Which commands are legal says core/commands.py. Content does not change the room, so a post costs no copying. Followers
replay each entry with the entry's own time (`at_ms`), which the hub fixed: every replica therefore reaches the same state.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, UserId, parse_user
from node.core import content
from node.core.content import Body
from node.core.roles import DIRECT_TABLE, GROUP_TABLE, RANK, Capability, Role, lowest_with

T = TypeVar("T")

GROUP = "group"
DIRECT = "direct"
EVERYBODY, ADMINS, NOBODY = "everybody", "admins", "nobody"  # who may begin a call


class Member(Struct, frozen=True):
    """`joined_idx` is the first entry this member may read."""

    role: Role
    joined_idx: int
    joined_ms: int
    muted_until_ms: int = 0  # only with role muted; 0 = until unmuted
    role_before: Role = Role.MEMBER  # what an end of muting gives back


class Invitation(Struct, frozen=True):
    """An open invitation."""

    by: UserId
    at_ms: int


class Exclusion(Struct, frozen=True):
    """A ban; `until_ms` 0 = for ever."""

    by: UserId
    until_ms: int
    reason: str


class Room(Struct, frozen=True, kw_only=True):
    """State of a room, folded from its log. `kind` is ``group`` or ``direct``."""

    kind: str
    name: str = ""
    topic: str = ""
    muted_all: bool = False
    recall_window_s: int = limits.RECALL_WINDOW_S_DEFAULT
    edit_window_s: int = limits.EDIT_WINDOW_S_DEFAULT
    calls: str = EVERYBODY
    members: dict[UserId, Member] = {}
    invited: dict[UserId, Invitation] = {}
    bans: dict[UserId, Exclusion] = {}
    silenced: dict[UserId, Member] = {}  # who left while muted or visitor
    nodes_banned: dict[str, Exclusion] = {}  # by node id as text


class Command(Struct, frozen=True):
    """Somebody wants `body` to happen. As an event: it happened."""

    actor: UserId
    kind: str
    body: Body


def new_direct(a: UserId, b: UserId) -> Room:
    """The implied first state of a direct chat: these two, nobody else ever."""
    both = {user: Member(Role.MEMBER, 1, 0) for user in sorted({a, b})}
    return Room(kind=DIRECT, members=both)


def nodes_of(room: Room) -> tuple[NodeId, ...]:
    """The nodes that have a member, in the order of their first present member's place (then of their ids)."""
    first: dict[NodeId, int] = {}
    for user, member in room.members.items():
        node = parse_user(user)[1]
        first[node] = min(member.joined_idx, first.get(node, member.joined_idx))
    return tuple(sorted(first, key=lambda node: (first[node], node)))


def node_text(user: UserId) -> str:
    """Where `user` lives, as text."""
    return user.rpartition("@")[2]


def members_of(room: Room, node: str) -> list[UserId]:
    """Who of a node (as text) is in the room."""
    return [user for user in room.members if node_text(user) == node]


def role_of(member: Member, now_ms: int) -> Role:
    """The role that counts now: a mute that ended gives the earlier role back."""
    if member.role is Role.MUTED and 0 < member.muted_until_ms <= now_ms:
        return member.role_before
    return member.role


def rank_role(member: Member) -> Role:
    """The role somebody was appointed to; being muted takes the voice and not the rank."""
    return member.role_before if member.role is Role.MUTED else member.role


def capabilities(room: Room, user: UserId, now_ms: int) -> frozenset[Capability]:
    """All that `user` may do here now; empty for who is not in the room."""
    member = room.members.get(user)
    if member is None:
        return frozenset()
    if room.kind == DIRECT:
        return DIRECT_TABLE if room.calls != NOBODY else DIRECT_TABLE - {Capability.CALL}
    role = role_of(member, now_ms)
    allowed = GROUP_TABLE[role]
    if room.calls == NOBODY or (room.calls == ADMINS and RANK[role] < RANK[Role.ADMIN]):
        allowed = allowed - {Capability.CALL}
    if room.muted_all and RANK[role] < RANK[Role.ADMIN]:
        allowed = allowed - {Capability.POST, Capability.EDIT_OWN}  # an edit says something new, too
    return allowed


def require(room: Room, user: UserId, need: Capability, now_ms: int) -> Member:
    """The member, if the capability is there; else the most helpful refusal."""
    member = room.members.get(user)
    if member is None:
        raise Rejected(Code.NOT_MEMBER, "You are not a member of this chat.")
    if need in capabilities(room, user, now_ms):
        return member
    if need is Capability.CALL and room.calls == NOBODY:
        raise Rejected(Code.FORBIDDEN, "Calls are switched off in this chat.")
    if room.kind == DIRECT:
        raise Rejected(Code.FORBIDDEN, "This is not possible in a direct chat.")
    role = role_of(member, now_ms)
    if role is Role.MUTED and need in GROUP_TABLE[Role.MEMBER]:
        raise Rejected(Code.MUTED, "You are muted in this chat.", until_ms=member.muted_until_ms)
    if need in {Capability.POST, Capability.EDIT_OWN} and room.muted_all and role is not Role.VISITOR:
        raise Rejected(Code.MUTED, "Only owner and admins can write while everyone is muted.", until_ms=0)
    needed = Role.ADMIN if need is Capability.CALL and room.calls == ADMINS else lowest_with(need)
    raise Rejected(Code.ROLE_TOO_LOW, f"This needs the role {needed} in this chat.", role_needed=needed.value)


def evolve(room: Room, event: Command, at_ms: int, idx: int) -> Room:
    """The room after `event`, the entry `idx` of its log, accepted at `at_ms`."""
    actor, body = event.actor, event.body
    match body:
        case content.Text() | content.Unknown():  # first, since they are nearly all
            return room
        case content.Create():
            owner = {actor: Member(Role.OWNER, idx, at_ms)}
            return Room(kind=GROUP, name=body.name, topic=body.topic, members=owner)
        case content.Join():
            return _join(room, actor, at_ms, idx)
        case content.Leave():
            return _depart(room, actor, at_ms)
        case content.Kick():
            return _depart(room, UserId(body.user), at_ms)
        case content.SetRole() | content.Transfer() | content.Mute() | content.Unmute():
            return _rank(room, actor, body, at_ms)
        case content.MuteAll() | content.Rename() | content.Topic() | content.Settings():
            return _set_card(room, body)
        case content.Invite() | content.Uninvite() | content.Decline() | content.Ban() | content.Unban():
            return _guests(room, actor, body, at_ms)
        case content.BanNode() | content.UnbanNode():
            return _node(room, actor, body, at_ms)
        case _:
            return room


def _join(room: Room, user: UserId, at_ms: int, idx: int) -> Room:
    """A new member. A room everybody left belongs to who comes back first; who had no voice when leaving has none now."""
    member = Member(Role.MEMBER if room.members else Role.OWNER, idx, at_ms)
    if room.members and user in room.silenced:
        member = replace(room.silenced[user], joined_idx=idx, joined_ms=at_ms)
    return replace(
        room,
        members={**room.members, user: member},
        invited=_without(room.invited, user),
        bans=_without(room.bans, user),
        silenced=_without(room.silenced, user),
    )


def _depart(room: Room, user: UserId, at_ms: int) -> Room:
    """`user` is gone; a muted member or visitor is remembered, so that leaving and joining again is no way out."""
    member, silenced = room.members[user], room.silenced
    if (role := role_of(member, at_ms)) in {Role.MUTED, Role.VISITOR}:
        before = Role.VISITOR if rank_role(member) is Role.VISITOR else Role.MEMBER  # an admin comes back as a member
        silenced = {**silenced, user: replace(member, role=role, role_before=before)}
        if len(silenced) > limits.SILENCED_MAX:
            silenced = _without(silenced, next(iter(silenced)))
    return replace(room, members=_without(room.members, user), silenced=silenced)


def _guests(
    room: Room,
    actor: UserId,
    body: content.Invite | content.Uninvite | content.Decline | content.Ban | content.Unban,
    at_ms: int,
) -> Room:
    match body:
        case content.Invite():
            return replace(room, invited={**room.invited, UserId(body.user): Invitation(actor, at_ms)})
        case content.Uninvite():
            return replace(room, invited=_without(room.invited, UserId(body.user)))
        case content.Decline():
            return replace(room, invited=_without(room.invited, actor))
        case content.Ban():
            user = UserId(body.user)
            bans = {**room.bans, user: Exclusion(actor, body.until_ms, body.reason)}
            left = _depart(room, user, at_ms) if user in room.members else room
            return replace(left, invited=_without(room.invited, user), bans=bans)
        case content.Unban():
            return replace(room, bans=_without(room.bans, UserId(body.user)))


def _node(room: Room, actor: UserId, body: content.BanNode | content.UnbanNode, at_ms: int) -> Room:
    others = {node: ban for node, ban in room.nodes_banned.items() if node != body.node}
    if isinstance(body, content.UnbanNode):
        return replace(room, nodes_banned=others)
    for user in members_of(room, body.node):
        room = _depart(room, user, at_ms)
    invited = {user: asked for user, asked in room.invited.items() if node_text(user) != body.node}
    banned = {**others, body.node: Exclusion(actor, 0, body.reason)}
    return replace(room, invited=invited if len(invited) != len(room.invited) else room.invited, nodes_banned=banned)


def _set_card(room: Room, body: content.MuteAll | content.Rename | content.Topic | content.Settings) -> Room:
    match body:
        case content.MuteAll():
            return replace(room, muted_all=body.on)
        case content.Rename():
            return replace(room, name=body.name)
        case content.Topic():
            return replace(room, topic=body.topic)
        case content.Settings():
            recall = room.recall_window_s if body.recall_window_s is None else body.recall_window_s
            edit = room.edit_window_s if body.edit_window_s is None else body.edit_window_s
            calls = room.calls if body.calls is None else body.calls
            return replace(room, recall_window_s=recall, edit_window_s=edit, calls=calls)


def _without(table: dict[UserId, T], user: UserId) -> dict[UserId, T]:
    return {key: value for key, value in table.items() if key != user} if user in table else table


def _rank(
    room: Room, actor: UserId, body: content.SetRole | content.Transfer | content.Mute | content.Unmute, at_ms: int
) -> Room:
    user = UserId(body.user)
    member = room.members[user]
    members = dict(room.members)
    match body:
        case content.SetRole():
            members[user] = replace(member, role=body.role, muted_until_ms=0, role_before=Role.MEMBER)
        case content.Transfer():
            members[user] = replace(member, role=Role.OWNER, muted_until_ms=0)
            members[actor] = replace(members[actor], role=Role.ADMIN)
        case content.Mute():
            before = role_of(member, at_ms)
            before = member.role_before if before is Role.MUTED else before
            members[user] = replace(member, role=Role.MUTED, muted_until_ms=body.until_ms, role_before=before)
        case content.Unmute():
            members[user] = replace(member, role=member.role_before, muted_until_ms=0, role_before=Role.MEMBER)
    return replace(room, members=members)
