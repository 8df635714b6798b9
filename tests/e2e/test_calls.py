"""Calls in real browsers with a false camera and microphone, through the relay of a real node: people see and hear each other.

That they do is what `getStats` of their browsers says, not what the page shows; that they are told is what the page shows.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.caller import Caller, see_each_other
from tests.e2e.conftest import Meet
from tests.e2e.person import PHONE
from tests.e2e.village import Village, Villager

SMOOTH_FPS = 25
# Four cameras and twelve pictures are as much as two cores can do. Where another worker has one of them, a second of each has to do.
GROUP_FPS = 0 if "PYTEST_XDIST_WORKER" in os.environ else SMOOTH_FPS
SMALL: Any = {"width": 600, "height": 500}


@pytest.fixture
def two(village: Village, meet: Meet) -> tuple[Caller, Caller, str]:
    """Ana and Bo, in their chat."""
    ana, bo = meet("Ana Luz"), meet("Bo Lind")
    callers = Caller(ana, village.settle(ana)), Caller(bo, village.settle(bo))
    room = a_chat(callers[0], callers[1].me)
    for one in callers:
        one.waits_in(room)
    return *callers, room


def a_chat(one: Caller, other: Villager) -> str:
    """A direct chat in which something was said."""
    room = one.me.chat_with(other)
    one.me.says(room, "Shall we talk?")
    return room


def talk(ana: Caller, bo: Caller, *, video: bool = True) -> None:
    """Ana calls, Bo answers."""
    ana.calls(video=video)
    bo.answers(video=video)
    ana.is_in()
    bo.is_in()


@pytest.mark.timeout(180)
def test_two_people_see_and_hear_each_other(two: tuple[Caller, Caller, str]) -> None:
    ana, bo, _ = two
    ana.calls()
    expect(ana.page.get_by_text("Ringing at Bo Lind’s…")).to_be_visible(timeout=15_000)
    expect(bo.ring.get_by_role("heading", name="Ana Luz")).to_be_visible()
    bo.answers()
    ana.is_in()
    bo.is_in()
    for one in (ana, bo):
        one.hears()
        one.sees(1, fps=SMOOTH_FPS)
    ana.leaves()
    for one in (ana, bo):
        expect(one.page.get_by_text(re.compile(r"^Video call · \d+ (s|min)")).first).to_be_visible()
        expect(one.controls).to_have_count(0)


@pytest.mark.timeout(180)
def test_mute_is_seen_and_nothing_is_heard(two: tuple[Caller, Caller, str]) -> None:
    ana, bo, _ = two
    talk(ana, bo, video=False)
    bo.hears()
    ana.toggles("Mute")
    expect(bo.tile("Ana Luz, muted")).to_be_visible()
    bo.hears_nothing()
    ana.page.get_by_role("heading", level=1).click()
    ana.page.keyboard.down(" ")
    expect(ana.page.get_by_text("Talking while you hold space.")).to_be_visible()
    expect(bo.tile("Ana Luz, muted")).to_have_count(0)
    bo.hears()
    ana.page.keyboard.up(" ")
    expect(bo.tile("Ana Luz, muted")).to_be_visible()
    ana.page.keyboard.press("m")
    expect(bo.tile("Ana Luz, muted")).to_have_count(0)
    ana.toggles("Raise hand")
    expect(bo.tile("Ana Luz, hand raised")).to_be_visible()


@pytest.mark.timeout(180)
def test_a_camera_comes_and_goes(two: tuple[Caller, Caller, str]) -> None:
    ana, bo, _ = two
    talk(ana, bo, video=False)
    expect(bo.tile("Ana Luz").locator("video")).to_have_count(0)
    ana.toggles("Turn camera on")
    expect(bo.tile("Ana Luz").locator("video")).to_have_count(1)
    bo.sees(1, fps=10)
    ana.toggles("Turn camera off")
    expect(bo.tile("Ana Luz").locator("video")).to_have_count(0)
    ana.toggles("Turn camera on")
    bo.sees(1, fps=10)


@pytest.mark.timeout(180)
def test_a_screen_is_shared(two: tuple[Caller, Caller, str]) -> None:
    ana, bo, _ = two
    talk(ana, bo, video=False)
    ana.toggles("Share screen")
    expect(ana.page.get_by_text("You are sharing your screen.")).to_be_visible()
    expect(bo.tile("Screen of Ana Luz").locator("video")).to_be_visible()
    bo.sees(1, fps=0.4)
    ana.toggles("Stop sharing")
    expect(bo.tile("Screen of Ana Luz")).to_have_count(0)
    ana.toggles("Share screen")
    bo.sees(1, fps=0.4)


def test_declined(two: tuple[Caller, Caller, str]) -> None:
    ana, bo, _ = two
    ana.calls()
    bo.declines()
    expect(ana.page.get_by_text("The call was declined")).to_be_visible()
    ana.person.presses("Close")
    expect(ana.page.get_by_text("Call declined").first).to_be_visible()
    expect(bo.page.get_by_text("You declined the call").first).to_be_visible()


def test_cancelled_and_called_back(two: tuple[Caller, Caller, str]) -> None:
    ana, bo, _ = two
    ana.calls(video=False)
    expect(bo.ring).to_be_visible(timeout=15_000)
    ana.leaves()
    expect(bo.ring).to_have_count(0)
    expect(bo.page.get_by_role("region", name="Messages").get_by_text("Missed voice call")).to_be_visible()
    bo.person.presses("Call back")
    expect(ana.ring).to_be_visible(timeout=15_000)


@pytest.mark.timeout(120)
def test_busy(two: tuple[Caller, Caller, str], village: Village, meet: Meet) -> None:
    ana, bo, _ = two
    talk(ana, bo, video=False)
    carol = meet("Carol Diaz")
    third = Caller(carol, village.settle(carol))
    third.waits_in(a_chat(third, bo.me))
    third.calls(video=False)
    expect(third.page.get_by_text("Bo Lind is in another call")).to_be_visible(timeout=20_000)
    expect(third.page.get_by_role("button", name="Call again")).to_be_visible()


@pytest.mark.timeout(120)
def test_answered_on_another_device(two: tuple[Caller, Caller, str], village: Village, meet: Meet) -> None:
    ana, bo, room = two
    phone = meet("Bo's phone", viewport=PHONE, has_touch=True)
    pocket = Caller(phone, village.sign_in(phone, bo.me.local))
    pocket.waits_in(room)
    ana.calls(video=False)
    expect(bo.ring).to_be_visible(timeout=15_000)
    pocket.answers(video=False)
    ana.is_in()
    expect(bo.ring).to_have_count(0)
    bo.person.sees("Answered on another device")
    bo.person.sees("You are in this call on another device")


@pytest.mark.timeout(180)
def test_loaded_anew_one_comes_back(two: tuple[Caller, Caller, str]) -> None:
    ana, bo, _ = two
    talk(ana, bo)
    bo.sees(1, fps=10)
    ana.page.reload()
    ana.person.presses("Come back")
    ana.is_in()
    for one in (ana, bo):
        one.hears()
        one.sees(1, fps=10)
    expect(bo.page.get_by_role("figure")).to_have_count(2)


@pytest.mark.timeout(180)
def test_one_reads_chats_meanwhile(two: tuple[Caller, Caller, str]) -> None:
    ana, bo, _ = two
    talk(ana, bo)
    ana.person.presses("Back to the chat")
    window = ana.page.get_by_role("region", name="Running call")
    expect(window).to_be_visible()
    ana.person.writes("I am still here")
    bo.hears()
    window.get_by_role("button", name=re.compile("Back to the call")).click()
    ana.is_in()
    ana.page.go_back()
    window.get_by_role("button", name="Leave call").click()
    expect(window).to_have_count(0)
    expect(bo.controls).to_have_count(0)


@pytest.mark.timeout(400)
def test_four_people(village: Village, meet: Meet) -> None:
    # small windows: what costs most of the machine is painting them
    people = [meet(name, viewport=SMALL) for name in ("Ana Luz", "Bo Lind", "Carol Diaz", "Dan Ek")]
    ana, bo, carol, dan = callers = [Caller(person, village.settle(person)) for person in people]
    room = ana.me.group("Choir", [one.me for one in callers[1:]])
    for one in callers:
        one.waits_in(room)
    ana.calls()
    whom = ana.page.get_by_role("dialog")
    expect(whom.get_by_role("checkbox", checked=True)).to_have_count(3)
    whom.get_by_role("checkbox", name="Dan Ek").click()
    whom.get_by_role("button", name="Video call").click()
    bo.answers()
    carol.answers()
    expect(dan.ring).to_have_count(0)
    expect(dan.page.get_by_text(re.compile("Call in progress · 3 people"))).to_be_visible(timeout=20_000)
    dan.person.presses("Join")
    dan.page.get_by_role("dialog").get_by_role("button", name="Join").click()
    for one in callers:
        one.is_in()
        expect(one.page.get_by_role("figure")).to_have_count(4)
    see_each_other(callers, fps=GROUP_FPS)
    for one in callers:
        one.hears(3)
    carol.leaves()
    expect(ana.page.get_by_role("figure")).to_have_count(3)
    moderates(ana, bo)
    ana.leaves()
    ana.page.get_by_role("menuitem", name="End for everyone").click()
    for one in (ana, bo, dan):
        expect(one.controls).to_have_count(0)
        expect(one.page.get_by_role("article", name=re.compile(r"^Video call · \d+ (s|min)"))).to_be_visible()


def moderates(ana: Caller, bo: Caller) -> None:
    """Ana began the call: she mutes Bo, who may open his microphone again."""
    ana.tile("Bo Lind").hover()
    ana.person.presses("Actions for Bo Lind")
    ana.page.get_by_role("menuitem", name="Mute Bo Lind").click()
    expect(ana.tile("Bo Lind, muted by a moderator")).to_be_visible()
    bo.person.sees("A moderator muted you.")
    bo.toggles("Unmute")
    expect(ana.tile("Bo Lind, muted")).to_have_count(0)


@pytest.mark.timeout(280)
def test_two_people_of_two_nodes(pair: tuple[Village, Village], meet: Meet) -> None:
    alice, bob = meet("Alice Martin", pair[0].origin), meet("Bob Weaver", pair[1].origin)
    ana, bo = Caller(alice, pair[0].settle(alice)), Caller(bob, pair[1].settle(bob))
    room = ana.me.befriend(bo.me)
    ana.me.says(room, "Shall we talk?")
    for one in (ana, bo):
        one.waits_in(room)
    talk(ana, bo)
    for one in (ana, bo):
        one.hears()
        one.sees(1, fps=SMOOTH_FPS)
    bo.toggles("Mute")
    expect(ana.tile("Bob Weaver, muted")).to_be_visible()
    ana.hears_nothing()
    bo.leaves()
    for one in (ana, bo):
        expect(one.page.get_by_text(re.compile(r"^Video call · \d+ (s|min)")).first).to_be_visible()


@pytest.mark.timeout(280)
def test_sealed_frames_pass_and_only_the_right_key_opens_them(village: Village, meet: Meet) -> None:
    people = [meet(name) for name in ("Ana Luz", "Bo Lind", "Carol Diaz")]
    ana, bo, carol = callers = [Caller(person, village.settle(person)) for person in people]
    for one, key in zip(callers, (7, 7, 9), strict=True):
        one.seals(key)
    room = ana.me.group("Sealed", [one.me for one in callers[1:]])
    for one in callers:
        one.waits_in(room)
    ana.calls()
    ana.page.get_by_role("dialog").get_by_role("button", name="Video call").click()
    bo.answers()
    carol.answers(video=False)
    for one in callers:
        one.is_in()
    for one in (ana, bo):
        one.hears()
        one.sees(1, fps=1)  # Carol, who opens nothing, asks for key frames all the time
    sealed = carol.counts("video")
    assert len(sealed) == 2
    assert all(track["packets"] > 50 and track["frames"] == 0 for track in sealed.values()), sealed
    carol.hears_nothing()
    # what Carol seals nobody opens either: Bo hears one of two
    assert sum(track["energy"] > 0.01 for track in bo.counts("audio").values()) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotAllowedError", "The browser does not allow the microphone here"),
        ("NotFoundError", "There is no microphone on this device."),
        ("NotReadableError", "The microphone cannot be used now"),
    ],
)
def test_no_microphone(village: Village, meet: Meet, name: str, words: str) -> None:
    person = meet("Ana Luz")
    ana = Caller(person, village.settle(person))
    person.context.add_init_script(
        f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{name}'))"
    )
    ana.waits_in(a_chat(ana, village.olga))
    ana.calls(video=False)
    expect(ana.page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    ana.person.presses("Only listen")
    expect(ana.page.get_by_text(re.compile("^Calling"))).to_be_visible()
    ana.leaves()
    expect(ana.controls).to_have_count(0)
