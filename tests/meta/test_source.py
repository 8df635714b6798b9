"""Rules about the source that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.runtime.log import FIELDS

ROOT = Path(__file__).parents[2]
BINARY = {".png", ".jpg", ".ico", ".woff2", ".gz", ".br"}
# Written so that this file does not contain them.
REGISTRIES = re.compile(
    "|".join(
        (
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            r"registry\." + "npm",
            "npm" + r"mirror",
            r"/simple" + "/",
            r"index" + r"-url",
        )
    )
)
MACHINE_PATHS = re.compile(
    "|".join((r"(?<![\w.])/" + "work/", r"(?<![\w.])/" + "root/", r"/tmp/" + "brief", r"/home" + r"/\w+/"))
)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        if path.suffix not in BINARY:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def python_files(*folders: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


@pytest.mark.parametrize("pattern", [REGISTRIES, MACHINE_PATHS], ids=["registry", "path"])
def test_no_file_names_a_registry_or_a_path_of_a_machine(pattern: re.Pattern[str]) -> None:
    found = [f"{name}: {hit[0]}" for name, text in texts() if (hit := pattern.search(text))]
    assert not found


def test_no_private_key_is_in_the_tree() -> None:
    mark = "-----BEGIN " + "PRIVATE KEY"
    assert not [name for name, text in texts() if mark in text]


def test_every_file_opens_with_what_it_is() -> None:
    # An example in a how-to guide is explained by the page around it.
    silent = [
        path
        for path in python_files("node", "bench", "docs", "tests")
        if path.parent.name != "howto"
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent


def test_nothing_is_left_to_do_in_a_docstring() -> None:
    word = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
    files = python_files("node", "bench", "docs", "tests")
    found = [str(path.relative_to(ROOT)) for path in files if word.search(path.read_text(encoding="utf-8"))]
    assert not found


def test_the_diary_is_asked_for_known_fields_only() -> None:
    unknown = []
    for path in python_files("node"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and _is_diary(call.func):
                fields = {keyword.arg for keyword in call.keywords if keyword.arg} - {"fault"}
                unknown += [f"{path.relative_to(ROOT)}:{call.lineno}: {field}" for field in fields - FIELDS]
                if call.args and not isinstance(call.args[0], ast.Constant):
                    unknown.append(f"{path.relative_to(ROOT)}:{call.lineno}: the sentence is not fixed")
    assert not unknown


def _is_diary(called: ast.expr) -> bool:
    """Whether this is ``log.info(…)`` and the like."""
    return (
        isinstance(called, ast.Attribute)
        and called.attr in {"debug", "info", "warning", "error"}
        and isinstance(called.value, ast.Name)
        and called.value.id in {"log", "_log", "LOG"}
    )
