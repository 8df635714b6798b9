"""Nodes that nobody knows: an identity costs nothing, so what they may leave here is bounded for all of them together."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from node.base import limits
from node.base.ids import NodeId, RoomId, UserId, make_user
from node.core import content
from node.storage.database import Tx
from node.wire.exchange import Ask, Offer, Withdraw
from tests.cast import offered, stands
from tests.integration.hostile.villain import FalseRoom, Scene, changed, rows, scene, villain_of
from tests.links import identity

pytestmark = pytest.mark.slow
NOBODY = "nobody"


def offer(s: Scene, n: int, to: UserId, by: UserId | None = None) -> Offer:
    return Offer(n.to_bytes(32), f"Room {n}", 3, by or s.villain.user(f"m{n}"), f"M {n}", to, 1)


async def test_questions_to_people_who_do_not_exist_look_the_same(stage_set: Scene) -> None:
    s = stage_set
    asks = [Ask(s.villain.user(), "Mallory", local, "Hello?", 1) for local in (NOBODY, "admin", "a.b")]
    assert await s.villain.gives(*asks) == []
    assert await s.villain.gives(offer(s, 1, make_user(NOBODY, s.a.nid)), offer(s, 2, s.bob.user)) == []
    await s.quiet()


async def test_a_token_that_is_none_is_an_ordinary_question(stage_set: Scene) -> None:
    s = stage_set
    assert await s.villain.gives(Ask(s.villain.user(), "Mallory", "alice", "Hello?", 1, bytes(16))) == []
    assert changed(s.before, rows(s.a)) == {"contacts": 1, "users": 1}
    await s.goes_on()


async def test_twenty_questions_an_hour_reach_one_person(tmp_path: Path) -> None:
    async with scene(tmp_path, relaxed=False) as s:
        asks = [Ask(s.villain.user(f"m{n}"), f"M {n}", "alice", "Hello?", 1) for n in range(200)]
        assert await s.villain.gives(*asks) == []
        assert changed(s.before, rows(s.a)) == {"contacts": limits.REQUESTS_PER_H, "users": limits.REQUESTS_PER_H}
        offers = [offer(s, n, s.alice.user) for n in range(200)]
        assert await s.villain.gives(*offers) == []
        assert s.count("SELECT count(*) FROM offers") == limits.REQUESTS_PER_H


async def test_what_waits_for_one_person_is_bounded(stage_set: Scene) -> None:
    s = stage_set
    asks = [Ask(s.villain.user(f"m{n}"), f"M {n}", "alice", "Hello?", 1) for n in range(200)]
    assert await s.villain.gives(*asks) == []
    assert s.count("SELECT count(*) FROM contacts") == limits.REQUESTS_OPEN_MAX
    before = s.count("SELECT count(*) FROM users")
    await s.a.services.db.write(lambda tx: s.a.services.peers.ensure(tx, s.villain.nid, 1))  # or it would be slowed
    offers = [offer(s, n, s.alice.user) for n in range(10_000)]
    assert await s.villain.gives(*offers) == []
    assert s.count("SELECT count(*) FROM offers") == limits.OFFERS_OPEN_MAX
    assert s.count("SELECT count(*) FROM users") - before <= limits.OFFERS_OPEN_MAX
    assert s.count("SELECT count(*) FROM rooms") == s.before["rooms"]
    await s.goes_on()


async def test_what_one_hub_offers_is_bounded(stage_set: Scene) -> None:
    """To as many people as there are."""
    s = stage_set
    users = [make_user(f"p{n}", s.a.nid) for n in range(12)]

    def move_in(tx: Tx) -> None:
        for n, user in enumerate(users):
            pk = s.a.services.users.pk(tx, user)
            tx.execute(
                "INSERT INTO accounts (id, local, skeleton, role, password, created_ms) VALUES (?, ?, ?, 'user', '', 1)",
                (pk, f"p{n}", f"p{n}"),
            )

    await s.a.services.db.write(move_in)
    offers = [offer(s, n, user) for user in users for n in range(limits.OFFERS_OPEN_MAX)]
    assert len(offers) > limits.OFFERS_PER_HUB_MAX
    assert await s.villain.gives(*offers) == []
    assert s.count("SELECT count(*) FROM offers") == limits.OFFERS_PER_HUB_MAX


async def test_an_invitation_that_changes_its_mind_makes_no_people(stage_set: Scene) -> None:
    """The same room again and again, each time by somebody else."""
    s = stage_set
    room = FalseRoom(s.villain)
    offers = [room.offer(s.alice.user, by=s.villain.user(f"m{n}")) for n in range(100)]
    assert await s.villain.gives(*offers) == []
    await offered(s.alice, room.room)
    assert s.count("SELECT count(*) FROM users") == s.before["users"] + 1


async def test_invitations_that_come_and_go_spend_what_strangers_have(tmp_path: Path) -> None:
    async with scene(tmp_path, relaxed=False) as s:
        for n in range(60):
            assert (
                await s.villain.gives(offer(s, n, s.alice.user), Withdraw(RoomId(n.to_bytes(32)), s.alice.user)) == []
            )
        assert s.count("SELECT count(*) FROM users") <= s.before["users"] + limits.REQUESTS_PER_H
        assert s.count("SELECT count(*) FROM offers") == 0


async def test_a_stranger_leaves_nothing_behind(stage_set: Scene, tmp_path: Path) -> None:
    """One that only sent rubbish is forgotten with its link, whatever it sent."""
    s = stage_set
    before = {name: rows(s.a)[name] for name in ("peers", "peer_in", "outbox_runs", "quarantine")}
    for n in range(3):
        async with villain_of(tmp_path, s.a, f"stranger{n}") as other:
            codes = await other.gives(b"\xc1", b"rubbish" * 1000, Ask(other.user(), "M", NOBODY, "Hello?", 1), cls=1)
            assert codes == ["bad_request", "bad_request"]
        await other.home.until(lambda other=other: not s.a.node.federation.linked(other.nid))  # type: ignore[misc]
        await s.a.services.db.write(lambda tx: None)
    assert {name: rows(s.a)[name] for name in before} == before
    await s.goes_on()


async def test_a_stranger_who_asked_somebody_is_kept(stage_set: Scene, tmp_path: Path) -> None:
    s = stage_set
    before = rows(s.a)["peers"]
    async with villain_of(tmp_path, s.a, "stranger") as other:
        assert await other.gives(Ask(other.user(), "Sam", "alice", "Hello?", 1)) == []
    await other.home.until(lambda: not s.a.node.federation.linked(other.nid))
    await s.a.services.db.write(lambda tx: None)
    assert rows(s.a)["peers"] == before + 1
    assert any(contact.state == "asking" for contact in await s.alice.contacts())


async def test_strangers_have_sixty_four_links_together(stage_set: Scene, tmp_path: Path) -> None:
    """And the honest nodes keep theirs. Handshakes of one address are few, so known addresses stand in for many networks."""
    s = stage_set
    s.a.node.federation.hosts.remember("127.0.0.1")
    now_s = s.a.clock.now_ms() // 1000
    async with AsyncExitStack() as stack:
        linked = 1  # the villain of the scene
        for n in range(limits.STRANGERS_MAX + 3):
            who = identity(f"crowd {n}", now_s=now_s)
            try:
                await stack.enter_async_context(villain_of(tmp_path, s.a, f"crowd{n}", who))
                linked += 1
            except ExceptionGroup:  # it was told to come back later
                break
        assert linked == limits.STRANGERS_MAX
        await s.goes_on()
    assert not [one for one in s.a.node.federation.open_links() if one.nid not in {s.b.nid, s.villain.nid}]


async def test_friends_are_asked_and_answered_meanwhile(stage_set: Scene) -> None:
    """The places of strangers are full; Bob still invites Alice."""
    s = stage_set
    carol = await s.b.person("carol")
    await carol.ask(s.alice.user, "May I?")
    await stands(s.alice, carol, "asking")
    await s.alice.agree(carol.user)
    await stands(carol, s.alice, "contact")
    offers = [offer(s, n, s.alice.user) for n in range(limits.OFFERS_OPEN_MAX - 1)]
    assert await s.villain.gives(*offers) == []
    theirs = await carol.create_group("Friends", [s.alice.user])
    await offered(s.alice, theirs)


async def test_a_member_elsewhere_cannot_make_the_hub_call_everybody(tmp_path: Path) -> None:
    """Each invitation may name a node that nobody knows, which the hub would look for: a hundred an hour of one node."""
    async with scene(tmp_path, relaxed=False) as s:
        mallory = s.villain.user()
        assert await s.villain.gives(Ask(mallory, "Mallory", "alice", "Let me in", 1)) == []
        await s.alice.agree(mallory)
        await s.alice.post(s.room, content.Invite(user=mallory))
        assert await s.villain.gives(s.villain.submit(s.room, mallory, content.Join(), "join", seq=2)) == []
        before = rows(s.a)["peers"]
        invites = [
            s.villain.submit(
                s.room, mallory, content.Invite(user=make_user("xx", NodeId(bytes([n]) * 32))), "invite", seq=n + 3
            )
            for n in range(150)
        ]
        assert await s.villain.gives(*invites) == []
        assert rows(s.a)["peers"] - before == limits.INVITATIONS_PER_H
        await s.villain.home.until(lambda: sum(b"rate_limited" in raw for raw in s.villain.home.noted()) == 50)
