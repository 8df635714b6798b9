"""The manual says what is true: generated pages are current, verbs and files it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import generate

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/tutorial/first-node.md",
    "docs/howto/run-at-home.md",
    "docs/howto/backup.md",
)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(generate.PAGES))
def test_a_generated_page_is_current(name: str) -> None:
    assert read(f"docs/reference/{name}") == generate.page(name), "run `make generate`"


def verbs() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):.*", read("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_every_make_verb_that_is_named_exists(page: str) -> None:
    named = set(re.findall(r"(?:^|`|\s)make ([a-z][a-z-]+)(?=`|$|\s+[A-Z]+=|\n)", read(page), re.MULTILINE))
    assert named <= verbs(), f"{page} names {sorted(named - verbs())}"


def test_readme_starts_with_the_two_commands() -> None:
    assert {"run", "test"} <= set(re.findall(r"^make ([a-z]+)", read("README.md"), re.MULTILINE))


def test_every_verb_has_a_help_line_or_is_internal() -> None:
    explained = set(re.findall(r"^([a-z][a-z-]*):.*## ", read("Makefile"), re.MULTILINE))
    assert verbs() - explained == {"system-packages"}


def test_every_decision_record_is_in_the_index() -> None:
    listed = set(re.findall(r"^(\d{4}-[a-z-]+)$", read("docs/adr/index.md"), re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "docs/adr").glob("[0-9]*.md")}


def test_pictures_and_files_of_the_readme_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", read("README.md")):
        if "://" not in target:
            assert (ROOT / target).exists(), target
