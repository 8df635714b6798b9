"""What stands above a chat when the node that orders it is not there, keeps two histories, or breaks the rules: shown by real nodes that
do just that, to somebody who only sees the page.

The two histories come from two copies of a node that live at the same time. The rules are broken by the program itself, of which this
test makes a false copy.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from node.base.ids import UserId, parse_user
from node.storage import database
from tests.e2e.conftest import Found, Meet
from tests.e2e.person import PHONE, ROOT, Person
from tests.e2e.program import LOOPBACK, Program
from tests.e2e.village import Village, Villager, client_id

LONG_MS = 40_000  # a link is dialled anew within this time


def hikers(casa: Village, hut: Village, meet: Meet) -> tuple[Villager, Villager, Person, str]:
    """Alice of the first node asks Bob of the second one into a group that hers orders; he has not answered."""
    alice, bob = meet("Alice Martin", casa.origin), meet("Bob Weaver", hut.origin)
    bob.expects_outage = True
    her, him = casa.settle(alice), hut.settle(bob)
    her.befriend(him)
    body = {"name": "Hiking", "topic": "", "guests": [him.user], "client_id": client_id()}
    room = str(her.post("/rooms", body)["room"])
    bob.goes("/")
    expect(bob.page.get_by_role("button", name="Accept")).to_be_visible(timeout=LONG_MS)
    return her, him, bob, room


def when(holds: Callable[[], bool]) -> None:
    """Waits for it."""
    end = time.monotonic() + LONG_MS / 1_000
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def comes_in(bob: Person) -> None:
    """He accepts and looks at the group."""
    bob.presses("Accept")
    bob.opens("Hiking")


def above(bob: Person, words: str) -> None:
    """The line above the messages."""
    line = bob.page.get_by_role("main").get_by_role("status").filter(has_text=re.compile(words))
    expect(line.first).to_be_visible(timeout=LONG_MS)


@pytest.mark.timeout(180)
def test_one_waits_to_be_let_in(found: Found, meet: Meet) -> None:
    (program, casa), (_, hut) = found("Casa"), found("Hut")
    her, _, bob, room = hikers(casa, hut, meet)
    her.says(room, "Saturday?")
    program.kill()
    bob.presses("Accept")
    waits = bob.page.get_by_role("region", name=re.compile("Hiking"))
    expect(waits).to_contain_text(re.compile("Waiting|let you in"))
    bob.shot("70-waiting-to-be-let-in")
    bob.goes(f"/c/{room}")
    above(bob, "to let you in")
    expect(bob.composer).to_have_count(0)
    bob.shot("71-the-chat-one-is-not-in-yet")
    program.start()
    expect(bob.composer).to_be_visible(timeout=LONG_MS)
    expect(bob.page.get_by_text(re.compile("to let you in"))).to_have_count(0)
    bob.writes("Here I am.")


@pytest.mark.timeout(280)
def test_two_living_copies_of_a_node_show_two_histories(found: Found, meet: Meet, tmp_path: Path) -> None:
    (program, casa), (_, hut), (third, inn) = found("Casa"), found("Hut"), found("Inn")
    her, him, bob, room = hikers(casa, hut, meet)
    carol = inn.settle(meet("Carol Diaz", inn.origin))
    her.befriend(carol)
    her.act(room, "invite", {"user": carol.user})
    comes_in(bob)
    when(lambda: joins(carol, room))
    her.act(room, "transfer", {"user": him.user})
    bob.sees("handed the group over to you")
    for one in (program, third):
        one.stop()
    mine, twin = tmp_path / "Casa" / "data", tmp_path / "Twin" / "data"
    shutil.copytree(mine, twin, ignore=shutil.ignore_patterns("lock", "*.sock"))
    for data, other in ((mine, carol), (twin, him), (tmp_path / "Inn" / "data", her)):
        forgets(data, other)
    program.start()
    her.says(room, "At nine?")
    expect(bob.message("At nine?")).to_be_visible(timeout=LONG_MS)
    third.start()
    copy = Program(twin, settings=LOOPBACK)
    copy.start()
    try:
        her.on(copy.origin).says(room, "At ten?")
        inn.olga.post("/introductions", {"address": str(her.on(copy.origin).post("/contact-links", {})["url"])})
        when(lambda: "At ten?" in str(carol.get(f"/rooms/{room}/history")))
        inn.olga.post("/introductions", {"address": str(hut.olga.post("/contact-links", {})["url"])})
        above(bob, "showed two histories of this chat")
    finally:
        copy.stop()
    expect(bob.message("At nine?")).to_be_visible()
    expect(bob.composer).to_have_count(0)
    bob.shot("72-two-histories")
    bob.page.set_viewport_size(PHONE)
    bob.shot("73-two-histories-on-a-phone")
    bob.presses("Go on as a new group")
    bob.page.get_by_role("dialog").get_by_role("button", name="Go on as a new group").click()
    expect(bob.composer).to_be_visible(timeout=LONG_MS)
    bob.writes("We go on here.")


def joins(who: Villager, room: str) -> bool:
    """Whether the invitation has come and was taken."""
    try:
        who.act(room, "join", {"via": "invite"})
    except AssertionError:
        return False
    return True


def forgets(data: Path, other: Villager) -> None:
    """A stopped node does not know any more where the node of somebody is, so it will not call there."""
    with sqlite3.connect(data / database.FILE) as db:
        db.execute(
            "DELETE FROM peer_addresses WHERE peer = (SELECT id FROM peers WHERE nid = ?)",
            (parse_user(UserId(other.user))[1],),
        )
    db.close()


@pytest.mark.timeout(180)
def test_a_node_that_breaks_the_rules_is_believed_no_more(found: Found, meet: Meet, tmp_path: Path) -> None:
    false = tmp_path / "false"
    shutil.copytree(ROOT / "node", false / "node", ignore=shutil.ignore_patterns("_webui", "__pycache__"))
    rules = false / "node" / "core" / "roles.py"
    right, wrong = "_READER = frozenset({_C.READ, _C.LEAVE})", "_READER = frozenset({_C.READ, _C.LEAVE, _C.POST})"
    assert right in rules.read_text()
    rules.write_text(rules.read_text().replace(right, wrong))
    (_, casa), (_, hut) = found("Casa", root=false), found("Hut")
    her, _, bob, room = hikers(casa, hut, meet)
    comes_in(bob)
    carol = casa.settle(meet("Carol Diaz", casa.origin))
    her.act(room, "invite", {"user": carol.user})
    carol.act(room, "join", {"via": "invite"})
    her.act(room, "role", {"user": carol.user, "role": "visitor"})
    her.says(room, "Carol only listens.")
    expect(bob.message("Carol only listens.")).to_be_visible(timeout=LONG_MS)
    carol.says(room, "No, I speak.")
    above(bob, "broke the rules of this chat")
    expect(bob.page.get_by_text("No, I speak.")).to_have_count(0)
    expect(bob.composer).to_have_count(0)
    bob.shot("74-broken-rules")
