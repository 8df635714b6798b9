"""A room: who is in it, with which role, and which commands are legal. `decide` then `evolve`.

    decide(room, command, now_ms, target) -> events     raises Rejected; changes nothing
    evolve(room, actor, body, at_ms, idx) -> room        never fails for an event that was decided

A command and the event it becomes have the same shape (actor, kind, body), so `decide` mostly answers with
the command itself; creating a room with guests yields several events. Content does not change the room, so a
post costs no copying. Followers replay `decide` on each entry with the entry's own time (`at_ms`), which
the hub fixed: every replica therefore reaches the same state.

The room does not know message texts. What a mark acts on is handed in as `target` (core/message.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, UserId, parse_user
from node.core import content, message
from node.core.content import Body
from node.core.message import Message
from node.core.roles import DIRECT_TABLE, GROUP_TABLE, RANK, Capability, Role, lowest_with, outranks

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


# --- decide ---------------------------------------------------------------------------------------------


def create(actor: UserId, body: content.Create, guests: Sequence[UserId] = ()) -> list[Command]:
    """The first events of a new group: its creation and one invitation for each guest."""
    guests = [guest for guest in dict.fromkeys(guests) if guest != actor]
    if len(guests) > limits.INVITE_BATCH_MAX:
        raise Rejected(
            Code.LIMIT_REACHED, "Invite at most 50 people at once.", limit=limits.INVITE_BATCH_MAX, used=len(guests)
        )
    first = Command(actor, "create", body)
    return [first, *(Command(actor, "invite", content.Invite(user=guest)) for guest in guests)]


def decide(room: Room, command: Command, now_ms: int, target: Message | None = None) -> Command:
    """The event that `command` becomes. Raises Rejected. `target` is the message a mark names, if it exists."""
    actor, body = command.actor, command.body
    match body:
        case content.Text() | content.Unknown():
            _decide_post(room, actor, body, now_ms, target)
        case content.Call():
            _decide_call(room, actor, body, now_ms, target)
        case content.Edit() | content.Recall() | content.Redact() | content.Reaction():
            _decide_mark(room, actor, body, now_ms, target)
        case content.Join() | content.Decline():
            _decide_answer(room, actor, body, now_ms)
        case content.Leave():
            _decide_leave(room, actor, now_ms)
        case content.Invite() | content.Uninvite() | content.Unban():
            _decide_guest(room, actor, body, now_ms)
        case content.Kick() | content.Ban() | content.Mute() | content.Unmute():
            _decide_moderation(room, actor, body, now_ms)
        case content.BanNode() | content.UnbanNode():
            _decide_node(room, actor, body, now_ms)
        case content.SetRole() | content.Transfer():
            _decide_rank(room, actor, body, now_ms)
        case content.MuteAll() | content.Rename() | content.Topic() | content.Settings():
            _decide_card(room, actor, body, now_ms)
        case content.Create():
            raise Rejected(Code.BAD_REQUEST, "A chat is created only once.", field="kind")
        case _:
            raise AssertionError(f"kind without a rule: {command.kind}")
    return command


def _decide_post(
    room: Room, actor: UserId, body: content.Text | content.Unknown, now_ms: int, target: Message | None
) -> None:
    require(room, actor, Capability.POST, now_ms)
    if body.reply_to is not None:
        if target is None:
            raise Rejected(Code.BAD_REQUEST, "The quoted message is not in this chat.", field="reply_to")
        if target.erased and body.reply_to.quote:
            raise Rejected(Code.GONE, "The quoted message was removed.", field="reply_to")
        if target.author != body.reply_to.author:
            raise Rejected(Code.BAD_REQUEST, "The quoted message has another author.", field="reply_to")
    if any(mention.user == content.MENTION_ALL for mention in body.mentions) and room.kind == GROUP:
        require(room, actor, Capability.MENTION_ALL, now_ms)


def _decide_call(room: Room, actor: UserId, body: content.Call, now_ms: int, target: Message | None) -> None:
    """The end belongs to a start of the same person, who may have lost their voice meanwhile."""
    if body.state == "start":
        require(room, actor, Capability.CALL, now_ms)
        return
    require(room, actor, Capability.READ, now_ms)
    if target is None or target.kind != "call" or target.author != actor:
        raise Rejected(Code.BAD_REQUEST, "This call did not begin in this chat.", field="start")


def _decide_mark(room: Room, actor: UserId, body: Body, now_ms: int, target: Message | None) -> None:
    need = {
        content.Edit: Capability.EDIT_OWN,
        content.Recall: Capability.RECALL_OWN,
        content.Redact: Capability.REDACT,
        content.Reaction: Capability.REACT,
    }[type(body)]
    member = require(room, actor, need, now_ms)
    if target is None:
        raise Rejected(Code.NOT_FOUND, "This message is not in this chat.", field="target")
    match body:
        case content.Edit():
            message.check_edit(target, actor, body, room.edit_window_s, now_ms)
        case content.Recall():
            message.check_recall(target, actor, room.recall_window_s, now_ms)
        case content.Redact():
            _check_rank_over_author(room, role_of(member, now_ms), actor, target)
            message.check_redact(target)
        case content.Reaction():
            message.check_reaction(target, actor, body)


def _check_rank_over_author(room: Room, role: Role, actor: UserId, target: Message) -> None:
    author = room.members.get(target.author)
    if author is None or target.author == actor:
        return
    if not outranks(role, rank_role(author)):
        raise Rejected(
            Code.ROLE_TOO_LOW,
            "You cannot remove messages of somebody with your rank or a higher one.",
            role_needed="owner",
        )


def _decide_answer(room: Room, actor: UserId, body: content.Join | content.Decline, now_ms: int) -> None:
    if actor in room.members:
        raise Rejected(Code.ALREADY_DONE, "You are in this chat already.")
    if isinstance(body, content.Decline):
        if actor not in room.invited:
            raise Rejected(Code.NOT_FOUND, "There is no open invitation for you.")
        return
    _check_ban(room, actor, now_ms)
    if body.via == "invite" and actor not in room.invited:
        raise Rejected(Code.NOT_FOUND, "There is no open invitation for you.")
    if room.kind == DIRECT:
        raise Rejected(Code.FORBIDDEN, "Nobody can join a direct chat.")
    if len(room.members) >= limits.MEMBERS_MAX:
        raise Rejected(Code.LIMIT_REACHED, "This chat is full.", limit=limits.MEMBERS_MAX, used=len(room.members))


def _check_ban(room: Room, user: UserId, now_ms: int) -> None:
    if _node_text(user) in room.nodes_banned:
        raise Rejected(Code.FORBIDDEN, "People of this node are banned from this chat.", until_ms=0)
    ban = room.bans.get(user)
    if ban is not None and (ban.until_ms == 0 or ban.until_ms > now_ms):
        raise Rejected(Code.FORBIDDEN, "This person is banned from this chat.", until_ms=ban.until_ms)


def _decide_node(room: Room, actor: UserId, body: content.BanNode | content.UnbanNode, now_ms: int) -> None:
    role = role_of(require(room, actor, Capability.KICK, now_ms), now_ms)
    if isinstance(body, content.UnbanNode):
        if body.node not in room.nodes_banned:
            raise Rejected(Code.NOT_FOUND, "This node is not banned.", field="node")
        return
    if body.node == _node_text(actor):
        raise Rejected(Code.BAD_REQUEST, "You cannot ban your own node.", field="node")
    if body.node in room.nodes_banned:
        raise Rejected(Code.ALREADY_DONE, "This node is banned already.", field="node")
    if len(room.nodes_banned) >= limits.NODES_BANNED_MAX:
        raise Rejected(Code.LIMIT_REACHED, "The list of banned nodes is full.", limit=limits.NODES_BANNED_MAX)
    for user in _members_of(room, body.node):
        if not outranks(role, rank_role(room.members[user])):
            raise Rejected(
                Code.ROLE_TOO_LOW, "Somebody of this node has your rank or a higher one.", role_needed="owner"
            )


def _node_text(user: UserId) -> str:
    return user.rpartition("@")[2]


def _members_of(room: Room, node: str) -> list[UserId]:
    return [user for user in room.members if _node_text(user) == node]


def _decide_leave(room: Room, actor: UserId, now_ms: int) -> None:
    member = require(room, actor, Capability.LEAVE, now_ms)
    if member.role is Role.OWNER and len(room.members) > 1:
        raise Rejected(Code.CONFLICT, "Hand the chat over to somebody before you leave.", role_needed="transfer")


def _decide_guest(
    room: Room, actor: UserId, body: content.Invite | content.Uninvite | content.Unban, now_ms: int
) -> None:
    need = Capability.KICK if isinstance(body, content.Unban) else Capability.INVITE
    require(room, actor, need, now_ms)
    user = UserId(body.user)
    match body:
        case content.Invite():
            _check_name(user)
            _check_ban(room, user, now_ms)
            if user in room.members or user in room.invited:
                raise Rejected(Code.ALREADY_DONE, "This person is in the chat or invited already.", field="user")
            if len(room.members) + len(room.invited) >= limits.MEMBERS_MAX:
                raise Rejected(
                    Code.LIMIT_REACHED, "This chat is full.", limit=limits.MEMBERS_MAX, used=len(room.members)
                )
        case content.Uninvite():
            if user not in room.invited:
                raise Rejected(Code.NOT_FOUND, "This person is not invited.", field="user")
            if room.invited[user].by != actor:
                require(room, actor, Capability.KICK, now_ms)
        case content.Unban():
            if user not in room.bans:
                raise Rejected(Code.NOT_FOUND, "This person is not banned.", field="user")


def _check_name(user: UserId) -> None:
    try:
        parse_user(user)
    except ValueError as error:
        raise Rejected(Code.BAD_REQUEST, f"This is not a user id: {error}.", field="user") from None


def _decide_moderation(
    room: Room, actor: UserId, body: content.Kick | content.Ban | content.Mute | content.Unmute, now_ms: int
) -> None:
    need = Capability.KICK if isinstance(body, content.Kick | content.Ban) else Capability.MUTE
    role = role_of(require(room, actor, need, now_ms), now_ms)
    user = UserId(body.user)
    if user == actor:
        raise Rejected(Code.BAD_REQUEST, "You cannot do this to yourself.", field="user")
    if isinstance(body, content.Ban) and user not in room.bans and len(room.bans) >= limits.BANS_MAX:
        raise Rejected(Code.LIMIT_REACHED, "The ban list is full.", limit=limits.BANS_MAX)
    member = room.members.get(user)
    if member is None:
        if not isinstance(body, content.Ban):
            raise Rejected(Code.NOT_FOUND, "This person is not in the chat.", field="user")
        return
    if not outranks(role, rank_role(member)):
        raise Rejected(
            Code.ROLE_TOO_LOW, "You cannot do this to somebody with your rank or a higher one.", role_needed="owner"
        )
    now_role = role_of(member, now_ms)
    if isinstance(body, content.Mute) and now_role is Role.VISITOR:
        raise Rejected(Code.ALREADY_DONE, "A visitor cannot write anyway.", field="user")
    if isinstance(body, content.Unmute) and now_role is not Role.MUTED:
        raise Rejected(Code.ALREADY_DONE, "This person is not muted.", field="user")


def _decide_rank(room: Room, actor: UserId, body: content.SetRole | content.Transfer, now_ms: int) -> None:
    need = Capability.TRANSFER if isinstance(body, content.Transfer) else Capability.ROLE
    require(room, actor, need, now_ms)
    user = UserId(body.user)
    member = room.members.get(user)
    if member is None:
        raise Rejected(Code.NOT_FOUND, "This person is not in the chat.", field="user")
    if user == actor:
        raise Rejected(Code.BAD_REQUEST, "You cannot do this to yourself.", field="user")
    admins = sum(rank_role(other) is Role.ADMIN for other in room.members.values())
    if isinstance(body, content.Transfer):
        if rank_role(member) is not Role.ADMIN:  # the old owner becomes one more admin
            _check_admins(admins)
        return
    if body.role in {Role.OWNER, Role.MUTED}:
        raise Rejected(Code.BAD_REQUEST, "The role is admin, member or visitor.", field="role")
    if role_of(member, now_ms) is body.role:
        raise Rejected(Code.ALREADY_DONE, "This person has this role already.", field="role")
    if body.role is Role.ADMIN and rank_role(member) is not Role.ADMIN:
        _check_admins(admins)


def _check_admins(used: int) -> None:
    if used >= limits.ADMINS_MAX:
        raise Rejected(Code.LIMIT_REACHED, "A chat has at most 20 admins.", limit=limits.ADMINS_MAX, used=used)


def _decide_card(
    room: Room, actor: UserId, body: content.MuteAll | content.Rename | content.Topic | content.Settings, now_ms: int
) -> None:
    match body:
        case content.MuteAll():
            require(room, actor, Capability.MUTE_ALL, now_ms)
            same = room.muted_all == body.on
        case content.Rename():
            require(room, actor, Capability.RENAME, now_ms)
            same = room.name == body.name
        case content.Topic():
            require(room, actor, Capability.TOPIC, now_ms)
            same = room.topic == body.topic
        case content.Settings():
            require(room, actor, Capability.SETTINGS, now_ms)
            same = (
                body.recall_window_s in {None, room.recall_window_s}
                and body.edit_window_s in {None, room.edit_window_s}
                and body.calls in {None, room.calls}
            )
    if same:
        raise Rejected(Code.ALREADY_DONE, "It is set like this already.")


# --- evolve ---------------------------------------------------------------------------------------------


def evolve(room: Room, event: Command, at_ms: int, idx: int) -> Room:
    """The room after `event`, the entry `idx` of its log, accepted at `at_ms`."""
    actor, body = event.actor, event.body
    match body:
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
    for user in _members_of(room, body.node):
        room = _depart(room, user, at_ms)
    invited = {user: asked for user, asked in room.invited.items() if _node_text(user) != body.node}
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
