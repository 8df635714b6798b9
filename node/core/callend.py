"""Who says in a chat's log that a call is over: whoever began it; when they are not in the chat any more, somebody there with a voice.

The rule (`check`) is part of the rules of the log: every replica judges an entry by it. The choice (`closer`) only keeps several nodes from
saying the same thing: all make it from the same state of the room, and the hub's own people come first, since the hub knows the end for sure.
"""

from __future__ import annotations

from collections.abc import Collection

from node.base.errors import Code, Rejected
from node.base.ids import NodeId, UserId, parse_user
from node.core.message import Message
from node.core.roles import RANK, Capability
from node.core.room import Room, capabilities, rank_role, require


def check(room: Room, actor: UserId, start: Message | None, now_ms: int) -> None:
    """Whether `actor` may end the call that began with the entry `start`. Raises Rejected. Whoever began it may have lost their voice."""
    require(room, actor, Capability.READ, now_ms)
    if start is None or start.kind != "call" or (start.author != actor and start.author in room.members):
        raise Rejected(Code.BAD_REQUEST, "This call did not begin in this chat.", field="start")
    if start.author != actor:
        require(room, actor, Capability.POST, now_ms)


def closer(room: Room, hub: NodeId, by: UserId, missed: Collection[str], now_ms: int) -> UserId | None:
    """In whose name the end of a call that `by` began is noted; None if nobody may. People of the hub are taken first, those who
    missed the call last (their own entry would not be unread for them), and of the rest the one of the highest rank, longest there."""
    if by in room.members:
        return by
    able = [user for user in room.members if Capability.POST in capabilities(room, user, now_ms)]

    def order(user: UserId) -> tuple[bool, bool, int, int, UserId]:
        member = room.members[user]
        return (parse_user(user)[1] != hub, user in missed, -RANK[rank_role(member)], member.joined_idx, user)

    return min(able, key=order, default=None)
