"""What the terminal shows can be read: by people, and by a camera."""

from __future__ import annotations

import io

import pytest
import segno

from node.cli import terminal

LINK = "https://192.168.100.200:8443/i#" + "A" * 180


def modules(drawn: str, *, dark: dict[str, tuple[bool, bool]]) -> list[list[bool]]:
    """Undoes the drawing: half blocks to rows of dark modules."""
    rows: list[list[bool]] = []
    for line in drawn.split("\n"):
        rows.append([dark[char][0] for char in line])
        rows.append([dark[char][1] for char in line])
    return rows


@pytest.mark.parametrize("text", ["https://casa.example/i#x", LINK])
@pytest.mark.parametrize("colour", [False, True])
def test_a_qr_code_is_drawn_module_by_module(text: str, *, colour: bool) -> None:
    drawn = terminal.qr_code(text, colour=colour)
    if colour:
        assert all(line.startswith("\x1b[30;107m") and line.endswith("\x1b[0m") for line in drawn.split("\n"))
        drawn = drawn.replace("\x1b[30;107m", "").replace("\x1b[0m", "")
        dark = {" ": (False, False), "▀": (True, False), "▄": (False, True), "█": (True, True)}
    else:
        dark = {"█": (False, False), "▄": (True, False), "▀": (False, True), " ": (True, True)}
    expected = [
        [bool(module) for module in row]
        for row in segno.make(text, error="m", boost_error=False, micro=False).matrix_iter(border=2)
    ]
    rows = modules(drawn, dark=dark)
    assert rows[: len(expected)] == expected
    assert not any(any(row) for row in rows[len(expected) :])


def test_the_largest_code_fits_a_terminal_of_80_by_32() -> None:
    lines = terminal.qr_code(LINK, colour=False).split("\n")
    assert len(lines) <= 32
    assert len(lines[0]) <= 80


def test_a_terminal_without_blocks_gets_no_code() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    terminal.print_qr(LINK, out)
    out.flush()
    assert raw.getvalue() == b""


def test_table() -> None:
    assert terminal.table(("NAME", "ROLE"), [("alice", "owner"), ("bob", "")]) == "NAME   ROLE\nalice  owner\nbob"


def test_numbered_words_are_read_downwards() -> None:
    shown = terminal.numbered([f"word{i}" for i in range(1, 25)]).split("\n")
    assert len(shown) == 6
    assert shown[0].split() == ["1.", "word1", "7.", "word7", "13.", "word13", "19.", "word19"]
