"""Rooms of several nodes: who follows, in which order, and how a whole node is kept out."""

from __future__ import annotations

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import NodeId, UserId, format_node, make_user
from node.core import commands, content, hub, room
from node.core.content import Body
from node.core.roles import Role
from node.core.room import Command, Room

A, B, C = (NodeId(bytes([number]) * 32) for number in (1, 2, 3))
ALICE, BOB, BERT, CAROL = make_user("alice", A), make_user("bob", B), make_user("bert", B), make_user("carol", C)
NOW = 1_700_000_000_000


class Group:
    """A room and the number of its entries."""

    def __init__(self) -> None:
        self.state = Room(kind=room.GROUP)
        self.idx = 0
        self._fold(ALICE, "create", content.Create(name="Walk"))

    def do(self, actor: UserId, kind: str, body: Body) -> None:
        commands.decide(self.state, Command(actor, kind, body), NOW)
        self._fold(actor, kind, body)

    def _fold(self, actor: UserId, kind: str, body: Body) -> None:
        self.idx += 1
        self.state = room.evolve(self.state, Command(actor, kind, body), NOW, self.idx)

    def enter(self, *users: UserId) -> None:
        for user in users:
            self.do(ALICE, "invite", content.Invite(user=user))
            self.do(user, "join", content.Join())

    def refuses(self, actor: UserId, kind: str, body: Body) -> Code:
        with pytest.raises(Rejected) as refusal:
            commands.decide(self.state, Command(actor, kind, body), NOW)
        return refusal.value.code


@pytest.fixture
def group() -> Group:
    made = Group()
    made.enter(CAROL, BOB, BERT)
    return made


def test_nodes_follow_in_the_order_of_their_first_member(group: Group) -> None:
    assert room.nodes_of(group.state) == (A, C, B)
    group.do(CAROL, "leave", content.Leave())
    assert room.nodes_of(group.state) == (A, B)
    group.enter(CAROL)
    assert room.nodes_of(group.state) == (A, B, C)


def test_a_banned_node_is_out_and_stays_out(group: Group) -> None:
    group.do(ALICE, "invite", content.Invite(user=make_user("berta", B)))
    group.do(ALICE, "ban_node", content.BanNode(node=format_node(B), reason="spam"))
    assert set(group.state.members) == {ALICE, CAROL}
    assert not group.state.invited
    assert group.refuses(ALICE, "invite", content.Invite(user=BOB)) is Code.FORBIDDEN
    assert group.refuses(BOB, "join", content.Join(via="link")) is Code.FORBIDDEN
    assert group.refuses(ALICE, "ban_node", content.BanNode(node=format_node(B))) is Code.ALREADY_DONE
    group.do(ALICE, "unban_node", content.UnbanNode(node=format_node(B)))
    group.enter(BOB)
    assert BOB in group.state.members


def test_who_may_ban_a_node(group: Group) -> None:
    ban = content.BanNode(node=format_node(B))
    assert group.refuses(CAROL, "ban_node", ban) is Code.ROLE_TOO_LOW
    assert group.refuses(ALICE, "ban_node", content.BanNode(node=format_node(A))) is Code.BAD_REQUEST
    assert group.refuses(ALICE, "unban_node", content.UnbanNode(node=format_node(C))) is Code.NOT_FOUND
    group.do(ALICE, "role", content.SetRole(user=BERT, role=Role.ADMIN))
    group.do(ALICE, "role", content.SetRole(user=CAROL, role=Role.ADMIN))
    assert group.refuses(CAROL, "ban_node", ban) is Code.ROLE_TOO_LOW
    group.do(ALICE, "ban_node", ban)


def test_the_list_of_banned_nodes_ends(group: Group) -> None:
    for number in range(limits.NODES_BANNED_MAX):
        group.do(ALICE, "ban_node", content.BanNode(node=format_node(NodeId(number.to_bytes(32)))))
    assert group.refuses(ALICE, "ban_node", content.BanNode(node=format_node(B))) is Code.LIMIT_REACHED


@pytest.mark.parametrize(("voters", "needed"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 3), (6, 3), (7, 4)])
def test_how_many_others_make_an_entry_stable(voters: int, needed: int) -> None:
    assert hub.acks_needed(voters) == needed
    others = voters - 1
    assert hub.stable_idx([9] * needed + [0] * (others - needed), voters, 9) == 9
    if needed:
        assert hub.stable_idx([9] * (needed - 1) + [4] * (others - needed + 1), voters, 9) == 4
        assert hub.stable_idx([9] * (needed - 1), voters, 9) == 0


def test_two_quorums_share_a_voter_that_is_not_the_hub() -> None:
    for voters in range(4, limits.VOTERS_MAX + 1):
        assert 2 * hub.acks_needed(voters) > voters - 1


def test_nothing_beyond_the_head_is_stable() -> None:
    assert hub.stable_idx([100, 100], 3, 7) == 7


def test_the_hub_of_a_direct_chat_is_the_smaller_node() -> None:
    assert hub.direct_hub(BOB, ALICE) == hub.direct_hub(ALICE, BOB) == A
