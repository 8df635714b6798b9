"""What the doctor finds: one sentence each, and how bad it is."""

from __future__ import annotations

import enum

from msgspec import Struct


class Level(enum.StrEnum):
    """How a check ended. Only FAIL makes the exit status 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


class Finding(Struct, frozen=True):
    """One line."""

    level: Level
    text: str


class Report(Struct, frozen=True):
    """All of them, as ``--json`` prints it."""

    ok: bool
    findings: list[Finding]
