"""A browser that is missing fails the tests with a message that names it; it never skips them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "system_packages.sh"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A machine that has a shell, an ordinary user, and no package manager."""
    folder = tmp_path / "bin"
    folder.mkdir()
    say(folder, "id", "echo 1000")
    return folder


def say(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def run(tools: Path, **env: str) -> subprocess.CompletedProcess[str]:
    shell = shutil.which("sh")
    assert shell is not None
    return subprocess.run(
        [shell, str(SCRIPT)], env={"PATH": str(tools), **env}, capture_output=True, text=True, check=False
    )


def test_an_ordinary_user_is_told_what_to_install(tools: Path) -> None:
    told = run(tools)
    assert told.returncode == 1
    assert "chromium fonts-noto-cjk fonts-noto-color-emoji" in told.stderr


def test_a_browser_on_the_path_or_named_is_enough(tools: Path) -> None:
    assert run(tools, CHROMIUM="somewhere").returncode == 0
    say(tools, "chromium", "exit 0")
    assert run(tools).returncode == 0


def test_root_installs_what_is_missing(tools: Path) -> None:
    say(tools, "id", "echo 0")
    say(tools, "apt-get", 'echo "asked: $*"')
    told = run(tools)
    assert told.returncode == 0
    assert "asked: update" in told.stdout
    assert "installing chromium" in told.stdout


def test_fonts_that_are_missing_are_asked_for(tools: Path) -> None:
    say(tools, "chromium", "exit 0")
    say(tools, "dpkg-query", "exit 1")
    assert run(tools).returncode == 1
    say(tools, "dpkg-query", "echo 'install ok installed'")
    say(tools, "grep", "exit 0")
    assert run(tools).returncode == 0


def test_root_needs_the_tools_of_network_namespaces_too(tools: Path) -> None:
    say(tools, "chromium", "exit 0")
    assert run(tools).returncode == 0, "an ordinary user cannot make namespaces and needs nothing for them"
    say(tools, "id", "echo 0")
    say(tools, "apt-get", 'echo "asked: $*"')
    assert "installing ip nft miniupnpd" in run(tools).stdout
    for tool in ("ip", "nft", "miniupnpd"):
        say(tools, tool, "exit 0")
    assert "asked" not in run(tools).stdout
