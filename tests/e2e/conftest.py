"""A real node, a real browser, and people with a browser each; what goes wrong in any of them fails the test.

The browser is the system's Chromium, never one that a tool downloads. All browser tests run one after the other in one
worker: two browsers on a small machine only wait for each other. The driver lives as long as a file of tests, because
while it runs no other event loop can run in its thread.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.e2e.person import ROOT, Person
from tests.e2e.program import LOOPBACK, Program
from tests.e2e.village import Village

PACKAGES = "chromium fonts-noto-cjk fonts-noto-color-emoji"
# Three cameras of 30 frames a second (the second one sees depth, which no browser sends), microphones, and a screen that is shared
# without asking.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream=fps=30,device-count=3 "
    "--auto-select-desktop-capture-source=Entire"
).split()
BUILT = ROOT / "node" / "web" / "_webui" / "index.html"
TRACES = ROOT / "build" / "traces"
PATIENCE_MS = 10_000

expect.set_options(timeout=PATIENCE_MS)


class Meet(Protocol):
    """Somebody new with a browser of their own."""

    def __call__(self, name: str, origin: str = "", **look: Any) -> Person: ...


class Found(Protocol):
    """One more node with its owner."""

    def __call__(self, name: str, *, root: Path = ROOT) -> tuple[Program, Village]: ...


@pytest.hookimpl(tryfirst=True)  # xdist has to see the group
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is a browser test, slow, and in the one worker that has the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in (pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")):
                item.add_marker(mark)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tells the fixtures of a test whether it failed."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report  # type: ignore[return-value]


FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="module")
def driver() -> Iterator[Playwright]:
    """What drives browsers."""
    with sync_playwright() as running:
        yield running


def launch(driver: Playwright, *flags: str) -> Browser:
    """The browser of Debian. A missing one fails, since a skipped browser test proves nothing."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.fail(f"There is no chromium on PATH and CHROMIUM is not set; apt-get install {PACKAGES}")
    return driver.chromium.launch(executable_path=path, args=[*FLAGS, *flags])


@pytest.fixture(scope="module")
def chromium(driver: Playwright) -> Iterator[Browser]:
    """The browser of the tests of a file."""
    browser = launch(driver)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def webui() -> None:
    """The built web UI."""
    if not BUILT.is_file():
        pytest.fail("The web UI is not built; run make webui.")


@pytest.fixture
def program(tmp_path: Path, webui: None) -> Iterator[Program]:
    """A node that nobody has used yet."""
    running = Program(tmp_path / "data")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory, chromium: Browser, webui: None) -> Iterator[Village]:
    """A node past its set-up, shared by the tests of a file; each test brings people of its own."""
    running = Program(tmp_path_factory.mktemp("village") / "data")
    running.start()
    olga = Person(chromium, running.origin, "Olga Berg")
    yield Village(running, olga)
    olga.leave()
    running.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, chromium: Browser, webui: None) -> Iterator[tuple[Village, Village]]:
    """Two villages on nodes of their own that have met once; each test brings people of its own."""
    folder = tmp_path_factory.mktemp("pair")
    programs = [Program(folder / name / "data", settings=LOOPBACK) for name in ("casa", "hut")]
    for one in programs:
        one.start()
    owners = [
        Person(chromium, one.origin, name) for one, name in zip(programs, ("Olga Berg", "Omar Haddad"), strict=True)
    ]
    casa, hut = Village(programs[0], owners[0]), Village(programs[1], owners[1], name="Hut")
    hut.olga.post("/introductions", {"address": str(casa.olga.post("/contact-links", {})["url"])})
    yield casa, hut
    for owner in owners:
        owner.leave()
    for one in programs:
        one.stop()


@pytest.fixture
def found(tmp_path: Path, chromium: Browser, webui: None) -> Iterator[Found]:
    """Nodes of this test, each with its owner."""
    programs: list[Program] = []
    owners: list[Person] = []

    def new(name: str, *, root: Path = ROOT) -> tuple[Program, Village]:
        programs.append(Program(tmp_path / name / "data", root=root, settings=LOOPBACK))
        programs[-1].start()
        owners.append(Person(chromium, programs[-1].origin, f"Owner of {name}"))
        return programs[-1], Village(programs[-1], owners[-1], name=name)

    yield new
    for owner in owners:
        owner.leave()
    for one in programs:
        one.stop()


@pytest.fixture
def meet(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Callable[..., Person]]:
    """People for this test. What their browsers complained about fails it; a failed test leaves a trace of each."""
    people: list[Person] = []

    def new(name: str, origin: str = "", **look: object) -> Person:
        people.append(Person(chromium, origin or origin_of(request), name, **look))
        return people[-1]

    yield new
    failed = request.node.stash.get(FAILED, True)
    for person in people:
        person.leave(TRACES / f"{request.node.name}-{person.name}" if failed or person.complaints else None)
    assert not [line for person in people for line in person.complaints]


def origin_of(request: pytest.FixtureRequest) -> str:
    """The node this test uses."""
    if "program" in request.fixturenames:
        return str(request.getfixturevalue("program").origin)
    if "village" not in request.fixturenames:
        raise LookupError("say on which node this person lives")
    return str(request.getfixturevalue("village").origin)
