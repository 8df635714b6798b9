"""Every boot setting is an option of `run`, and a mistake is one sentence."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from node.base.errors import ExitStatus, Fatal
from node.cli import boot, main
from node.runtime.config import Config, settings


def test_help_shows_every_setting_with_its_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for setting in settings():
        assert f"--{setting.key.replace('_', '-')}" in shown
        assert f"env: {setting.env};" in shown
        assert f"default: {setting.default or 'empty'}]" in shown


def test_each_setting_is_one_parameter() -> None:
    parameters = boot.option_parameters()
    assert [parameter.name for parameter in parameters] == list(Config.__struct_fields__)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters)


def test_options_beat_the_file(tmp_path: Path) -> None:
    (tmp_path / "startalk.toml").write_text("https_port = 9000\nhttp_port = 9001\n")
    config = boot.load(str(tmp_path), {"https_port": "9443", "http": None, "trusted_proxies": "192.0.2.1, 10.0.0.0/8"})
    assert (config.https_port, config.http_port, config.http) == (9443, 9001, True)
    assert config.trusted_proxies == ("192.0.2.1", "10.0.0.0/8")


def test_a_wrong_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="https_port") as stopped:
        boot.load(str(tmp_path), {"https_port": "many"})
    assert stopped.value.status is ExitStatus.USAGE


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--https-port", "many"], "https_port"),
        (["run", "--no-https", "--no-http"], "Both listeners are off"),
        (["run", "--tls-cert", "cert.pem"], "tls_key"),
        (["run", "--domain", "Casa Example"], "domain"),
        (["run", "--bogus"], "--bogus"),
        (["bogus"], "bogus"),
        (["doctor", "--data"], "--data"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    data = ["--data", str(tmp_path)] if arguments[0] == "run" else []
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *data])
    assert ended.value.code == ExitStatus.USAGE
    assert says in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("startalk ")
