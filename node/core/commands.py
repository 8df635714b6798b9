"""Commands of a room: which are legal. `decide`, then `room.evolve`.

    decide(room, command, now_ms, target) -> event       raises Rejected; changes nothing

A command and the event it becomes have the same shape (actor, kind, body), so `decide` answers with the command itself;
creating a room with guests yields several events. Followers ask `decide` again about each entry, at the entry's own time.

The room does not know message texts. What a mark acts on is handed in as `target` (core/message.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import UserId, parse_user
from node.core import callend, content, message
from node.core.content import Body
from node.core.message import Message
from node.core.roles import Capability, Role, outranks
from node.core.room import DIRECT, GROUP, Command, Room, members_of, node_text, rank_role, require, role_of


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
    if body.state == "start":
        require(room, actor, Capability.CALL, now_ms)
    else:
        callend.check(room, actor, target, now_ms)


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
    if node_text(user) in room.nodes_banned:
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
    if body.node == node_text(actor):
        raise Rejected(Code.BAD_REQUEST, "You cannot ban your own node.", field="node")
    if body.node in room.nodes_banned:
        raise Rejected(Code.ALREADY_DONE, "This node is banned already.", field="node")
    if len(room.nodes_banned) >= limits.NODES_BANNED_MAX:
        raise Rejected(Code.LIMIT_REACHED, "The list of banned nodes is full.", limit=limits.NODES_BANNED_MAX)
    for user in members_of(room, body.node):
        if not outranks(role, rank_role(room.members[user])):
            raise Rejected(
                Code.ROLE_TOO_LOW, "Somebody of this node has your rank or a higher one.", role_needed="owner"
            )


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
