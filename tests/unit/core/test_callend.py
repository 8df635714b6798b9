"""Who ends a call in the log: its starter; when they are gone, somebody with a voice, the hub's own people first."""

from __future__ import annotations

from node.base.errors import Code
from node.base.ids import NodeId, make_user
from node.core import callend, content
from node.core.roles import Role
from node.core.room import GROUP, Member, Room
from tests.unit.core.chronicle import ALICE, BOB, CAROL, DAVE, ERIN, NODE, group
from tests.unit.core.test_room import call_end, call_start

FAR = NodeId(b"f" * 32)
ZOE, YAN = make_user("zoe", FAR), make_user("yan", FAR)
NOW = 1_700_000_000_000


def test_others_end_a_call_only_when_its_starter_is_gone() -> None:
    log = group(BOB, CAROL, DAVE)
    start = log.post(BOB, call_start()).event
    log.post(ALICE, content.SetRole(user=DAVE, role=Role.VISITOR))
    assert log.refusal(CAROL, call_end(start)) is Code.BAD_REQUEST
    log.post(ALICE, content.Kick(user=BOB))
    assert log.refusal(BOB, call_end(start)) is Code.NOT_MEMBER
    assert log.refusal(ERIN, call_end(start)) is Code.NOT_MEMBER
    assert log.refusal(DAVE, call_end(start)) is Code.ROLE_TOO_LOW, "who has no voice calls nobody's attention to it"
    log.post(CAROL, call_end(start))
    log.post(ALICE, content.MuteAll(on=True))
    assert log.refusal(CAROL, call_end(start)) is Code.MUTED
    log.post(ALICE, call_end(start))
    assert log.refusal(ALICE, call_end(log.post(ALICE, content.Text(text="hi")).event)) is Code.BAD_REQUEST
    assert log.replay().room == log.room, "a follower accepts the same entries"


def test_in_whose_name_the_end_is_noted() -> None:
    members = {
        ZOE: Member(Role.OWNER, 1, 0),
        YAN: Member(Role.MEMBER, 2, 0),
        BOB: Member(Role.VISITOR, 3, 0),
        CAROL: Member(Role.MEMBER, 4, 0),
        DAVE: Member(Role.MEMBER, 5, 0),
    }
    room = Room(kind=GROUP, members=members)
    assert callend.closer(room, NODE, DAVE, (), NOW) == DAVE, "whoever began it, while they are there"
    assert callend.closer(room, NODE, ALICE, (), NOW) == CAROL, "of the hub, with a voice, longest there"
    assert callend.closer(room, NODE, ALICE, (CAROL,), NOW) == DAVE, "it would not be unread for Carol"
    assert callend.closer(room, NODE, ALICE, (CAROL, DAVE), NOW) == CAROL
    assert callend.closer(room, FAR, ALICE, (), NOW) == ZOE, "the highest rank"
    assert callend.closer(room, NodeId(bytes(32)), ALICE, (), NOW) == ZOE, "the hub has nobody there any more"
    silent = Room(kind=GROUP, members={BOB: members[BOB]})
    assert callend.closer(silent, NODE, ALICE, (), NOW) is None
