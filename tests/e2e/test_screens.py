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
LOOKS: dict[str, dict[str, object]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "zh": {"locale": "zh-CN"},
    "phone": {"viewport": PHONE, "has_touch": True},
    "contrast": {"contrast": "more"},
}
Finding = dict[str, Any]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.timeout(180)
def test_axe_finds_nothing(village: Village, meet: Meet, look: str) -> None:
    stranger, olga, ida = meet("Stranger", **LOOKS[look]), meet("Olga", **LOOKS[look]), meet("Ida Noor")
    village.settle(ida)
    findings = [*outside(stranger, village), *inside(olga, village, look)]
    assert not findings, "\n".join(findings)


def outside(stranger: Person, village: Village) -> Iterator[str]:
    """What one sees without an account."""
    invite = str(village.olga.post("/admin/invites", {"uses": 1})["url"]).partition("#")[2]
    for name, path, sign in (
        ("login", "/login", "input[autocomplete=username]"),
        ("invitation", f"/i#{invite}", "input[autocomplete=new-password]"),
        ("broken-invitation", "/i#AAAA", "[role=alert]"),
    ):
        yield from screen(stranger, name, path, sign)


def inside(olga: Person, village: Village, look: str) -> Iterator[str]:
    """What the owner of a node sees; nobody sees more."""
    me = village.sign_in(olga, "olga")
    room = a_group(village, look)
    main, panel, dialog, menu = "main h1", "main + aside h2", "dialog[open] h2", "[role=menu] [role=menuitem]"
    yield from screen(olga, "chats", "/", "main", look)
    for name, path, sign in (
        ("chat", f"/c/{room}", "[role=feed] article"),
        ("details", f"/c/{room}/info", panel),
        ("members", f"/c/{room}/members", "main + aside ul li"),
        ("links", f"/c/{room}/links", f"{panel}, main + aside select"),
        ("manage", f"/c/{room}/manage", "main + aside [role=switch]"),
        ("invite", f"/c/{room}/invite", f"{dialog}, dialog[open] [role=checkbox]"),
        ("new-group", "/new", "dialog[open] [role=checkbox]"),
        ("contacts", "/contacts", "aside ul li"),
        ("person", f"/contacts/{me.local}", main),
        *(
            (f"settings-{page}", f"/settings/{page}", main)
            for page in ("profile", "devices", "password", "look", "keyboard", "about")
        ),
        ("settings", "/settings", "aside nav a"),
        *((f"admin-{page}", f"/admin/{page}", main) for page in ("invites", "users", "node")),
        ("admin", "/admin", "aside nav a"),
        ("lost", "/nowhere", "main p"),
    ):
        yield from screen(olga, name, path, sign, look)
    yield from layers(olga, room, look, menu)


def layers(olga: Person, room: str, look: str, menu: str) -> Iterator[str]:
    """What opens above a chat."""
    olga.goes(f"/c/{room}")
    page = olga.page
    mine = page.get_by_role("article").filter(has_text="brought my own")
    mine.hover()
    mine.get_by_role("button").last.click(trial=False) if look == "phone" else mine.click(button="right")
    expect(page.locator(menu).first).to_be_visible()
    yield from examine(olga, "message-menu", look)
    page.keyboard.press("Escape")
    page.locator("footer button[aria-expanded]").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield from examine(olga, "emoji", look)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+/")
    expect(page.locator("dialog[open] table")).to_be_visible()
    yield from examine(olga, "keys", look)


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


def screen(person: Person, name: str, path: str, sign: str, look: str = "") -> Iterator[str]:
    """Goes there, waits until `sign` is shown, examines."""
    person.goes(path)
    expect(person.page.locator(sign).filter(visible=True).first).to_be_visible()
    expect(person.page.locator("[role=status][aria-label]").filter(visible=True)).to_have_count(0)
    yield from examine(person, name, look)


def examine(person: Person, name: str, look: str) -> Iterator[str]:
    """One line for each violation."""
    if look:
        person.shot(f"screens/{look}-{name}")
    person.page.evaluate(AXE.read_text(encoding="utf-8"))
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
        yield f"{look or 'outside'}/{name}: {violation['id']}: {nodes}"
