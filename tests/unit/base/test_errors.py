"""Refusals have a code with a status each."""

from __future__ import annotations

from node.base.errors import HTTP_STATUS, Code, ExitStatus, Fatal, Rejected


def test_every_code_has_a_status() -> None:
    assert set(HTTP_STATUS) == set(Code)
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


def test_a_refusal_tells_what_and_why() -> None:
    refused = Rejected(Code.MUTED, "You are muted.", until_ms=5)
    assert refused.http_status == 403
    assert refused.detail == {"until_ms": 5}
    assert "muted" in repr(refused)
    assert str(refused) == "You are muted."


def test_a_fatal_fault_has_a_status_of_its_own() -> None:
    assert len({status.value for status in ExitStatus}) == len(ExitStatus)
    assert Fatal(ExitStatus.DISK_FULL, "The disk is full.").status == 8
