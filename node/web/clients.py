"""What a User-Agent says, in three words for the list of devices. A label for people; nothing depends on it."""

from __future__ import annotations

from typing import Final

_PROGRAMS: Final = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip
_CHARS_MAX: Final = 40


def describe(user_agent: str) -> str:
    """“Firefox on Linux”; another program's own first word; empty when it does not say."""
    program = next((name for mark, name in _PROGRAMS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if program and system:
        return f"{program} on {system}"
    first = user_agent.split(" ", maxsplit=1)[0]
    return "".join(char for char in first if char.isprintable())[:_CHARS_MAX]
