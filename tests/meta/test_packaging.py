"""What is installed, built and shipped: pins cover what is asked for, the image copies what exists."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import hatch_build
from node.base.errors import ExitStatus
from node.runtime.config import Config

ROOT = Path(__file__).parents[2]


def project() -> dict[str, Any]:
    loaded: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return loaded


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def requirements() -> list[str]:
    extras = project()["optional-dependencies"].values()
    return [*project()["dependencies"], *(one for extra in extras for one in extra), hatch_build.NODE_WHEEL]


@pytest.mark.parametrize("text", requirements())
def test_a_requirement_has_a_floor_and_a_pin_that_fits(text: str) -> None:
    wanted = Requirement(text)
    assert any(part.operator in {">=", "=="} for part in wanted.specifier), f"{text} has no floor"
    assert pins()[canonicalize_name(wanted.name)] in wanted.specifier


def test_pins_are_versions_only() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^-|@", text, re.MULTILINE)


def test_every_runtime_dependency_is_argued() -> None:
    record = (ROOT / "docs/adr/0002-dependencies.md").read_text(encoding="utf-8")
    for text in project()["dependencies"]:
        assert f"| {Requirement(text).name} |" in record, f"{text} is missing in docs/adr/0002-dependencies.md"


def test_the_lock_of_the_web_ui_names_no_registry() -> None:
    lock = json.loads((ROOT / "webui/package-lock.json").read_text(encoding="utf-8"))
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def test_the_web_ui_asks_for_the_node_that_the_hook_looks_for() -> None:
    package = json.loads((ROOT / "webui/package.json").read_text(encoding="utf-8"))
    assert package["engines"]["node"] == "^20.19 || >=22.12"
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert re.fullmatch(r"\d[\w.-]*", version), f"{name} is not pinned exactly: {version}"


def test_the_image_copies_what_exists_and_what_is_not_ignored() -> None:
    admitted = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    sources = set()
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY "):
            sources |= {part.removeprefix("./") for part in line.split()[1:-1]}
    assert sources == admitted
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_does_not_run_as_root_and_reports_its_health() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last_stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert "USER startalk" in last_stage
    assert any(line.startswith("HEALTHCHECK") and '"doctor", "--quick"' in line for line in last_stage)


def test_the_unit_takes_away_what_is_not_needed_and_nothing_else() -> None:
    lines = (ROOT / "deploy/startalk.service").read_text(encoding="utf-8").splitlines()
    assert "NoNewPrivileges=yes" in lines
    assert "SystemCallFilter=@system-service" in lines
    assert not [line for line in lines if line.startswith("MemoryDenyWriteExecute")], "without it there are no calls"
    [kept] = [line.partition("=")[2] for line in lines if line.startswith("RestartPreventExitStatus=")]
    passing = {ExitStatus.OK, ExitStatus.FAILED, ExitStatus.DISK_FULL}
    assert {int(number) for number in kept.split()} == set(ExitStatus) - passing


def test_no_secret_has_a_value_that_everybody_knows() -> None:
    shipped = Config()
    for name in Config.__struct_fields__:
        if re.search(r"token|secret|key|password(?!_cost)", name):
            assert getattr(shipped, name) == "", f"{name} is shipped with a value"


@pytest.mark.xdist_group("meta")
def test_tests_that_must_not_meet_stay_in_one_worker(request: pytest.FixtureRequest) -> None:
    """The group of a test is part of its name, or xdist does not know it: browsers and neighbours would run side by side."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@meta")
