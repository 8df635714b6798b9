"""What people see in the terminal: QR codes, tables, questions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, TextIO

CLEAR: Final = "\x1b[2J\x1b[3J\x1b[H"  # the screen and what scrolled off it
_QUIET: Final = 2  # modules around a QR code; four are the norm, phones need two
_BLACK_ON_WHITE: Final = "\x1b[30;107m"
_PLAIN: Final = "\x1b[0m"
# (upper module dark, lower module dark) -> one character
_ON_PAPER: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_ON_SLATE: Final = {(False, False): "█", (True, False): "▄", (False, True): "▀", (True, True): " "}


def qr_code(text: str, *, colour: bool) -> str:
    """A QR code of half blocks, two modules a character. Without colour it suits dark terminals and most cameras."""
    import segno

    code = segno.make(text, error="m", boost_error=False, micro=False)
    rows = [tuple(bool(module) for module in row) for row in code.matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append((False,) * len(rows[0]))
    glyphs = _ON_PAPER if colour else _ON_SLATE
    lines = ["".join(glyphs[pair] for pair in zip(*rows[y : y + 2], strict=True)) for y in range(0, len(rows), 2)]
    return "\n".join(f"{_BLACK_ON_WHITE}{line}{_PLAIN}" if colour else line for line in lines)


def print_qr(text: str, to: TextIO | None = None) -> None:
    """Prints the QR code of a link, if the terminal can show its blocks."""
    out = sys.stdout if to is None else to
    try:
        "█▀▄".encode(out.encoding or "ascii")
    except UnicodeEncodeError:
        return
    print(qr_code(text, colour=out.isatty()), file=out)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)


def numbered(words: Sequence[str], columns: int = 4) -> str:
    """Words with their places, read downwards in columns."""
    height = -(-len(words) // columns)
    cells = [f"{place:2}. {word:<10}" for place, word in enumerate(words, start=1)]
    return "\n".join("  ".join(cells[row::height]).rstrip() for row in range(height))
