"""The doctor's words about calls."""

from __future__ import annotations

from node.cli.calling import check_calls
from node.cli.findings import Finding, Level
from node.runtime.config import Config


def test_the_doctor_tells_how_well_calls_go() -> None:
    (finding,) = check_calls(Config())
    assert finding == Finding(Level.OK, "Calls work, in batches and in place (level 2).")


def test_calls_that_are_off_are_no_trouble() -> None:
    (finding,) = check_calls(Config(calls=False))
    assert finding == Finding(Level.OK, "Calls are switched off.")
