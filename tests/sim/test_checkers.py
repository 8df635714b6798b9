"""The simulation finds what it is there to find: each test breaks the node or its disk on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.services.sync import Sync
from node.storage.log import Log
from node.web.session import DeviceSession
from tests.sim import disk
from tests.sim.run import run

pytestmark = pytest.mark.slow
SEEDS = range(1, 25)


def forget_repeats(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "find_post", lambda *_: None)


def never_catch_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DeviceSession, "catch_up", lambda _: None)


def show_unread_to_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "unread", lambda *_: (0, 0))


def never_sync(patch: pytest.MonkeyPatch) -> None:
    images = disk._images
    patch.setattr(disk, "_images", lambda data: images(data) | {disk.WAL: b""})


def skip_an_entry(patch: pytest.MonkeyPatch) -> None:
    page = Sync.page
    patch.setattr(Sync, "page", lambda self, actor, cursor, limit: page(self, actor, cursor + 1, limit))


@pytest.mark.parametrize(
    ("sabotage", "found"),
    [
        (forget_repeats, "internal errors"),
        (never_catch_up, "never got"),
        (show_unread_to_nobody, "the fold says"),
        (never_sync, ""),
        (skip_an_entry, "never got"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_sabotage_is_found(
    sabotage: Callable[[pytest.MonkeyPatch], None], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    for seed in SEEDS:
        try:
            complaints = run(seed).complaints
        except Exception as error:  # noqa: BLE001 - a node that does not even start again is found, too
            complaints = (repr(error),)
        if any(found in text for text in complaints):
            return
    pytest.fail(f"nobody noticed in {len(SEEDS)} worlds")
