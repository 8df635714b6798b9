"""How the numbers of a seat become the sign that people see."""

from __future__ import annotations

import pytest

from node.services.callmedia import level
from node.services.relay import Quality


@pytest.mark.parametrize(
    ("up_loss", "down_loss", "rtt_ms", "expected"),
    [
        (0, 0, 20, 3), (19, 19, 299, 3), (20, 0, 20, 2), (0, 20, 20, 2), (0, 0, 300, 2), (49, 49, 599, 2), (50, 0, 20, 1),
        (0, 0, 600, 1), (149, 0, 20, 1), (150, 0, 20, 0), (0, 1000, 20, 0), (-1, -1, -1, 3),
    ],
)  # fmt: skip
def test_the_worse_direction_counts(up_loss: int, down_loss: int, rtt_ms: int, expected: int) -> None:
    assert level(Quality(up_loss, 500, down_loss, 500, rtt_ms)) == expected


def test_a_device_that_gets_no_video_is_not_well_off() -> None:
    assert level(Quality(0, 500, 0, 60, 30, audio_only=True)) == 1
    assert level(Quality(300, 500, 0, 60, 30, audio_only=True)) == 0
