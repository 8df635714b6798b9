"""What changes while a call goes on, in real browsers: another camera and microphone, a small window of the system, and a device socket
that is lost and comes back while sound and picture flow past it.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.e2e.caller import Caller
from tests.e2e.conftest import Meet
from tests.e2e.test_calls import a_chat, talk
from tests.e2e.village import Village

MOVES = 1  # frames a second: that pictures come, not how many; a busy machine paints few
BACK_MS = 20_000  # a lost socket is tried again with a growing wait
SENT = """(kind) => window.connections.flatMap((one) => one.getSenders())
    .filter(({ track }) => track && track.kind === kind && track.readyState === 'live').map(({ track }) => track.label)"""


@pytest.fixture
def apart(village: Village, meet: Meet) -> tuple[Caller, Caller, Cutter]:
    """Ana and Bo, in their chat; the socket of Ana's device can be cut."""
    ana, bo = meet("Ana Luz"), meet("Bo Lind")
    callers = Caller(ana, village.settle(ana)), Caller(bo, village.settle(bo))
    cutter = Cutter(callers[0])
    room = a_chat(callers[0], callers[1].me)
    for one in callers:
        one.waits_in(room)
    return *callers, cutter


class Cutter:
    """Something in between that carries the device socket of a person and nothing else."""

    def __init__(self, caller: Caller) -> None:
        self._open: list[tuple[WebSocketRoute, WebSocketRoute]] = []
        self._cut = False
        caller.person.context.route_web_socket(re.compile("/c2s$"), self._carry)

    def _carry(self, page: WebSocketRoute) -> None:
        if self._cut:
            page.close()
        else:
            self._open.append((page, page.connect_to_server()))

    def cuts(self) -> None:
        """The present one ends, and no new one comes to be."""
        self._cut = True
        for page, node in self._open:
            node.close()
            page.close()
        self._open.clear()

    def mends(self) -> None:
        """From here on one may connect again."""
        self._cut = False


def sent(caller: Caller, kind: str) -> list[str]:
    """The names of the devices whose sound or picture goes out."""
    found: list[str] = caller.page.evaluate(SENT, kind)
    return found


@pytest.mark.timeout(180)
def test_another_camera_and_microphone(apart: tuple[Caller, Caller, Cutter]) -> None:
    ana, bo, _ = apart
    talk(ana, bo)
    bo.sees(1, fps=MOVES)
    before = {kind: sent(ana, kind) for kind in ("audio", "video")}
    assert [len(names) for names in before.values()] == [1, 1], before
    ana.person.presses("More")
    ana.page.get_by_role("menuitem", name="Sound and camera").click()
    dialog = ana.page.get_by_role("dialog", name="Sound and camera")
    for label, kind in (("Camera", "video"), ("Microphone", "audio")):
        choice = dialog.get_by_label(label, exact=True)
        names = choice.locator("option").all_inner_texts()
        other = next(name for name in reversed(names) if name not in before[kind])
        choice.select_option(label=other)
        ana.person.waits(f"([kind, name]) => ({SENT})(kind).join() === name", [kind, other])
    ana.person.shot("call/devices")
    dialog.get_by_role("button", name="Close").click()
    bo.hears()
    bo.sees(1, fps=MOVES)
    ana.toggles("Mute")
    expect(bo.tile("Ana Luz, muted")).to_be_visible()
    bo.hears_nothing()


@pytest.mark.timeout(180)
def test_picture_in_picture(apart: tuple[Caller, Caller, Cutter]) -> None:
    ana, bo, _ = apart
    talk(ana, bo)
    expect(ana.tile("Bo Lind").locator("video")).to_be_visible()
    ana.sees(1, fps=MOVES)
    assert ana.page.evaluate("document.pictureInPictureEnabled")
    ana.person.presses("More")
    ana.page.get_by_role("menuitem", name="Picture in picture").click()
    ana.person.waits("document.pictureInPictureElement !== null")
    assert ana.page.evaluate(
        "document.pictureInPictureElement.closest('figure').getAttribute('aria-label')"
    ).startswith("Bo Lind")
    ana.sees(1, fps=MOVES)
    ana.person.presses("More")
    ana.page.get_by_role("menuitem", name="Picture in picture").click()
    ana.person.waits("document.pictureInPictureElement === null")
    ana.is_in()


@pytest.mark.timeout(180)
def test_the_socket_is_lost_and_the_call_goes_on(apart: tuple[Caller, Caller, Cutter]) -> None:
    ana, bo, cutter = apart
    ana.person.expects_outage = True
    talk(ana, bo)
    for one in (ana, bo):
        one.sees(1, fps=MOVES)
    cutter.cuts()  # the node keeps the seat for half a minute
    bo.hears()
    bo.sees(1, fps=MOVES)
    ana.toggles("Mute")
    bo.hears_nothing()  # silence needs no word of the node
    bo.toggles("Raise hand")
    expect(bo.tile("You")).to_be_visible()
    ana.is_in()
    cutter.mends()
    expect(bo.tile("Ana Luz, muted")).to_be_visible(timeout=BACK_MS)
    expect(ana.tile("Bo Lind, hand raised")).to_be_visible(timeout=BACK_MS)
    ana.toggles("Unmute")
    expect(bo.tile("Ana Luz, muted")).to_have_count(0)
    for one in (ana, bo):
        expect(one.page.get_by_role("figure")).to_have_count(2)
        one.hears()
        one.sees(1, fps=MOVES)
    bo.leaves()
    expect(ana.controls).to_have_count(0)


@pytest.mark.timeout(180)
def test_who_left_while_the_socket_was_lost_is_gone(apart: tuple[Caller, Caller, Cutter]) -> None:
    ana, bo, cutter = apart
    ana.person.expects_outage = True
    talk(ana, bo, video=False)
    bo.hears()
    cutter.cuts()
    bo.leaves()
    expect(bo.controls).to_have_count(0)
    cutter.mends()
    expect(ana.controls).to_have_count(0, timeout=BACK_MS)
    expect(ana.page.get_by_text(re.compile(r"^Voice call · \d+ (s|min)")).first).to_be_visible()
