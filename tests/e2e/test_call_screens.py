"""Every screen of a call, with a real call running, on a desk and on a phone, light and dark, in both languages: axe finds nothing, nothing
is wider than the screen, and a picture of each is kept for people to look at.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.caller import Caller
from tests.e2e.conftest import Meet
from tests.e2e.person import PHONE, ROOT, Person
from tests.e2e.test_screens import load_axe, screen
from tests.e2e.village import Village

LOOKS: dict[str, dict[str, Any]] = {
    "desk-light-en": {},
    "desk-dark-zh": {"color_scheme": "dark", "locale": "zh-CN"},
    "phone-light-zh": {"viewport": PHONE, "has_touch": True, "locale": "zh-CN"},
    "phone-dark-en": {"viewport": PHONE, "has_touch": True, "color_scheme": "dark"},
}
WORDS = ROOT / "webui" / "src" / "i18n"
PICTURE_MS = 20_000


class Viewer:
    """A person in a call, by whom the page is looked at in one look; `findings` are what axe says of it."""

    def __init__(self, person: Person, look: str) -> None:
        self.page = person.page
        self.findings: list[str] = []
        self._person = person
        self._look = look
        lang = look.rpartition("-")[2]
        self._words: dict[str, str] = {
            **json.loads((WORDS / f"{lang}.json").read_text(encoding="utf-8")),
            **json.loads((WORDS / f"call.{lang}.json").read_text(encoding="utf-8")),
        }

    def word(self, key: str) -> str:
        """As the page has it."""
        return self._words[key]

    def button(self, key: str, within: str = "body") -> Locator:
        """A button that is seen."""
        return self.page.locator(within).get_by_role("button", name=self.word(key)).filter(visible=True).first

    def takes(self, key: str) -> None:
        """From an open menu."""
        self.page.get_by_role("menuitem", name=self.word(key), exact=True).click()

    @property
    def look(self) -> str:
        """How the page is shown."""
        return self._look

    def looks(self, name: str, sign: str) -> None:
        """At this screen."""
        self.findings += screen(self._person, f"call-{name}", sign, self._look)

    def opens(self, room: str) -> None:
        """A chat; the page stays loaded from here on."""
        self._person.goes(f"/c/{room}")
        load_axe(self._person)
        expect(self.button("calls.audio")).to_be_visible()


def pair_in(village: Village, meet: Meet, look: str) -> tuple[Viewer, Viewer, Caller]:
    """Ana and Bo who look, and Carol who does not; all of one group, in which something was said."""
    people = [meet("Ana Luz", **LOOKS[look]), meet("Bo Lind", **LOOKS[look]), meet("Carol Diaz")]
    callers = [Caller(person, village.settle(person)) for person in people]
    room = callers[0].me.group("Choir", [one.me for one in callers[1:]])
    callers[0].me.says(room, "Shall we sing?")
    ana, bo = Viewer(people[0], look), Viewer(people[1], look)
    for one in (ana, bo):
        one.opens(room)
    callers[2].waits_in(room)
    return ana, bo, callers[2]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.timeout(280)
def test_axe_finds_nothing(village: Village, meet: Meet, look: str) -> None:
    ana, bo, carol = pair_in(village, meet, look)
    begins(ana, bo, carol)
    goes_on(ana, bo, carol)
    ends(ana, bo, carol)
    findings = ana.findings + bo.findings
    assert not findings, "\n".join(findings)


def begins(ana: Viewer, bo: Viewer, carol: Caller) -> None:
    """Ana asks whom to ring, it rings, Bo answers."""
    ana.button("calls.video").click()
    ana.looks("1-whom", "dialog[open] [role=checkbox][aria-checked=true]")
    ana.button("calls.video", "dialog").click()
    bo.looks("2-ring", "[role=alertdialog] button")
    ana.looks("3-outgoing", "main[data-front=yes] [role=group] button")
    bo.button("call.accept_video", "[role=alertdialog]").click()
    for one in (ana, bo):
        expect(one.page.locator("figure video")).to_have_count(2, timeout=PICTURE_MS)
    ana.looks("4-two-and-one-rings", "main time")
    carol.declines()
    bo.page.keyboard.press("m")
    bo.page.keyboard.press("h")
    ana.looks("5-muted-and-hand", "figure svg")
    bo.looks("6-other-side", "main time")


def goes_on(ana: Viewer, bo: Viewer, carol: Caller) -> None:
    """Carol comes later, without a camera; Bo shows his screen; menus and dialogs above it all."""
    carol.page.get_by_role("button", name="Join").click()
    carol.page.get_by_role("dialog").get_by_role("switch", name="Camera on").click()
    carol.person.shot(f"screens/{ana.look}-call-0-join")
    carol.page.get_by_role("dialog").get_by_role("button", name="Join").click()
    carol.is_in()
    expect(ana.page.get_by_role("figure")).to_have_count(3, timeout=PICTURE_MS)
    ana.looks("7-three", "figure video")
    bo.page.keyboard.press("s")
    expect(ana.page.get_by_role("figure")).to_have_count(4, timeout=PICTURE_MS)
    expect(ana.page.locator("figure[data-look=main] video")).to_be_visible(timeout=PICTURE_MS)
    ana.looks("8-screen", "figure[data-look=main] video")
    bo.looks("9-sharing", "main [role=status] svg")
    bo.page.keyboard.press("s")
    expect(ana.page.get_by_role("figure")).to_have_count(3)
    ana.button("call.more").click()
    ana.looks("10-more", "[role=menu] [role=menuitem]")
    ana.takes("call.devices")
    ana.looks("11-devices", "dialog[open] video")
    ana.page.keyboard.press("Escape")
    ana.page.locator("main header button[data-level]").click()
    ana.looks("12-quality", "dialog[open] p")
    ana.page.keyboard.press("Escape")
    tile = ana.page.get_by_role("figure", name=re.compile("^Carol Diaz"))
    tile.hover()
    tile.get_by_role("button").click()
    ana.looks("13-person", "[role=menu] [role=menuitem]")
    ana.page.keyboard.press("Escape")
    ana.button("call.minimise").click()
    ana.looks("14-beside", "section[aria-label] time")


def ends(ana: Viewer, bo: Viewer, carol: Caller) -> None:
    """Bo leaves and sees that it goes on; Ana ends it for everybody."""
    bo.button("call.leave").click()
    bo.looks("15-running", "main [role=status] button")
    bo.button("calls.join").click()
    bo.looks("16-join", "dialog[open] video")
    bo.page.keyboard.press("Escape")
    ana.page.locator("section[aria-label]").get_by_role("button", name=re.compile(ana.word("call.back_to"))).click()
    ana.button("call.leave").click()
    ana.looks("17-leave", "[role=menu] [role=menuitem]")
    ana.takes("call.end_for_all")
    expect(ana.page.get_by_role("figure")).to_have_count(0)
    ana.looks("18-log", "[role=feed] [role=article], [role=feed] article")
    carol.person.context.close()


@pytest.mark.parametrize("look", ["desk-dark-zh", "phone-dark-en"])
@pytest.mark.timeout(180)
def test_of_two_people(village: Village, meet: Meet, look: str) -> None:
    """A call of two, large and small pictures, and how it looks when it was declined or there is no microphone."""
    people = [meet("Ana Luz", **LOOKS[look]), meet("Bo Lind", **LOOKS[look])]
    callers = [Caller(person, village.settle(person)) for person in people]
    room = callers[0].me.chat_with(callers[1].me)
    callers[0].me.says(room, "Shall we talk?")
    ana, bo = (Viewer(person, look) for person in people)
    for one in (ana, bo):
        one.opens(room)
    ana.button("calls.audio").click()
    expect(bo.page.get_by_role("alertdialog")).to_be_visible()
    ana.looks("20-voice", "main[data-front=yes] [role=group] button")
    bo.button("call.decline", "[role=alertdialog]").click()
    ana.looks("21-declined", "main[data-front=yes] button")
    ana.button("common.close").click()
    bo.looks("22-log", "[role=feed] article, [role=feed] [role=article]")
    ana.button("calls.audio").click()
    bo.button("call.accept_audio", "[role=alertdialog]").click()
    ana.looks("23-voice-live", "main time")
    bo.page.keyboard.press("v")
    expect(ana.page.locator("figure video")).to_have_count(1, timeout=PICTURE_MS)
    ana.looks("24-one-picture", "figure video")
    ana.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotReadableError')) }"
    )
    ana.page.keyboard.press("v")
    ana.looks("25-no-camera", "main [role=alert]")
    ana.button("call.leave").click()
    ana.button("calls.audio").click()
    ana.looks("26-no-microphone", "main [role=alert]")
    findings = ana.findings + bo.findings
    assert not findings, "\n".join(findings)
