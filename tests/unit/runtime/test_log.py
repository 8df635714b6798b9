"""What a line of the diary shows, and what it never shows."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest

from node.base.errors import LocalError
from node.runtime import log


@pytest.fixture
def root() -> Iterator[None]:
    held, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    logging.getLogger().handlers[:] = held
    logging.getLogger().setLevel(level)
    logging.getLogger("node").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


def diary(*, style: Literal["text", "json"] = "text", level: log.Level = "info") -> io.StringIO:
    lines = io.StringIO()
    log.configure(level=level, style=style, to=lines)
    return lines


@pytest.mark.usefixtures("root")
class TestDiary:
    def test_a_line_has_time_level_part_sentence_and_fields(self) -> None:
        lines = diary()
        log.Log("web.server").info("Listening", host="0.0.0.0", port=8443)
        assert lines.getvalue().endswith(" info    web.server: Listening host=0.0.0.0 port=8443\n")

    def test_json_has_one_object_a_line(self) -> None:
        lines = diary(style="json")
        log.Log("web.server").warning("Slow", ms=12.5, room=None)
        told = json.loads(lines.getvalue())
        assert (told["level"], told["part"], told["what"], told["ms"], told["room"]) == (
            "warning",
            "web.server",
            "Slow",
            12.5,
            None,
        )

    def test_a_field_outside_the_list_is_withheld(self) -> None:
        lines = diary()
        log.Log("web").info("Signed in", password="hunter2")
        assert "password=?" in lines.getvalue()
        assert "hunter2" not in lines.getvalue()

    def test_a_value_cannot_forge_a_line(self) -> None:
        lines = diary()
        log.Log("web").info("Refused", reason='x"\n2026 info web: all well', user="小明")
        assert lines.getvalue().count("\n") == 1
        assert "\\n2026" in lines.getvalue()

    def test_levels_below_the_chosen_one_are_silent(self) -> None:
        lines = diary(level="warning")
        log.Log("web").info("Listening")
        assert not lines.getvalue()

    @pytest.mark.parametrize(
        ("error", "level", "shown"),
        [
            (ValueError("secret"), "info", False),
            (ValueError("secret"), "debug", True),
            (LocalError("secret"), "info", True),
        ],
    )
    def test_a_fault_shows_its_place_and_only_our_own_texts(
        self, error: Exception, level: log.Level, shown: bool
    ) -> None:
        lines = diary(level=level)
        try:
            raise error
        except type(error) as caught:
            log.Log("web").error("It broke", caught, error_id="abc")
        told = lines.getvalue()
        assert type(error).__name__ in told
        assert "test_log.py" in told
        assert ("secret" in told) is shown


@pytest.mark.parametrize(
    ("address", "network"), [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::5", "2001:db8:1::/48"), ("", ".0/24")]
)
def test_an_address_loses_its_last_part(address: str, network: str) -> None:
    assert log.network_of(address) == network
