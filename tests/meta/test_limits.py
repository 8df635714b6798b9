"""A limit that nothing asks is a promise that nothing keeps."""

from __future__ import annotations

import re
from pathlib import Path

from node.base import limits

ROOT = Path(__file__).parents[2]
NAMES = {name for name in vars(limits) if name.isupper()}

# Named already because a wire format or a page refers to it; each with what will ask for it.
WAITING: dict[str, str] = {}


def source() -> str:
    files = [path for path in (ROOT / "node").rglob("*.py") if path.name != "limits.py"]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_every_limit_is_asked_for_in_the_program() -> None:
    words = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", source()))
    unused = NAMES - words - WAITING.keys()
    assert not unused, f"used nowhere in node/: {sorted(unused)}"


def test_the_list_of_waiting_limits_is_honest() -> None:
    words = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", source()))
    assert WAITING.keys() <= NAMES
    assert not WAITING.keys() & words, "these are used now: remove them from the list"


def test_limits_are_positive_numbers() -> None:
    for name in NAMES:
        value = getattr(limits, name)
        assert isinstance(value, int | float), name
        assert value > 0, name
