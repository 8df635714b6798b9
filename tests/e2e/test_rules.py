"""Who may do what, as people meet it: banned and let in again, a role given and taken, a group and an account in other hands.

Each test is a short scene between the one who decides and the one it happens to; both screens are looked at.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.conftest import Meet
from tests.e2e.person import PASSWORD, Person
from tests.e2e.village import Village, Villager

NEW_PASSWORD = "nine grey geese land"


def a_club(village: Village, meet: Meet) -> tuple[Person, Person, Villager, str]:
    """Mara owns a group, Boris is in it; both look at it."""
    mara, boris = meet("Mara Miller"), meet("Boris Bold")
    owner, member = village.settle(mara), village.settle(boris)
    room = owner.group("Chess club", [member])
    owner.says(room, "Tonight at eight.")
    boris.goes(f"/c/{room}")
    expect(boris.message("Tonight at eight.")).to_be_visible()
    mara.goes(f"/c/{room}/members")
    expect(members(mara).get_by_text(boris.name)).to_be_visible()
    return mara, boris, owner, room


def members(person: Person) -> Locator:
    """The list beside the chat."""
    return person.page.get_by_role("complementary", name="Members")


def decides(person: Person, about: str, action: str) -> None:
    """An action from the menu of a person in a list."""
    person.presses(f"Actions for {about}")
    person.presses(action, role="menuitem")


def confirms(person: Person, action: str) -> None:
    """The button of the question that follows; the question goes away."""
    dialog = person.page.get_by_role("dialog")
    dialog.get_by_role("button", name=action, exact=True).click()
    expect(dialog).to_have_count(0)


@pytest.mark.timeout(90)
def test_a_banned_member_is_out_until_somebody_lets_him_in(village: Village, meet: Meet) -> None:
    mara, boris, owner, room = a_club(village, meet)
    link = str(owner.post(f"/rooms/{room}/links", {"uses": 5})["url"]).partition("#")[2]
    decides(mara, boris.name, "Ban")
    mara.fills("Reason (optional)", "Shouting at the referee")
    mara.shot("rules/ban")
    confirms(mara, "Ban")

    mara.sees("You banned Boris Bold: Shouting at the referee")
    banned = members(mara).get_by_role("listitem").filter(has_text="Shouting at the referee")
    expect(banned.get_by_text(boris.name)).to_be_visible()
    mara.shot("rules/banned")
    boris.sees("You are no longer in this group.")
    expect(boris.composer).to_have_count(0)
    boris.shot("rules/banned-boris")

    boris.goes(f"/i#{link}")
    boris.presses("Join group")
    expect(boris.page.get_by_role("alert").filter(has_text="You are banned from this group.")).to_be_visible()
    boris.shot("rules/banned-link")

    banned.get_by_role("button", name="Unban").click()
    mara.sees("You unbanned Boris Bold")
    expect(members(mara).get_by_role("button", name="Unban")).to_have_count(0)
    boris.presses("Join group")
    expect(boris.page.get_by_role("main").get_by_role("heading", name="Chess club")).to_be_visible()
    boris.writes("I am sorry. Good evening!")
    expect(mara.message("I am sorry. Good evening!")).to_be_visible()


@pytest.mark.timeout(90)
def test_a_role_changes_what_one_may_do_at_once(village: Village, meet: Meet) -> None:
    mara, boris, _, room = a_club(village, meet)
    decides(mara, boris.name, "Make visitor")
    expect(members(mara).get_by_text("Visitor", exact=True)).to_be_visible()
    boris.sees("Visitors can read but not write here.")
    expect(boris.composer).to_have_count(0)

    decides(mara, boris.name, "Make admin")
    expect(members(mara).get_by_text("Admin", exact=True)).to_be_visible()
    boris.sees("Mara Miller made you Admin")
    boris.goes(f"/c/{room}/manage")
    boris.fills("Group name", "Chess and cake club")
    boris.presses("Save name")
    expect(mara.page.get_by_role("main").get_by_role("heading", name="Chess and cake club")).to_be_visible()
    boris.shot("rules/admin")

    decides(mara, boris.name, "Make member")
    expect(members(mara).get_by_text("Admin", exact=True)).to_have_count(0)
    expect(boris.page.get_by_label("Group name", exact=True)).to_have_count(0)
    boris.goes(f"/c/{room}")
    boris.writes("It was nice while it lasted.")
    expect(mara.message("It was nice while it lasted.")).to_be_visible()


@pytest.mark.timeout(90)
def test_a_group_is_handed_over(village: Village, meet: Meet) -> None:
    mara, boris, _, room = a_club(village, meet)
    decides(mara, boris.name, "Hand over group")
    mara.sees("Boris Bold becomes the owner and you become an admin.")
    mara.shot("rules/hand-over")
    confirms(mara, "Hand over group")

    mara.sees("You handed the group over to Boris Bold")
    boris.sees("Mara Miller handed the group over to you")
    row = members(mara).get_by_role("listitem").filter(has_text=boris.name)
    expect(row.get_by_text("Owner", exact=True)).to_be_visible()
    row.get_by_role("button", name=f"Actions for {boris.name}").click()
    expect(mara.page.get_by_role("menuitem", name="Send message")).to_be_visible()
    expect(mara.page.get_by_role("menuitem", name="Remove from group")).to_have_count(0)
    mara.page.keyboard.press("Escape")

    # now she can leave, and he can remove whom he likes
    boris.goes(f"/c/{room}/members")
    decides(boris, mara.name, "Remove from group")
    confirms(boris, "Remove from group")
    mara.sees("You are no longer in this group.")


@pytest.mark.timeout(90)
def test_a_frozen_account_sleeps_until_it_is_thawed(village: Village, meet: Meet) -> None:
    olga, ivo = meet("Olga at the desk"), meet("Ivo Icy")
    village.sign_in(olga, "olga")
    me = village.settle(ivo)
    ivo.goes("/")
    expect(ivo.page.get_by_role("navigation", name="Main")).to_be_visible()
    olga.goes("/admin/users")
    decides(olga, ivo.name, "Freeze account")
    olga.sees("Ivo Icy is signed out everywhere")
    olga.shot("rules/freeze")
    confirms(olga, "Freeze account")
    row = olga.page.get_by_role("listitem").filter(has_text=ivo.name)
    expect(row.get_by_text("Frozen")).to_be_visible()
    olga.shot("rules/frozen")

    signs_in(ivo, me.local, PASSWORD)
    expect(ivo.page.get_by_role("alert").filter(has_text=re.compile("frozen|locked", re.IGNORECASE))).to_be_visible()
    ivo.shot("rules/frozen-ivo")

    decides(olga, ivo.name, "Unfreeze account")
    expect(row.get_by_text("Frozen")).to_have_count(0)
    ivo.presses("Sign in")
    expect(ivo.page.get_by_role("navigation", name="Main")).to_be_visible()


@pytest.mark.timeout(90)
def test_a_new_password_ends_the_other_devices(village: Village, meet: Meet) -> None:
    laptop, phone = meet("Lea Laptop"), meet("Lea Phone")
    me = village.settle(laptop)
    village.sign_in(phone, me.local)
    phone.goes("/")
    expect(phone.page.get_by_role("navigation", name="Main")).to_be_visible()

    laptop.goes("/settings/password")
    changes(laptop, "not the present one", NEW_PASSWORD)
    expect(laptop.page.get_by_role("alert").filter(has_text="This is not your present password.")).to_be_visible()
    changes(laptop, PASSWORD, "short")
    expect(laptop.page.get_by_role("alert").filter(has_text="at least 8 characters")).to_be_visible()
    laptop.shot("rules/password")
    changes(laptop, PASSWORD, NEW_PASSWORD)
    laptop.sees("Your password was changed.")
    expect(laptop.page.get_by_label("Present password", exact=True)).to_have_value("")

    signs_in(phone, me.local, PASSWORD)
    expect(phone.page.get_by_role("alert").filter(has_text="User name or password is wrong.")).to_be_visible()
    signs_in(phone, me.local, NEW_PASSWORD)
    expect(phone.page.get_by_role("navigation", name="Main")).to_be_visible()
    laptop.page.reload()
    expect(laptop.page.get_by_label("Present password", exact=True)).to_be_visible()


def changes(person: Person, old: str, new: str) -> None:
    """The form of the password page."""
    person.fills("Present password", old)
    person.fills("New password", new)
    person.presses("Change password")


def signs_in(person: Person, local: str, password: str) -> None:
    """On the page that a signed-out device shows."""
    person.fills("User name", local)
    person.fills("Password", password)
    person.presses("Sign in")
