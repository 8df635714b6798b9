"""Names and passwords."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import LOCAL_NAME
from node.core import account

COMMON = frozenset({"password", "letmein12"})


def refusal(check: object, *args: object) -> Code:
    with pytest.raises(Rejected) as refused:
        check(*args)  # type: ignore[operator]
    return refused.value.code


@pytest.mark.parametrize("name", ["al", "a" * 32, "a.b", "a-b_c", "0x", "zhang.san"])
def test_names_that_are_good(name: str) -> None:
    assert account.check_local_name(name) == name


@pytest.mark.parametrize("name", ["", "a", "a" * 33, ".a", "a-", "Al", "a b", "ålice", "a@b", "al\n", "a\u200bb"])
def test_names_that_are_not(name: str) -> None:
    assert refusal(account.check_local_name, name) is Code.NAME_INVALID


@pytest.mark.parametrize("name", ["admin", "all", "no-reply", "startalk"])
def test_names_that_are_kept(name: str) -> None:
    assert refusal(account.check_local_name, name) is Code.NAME_TAKEN


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("paul", "pau1"),
        ("paul", "paui"),
        ("bob", "b0b"),
        ("anna", "an-na"),
        ("tom", "torn"),
        ("willy", "vvilly"),
        ("sue", "5ue"),
    ],
)
def test_look_alikes_have_one_skeleton(one: str, two: str) -> None:
    assert account.skeleton(one) == account.skeleton(two)


@given(st.from_regex(LOCAL_NAME, fullmatch=True))
def test_a_skeleton_is_its_own(name: str) -> None:
    once = account.skeleton(name)
    assert account.skeleton(once) == once
    assert account.skeleton(name.replace(".", "-")) == once


def test_passwords() -> None:
    check = account.check_password
    assert check("correct horse", "alice", COMMON) == "correct horse"
    assert refusal(check, "a" * (limits.PASSWORD_CHARS_MIN - 1), "zoe", COMMON) is Code.PASSWORD_TOO_SHORT
    check("ab" * (limits.PASSWORD_CHARS_MIN // 2), "zoe", COMMON)
    check("ab" * (limits.PASSWORD_CHARS_MAX // 2), "zoe", COMMON)
    assert refusal(check, "a" * (limits.PASSWORD_CHARS_MAX + 1), "zoe", COMMON) is Code.PASSWORD_TOO_LONG
    assert refusal(check, "LetMeIn12", "zoe", COMMON) is Code.PASSWORD_TOO_COMMON
    assert refusal(check, "my-ALICE-99", "alice", COMMON) is Code.PASSWORD_HAS_NAME
    assert check("a jolly good phrase", "jo", COMMON), "a short name occurs by chance"


@given(st.text(min_size=8, max_size=40))
def test_a_password_is_kept_in_one_spelling(password: str) -> None:
    try:
        kept = account.check_password(password, "zoe", COMMON)
    except Rejected:
        return
    assert kept == account.check_password(unicodedata.normalize("NFD", password), "zoe", COMMON)


def test_display_names() -> None:
    assert account.check_display_name("  Zoë  ") == "Zoë"
    assert account.check_display_name("张" * limits.NAME_CHARS_MAX)
    for name in ("", "   ", "x" * (limits.NAME_CHARS_MAX + 1), "a\nb", "\u202eabc"):
        assert refusal(account.check_display_name, name) is Code.BAD_REQUEST


def test_a_name_of_invisible_characters_is_no_name() -> None:
    assert refusal(account.check_display_name, "\u200b\u2060") is Code.BAD_REQUEST
