"""Labels of devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.web.clients import describe


@pytest.mark.parametrize(
    ("agent", "label"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18 Safari/604",
            "Safari on iPhone",
        ),
        ("startalk-bot/1.0 (echo)", "startalk-bot/1.0"),
        ("", ""),
    ],
)
def test_labels(agent: str, label: str) -> None:
    assert describe(agent) == label


@given(st.text(max_size=300))
def test_any_header_gives_a_short_printable_label(agent: str) -> None:
    label = describe(agent)
    assert len(label) <= 40
    assert all(char.isprintable() for char in label)
