"""Hashes: pepper, cost, renewal, the dummy, the pool, the list of common ones."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Iterator
from importlib import resources

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.runtime.entropy import SeededEntropy
from node.services.passwords import COMMON_FILE, Hashed, Passwords
from node.storage.keys import Ring

OLD = Ring(1, {1: b"1" * 32})
NEW = Ring(2, {1: b"1" * 32, 2: b"2" * 32})


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(cost="small", peppers=OLD, entropy=SeededEntropy("passwords"))
    yield made
    made.close()


async def test_right_wrong_and_nearly_right(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert stored.text.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify("correct horse", stored)
    assert not await passwords.verify("correct horsf", stored)
    assert not await passwords.verify("", stored)
    assert not await passwords.verify("correct horse", Hashed("damaged", 1))
    assert not await passwords.verify("correct horse", Hashed(stored.text, 9))


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert (await passwords.hash("correct horse")).text != (await passwords.hash("correct horse")).text


async def test_spellings_of_one_character_are_one_password(passwords: Passwords) -> None:
    stored = await passwords.hash(unicodedata.normalize("NFC", "schlüssel-für-zwölf"))
    assert await passwords.verify(unicodedata.normalize("NFD", "schlüssel-für-zwölf"), stored)


async def test_the_database_alone_is_not_enough(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    thief = Passwords(cost="small", peppers=Ring(1, {1: b"guess" + bytes(27)}), entropy=SeededEntropy("thief"))
    assert not await thief.verify("correct horse", stored)
    thief.close()


async def test_raised_cost_and_new_pepper_are_noticed(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert not passwords.is_outdated(stored)
    peppered = Passwords(cost="small", peppers=NEW, entropy=SeededEntropy("x"))
    costlier = Passwords(cost="standard", peppers=OLD, entropy=SeededEntropy("x"))
    assert await peppered.verify("correct horse", stored)
    assert peppered.is_outdated(stored)
    assert costlier.is_outdated(stored)
    peppered.close()
    costlier.close()


async def test_the_dummy_is_always_wrong(passwords: Passwords) -> None:
    assert await passwords.waste("anything") is False


async def test_a_surrogate_is_no_crash(passwords: Passwords) -> None:
    assert await passwords.waste("\ud800") is False


async def test_too_many_at_once_are_refused(passwords: Passwords) -> None:
    room = limits.ARGON2_AT_ONCE + limits.ARGON2_WAITING_MAX
    found = await asyncio.gather(*(passwords.waste(str(number)) for number in range(room + 3)), return_exceptions=True)
    refused = [error for error in found if isinstance(error, Rejected)]
    assert [error.code for error in refused] == [Code.RATE_LIMITED] * 3
    assert await passwords.waste("and afterwards it goes on") is False


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("1234567", Code.PASSWORD_TOO_SHORT),
        ("x" * 257, Code.PASSWORD_TOO_LONG),
        ("PASSWORD1", Code.PASSWORD_TOO_COMMON),
        ("iloveyou", Code.PASSWORD_TOO_COMMON),
        ("woaini1314", Code.PASSWORD_TOO_COMMON),
        ("hello-bert-hello", Code.PASSWORD_HAS_NAME),
    ],
)
def test_what_is_refused(passwords: Passwords, password: str, code: Code) -> None:
    with pytest.raises(Rejected) as caught:
        passwords.check(password, "bert")
    assert caught.value.code is code


def test_what_is_fine(passwords: Passwords) -> None:
    for password in ("tr0ub4dor", "x" * 256, "四个字的密码很好用", "    spaces    "):
        assert passwords.check(password, "bert") == unicodedata.normalize("NFC", password)


def test_the_list_of_common_ones_is_worth_having() -> None:
    lines = resources.files("node.services").joinpath(COMMON_FILE).read_text().split("\n")[:-1]
    assert len(lines) > 3_000
    assert lines == sorted(set(lines))
    assert all(line == line.lower() and limits.PASSWORD_CHARS_MIN <= len(line) <= 40 for line in lines)
