"""A chat of years: scrolling far up and back again finds every message once, and memory holds only a part of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.conftest import Meet
from tests.e2e.person import Person
from tests.e2e.village import Village

MESSAGES = 2_600  # more than the 2,000 that the page holds
# the words of the message at the upper edge, once there is something above it; none when that never comes
TO_THE_EDGE = """(box) => new Promise((done) => {
    const top = () => [...box.querySelectorAll('article')].find((row) => row.getBoundingClientRect().bottom > box.getBoundingClientRect().top)
    const look = (words, frames) => box.scrollTop > 400 || frames === 0
        ? done(frames && words) : requestAnimationFrame(() => look(words, frames - 1))
    requestAnimationFrame(() => requestAnimationFrame(() => look(top().textContent, 600)))
})"""


def numbers(person: Person) -> list[int]:
    """Of the messages on the page, in their order."""
    texts = person.page.get_by_role("article").all_inner_texts()
    return [int(found[1]) for text in texts if (found := re.search(r"Page (\d+) of the diary", text))]


def in_a_row(found: list[int]) -> bool:
    """No message is missing, none is there twice."""
    return found == list(range(found[0], found[-1] + 1))


def stays_at_the_edge(person: Person, timeline: Locator) -> None:
    """Who waits at the upper edge for older messages, below the divider of the day, is where they were when these come."""
    timeline.hover()
    person.page.mouse.wheel(0, -100_000)
    found = re.search(r"Page \d+ of the diary", str(timeline.evaluate(TO_THE_EDGE)))
    assert found, "older messages took the reader along"
    expect(person.message(found[0])).to_be_in_viewport()


@pytest.mark.timeout(180)
def test_up_to_the_beginning_and_back(village: Village, meet: Meet) -> None:
    dora = meet("Dora Diary")
    me = village.settle(dora)
    room = me.group("Diary")
    for number in range(MESSAGES):
        me.says(room, f"Page {number} of the diary")
    dora.goes(f"/c/{room}")
    expect(dora.message(f"Page {MESSAGES - 1} of the diary")).to_be_in_viewport()

    timeline = dora.page.get_by_role("region", name="Messages")
    stays_at_the_edge(dora, timeline)
    seen = set[int]()
    while 0 not in seen:
        found = numbers(dora)
        assert in_a_row(found)
        seen.update(found)
        dora.page.mouse.wheel(0, -4_000)
        dora.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    dora.sees("You created the group")
    dora.shot("details/the-beginning")

    # what is written now lies far below, and comes into view when one goes there
    down = dora.page.get_by_role("button", name="Go to the newest message")
    expect(down).to_be_visible()
    for _ in range(22):  # past what the page held at the beginning, not to the end
        dora.page.mouse.wheel(0, 4_000)
        dora.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert in_a_row(numbers(dora))
    down.click()
    expect(dora.message(f"Page {MESSAGES - 1} of the diary")).to_be_in_viewport()
    dora.writes("The end")
    expect(dora.message("The end")).to_be_in_viewport()
