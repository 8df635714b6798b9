"""Lengths of time as people write them."""

from __future__ import annotations

import pytest

from node.base.errors import Rejected
from node.cli.invite import parse_span


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("7d", 604_800), ("1D", 86_400), ("never", 0)]
)
def test_spans(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "0d", "1.5h", "7w", "1d2h", "9999999d"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(Rejected, match="12h"):
        parse_span(text)
