"""A train goes through a tunnel: what is written, changed and taken back there waits in order, shows that it waits, and arrives."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Meet
from tests.e2e.person import Person
from tests.e2e.village import Village, Villager

WAITING = "Waiting for the network"


def on_the_train(village: Village, meet: Meet, **look: Any) -> tuple[Person, Person, Villager, Villager, str]:
    """Tina on the train and Otto at home, in a group of his; both look at it."""
    tina, otto = meet("Tina Train", **look), meet("Otto Home")
    me, host = village.settle(tina), village.settle(otto)
    room = host.group("Saturday", [me])
    host.says(room, "Shall we meet at noon?")
    me.says(room, "Yes, at nooon")
    me.says(room, "I bring my cousin's secret cake")
    for person in (tina, otto):
        person.goes(f"/c/{room}")
        expect(person.message("secret cake")).to_be_visible()
    return tina, otto, me, host, room


def enters_the_tunnel(tina: Person) -> None:
    """No network from here on."""
    tina.expects_outage = True
    tina.context.set_offline(True)
    tina.sees("Offline — messages will be sent when you are back")


@pytest.mark.timeout(120)
def test_changes_made_in_a_tunnel_arrive_in_their_order(village: Village, meet: Meet) -> None:
    tina, otto, *_ = on_the_train(village, meet)
    enters_the_tunnel(tina)
    tina.chooses(tina.message("Yes, at nooon"), "Edit")
    tina.composer.fill("Yes, at noon")
    tina.presses("Save changes")
    tina.chooses(tina.message("secret cake"), "Recall")
    tina.chooses(tina.message("Shall we meet"), "React with 👍")
    tina.chooses(tina.message("Shall we meet"), "React with 😂")
    tina.writes("I am in a tunnel")

    expect(tina.message("Yes, at noon").get_by_label(WAITING)).to_be_visible()
    expect(tina.message("Yes, at noon").get_by_text("edited")).to_be_visible()
    expect(tina.message("You recalled a message").get_by_label(WAITING)).to_be_visible()
    expect(tina.message("Shall we meet").get_by_label(WAITING)).to_be_visible()
    laugh = tina.message("Shall we meet").get_by_role("button", name=re.compile("^😂 1: You"))
    laugh.click()
    expect(laugh).to_have_count(0)
    tina.page.mouse.move(0, 0)
    tina.shot("offline/tunnel")
    expect(otto.message("secret cake")).to_be_visible()

    tina.page.reload()
    expect(tina.message("I am in a tunnel").get_by_label(WAITING)).to_be_visible()
    expect(tina.message("Yes, at noon").get_by_label(WAITING)).to_be_visible()
    expect(tina.page.get_by_text("secret cake")).to_have_count(0)

    tina.context.set_offline(False)
    expect(otto.message("I am in a tunnel")).to_be_visible()
    expect(otto.message("Yes, at noon").get_by_text("edited")).to_be_visible()
    expect(otto.page.get_by_role("main").get_by_text("secret cake")).to_have_count(0)
    otto.sees("Tina Train recalled a message")
    expect(otto.message("Shall we meet").get_by_role("button", name=re.compile("^👍 1: Tina"))).to_be_visible()
    expect(otto.message("Shall we meet").get_by_role("button", name=re.compile("😂"))).to_have_count(0)
    expect(tina.page.get_by_label(WAITING)).to_have_count(0)
    expect(tina.message("You recalled a message")).to_have_count(1)


@pytest.mark.timeout(120)
def test_a_change_that_comes_too_late_says_so(village: Village, meet: Meet) -> None:
    tina, _, me, host, room = on_the_train(village, meet)
    enters_the_tunnel(tina)
    tina.chooses(tina.message("Yes, at nooon"), "Edit")
    tina.composer.fill("Yes, at noon")
    tina.presses("Save changes")
    host.act(room, "role", {"user": me.user, "role": "visitor"})

    tina.context.set_offline(False)
    message = tina.message("Yes, at nooon")
    refused = message.get_by_role("alert")
    expect(refused).to_contain_text("Not changed:")
    expect(message.get_by_text("edited")).to_have_count(0)
    expect(tina.chat("Saturday").get_by_role("img", name="A message was not sent")).to_be_visible()
    tina.shot("offline/too-late")
    refused.get_by_role("button", name="Discard").click()
    expect(refused).to_have_count(0)
    expect(tina.chat("Saturday").get_by_role("img", name="A message was not sent")).to_have_count(0)


@pytest.mark.timeout(60)
def test_the_tunnel_on_a_phone_in_the_dark_in_chinese(village: Village, meet: Meet) -> None:
    tina, *_ = on_the_train(village, meet, viewport={"width": 390, "height": 844}, color_scheme="dark", locale="zh-CN")
    tina.expects_outage = True
    tina.context.set_offline(True)
    tina.writes("在隧道里")
    message = tina.message("Shall we meet")
    message.click(button="right")
    tina.page.get_by_role("menuitem", name=re.compile("👍")).click()
    expect(message.get_by_label("等待网络")).to_be_visible()
    tina.sees("离线")
    tina.shot("offline/phone-zh-dark")


@pytest.mark.timeout(60)
def test_what_lies_further_up_and_is_not_here_says_so(village: Village, meet: Meet) -> None:
    tina = meet("Tina Up")
    me = village.settle(tina)
    room = me.group("Long road")
    for number in range(150):
        me.says(room, f"Milestone {number}.")
    tina.goes(f"/c/{room}")
    expect(tina.message("Milestone 149.")).to_be_in_viewport()
    enters_the_tunnel(tina)
    tina.page.get_by_role("region", name="Messages").hover()
    missing = tina.page.get_by_text("Earlier messages are not on this device.")
    while not missing.is_visible():
        tina.page.mouse.wheel(0, -1_000)
        tina.page.evaluate("new Promise(requestAnimationFrame)")
    tina.shot("offline/gap")
    tina.context.set_offline(False)
    expect(missing).to_have_count(0)
    while not tina.message("Milestone 0.").is_visible():
        tina.page.mouse.wheel(0, -1_000)
        tina.page.evaluate("new Promise(requestAnimationFrame)")
