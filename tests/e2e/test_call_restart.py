"""A node that begins anew while people of its own talk: their pages say that the call was cut off, and one tap begins it again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.caller import Caller
from tests.e2e.conftest import Meet
from tests.e2e.village import Village

CUT_OFF = "The connection was lost, and the call ended. You can call again."
BACK_MS = 60_000


@pytest.mark.timeout(180)
def test_after_a_restart_one_tap_calls_again(village: Village, meet: Meet) -> None:
    people = meet("Ana Luz"), meet("Bo Lind")
    ana, bo = (Caller(person, village.settle(person)) for person in people)
    room = ana.me.chat_with(bo.me)
    ana.me.says(room, "Shall we talk?")
    for one in (ana, bo):
        one.waits_in(room)
    ana.calls(video=False)
    bo.answers(video=False)
    for one in (ana, bo):
        one.is_in()
        one.hears()
        one.person.expects_outage = True
    village.crashes()
    for one in (ana, bo):
        expect(one.page.get_by_text(CUT_OFF)).to_be_visible(timeout=BACK_MS)
        one.person.shot("call/cut-off")
    ana.person.presses("Call again")
    bo.answers(video=False)
    for one in (ana, bo):
        one.is_in()
        one.hears()
    ana.leaves()
    expect(ana.controls).to_have_count(0)
