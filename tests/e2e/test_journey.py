"""One evening on a new node, as three people see it in their browsers. Read it aloud; it is a story.

Pictures of each stage go to build/screenshots; look at them after a change of the page.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Meet
from tests.e2e.person import PHONE, Person
from tests.e2e.program import Program

LAST = 8  # the page renders the messages around what is visible, not all


@pytest.mark.timeout(280)
def test_three_people_meet_on_a_new_node(program: Program, meet: Meet) -> None:
    # Bob comes over the network and accepts the node's own certificate, as the browser asks him to.
    alice, bob, carol = meet("Alice Martin"), meet("Bob Weaver", ignore_https_errors=True), meet("Carol Chen")

    invitation = alice_becomes_the_owner(alice, program.owner_link)
    two_friends_register(bob, carol, invitation)
    alice_and_bob_chat(alice, bob)
    a_group_of_three(alice, bob, carol)
    words_are_changed_and_taken_back(alice, bob, carol)
    who_has_read_it(alice, bob, carol)
    carol_comes_back_to_unread_messages(alice, bob, carol)
    bob_writes_without_a_network(alice, bob)
    a_reload_keeps_everything(alice)
    the_node_is_killed_and_comes_back(program, alice, bob, carol)
    on_a_phone(bob)
    in_chinese_and_in_the_dark(carol)


# --- getting in -----------------------------------------------------------------------------------------


def alice_becomes_the_owner(alice: Person, link: str) -> str:
    """Alice opens the link of the terminal, keeps the phrase, and gets a link for her friends."""
    alice.goes(link)
    expect(alice.page.get_by_role("heading", name="Welcome to your node")).to_be_visible()
    alice.shot("01-owner-registers")
    alice.registers(link, "alice")

    phrase = alice.page.get_by_role("list", name="Recovery phrase").get_by_role("listitem")
    expect(phrase).to_have_count(24)
    words = phrase.all_inner_texts()
    alice.shot("02-recovery-phrase")
    alice.presses("I wrote them down")

    asked = alice.page.get_by_label(re.compile(r"^Word \d+$"))
    expect(asked).to_have_count(3)
    for place in alice.page.get_by_text(re.compile(r"^Word \d+$")).all_inner_texts():
        alice.fills(place, words[int(place.removeprefix("Word ")) - 1].split()[-1])
    alice.fills("Name of the node", "Casa Verde")
    alice.shot("03-three-words")
    alice.presses("Finish set-up")

    expect(alice.page.get_by_role("heading", name="Your node is ready")).to_be_visible()
    expect(alice.page.get_by_role("img", name="QR code of the invitation")).to_be_visible()
    invitation = alice.page.get_by_label("Invitation link").input_value()
    alice.shot("04-first-invitation")
    alice.presses("Open Startalk")
    alice.presses("Start a chat")  # nobody is here yet: the way to invite them is one step away
    alice.shot("04-the-only-one")
    alice.presses("Invite people")
    expect(alice.page).to_have_url(re.compile("/admin/invites$"))
    alice.page.get_by_role("link", name="Chats").click()
    alice.sees("No chats yet")
    alice.shot("05-no-chats-yet")
    return invitation


def two_friends_register(bob: Person, carol: Person, invitation: str) -> None:
    """Bob and Carol open the same link, each in a browser of their own; Carol sits at the node's machine."""
    assert invitation.startswith("https://")
    bob.goes(invitation)
    expect(bob.page.get_by_role("heading", name="Join Casa Verde")).to_be_visible()
    bob.shot("06-invited")
    bob.registers(invitation, "bob")
    bob.sees("No chats yet")
    carol.registers(f"{carol.origin}/i#{invitation.partition('#')[2]}", "carol")
    carol.sees("No chats yet")


# --- two people -----------------------------------------------------------------------------------------


def alice_and_bob_chat(alice: Person, bob: Person) -> None:
    """The first chat: delivered before Bob looks, read when he does, and typing in between."""
    alice.presses("Contacts", role="link")
    alice.page.get_by_role("navigation", name="People").get_by_role("link", name="Bob Weaver").click()
    alice.shot("07-contact")
    alice.presses("Send message")
    hello = alice.writes("Hi Bob! The node runs on the old laptop under my desk.")
    expect(tick(hello, "Delivered")).to_be_visible()

    expect(bob.chat("Alice Martin").get_by_role("img", name="1 unread message", exact=True)).to_be_visible()
    bob.opens("Alice Martin")
    expect(bob.message("The node runs on the old laptop")).to_be_visible()
    expect(tick(hello, "Read")).to_be_visible()

    bob.composer.press_sequentially("That was", delay=20)
    expect(head(alice.page).get_by_text("typing…")).to_be_visible()
    alice.shot("08-typing")
    bob.writes("That was quick. Is it *really* only one command?", shown="only one command?")
    bob.writes("```\nmake run\n```", shown="make run")
    expect(alice.message("make run")).to_be_visible()
    expect(alice.page.get_by_text("typing…")).to_have_count(0)
    alice.writes("One command, and a cup of tea ☕")
    alice.writes("😀")
    expect(bob.message("a cup of tea")).to_be_visible()
    alice.shot("09-direct-chat")


# --- three people ---------------------------------------------------------------------------------------


def a_group_of_three(alice: Person, bob: Person, carol: Person) -> None:
    """Alice makes a group; Bob and Carol are asked, and accept."""
    alice.presses("Chats", role="link", exact=False)
    alice.presses("New")
    alice.presses("New group", role="menuitem")
    dialog = alice.page.get_by_role("dialog", name="New group")
    dialog.get_by_label("Group name").fill("Weekend in the hills")
    dialog.get_by_role("checkbox", name="Bob Weaver").click()
    dialog.get_by_role("checkbox", name="Carol Chen").click()
    alice.shot("10-new-group")
    dialog.get_by_role("button", name="Create and invite 2").click()
    expect(alice.page.get_by_role("heading", name="Weekend in the hills")).to_be_visible()

    for guest in (bob, carol):
        invitation = guest.page.get_by_role("region", name="Invitation to Weekend in the hills")
        expect(invitation).to_be_visible()
        if guest is bob:
            bob.shot("11-invitation")
        invitation.get_by_role("button", name="Accept").click()
        expect(guest.page.get_by_role("main").get_by_role("heading", name="Weekend in the hills")).to_be_visible()
    alice.sees("Carol Chen joined the group")
    alice.sees("3 members")

    alice.writes("Who brings the tent?")
    carol.writes("Me! It sleeps four.")
    bob.writes("Then I bring the stove and the coffee.")
    for person in (alice, bob, carol):
        for text in ("Who brings the tent?", "It sleeps four.", "the stove and the coffee"):
            expect(person.message(text)).to_be_visible()


def words_are_changed_and_taken_back(alice: Person, bob: Person, carol: Person) -> None:
    """Edit, recall, react, reply: everybody sees the same."""
    carol.chooses(carol.message("It sleeps four."), "Edit")
    expect(carol.composer).to_have_value("Me! It sleeps four.")
    carol.composer.fill("Me! It sleeps three, if we are friends.")
    carol.presses("Save changes")
    for person in (alice, bob, carol):
        expect(person.message("It sleeps three").get_by_text("edited")).to_be_visible()
        expect(person.page.get_by_role("main").get_by_text("It sleeps four.")).to_have_count(0)

    bob.writes("The train leaves at 5 in the morning")
    expect(alice.message("The train leaves at 5")).to_be_visible()
    bob.chooses(bob.message("The train leaves at 5"), "Recall")
    bob.sees("You recalled a message")
    for person in (alice, carol):
        person.sees("Bob Weaver recalled a message")
        expect(person.page.get_by_role("main").get_by_text("The train leaves at 5")).to_have_count(0)
    bob.presses("Edit again")
    expect(bob.composer).to_have_value("The train leaves at 5 in the morning")
    bob.composer.fill("")
    bob.writes("The train leaves at 9:40")

    bob.chooses(bob.message("It sleeps three"), "React with 😂")
    alice.chooses(alice.message("It sleeps three"), "React with 😂")
    expect(carol.message("It sleeps three").get_by_role("button", name=re.compile("😂 2: "))).to_be_visible()
    expect(
        alice.message("It sleeps three").get_by_role("button", name=re.compile("😂 2: .*You", re.DOTALL))
    ).to_have_attribute("aria-pressed", "true")

    alice.chooses(alice.message("The train leaves at 9:40"), "Reply")
    alice.sees("Reply to Bob Weaver")
    alice.shot("12-replying")
    alice.writes("Perfect, I will be at the station with croissants 🥐")
    answer = bob.message("with croissants")
    expect(answer.get_by_role("button", name=re.compile("^You.*The train leaves at 9:40"))).to_be_visible()
    carol.writes("See you there!")
    expect(alice.message("See you there!")).to_be_visible()
    alice.page.mouse.move(0, 0)
    expect(alice.chat("Weekend in the hills").get_by_role("img", name=re.compile("unread"))).to_have_count(0)
    alice.shot("13-group")


def who_has_read_it(alice: Person, bob: Person, carol: Person) -> None:
    """The list of readers of one message."""
    expect(carol.message("with croissants")).to_be_visible()
    mine = alice.message("with croissants")
    ticks = mine.get_by_role("button", name="Read by 2", exact=True)
    expect(ticks).to_be_visible()
    ticks.click()
    dialog = alice.page.get_by_role("dialog", name="Read by")
    for name in (bob.name, carol.name):
        expect(dialog.get_by_text(name)).to_be_visible()
    alice.shot("14-read-by")
    dialog.get_by_role("button", name="Close").click()


def carol_comes_back_to_unread_messages(alice: Person, bob: Person, carol: Person) -> None:
    """Carol looks elsewhere; when she returns she sees how much, that she is meant, and where it begins."""
    carol.presses("Settings", role="link")
    bob.writes("Forecast: sun on Saturday")
    bob.writes("and a little rain on Sunday")
    alice.composer.press_sequentially("@Car")
    alice.page.get_by_role("option", name=re.compile("Carol Chen")).click()
    alice.composer.press_sequentially("do you have a second rain coat?")
    alice.composer.press("Enter")

    expect(carol.page.get_by_role("link", name=re.compile("Chats")).get_by_role("img", name="3 unread")).to_be_visible()
    carol.presses("Chats", role="link", exact=False)
    row = carol.chat("Weekend in the hills")
    expect(row.get_by_role("img", name="3 unread messages")).to_be_visible()
    expect(row.get_by_role("img", name="You were mentioned")).to_be_visible()
    carol.shot("15-unread-count")
    row.click()
    carol.sees("Unread messages", exact=True)
    expect(carol.message("a second rain coat?")).to_be_visible()
    carol.shot("16-unread-divider")
    expect(row.get_by_role("img", name="3 unread messages")).to_have_count(0)


# --- what breaks ----------------------------------------------------------------------------------------


def bob_writes_without_a_network(alice: Person, bob: Person) -> None:
    """A tunnel: what Bob writes there waits, and leaves by itself."""
    bob.expects_outage = True
    bob.context.set_offline(True)
    bob.sees("Offline — messages will be sent when you are back")
    waiting = bob.writes("I am in a tunnel, and I write anyway")
    expect(waiting.get_by_label("Waiting for the network")).to_be_visible()
    bob.writes("Two even")
    bob.shot("17-offline")
    expect(alice.page.get_by_text("I am in a tunnel")).to_have_count(0)

    bob.context.set_offline(False)
    expect(alice.message("Two even")).to_be_visible()
    expect(alice.page.get_by_role("main").get_by_text("I am in a tunnel")).to_have_count(1)
    expect(bob.page.get_by_label("Waiting for the network")).to_have_count(0)
    expect(bob.page.get_by_text("Offline — messages")).to_have_count(0)
    bob.expects_outage = False


def a_reload_keeps_everything(alice: Person) -> None:
    """The same chat at the same address, with the same words."""
    before = words(alice.page)
    assert any("with croissants" in text for text in before)
    alice.page.reload()
    expect(alice.message("Two even")).to_be_visible()
    expect(alice.page.get_by_role("button", name="Go to the newest message")).to_have_count(0)
    assert words(alice.page) == before


def the_node_is_killed_and_comes_back(program: Program, alice: Person, bob: Person, carol: Person) -> None:
    """Power cut. Nothing that was sent is lost, and what was written meanwhile is sent once."""
    for person in (alice, bob, carol):
        person.expects_outage = True
    before = words(alice.page)
    program.kill()
    alice.sees("Offline — messages will be sent when you are back")
    waiting = alice.writes("Did the lights go out at your place, too?")
    expect(waiting.get_by_label("Waiting for the network")).to_be_visible()
    alice.shot("18-node-away")

    program.start()
    for person in (alice, bob, carol):
        expect(person.page.get_by_role("main").get_by_text("Did the lights go out")).to_have_count(1, timeout=30_000)
    expect(alice.page.get_by_label("Waiting for the network")).to_have_count(0)
    carol.writes("Only for a second.")
    expect(alice.message("Only for a second.")).to_be_visible()
    expect(alice.page.get_by_text("Offline — messages")).to_have_count(0)
    alice.page.reload()
    expect(alice.message("Only for a second.")).to_be_visible()
    after = words(alice.page)
    assert after[:-2] == before[2:]
    for person in (alice, bob, carol):
        person.expects_outage = False
    alice.shot("19-after-the-kill")


# --- other looks ----------------------------------------------------------------------------------------


def on_a_phone(bob: Person) -> None:
    """One pane at a time, nothing wider than the screen."""
    bob.page.set_viewport_size(PHONE)
    expect(bob.message("Only for a second.")).to_be_visible()
    bob.shot("20-phone-chat")
    bob.presses("Back")
    expect(bob.chat("Weekend in the hills")).to_be_visible()
    expect(bob.chat("Alice Martin")).to_be_visible()
    bob.shot("21-phone-list")
    bob.opens("Alice Martin")
    bob.writes("Sent from my pocket")
    assert bob.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bob.presses("Back")


def in_chinese_and_in_the_dark(carol: Person) -> None:
    """The words and the colours follow what Carol chooses, and stay."""
    carol.goes("/settings/look")
    carol.presses("中文", role="radio")
    carol.presses("深色", role="radio")
    expect(carol.page.locator("html")).to_have_attribute("lang", re.compile("^zh"))
    carol.shot("22-settings-zh-dark")
    carol.goes("/")
    carol.page.get_by_role("link").filter(has_text="Weekend in the hills").click()
    expect(carol.message("Only for a second.")).to_be_visible()
    carol.writes("周末见！我带帐篷和雨衣。")
    carol.shot("23-group-zh-dark")
    carol.page.set_viewport_size(PHONE)
    carol.page.mouse.move(0, 0)
    expect(carol.page.get_by_role("button", name="前往最新消息")).to_have_count(0)
    long = carol.page.get_by_role("main").get_by_role("heading", level=1).locator("span").first
    assert long.evaluate("e => e.scrollWidth > e.clientWidth && getComputedStyle(e).textOverflow") == "ellipsis"
    carol.shot("24-phone-zh-dark")


# --- words for parts of the page ------------------------------------------------------------------------


def tick(message: Locator, text: str) -> Locator:
    """How far a message of a direct chat has come."""
    return message.get_by_role("img", name=text, exact=True)


def head(page: Page) -> Locator:
    """The line above an open chat."""
    return page.get_by_role("main").locator("header").first


def words(page: Page) -> list[str]:
    """The last messages. A name stands only above the first of a group, and a divider begins a new group."""
    texts = [" ".join(text.split()) for text in page.get_by_role("article").all_inner_texts()]
    return [re.sub("^(Alice Martin|Bob Weaver|Carol Chen) (?!recalled)", "", text) for text in texts][-LAST:]
