"""Live settings: defaults, changes at once, all or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from node.base import limits
from node.base.errors import Code, Rejected
from node.core.account import Registration
from node.runtime.clock import ManualClock
from node.services.settings import RATE_MAX, RATES, Change, Circle, Settings
from node.storage.database import Database


@pytest_asyncio.fixture
async def db(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    opened = Database(path=tmp_path / "startalk.db", clock=clock)
    yield opened
    await opened.close()


async def test_defaults(db: Database, clock: ManualClock) -> None:
    settings = Settings(db=db, clock=clock)
    assert (settings.name, settings.domain, settings.registration) == ("Startalk", "", Registration.INVITE)
    assert not settings.allowed_only
    assert settings.rate("posts_per_account_per_s") == limits.POSTS_PER_ACCOUNT_PER_S
    assert Settings(db=db, clock=clock, domain="casa.example").name == "casa.example"


async def test_every_rate_has_its_default_in_limits() -> None:
    assert {name.upper(): value for name, value in RATES.items()} == {
        name.upper(): getattr(limits, name.upper()) for name in RATES
    }


async def test_a_change_is_in_force_at_once_and_after_a_restart(db: Database, clock: ManualClock) -> None:
    settings = Settings(db=db, clock=clock)
    change = Change(
        name=" Casa ", domain="casa.example", registration=Registration.OPEN, rates={"invitations_per_h": 7}
    )
    await settings.change(change, actor="olga")
    for seen in (settings, Settings(db=db, clock=clock, domain="old.example")):
        assert (seen.name, seen.domain, seen.registration) == ("Casa", "casa.example", Registration.OPEN)
        assert seen.rate("invitations_per_h") == 7
        assert seen.rates()["rooms_created_per_h"] == limits.ROOMS_CREATED_PER_H
    await settings.change(Change(domain="", circle=Circle.ALLOWED), actor="olga")
    assert settings.allowed_only
    assert Settings(db=db, clock=clock).circle is Circle.ALLOWED
    assert Settings(db=db, clock=clock, domain="old.example").domain == ""


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (Change(name=""), Code.BAD_REQUEST),
        (Change(name="x" * 61), Code.BAD_REQUEST),
        (Change(name="a\x00b"), Code.BAD_REQUEST),
        (Change(domain="Casa.Example"), Code.NAME_INVALID),
        (Change(domain="192.0.2.1"), Code.NAME_INVALID),
        (Change(rates={"nonsense": 1}), Code.BAD_REQUEST),
        (Change(rates={"invitations_per_h": 0}), Code.BAD_REQUEST),
        (Change(rates={"invitations_per_h": RATE_MAX + 1}), Code.BAD_REQUEST),
    ],
)
async def test_a_bad_change_changes_nothing(db: Database, clock: ManualClock, bad: Change, code: Code) -> None:
    settings = Settings(db=db, clock=clock)
    mixed = Change(name=bad.name, domain=bad.domain, registration=Registration.OPEN, rates=bad.rates)
    with pytest.raises(Rejected) as caught:
        await settings.change(mixed, actor="olga")
    assert caught.value.code is code
    assert settings.registration is Registration.INVITE
    assert db.view(lambda tx: tx.all("SELECT * FROM settings")) == []


async def test_the_highest_rate_is_allowed(db: Database, clock: ManualClock) -> None:
    settings = Settings(db=db, clock=clock)
    await settings.change(Change(rates=dict.fromkeys(RATES, RATE_MAX)), actor="bench")
    assert set(settings.rates().values()) == {RATE_MAX}


async def test_nothing_to_change_writes_nothing(db: Database, clock: ManualClock) -> None:
    settings = Settings(db=db, clock=clock)
    await settings.change(Change(), actor="olga")
    assert db.view(lambda tx: tx.all("SELECT * FROM audit")) == []
