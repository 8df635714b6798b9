"""How a real browser reaches the relay: by UDP, by TCP where there is no UDP, anew after a restart; with one layer and with three."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.ways import CHANGES, DOWN, UP, Station

FRAMES = 30


@pytest.fixture
def station(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path, *request.param)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("station", "path"),
    [(("udp",), "udp"), (("tcp",), "tcp"), (("udp", "tcp"), "udp"), (("deaf", "tcp"), "tcp")],
    indirect=["station"],
)
def test_a_browser_finds_its_way(chromium: Browser, station: Station, path: str) -> None:
    sender, watcher = chromium.new_page(), chromium.new_page()
    station.send(sender)
    station.watch(watcher, FRAMES)
    assert station.paths() == {path}
    report = station.do(station.relay.report())
    assert not report.dropped
    sender.close()
    watcher.close()


@pytest.mark.parametrize("station", [("udp", "tcp")], indirect=True)
def test_a_restart_of_ice_goes_on_with_the_same_keys(chromium: Browser, station: Station) -> None:
    sender, watcher = chromium.new_page(), chromium.new_page()
    station.send(sender, "q", "h", "f")
    station.watch(watcher, FRAMES)
    before = sender.evaluate(CHANGES)
    station.send_again(sender)
    station.relay.restart(b"x" * 16, DOWN)  # of no call: nothing happens
    station.loop.call_soon_threadsafe(station.relay.restart, b"c" * 16, DOWN)
    sender.wait_for_function(f"async () => (await ({CHANGES})()) > {before}")
    station.watch(watcher, 2 * FRAMES)
    assert station.events.states == [(UP, True)]  # nobody noticed
    assert sender.evaluate("up.connectionState") == watcher.evaluate("down.connectionState") == "connected"
    sender.close()
    watcher.close()
