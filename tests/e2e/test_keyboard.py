"""A whole evening without a mouse: the keys of the cheat sheet do what it says, and focus is never lost."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.conftest import Meet
from tests.e2e.person import PASSWORD, Person
from tests.e2e.village import Village


def chats(village: Village, meet: Meet) -> tuple[Person, dict[str, str]]:
    """Kim, with three groups in the list: Alpha (newest), Beta (unread), Gamma."""
    kim = meet("Kim Keys")
    me = village.settle(kim)
    rooms = {name: village.olga.group(name, [me]) for name in ("Gamma", "Beta", "Alpha")}
    for room in rooms.values():
        me.says(room, "I was here")
    village.olga.says(rooms["Beta"], "Kim, are you there?")
    me.says(rooms["Alpha"], "First words")
    village.olga.says(rooms["Alpha"], "Second words")
    me.says(rooms["Alpha"], "Third words")
    return kim, rooms


def focused(kim: Person) -> Locator:
    """Where the keyboard is."""
    return kim.page.locator(":focus")


def press(kim: Person, *keys: str) -> None:
    """One key after the other."""
    for key in keys:
        kim.page.keyboard.press(key)


@pytest.mark.timeout(90)
def test_keys_between_chats(village: Village, meet: Meet) -> None:
    kim, rooms = chats(village, meet)
    kim.goes(f"/c/{rooms['Alpha']}")
    heading = kim.page.get_by_role("main").get_by_role("heading", level=1)
    expect(kim.message("Third words")).to_be_visible()
    press(kim, "Alt+ArrowDown")
    expect(heading).to_have_text("Beta")
    press(kim, "Alt+ArrowDown")
    expect(heading).to_have_text("Gamma")
    press(kim, "Alt+ArrowUp")
    expect(heading).to_have_text("Beta")
    press(kim, "Alt+ArrowUp")
    expect(heading).to_have_text("Alpha")

    village.olga.says(rooms["Gamma"], "And you, Kim?")
    expect(kim.chat("Gamma").get_by_role("img", name="1 unread message", exact=True)).to_be_visible()
    # Beta was passed too quickly to be read
    press(kim, "Alt+Shift+ArrowDown")
    expect(heading).to_have_text("Beta")
    expect(kim.chat("Beta").get_by_role("img", name="1 unread message", exact=True)).to_have_count(0)
    press(kim, "Alt+Shift+ArrowDown")
    expect(heading).to_have_text("Gamma")
    press(kim, "Control+k")
    expect(focused(kim)).to_have_accessible_name("Search chats")
    kim.page.keyboard.type("alp")
    expect(kim.chat("Alpha")).to_be_visible()
    expect(kim.chat("Beta")).to_have_count(0)

    html = kim.page.locator("html")
    expect(html).to_have_attribute("data-theme", "light")
    press(kim, "Control+Shift+d")
    expect(html).to_have_attribute("data-theme", "dark")
    press(kim, "Control+/")
    sheet = kim.page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_be_visible()
    press(kim, "Escape")
    expect(sheet).to_have_count(0)


@pytest.mark.timeout(90)
def test_keys_in_the_composer(village: Village, meet: Meet) -> None:
    kim, rooms = chats(village, meet)
    kim.goes(f"/c/{rooms['Alpha']}")
    expect(kim.message("Third words")).to_be_visible()
    expect(kim.composer).to_be_focused()
    kim.page.keyboard.type("one line")
    press(kim, "Shift+Enter")
    kim.page.keyboard.type("another line")
    expect(kim.composer).to_have_value("one line\nanother line")
    press(kim, "Enter")
    expect(kim.message("another line")).to_be_visible()
    expect(kim.composer).to_have_value("")
    # a post can be edited once the node has given it its place
    expect(
        kim.message("another line").get_by_role("button", name=re.compile("^(Sent|Delivered|Read by)"))
    ).to_be_visible()

    press(kim, "ArrowUp")
    kim.sees("Edit message")
    expect(kim.composer).to_have_value("one line\nanother line")
    press(kim, "Escape")
    expect(kim.page.get_by_text("Edit message")).to_have_count(0)
    expect(kim.composer).to_have_value("")
    press(kim, "ArrowUp")
    kim.composer.fill("one line only")
    press(kim, "Enter")
    expect(kim.message("one line only").get_by_text("edited")).to_be_visible()

    kim.page.keyboard.type("@Ol")
    expect(kim.page.get_by_role("option", name=re.compile("Olga"))).to_be_visible()
    press(kim, "Enter")
    expect(kim.composer).to_have_value("@Olga Berg ")
    kim.page.keyboard.type("hello")
    press(kim, "Enter")
    expect(kim.message("@Olga Berg hello")).to_be_visible()


@pytest.mark.timeout(90)
def test_keys_in_the_timeline(village: Village, meet: Meet) -> None:
    kim, rooms = chats(village, meet)
    kim.goes(f"/c/{rooms['Alpha']}")
    expect(kim.message("Third words")).to_be_visible()
    kim.page.get_by_role("region", name="Messages").focus()
    press(kim, "k")
    expect(focused(kim)).to_contain_text("Third words")
    press(kim, "k")
    expect(focused(kim)).to_contain_text("Second words")
    press(kim, "j", "ArrowUp", "k")
    expect(focused(kim)).to_contain_text("First words")
    press(kim, "j")
    expect(focused(kim)).to_contain_text("Second words")

    press(kim, "r")
    kim.sees("Reply to Olga Berg")
    expect(kim.composer).to_be_focused()
    press(kim, "Escape")
    expect(kim.page.get_by_text("Reply to Olga Berg")).to_have_count(0)

    second = kim.message("Second words")
    second.focus()
    press(kim, "e")
    expect(kim.page.get_by_role("dialog", name="React")).to_be_visible()
    expect(kim.page.get_by_role("dialog", name="React").locator(":focus")).to_be_visible()
    press(kim, "Escape")
    expect(second).to_be_focused()
    press(kim, "Enter")
    menu = kim.page.get_by_role("menu", name="More actions")
    expect(menu.locator(":focus")).to_have_accessible_name("React with 👍")
    press(kim, "Enter")
    expect(second.get_by_role("button", name=re.compile("^👍 1: You"))).to_be_visible()
    expect(second).to_be_focused()

    # who may not remove a message is not asked whether to
    press(kim, "Delete")
    expect(kim.page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.timeout(60)
def test_signing_in_and_a_dialog_without_a_mouse(village: Village, meet: Meet) -> None:
    kim = meet("Kim Again")
    kim.goes("/login")
    expect(kim.page.get_by_label("User name", exact=True)).to_be_focused()
    kim.page.keyboard.type("olga")
    press(kim, "Tab")
    kim.page.keyboard.type(PASSWORD)
    press(kim, "Enter")
    expect(kim.page.get_by_role("navigation", name="Main")).to_be_visible()

    opener = kim.page.get_by_role("button", name="New", exact=True)
    opener.focus()
    press(kim, "Enter")
    expect(focused(kim)).to_have_text("New chat")
    press(kim, "ArrowDown")
    expect(focused(kim)).to_have_text("New group")
    press(kim, "Escape")
    expect(opener).to_be_focused()
    press(kim, "Enter", "End", "Enter")
    dialog = kim.page.get_by_role("dialog", name="New group")
    expect(dialog.get_by_label("Group name")).to_be_focused()
    for _ in range(12):
        press(kim, "Tab")
        assert kim.page.evaluate(
            "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        )
    press(kim, "Escape")
    expect(dialog).to_have_count(0)
