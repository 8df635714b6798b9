"""What can go wrong before and around a chat, and the sentence that tells a person what to do about it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Meet
from tests.e2e.person import PASSWORD, ROOT, Person
from tests.e2e.program import Program
from tests.e2e.village import Village


def invitation(village: Village, **terms: object) -> str:
    """A link made by the owner, for this machine."""
    return f"{village.origin}/i#{str(village.olga.post('/admin/invites', terms)['url']).partition('#')[2]}"


def alert(person: Person, text: str) -> None:
    """The page says this, and says it to a screen reader, too."""
    expect(person.page.get_by_role("alert").filter(has_text=text)).to_be_visible()


def test_a_wrong_password_and_an_unknown_name_read_the_same(village: Village, meet: Meet) -> None:
    dora = meet("Dora")
    dora.goes("/")
    for local, password in (("olga", "not her password"), ("nobody", PASSWORD)):
        dora.fills("User name", local)
        dora.fills("Password", password)
        dora.presses("Sign in")
        alert(dora, "User name or password is wrong.")
    dora.shot("errors/wrong-password")
    dora.fills("User name", "OLGA")
    dora.fills("Password", PASSWORD)
    dora.presses("Sign in")
    expect(dora.page.get_by_role("navigation", name="Main")).to_be_visible()


def test_an_invitation_works_as_often_as_it_says(village: Village, meet: Meet) -> None:
    first, second = meet("Fay First"), meet("Sam Second")
    link = invitation(village, uses=1)
    second.goes(link)
    expect(second.page.get_by_role("button", name="Create account")).to_be_visible()
    first.registers(link, "fay")
    first.sees("No chats yet")
    # the form was open already when the invitation was used up
    second.registers(second.page.url, "sam")
    alert(second, "This invitation was used already. Ask for a new one.")
    second.page.reload()
    expect(second.page.get_by_role("heading", name="This invitation does not work")).to_be_visible()
    alert(second, "This invitation was used already. Ask for a new one.")
    second.shot("errors/used-invitation")


def test_an_invitation_that_was_taken_back(village: Village, meet: Meet) -> None:
    tom = meet("Tom")
    made = village.olga.post("/admin/invites", {"uses": 1})
    village.olga.delete(f"/admin/invites/{made['id']}")
    tom.goes(f"/i#{str(made['url']).partition('#')[2]}")
    expect(tom.page.get_by_role("heading", name="This invitation does not work")).to_be_visible()
    tom.presses("Sign in")
    expect(tom.page.get_by_label("User name", exact=True)).to_be_visible()


def test_an_invitation_that_is_too_old(village: Village, meet: Meet) -> None:
    tim = meet("Tim")
    link = invitation(village, expires_s=1)
    with tim.page.expect_response(lambda answer: answer.url.endswith("/invites/inspect") and answer.status == 410):
        # asks again until the second is over: the node's clock decides
        tim.page.add_init_script(
            "if (!sessionStorage.seen) setTimeout(() => { sessionStorage.seen = 1; location.reload() }, 1200)"
        )
        tim.goes(link)
    alert(tim, "This invitation has expired. Ask for a new one.")


def test_a_form_says_what_is_wrong_with_which_field(village: Village, meet: Meet) -> None:
    rob = meet("Rob")
    link = invitation(village, uses=1)
    for local, password, field, text in (
        ("r", PASSWORD, "User name", "A user name has 2–32 characters"),
        ("olga", PASSWORD, "User name", "This user name is taken."),
        ("rob", "short", "Password", "at least 8 characters"),
        ("rob", "password123", "Password", "among the most common ones"),
        ("robert", "robert-robert", "Password", "contains the user name"),
    ):
        rob.goes(link)
        rob.page.reload()
        rob.fills("User name", local)
        rob.fills("Password", password)
        rob.presses("Create account")
        alert(rob, text)
        wrong = rob.page.get_by_label(field, exact=True)
        expect(wrong).to_have_attribute("aria-invalid", "true")
        expect(wrong).to_have_accessible_description(re.compile(re.escape(text)))
        rob.shot(f"errors/registration-{field.split()[0].lower()}")
    rob.fills("User name", "rob")
    rob.fills("Password", PASSWORD)
    rob.presses("Create account")
    rob.sees("No chats yet")


def test_a_device_that_was_signed_out_shows_the_sign_in_page(village: Village, meet: Meet) -> None:
    laptop, phone = meet("Laptop"), meet("Phone")
    me = village.settle(laptop)
    village.sign_in(phone, me.local)
    phone.goes("/")
    expect(phone.page.get_by_role("navigation", name="Main")).to_be_visible()
    laptop.goes("/settings/devices")
    laptop.presses("Sign out Phone")
    laptop.page.get_by_role("dialog").get_by_role("button", name="Sign out device").click()
    expect(phone.page.get_by_label("Password", exact=True)).to_be_visible()
    assert phone.page.evaluate("localStorage.getItem('startalk.me')") is None
    expect(laptop.page.get_by_role("button", name="Sign out Phone")).to_have_count(0)


@pytest.mark.timeout(60)
def test_a_node_without_its_web_ui_says_how_to_build_it(tmp_path: Path, meet: Meet, village: Village) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "node", checkout / "node", ignore=shutil.ignore_patterns("_webui", "__pycache__"))
    bare = Program(tmp_path / "data", root=checkout)
    bare.start()
    try:
        visitor = meet("Visitor", origin=bare.origin)
        visitor.expects_outage = True
        visitor.goes("/")
        visitor.sees("The web UI is not built")
        visitor.sees("make webui")
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(f"{bare.origin}/", headers={"Accept": "text/html"}))
        assert refused.value.code == 503
        refused.value.close()
    finally:
        bare.stop()
