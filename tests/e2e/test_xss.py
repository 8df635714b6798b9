"""Hostile names and texts stand on the screen as what they are: text. Nothing runs, nothing loads, nothing is reported."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Request, expect

from tests.e2e.conftest import Meet
from tests.e2e.village import Village

HOSTILE_NAME = "<img src=x onerror=alert(1)>"
HOSTILE_GROUP = "<svg/onload=alert(2)>{{7*7}}"
HOSTILE_TOPIC = "</p><script>alert(3)</script><iframe src=javascript:alert(4)>"
PLAIN = (
    "<script>alert(5)</script>",
    "<a href='javascript:alert(6)'>press</a>",
    "javascript:alert(7)//https://ok.example",
    "\u202egpj.exe <b onclick=alert(8)>bold</b>",
)
MARKDOWN = (
    "[press me](javascript:alert(9)) *now*",
    "![picture](https://evil.example/track.png) *seen*",
    "<img src=https://evil.example/x.png onerror=alert(10)> **x**",
    "[data](data:text/html,<script>alert(11)</script>) `y`",
    "```html\n<script>alert(12)</script>\n```",
    "**<style>body{display:none}</style>**",
    "[ok](https://fine.example/a) [odd](vbscript:alert(13)) *z*",
)


@pytest.mark.timeout(90)
def test_hostile_words_are_only_words(village: Village, meet: Meet) -> None:
    mallory, reader = meet(HOSTILE_NAME), meet("Rita Reader")
    asked: list[str] = []
    reader.page.on("request", lambda request: asked.append(address_of(request)))
    attacker, victim = village.settle(mallory), village.settle(reader)
    room = attacker.group(HOSTILE_GROUP, [victim], topic=HOSTILE_TOPIC)
    for text in PLAIN:
        attacker.says(room, text)
    for text in MARKDOWN:
        attacker.says(room, text, format="md")

    reader.goes("/")
    expect(reader.chat(HOSTILE_GROUP)).to_be_visible()
    reader.opens(HOSTILE_GROUP)
    for text in (*PLAIN, "alert(12)", "<style>body{display:none}</style>"):
        expect(reader.message(text)).to_be_visible()
    expect(reader.message("press me")).to_be_visible()
    expect(reader.message("seen").locator("em")).to_be_visible()
    expect(reader.page.get_by_role("article").get_by_text(HOSTILE_NAME).first).to_be_visible()
    reader.sees(HOSTILE_TOPIC)

    schemes = (
        reader.page.get_by_role("main").locator("a[href]").evaluate_all("(links) => links.map((link) => link.protocol)")
    )
    assert set(schemes) <= {"http:", "https:", "mailto:"}
    assert (
        reader.page.locator(
            "main script, main iframe, main style, main article img, main [onerror], main [onload]"
        ).count()
        == 0
    )
    reader.goes(f"/c/{room}/members")
    expect(reader.page.get_by_role("complementary", name="Members").get_by_text(HOSTILE_NAME)).to_be_visible()
    reader.goes(f"/contacts/{attacker.local}")
    expect(reader.page.get_by_role("heading", name=HOSTILE_NAME)).to_be_visible()
    assert {host for host in asked if host != village.origin} == set()


@pytest.mark.timeout(60)
def test_a_hostile_address_does_nothing(village: Village, meet: Meet) -> None:
    eve = meet("Eve")
    for path in (
        "/c/%3Cscript%3Ealert(1)%3C/script%3E",
        "/i#<img src=x onerror=alert(1)>",
        "/contacts/%22onfocus=alert(1)",
        "/%00",
        "//evil.example",
    ):
        eve.goes(f"{village.origin}{path}")
        expect(eve.page.locator("main")).to_be_visible()
        assert eve.page.url.startswith(village.origin)


def address_of(request: Request) -> str:
    """Where a request goes, without its path."""
    found = re.match(r"\w+://[^/]+", request.url)
    return found[0].replace("ws://", "http://") if found else request.url
