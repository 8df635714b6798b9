"""Small things that people see: nothing flashes, nothing is cut off, round things are round, and no light says a lie."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, ViewportSize, expect

from tests.e2e.conftest import Meet
from tests.e2e.person import Person
from tests.e2e.program import Program
from tests.e2e.village import Village, Villager

NARROW = ViewportSize(width=760, height=700)
LONG = "A long sentence that fills the whole width of its bubble, so that nothing has room beside it any more. " * 2
# notes every button of this name that ever stands in the page, however briefly
WATCH_BUTTON = """addEventListener('DOMContentLoaded', () => new MutationObserver(() => {
    window.flashes = (window.flashes ?? 0) + document.querySelectorAll('button[aria-label="Go to the newest message"]').length
}).observe(document, {childList: true, subtree: true}))"""


@pytest.mark.timeout(90)
def test_a_chat_opens_at_its_end_without_a_flash_of_the_button_that_goes_there(village: Village, meet: Meet) -> None:
    fred = meet("Fred Flash")
    me = village.settle(fred)
    rooms = [me.group(f"Long talk {number}") for number in range(3)]
    for room in rooms:
        for number in range(80):
            me.says(room, f"Word number {number} of {room[:4]}. {LONG if number % 5 == 0 else ''}")
    fred.page.add_init_script(WATCH_BUTTON)
    fred.goes("/")
    for number in (0, 1, 2, 0):
        fred.opens(f"Long talk {number}")
        expect(fred.message("Word number 79")).to_be_in_viewport()
        quiet(fred)
    assert fred.page.evaluate("window.flashes ?? 0") == 0
    fred.page.get_by_role("region", name="Messages").hover()
    fred.page.mouse.wheel(0, -1500)
    expect(fred.page.get_by_role("button", name="Go to the newest message")).to_be_visible()
    fred.shot("details/to-the-end")


def quiet(person: Person) -> None:
    """So many frames go by that whatever wanted to settle has settled."""
    person.page.evaluate(
        "new Promise((done) => { let n = 30; const f = () => n-- ? requestAnimationFrame(f) : done(); f() })"
    )


@pytest.mark.timeout(60)
def test_the_tools_of_a_message_fit_a_narrow_window(village: Village, meet: Meet) -> None:
    nina = meet("Nina Narrow", viewport=NARROW)
    me = village.settle(nina)
    room = village.olga.group("Narrow street", [me])
    village.olga.says(room, "Short")
    village.olga.says(room, LONG)
    me.says(room, "Me too")
    me.says(room, LONG)
    nina.goes(f"/c/{room}")
    timeline = nina.page.get_by_role("region", name="Messages")
    for width in (NARROW["width"], 719, 420, 1280):
        nina.page.set_viewport_size(ViewportSize(width=width, height=NARROW["height"]))
        for text in ("Short", "Me too", LONG.strip()):
            for message in nina.page.get_by_role("article").filter(has_text=text).all():
                message.scroll_into_view_if_needed()
                message.hover()
                inside(message.get_by_role("button", name="React"), timeline)
                inside(message.get_by_role("button", name="More actions"), timeline)
        nina.message("Me too").hover()
        nina.shot(f"details/tools-{width}")


def inside(part: Locator, whole: Locator) -> None:
    """Nothing of it is beyond the left or right edge, and a press at its middle reaches it."""
    expect(part).to_have_css("opacity", "1")
    inner, outer = part.bounding_box(), whole.bounding_box()
    assert inner
    assert outer
    assert outer["x"] <= inner["x"]
    assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
    part.click(trial=True)


@pytest.mark.timeout(60)
def test_a_dot_of_presence_is_round(village: Village, meet: Meet) -> None:
    rhea, oscar = meet("Rhea Round"), meet("Oscar")
    me, other = village.settle(rhea), village.settle(oscar)
    room = me.chat_with(other)
    other.says(room, "Hello Rhea")
    oscar.goes("/")
    rhea.goes(f"/c/{room}")
    dots = rhea.page.get_by_role("img", name="Online", exact=True)
    expect(dots).to_have_count(2)
    for dot in dots.all():
        box = dot.bounding_box()
        assert box
        assert box["width"] == box["height"] == round(box["width"])
    rhea.shot("details/presence")


@pytest.mark.timeout(120)
def test_nobody_is_shown_online_while_the_own_node_is_away(program: Program, meet: Meet) -> None:
    ada, ben = meet("Ada Present"), meet("Ben Present")
    village = Village(program, ada)
    me: Villager = village.olga
    room = me.chat_with(village.settle(ben))
    me.says(room, "Hello Ben")
    ben.goes("/")
    ada.goes(f"/c/{room}")
    green = ada.page.get_by_role("img", name="Online", exact=True)
    expect(green).to_have_count(2)
    for person in (ada, ben):
        person.expects_outage = True
    program.kill()
    ada.sees("Waiting for the network", exact=True)
    expect(green).to_have_count(0)
    ada.shot("details/node-away")
    program.start()
    expect(green).to_have_count(2, timeout=30_000)
    expect(ada.page.get_by_text("Waiting for the network", exact=True)).to_have_count(0)
