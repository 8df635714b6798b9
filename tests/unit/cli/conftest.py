"""A node without a browser: `startalk(...)` runs a verb on a folder of its own and says what it printed."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from node.cli import main


class Said(NamedTuple):
    """How a verb ended."""

    status: int
    out: str
    err: str


class Startalk(Protocol):
    """Runs a verb."""

    def __call__(self, *arguments: str, stdin: str = "") -> Said: ...


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def startalk(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Startalk:
    monkeypatch.setenv("STARTALK_DATA", str(data))
    monkeypatch.setenv("STARTALK_PASSWORD_COST", "small")

    def run(*arguments: str, stdin: str = "") -> Said:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def casa(startalk: Startalk) -> Startalk:
    """The same on a node that alice owns."""
    said = startalk(
        "init",
        "--owner",
        "alice",
        "--name",
        "Casa",
        "--password-stdin",
        "--yes-i-wrote-it-down",
        stdin="four plain words\n",
    )
    assert said.status == 0, said.err
    return startalk
