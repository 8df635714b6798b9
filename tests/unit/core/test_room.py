"""The rules of a room, case by case: who is refused what, and with which code."""

from __future__ import annotations

from itertools import pairwise

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import UserId
from node.core import commands, content, room
from node.core.content import Body
from node.core.message import Message
from node.core.roles import DIRECT_TABLE, GROUP_TABLE, RANK, Capability, Role, lowest_with, outranks
from node.core.room import Command, Member, Room
from tests.unit.core.chronicle import ALICE, BOB, CAROL, DAVE, ERIN, Chronicle, group, person

MINUTE_MS = 60_000


def full_house() -> Chronicle:
    """ALICE owner, BOB admin, CAROL member, DAVE visitor; ERIN is outside."""
    log = group(BOB, CAROL, DAVE)
    log.post(ALICE, content.SetRole(user=BOB, role=Role.ADMIN))
    log.post(ALICE, content.SetRole(user=DAVE, role=Role.VISITOR))
    return log


def text(log: Chronicle, actor: UserId, words: str = "hello") -> Message:
    return log.messages[log.post(actor, content.Text(text=words)).event]


NEEDS: list[tuple[Capability, Body]] = [
    (Capability.POST, content.Text(text="hi")),
    (Capability.INVITE, content.Invite(user=ERIN)),
    (Capability.RENAME, content.Rename(name="New")),
    (Capability.TOPIC, content.Topic(topic="New")),
    (Capability.MUTE_ALL, content.MuteAll(on=True)),
    (Capability.SETTINGS, content.Settings(recall_window_s=7)),
    (Capability.KICK, content.Ban(user=ERIN)),
    (Capability.LEAVE, content.Leave()),
]


@pytest.mark.parametrize(("need", "body"), NEEDS, ids=lambda value: getattr(value, "value", ""))
@pytest.mark.parametrize(("user", "role"), [(BOB, Role.ADMIN), (CAROL, Role.MEMBER), (DAVE, Role.VISITOR)])
def test_the_capability_table_is_what_decide_obeys(need: Capability, body: Body, user: UserId, role: Role) -> None:
    log = full_house()
    if need in GROUP_TABLE[role]:
        log.post(user, body)
    else:
        assert log.refusal(user, body) is Code.ROLE_TOO_LOW


def test_every_rank_has_what_the_rank_below_has() -> None:
    ranks = [Role.MUTED, Role.VISITOR, Role.MEMBER, Role.ADMIN, Role.OWNER]
    for low, high in pairwise(ranks):
        assert GROUP_TABLE[low] <= GROUP_TABLE[high]
        assert RANK[low] <= RANK[high]
    for capability in Capability:
        assert capability in GROUP_TABLE[lowest_with(capability)]
    assert set().union(*GROUP_TABLE.values()) == set(Capability)
    assert not outranks(Role.ADMIN, Role.ADMIN)


def test_a_direct_chat_refuses_what_groups_do() -> None:
    log = Chronicle(room.new_direct(ALICE, BOB))
    for body in (content.Invite(user=CAROL), content.Rename(name="x"), content.Leave(), content.Kick(user=BOB)):
        assert log.refusal(ALICE, body) is Code.FORBIDDEN
    assert Capability.POST in DIRECT_TABLE
    assert log.refusal(CAROL, content.Join(via="link")) is Code.FORBIDDEN
    said = text(log, BOB)
    assert log.refusal(ALICE, content.Redact(target=said.event)) is Code.FORBIDDEN


def test_outside_nothing_is_heard() -> None:
    log = full_house()
    said = text(log, ALICE)
    for _, body in NEEDS:
        assert log.refusal(ERIN, body) is Code.NOT_MEMBER
    assert log.refusal(ERIN, content.Reaction(target=said.event, value="👍")) is Code.NOT_MEMBER
    assert log.refusal(ERIN, content.Join(via="invite")) is Code.NOT_FOUND
    assert log.refusal(ERIN, content.Decline()) is Code.NOT_FOUND


def test_a_mute_ends_by_itself_and_gives_the_role_back() -> None:
    log = full_house()
    until = log.now_ms + MINUTE_MS
    log.post(ALICE, content.Mute(user=BOB, until_ms=until))
    log.now_ms = until - 1
    assert log.refusal(BOB, content.Text(text="hm")) is Code.MUTED
    log.now_ms = until
    text(log, BOB)
    log.post(BOB, content.Rename(name="Back"))
    assert log.refusal(ALICE, content.Unmute(user=BOB)) is Code.ALREADY_DONE


@pytest.mark.parametrize("way_out", [content.Leave(), content.Kick(user=CAROL), content.Ban(user=CAROL)])
def test_leaving_and_coming_back_is_no_way_out_of_a_mute(way_out: Body) -> None:
    log = full_house()
    log.post(BOB, content.Mute(user=CAROL))
    log.post(CAROL if isinstance(way_out, content.Leave) else ALICE, way_out)
    if isinstance(way_out, content.Ban):
        log.post(ALICE, content.Unban(user=CAROL))
    log.post(CAROL, content.Join(via="link"))
    assert log.refusal(CAROL, content.Text(text="ha")) is Code.MUTED
    log.post(BOB, content.Unmute(user=CAROL))
    text(log, CAROL)


def test_a_visitor_who_comes_back_is_a_visitor_and_an_admin_is_not_an_admin() -> None:
    log = full_house()
    log.post(ALICE, content.Mute(user=BOB))
    for user in (DAVE, BOB):
        log.post(user, content.Leave())
        log.post(user, content.Join(via="link"))
    assert log.refusal(DAVE, content.Text(text="ha")) is Code.ROLE_TOO_LOW
    log.post(ALICE, content.Unmute(user=BOB))
    assert log.room.members[BOB].role is Role.MEMBER


def test_a_mute_that_ended_while_away_is_over() -> None:
    log = full_house()
    log.post(BOB, content.Mute(user=CAROL, until_ms=log.now_ms + MINUTE_MS))
    log.post(CAROL, content.Leave())
    log.now_ms += MINUTE_MS
    log.post(CAROL, content.Join(via="link"))
    text(log, CAROL)
    assert not log.room.silenced


def test_muted_all_stops_edits_as_well_as_messages() -> None:
    log = full_house()
    said = text(log, CAROL)
    log.post(BOB, content.MuteAll(on=True))
    assert log.refusal(CAROL, content.Text(text="but")) is Code.MUTED
    assert log.refusal(CAROL, content.Edit(target=said.event, text="but")) is Code.MUTED
    log.post(CAROL, content.Recall(target=said.event))
    text(log, BOB)
    assert log.refusal(BOB, content.MuteAll(on=True)) is Code.ALREADY_DONE


def test_only_the_author_edits_and_recalls_and_only_in_time() -> None:
    log = full_house()
    said = text(log, CAROL)
    edit, recall = content.Edit(target=said.event, text="other"), content.Recall(target=said.event)
    for user in (ALICE, BOB):
        assert log.refusal(user, edit) is Code.ROLE_TOO_LOW
        assert log.refusal(user, recall) is Code.ROLE_TOO_LOW
    log.now_ms += log.room.recall_window_s * 1000
    edited = log.post(CAROL, edit)
    assert log.messages[said.event].edits == 1
    log.now_ms += 1
    assert log.refusal(CAROL, recall) is Code.WINDOW_CLOSED
    log.now_ms = edited.at_ms + log.room.edit_window_s * 1000
    assert log.refusal(CAROL, edit) is Code.WINDOW_CLOSED


def test_a_recalled_message_is_gone_for_every_mark() -> None:
    log = full_house()
    said = text(log, CAROL)
    log.post(CAROL, content.Recall(target=said.event))
    for body in (
        content.Edit(target=said.event, text="x"),
        content.Recall(target=said.event),
        content.Reaction(target=said.event, value="👍"),
    ):
        assert log.refusal(CAROL, body) is Code.GONE
    reply = content.Text(text="?", reply_to=content.ReplyTo(event=said.event, author=CAROL, quote="hello"))
    assert log.refusal(ALICE, reply) is Code.GONE
    log.post(ALICE, content.Text(text="?", reply_to=content.ReplyTo(event=said.event, author=CAROL)))


def test_redacting_follows_rank() -> None:
    log = full_house()
    by_owner, by_admin, by_member = text(log, ALICE), text(log, BOB), text(log, CAROL)
    assert log.refusal(CAROL, content.Redact(target=by_member.event)) is Code.ROLE_TOO_LOW
    assert log.refusal(BOB, content.Redact(target=by_owner.event)) is Code.ROLE_TOO_LOW
    log.post(BOB, content.Redact(target=by_member.event, reason="rude"))
    assert log.refusal(BOB, content.Redact(target=by_member.event)) is Code.ALREADY_DONE
    assert log.messages[by_member.event].erased_by == BOB
    log.post(ALICE, content.Redact(target=by_admin.event))


def test_a_muted_admin_keeps_the_rank() -> None:
    log = full_house()
    said = text(log, BOB)
    log.post(ALICE, content.SetRole(user=CAROL, role=Role.ADMIN))
    log.post(ALICE, content.Mute(user=BOB))
    assert log.refusal(CAROL, content.Redact(target=said.event)) is Code.ROLE_TOO_LOW
    assert log.refusal(CAROL, content.Kick(user=BOB)) is Code.ROLE_TOO_LOW
    assert log.refusal(CAROL, content.Unmute(user=BOB)) is Code.ROLE_TOO_LOW


def test_a_reply_names_a_message_of_this_room_and_its_author() -> None:
    log = full_house()
    said = text(log, ALICE)
    foreign = content.ReplyTo(event=bytes(32), author=ALICE)
    forged = content.ReplyTo(event=said.event, author=BOB)
    assert log.refusal(CAROL, content.Text(text="x", reply_to=foreign)) is Code.BAD_REQUEST
    assert log.refusal(CAROL, content.Text(text="x", reply_to=forged)) is Code.BAD_REQUEST


def test_everyone_is_called_by_admins_only() -> None:
    log = full_house()
    call = content.Text(text="@all", mentions=(content.Mention(user="all", start=0, len=4),))
    assert log.refusal(CAROL, call) is Code.ROLE_TOO_LOW
    log.post(BOB, call)


def test_the_owner_leaves_last_or_hands_over_first() -> None:
    log = group(BOB)
    assert log.refusal(ALICE, content.Leave()) is Code.CONFLICT
    log.post(ALICE, content.Transfer(user=BOB))
    assert [log.room.members[user].role for user in (ALICE, BOB)] == [Role.ADMIN, Role.OWNER]
    log.post(ALICE, content.Leave())
    log.post(BOB, content.Leave())
    assert not log.room.members
    log.post(CAROL, content.Join(via="link"))
    assert log.room.members[CAROL].role is Role.OWNER


def test_nobody_is_appointed_owner_or_muted() -> None:
    log = full_house()
    for role in (Role.OWNER, Role.MUTED):
        assert log.refusal(ALICE, content.SetRole(user=BOB, role=role)) is Code.BAD_REQUEST
    assert log.refusal(BOB, content.SetRole(user=CAROL, role=Role.ADMIN)) is Code.ROLE_TOO_LOW
    assert log.refusal(ALICE, content.SetRole(user=BOB, role=Role.ADMIN)) is Code.ALREADY_DONE
    for body in (content.Transfer(user=ALICE), content.SetRole(user=ALICE, role=Role.ADMIN), content.Kick(user=ALICE)):
        assert log.refusal(ALICE, body) is Code.BAD_REQUEST
    for unknown in (content.Transfer(user=ERIN), content.Kick(user=ERIN), content.Mute(user=ERIN)):
        assert log.refusal(ALICE, unknown) is Code.NOT_FOUND


def test_an_invitation_is_answered_once() -> None:
    log = full_house()
    log.post(CAROL, content.Invite(user=ERIN))
    assert log.refusal(BOB, content.Invite(user=ERIN)) is Code.ALREADY_DONE
    log.post(ERIN, content.Decline())
    assert log.refusal(ERIN, content.Join(via="invite")) is Code.NOT_FOUND
    log.post(CAROL, content.Invite(user=ERIN))
    log.post(ERIN, content.Join(via="invite"))
    assert log.refusal(ERIN, content.Join(via="invite")) is Code.ALREADY_DONE
    assert log.refusal(BOB, content.Uninvite(user=ERIN)) is Code.NOT_FOUND


def test_an_invitation_is_taken_back_by_who_made_it_or_an_admin() -> None:
    log = group(BOB, CAROL)
    log.post(BOB, content.Invite(user=DAVE))
    assert log.refusal(CAROL, content.Uninvite(user=DAVE)) is Code.ROLE_TOO_LOW
    log.post(BOB, content.Uninvite(user=DAVE))
    log.post(BOB, content.Invite(user=DAVE))
    log.post(ALICE, content.Uninvite(user=DAVE))


def test_a_ban_lasts_until_its_end() -> None:
    log = full_house()
    until = log.now_ms + MINUTE_MS
    log.post(BOB, content.Ban(user=CAROL, until_ms=until, reason="noise"))
    assert log.refusal(CAROL, content.Join(via="link")) is Code.FORBIDDEN
    assert log.refusal(BOB, content.Invite(user=CAROL)) is Code.FORBIDDEN
    log.now_ms = until
    log.post(CAROL, content.Join(via="link"))
    assert not log.room.bans
    assert log.refusal(BOB, content.Unban(user=CAROL)) is Code.NOT_FOUND


def test_a_created_room_is_not_created_again() -> None:
    log = full_house()
    assert log.refusal(ALICE, content.Create(name="Other")) is Code.BAD_REQUEST


# --- limits: the last that fits, and one more -----------------------------------------------------------------


def crowd(count: int, role: Role = Role.MEMBER, owner: UserId = ALICE) -> Room:
    members = {person(f"p{number:04}"): Member(role, 2, 0) for number in range(count - 1)}
    return Room(kind=room.GROUP, members={owner: Member(Role.OWNER, 1, 0)} | members)


def test_a_group_has_at_most_1000_members() -> None:
    log = Chronicle(crowd(limits.MEMBERS_MAX - 1))
    log.post(BOB, content.Join(via="link"))
    assert log.refusal(CAROL, content.Join(via="link")) is Code.LIMIT_REACHED
    assert log.refusal(ALICE, content.Invite(user=CAROL)) is Code.LIMIT_REACHED


def test_open_invitations_count_as_members() -> None:
    log = Chronicle(crowd(limits.MEMBERS_MAX - 1))
    log.post(ALICE, content.Invite(user=BOB))
    assert log.refusal(ALICE, content.Invite(user=CAROL)) is Code.LIMIT_REACHED


def test_a_group_has_at_most_20_admins() -> None:
    log = Chronicle(crowd(limits.ADMINS_MAX, Role.ADMIN))
    for user in (BOB, CAROL):
        log.post(user, content.Join(via="link"))
    log.post(ALICE, content.SetRole(user=BOB, role=Role.ADMIN))
    appoint = content.SetRole(user=CAROL, role=Role.ADMIN)
    assert log.refusal(ALICE, appoint) is Code.LIMIT_REACHED
    assert log.refusal(ALICE, content.Transfer(user=CAROL)) is Code.LIMIT_REACHED
    log.post(ALICE, content.Mute(user=BOB))
    assert log.refusal(ALICE, appoint) is Code.LIMIT_REACHED, "a muted admin is one of the twenty"
    log.post(ALICE, content.SetRole(user=BOB, role=Role.MEMBER))
    log.post(ALICE, appoint)
    log.post(ALICE, content.Transfer(user=CAROL))


def test_the_ban_list_has_an_end() -> None:
    first = crowd(3)
    bans = {person(f"b{number:04}"): room.Exclusion(ALICE, 0, "") for number in range(limits.BANS_MAX - 1)}
    log = Chronicle(Room(kind=room.GROUP, members=first.members, bans=bans))
    log.post(ALICE, content.Ban(user=BOB))
    assert log.refusal(ALICE, content.Ban(user=CAROL)) is Code.LIMIT_REACHED
    assert log.refusal(ALICE, content.Ban(user=person("p0000"))) is Code.LIMIT_REACHED, "members are no exception"
    log.post(ALICE, content.Ban(user=BOB, until_ms=log.now_ms + 1))


def test_a_room_remembers_1000_silenced_people() -> None:
    silenced = {person(f"s{n:04}"): Member(Role.MUTED, 1, 0) for n in range(limits.SILENCED_MAX)}
    log = Chronicle(Room(kind=room.GROUP, members=crowd(1).members, silenced=silenced))
    log.post(BOB, content.Join(via="link"))
    log.post(ALICE, content.Mute(user=BOB))
    log.post(BOB, content.Leave())
    assert len(log.room.silenced) == limits.SILENCED_MAX
    assert BOB in log.room.silenced
    assert person("s0000") not in log.room.silenced


def test_a_batch_of_guests_has_at_most_50() -> None:
    guests = [person(f"g{number:02}") for number in range(limits.INVITE_BATCH_MAX + 1)]
    body = content.Create(name="Garden")
    events = commands.create(ALICE, body, [*guests[:-1], ALICE, guests[0]])
    assert [event.kind for event in events] == ["create", *["invite"] * limits.INVITE_BATCH_MAX]
    with pytest.raises(Rejected) as refused:
        commands.create(ALICE, body, guests)
    assert refused.value.code is Code.LIMIT_REACHED


def test_a_message_is_edited_50_times() -> None:
    log = full_house()
    said = text(log, CAROL)
    for number in range(limits.EDITS_MAX):
        log.post(CAROL, content.Edit(target=said.event, text=f"{number}"))
    assert log.refusal(CAROL, content.Edit(target=said.event, text="more")) is Code.LIMIT_REACHED


def test_reactions_are_bounded_for_a_member_and_for_a_message() -> None:
    users = [person(f"p{number:04}") for number in range(6)]
    log = Chronicle(crowd(7))
    said = text(log, ALICE)
    for number in range(limits.REACTIONS_DISTINCT_MAX):
        actor = users[number // limits.REACTIONS_PER_MEMBER_MAX]
        log.post(actor, content.Reaction(target=said.event, value=f"{number}"))
    assert log.refusal(users[0], content.Reaction(target=said.event, value="63")) is Code.LIMIT_REACHED
    assert log.refusal(users[5], content.Reaction(target=said.event, value="64")) is Code.LIMIT_REACHED
    assert log.refusal(users[0], content.Reaction(target=said.event, value="0")) is Code.ALREADY_DONE
    assert log.refusal(users[5], content.Reaction(target=said.event, value="0", on=False)) is Code.ALREADY_DONE
    log.post(users[0], content.Reaction(target=said.event, value="0", on=False))
    assert "0" not in log.messages[said.event].reactions
    log.post(users[5], content.Reaction(target=said.event, value="64"))


def test_every_kind_has_a_rule() -> None:
    log = full_house()
    for kind, struct in content.KINDS.items():
        fields: dict[str, object] = {
            "user": ERIN, "target": bytes(32), "text": "x", "value": "x", "name": "x", "topic": "x", "on": True,
            "role": Role.MEMBER, "node": "a" * 52, "call": bytes(16), "state": "start", "media": "audio",
        }  # fmt: skip
        body = struct(**{name: fields[name] for name in struct.__struct_fields__ if name in fields})
        try:
            commands.decide(log.room, Command(ALICE, kind, body), log.now_ms)
        except Rejected as error:
            if not error.text.endswith("."):
                raise


# --- calls ----------------------------------------------------------------------------------------------------


def call_start() -> content.Call:
    return content.Call(call=bytes(16), state="start", media="audio")


def call_end(start: bytes) -> content.Call:
    return content.Call(call=bytes(16), state="end", media="audio", start=start, result="answered")


def test_who_may_begin_a_call() -> None:
    log = group(BOB, CAROL)
    for actor in (ALICE, BOB):
        log.post(actor, call_start())
    log.post(ALICE, content.SetRole(user=CAROL, role=Role.VISITOR))
    assert log.refusal(CAROL, call_start()) is Code.ROLE_TOO_LOW
    log.post(ALICE, content.Settings(calls="admins"))
    assert log.refusal(ALICE, content.Settings(calls="admins")) is Code.ALREADY_DONE
    assert log.refusal(BOB, call_start()) is Code.ROLE_TOO_LOW
    log.post(ALICE, call_start())
    log.post(ALICE, content.Settings(calls="nobody", recall_window_s=7))
    assert log.refusal(ALICE, call_start()) is Code.FORBIDDEN
    assert (log.room.calls, log.room.recall_window_s) == ("nobody", 7)


def test_calls_of_a_direct_chat_can_be_switched_off() -> None:
    log = Chronicle(room.new_direct(ALICE, BOB))
    log.post(ALICE, call_start())
    log.post(BOB, content.Settings(calls="nobody"))
    assert log.refusal(ALICE, call_start()) is Code.FORBIDDEN


def test_the_end_is_posted_by_who_began_even_without_a_voice() -> None:
    log = group(BOB)
    start = log.post(BOB, call_start()).event
    log.post(ALICE, content.Mute(user=BOB))
    log.post(ALICE, content.Settings(calls="nobody"))
    assert log.refusal(ALICE, call_end(start)) is Code.BAD_REQUEST
    assert log.refusal(BOB, call_end(bytes(32))) is Code.BAD_REQUEST
    text = log.post(ALICE, content.Text(text="hi")).event
    assert log.refusal(ALICE, call_end(text)) is Code.BAD_REQUEST
    log.post(BOB, call_end(start))


def test_a_call_is_neither_edited_nor_taken_back() -> None:
    log = group(BOB)
    start = log.post(BOB, call_start()).event
    assert log.refusal(BOB, content.Recall(target=start)) is Code.UNSUPPORTED
    assert log.refusal(BOB, content.Edit(target=start, text="x")) is Code.UNSUPPORTED
    log.post(ALICE, content.Reaction(target=start, value="👍"))
