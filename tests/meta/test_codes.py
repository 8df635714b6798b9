"""Every refusal and every exit status is documented, has a status over HTTP and words in each language."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs import generate
from node.base.errors import HTTP_STATUS, Code, ExitStatus

ROOT = Path(__file__).parents[2]


def test_every_code_has_a_meaning_and_a_status() -> None:
    assert set(generate.MEANINGS) == set(Code) == set(HTTP_STATUS)


def test_every_exit_status_has_a_meaning() -> None:
    assert set(generate.STATUSES) == set(ExitStatus)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_code_has_words_for_people(language: str) -> None:
    text = (ROOT / "webui/src/i18n" / f"{language}.json").read_text(encoding="utf-8")
    words = json.loads(text)
    missing = [code for code in Code if not words.get(f"refusal.{code}")]
    assert not missing, f"{language}.json lacks refusal.<code> for {missing}"
