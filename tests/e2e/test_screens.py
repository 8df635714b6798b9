"""Every screen, in every look, examined by axe for the rules of WCAG 2.2 AA that a machine can judge: nothing is found.

The source of axe is put into the page by the debugger, not by a script element, so the page keeps its strict policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Meet
from tests.e2e.person import PHONE, ROOT, Person
from tests.e2e.village import Village

AXE = ROOT / "webui" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "zh": {"locale": "zh-CN"},
    "phone": {"viewport": PHONE, "has_touch": True},
    "contrast": {"contrast": "more"},
    "contrast-dark": {"contrast": "more", "color_scheme": "dark"},
}
SHEET = "main form, main section"
Finding = dict[str, Any]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.timeout(180)
def test_axe_finds_nothing(village: Village, meet: Meet, look: str) -> None:
    stranger, olga, ida = meet("Stranger", **LOOKS[look]), meet("Olga", **LOOKS[look]), meet("Ida Noor")
    village.settle(ida)
    findings = [*outside(stranger, village, look), *inside(olga, village, look)]
    assert not findings, "\n".join(findings)


def outside(stranger: Person, village: Village, look: str) -> Iterator[str]:
    """What one sees without an account."""
    invite = str(village.olga.post("/admin/invites", {"uses": 1})["url"]).partition("#")[2]
    for name, path, sign in (
        ("login", "/login", "input[autocomplete=username]"),
        ("invitation", f"/i#{invite}", "input[autocomplete=new-password]"),
        ("broken-invitation", "/i#AAAA", "[role=alert]"),
    ):
        stranger.goes(path)
        load_axe(stranger)
        yield from screen(stranger, name, sign, look)


def inside(olga: Person, village: Village, look: str) -> Iterator[str]:
    """What the owner of a node sees; nobody sees more."""
    village.sign_in(olga, "olga")
    room = a_group(village, look)
    olga.goes("/")
    load_axe(olga)
    yield from screen(olga, "chats", "aside li", look)
    for name, path, sign in (
        ("chat", f"/c/{room}", "[role=feed] article"),
        ("details", f"/c/{room}/info", "main + aside nav"),
        ("members", f"/c/{room}/members", "main + aside ul li"),
        ("links", f"/c/{room}/links", "main + aside select"),
        ("manage", f"/c/{room}/manage", "main + aside [role=switch]"),
        ("invite", f"/c/{room}/invite", "dialog[open] [role=checkbox]"),
        ("new-group", "/new", "dialog[open] [role=checkbox]"),
        ("contacts", "/contacts", "aside ul li"),
        ("add", "/add", "dialog[open] form"),
        ("my-link", "/add/link", "dialog[open] svg path[d^=M]"),
        ("person", f"/contacts/{village.last}", "main section h1"),
        *((f"settings-{page}", f"/settings/{page}", SHEET) for page in ("profile", "password", "look", "about")),
        ("settings-devices", "/settings/devices", "main li"),
        ("settings-calls", "/settings/calls", "main section video"),
        ("settings-keyboard", "/settings/keyboard", "main table"),
        ("settings", "/settings", "aside nav a"),
        *((f"admin-{page}", f"/admin/{page}", SHEET) for page in ("invites", "node")),
        ("admin-users", "/admin/users", "main li"),
        ("admin-peers", "/admin/peers", "main section h2"),
        ("admin-calls", "/admin/calls", "main form input"),
        ("admin", "/admin", "aside nav a"),
        ("lost", "/nowhere", "main p"),
    ):
        walk(olga, path)
        yield from screen(olga, name, sign, look)
    walk(olga, f"/c/{room}")
    yield from layers(olga, look)


def layers(olga: Person, look: str) -> Iterator[str]:
    """What opens above a chat."""
    page = olga.page
    page.get_by_role("article").filter(has_text="brought my own").first.click(button="right")
    yield from screen(olga, "message-menu", "[role=menu] [role=menuitem]", look)
    page.keyboard.press("Escape")
    page.locator("footer button[aria-expanded]").first.click()
    yield from screen(olga, "emoji", "[role=dialog] section button", look)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+/")
    yield from screen(olga, "keys", "dialog[open] table", look)


def a_group(village: Village, look: str) -> str:
    """A chat that has something of everything."""
    olga = village.olga
    room = olga.group(f"Choir practice {look}", topic="Tuesdays at eight. Bring the blue folder.")
    first = olga.says(room, "I brought my own **lamp**: https://lamps.example/blue and `a plug`", format="md")
    olga.says(room, "> quoted\n\n- one\n- two\n\n```\ncode\n```", format="md")
    olga.says(room, "An answer", reply_to={"event": first, "author": olga.user, "quote": "I brought"})
    olga.act(room, "reaction", {"target": first, "value": "👍", "on": True})
    gone = olga.says(room, "Something I should not have said")
    olga.act(room, "recall", {"target": gone})
    olga.act(room, "edit", {"target": olga.says(room, "Eighth"), "text": "Eighth"})
    olga.says(room, "🎶")
    return room


def walk(person: Person, path: str) -> None:
    """As if by a link of the page: the page stays loaded, and with it axe."""
    person.page.evaluate(
        "(path) => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')) }", path
    )


def load_axe(person: Person) -> None:
    """Puts axe into the page."""
    person.page.evaluate(AXE.read_text(encoding="utf-8"))


def screen(person: Person, name: str, sign: str, look: str) -> Iterator[str]:
    """One line for each violation, once `sign` is shown and nothing is loading."""
    expect(person.page.locator(sign).filter(visible=True).first).to_be_visible()
    expect(person.page.locator("[role=status][aria-label]").filter(visible=True)).to_have_count(0)
    person.shot(f"screens/{look}-{name}")
    run = (
        "(rules) => axe.run(document, {runOnly: rules, resultTypes: ['violations']}).then((found) => found.violations)"
    )
    found: list[Finding] = person.page.evaluate(run, RULES)
    if not person.page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
        yield f"{look}/{name}: the page is wider than the screen"
    for violation in found:
        nodes = "; ".join(
            f"{node['html'][:140]} — {node['failureSummary'].splitlines()[-1].strip()}"
            for node in violation["nodes"][:3]
        )
        yield f"{look}/{name}: {violation['id']}: {nodes}"
