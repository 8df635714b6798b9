"""Where a setting comes from, and what a misspelt or wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.base.errors import ExitStatus, Fatal
from node.runtime import config


def refusal(tmp_path: Path, *, file: str = "", env: dict[str, str] | None = None, **options: object) -> str:
    (tmp_path / config.FILE).write_text(file, encoding="utf-8")
    with pytest.raises(Fatal) as caught:
        config.load(data=str(tmp_path), env=env or {}, options=options)
    assert caught.value.status is ExitStatus.USAGE
    return caught.value.text


def test_nothing_given_means_the_defaults(tmp_path: Path) -> None:
    assert config.load(data=str(tmp_path), env={}) == config.Config(data=str(tmp_path))


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / config.FILE).write_text('https_port = 1\nhttp_port = 1\ndomain = "a.example"\n', encoding="utf-8")
    made = config.load(
        data=str(tmp_path),
        env={"STARTALK_HTTPS_PORT": "2", "STARTALK_HTTP_PORT": "2"},
        options={"http_port": 3, "http": None},
    )
    assert (made.domain, made.https_port, made.http_port, made.http) == ("a.example", 2, 3, True)


def test_the_environment_names_the_folder() -> None:
    made = config.load(env={"STARTALK_DATA": "elsewhere"})
    assert made.folder == Path("elsewhere")


def test_the_environment_writes_lists_and_booleans(tmp_path: Path) -> None:
    made = config.load(
        data=str(tmp_path),
        env={"STARTALK_HTTPS": "false", "STARTALK_TRUSTED_PROXIES": "10.0.0.0/8, ::1", "STARTALK_DOMAIN": ""},
    )
    assert not made.https
    assert made.trusted_proxies == ("10.0.0.0/8", "::1")


def test_variables_of_the_build_are_no_settings(tmp_path: Path) -> None:
    config.load(data=str(tmp_path), env={"STARTALK_WEBUI": "skip"})


def test_an_unknown_key_is_named_with_the_nearest(tmp_path: Path) -> None:
    assert "'https_prot' in" in (told := refusal(tmp_path, file="https_prot = 1"))
    assert "Did you mean 'https_port'" in told
    assert "'STARTALK_COLOUR' in the environment" in refusal(tmp_path, env={"STARTALK_COLOUR": "red"})


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("https_port = 65536", "https_port"),
        ("https_port = 'x'", "https_port"),
        ("log_level = 'loud'", "log_level"),
        ("domain = 'Not A Host'", "domain"),
        ("tls_cert = 'cert.pem'", "tls_key"),
        ("http = false\nhttps = false", "https"),
        ("http_host = '0.0.0.0'", "trusted_proxies"),
        ("http_host = 'chat.example'", "http_host"),
        ("trusted_proxies = ['next door']", "next door"),
        ("data = 'here'", "data"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_wrong_value_is_refused_by_name(tmp_path: Path, file: str, named: str) -> None:
    assert named in refusal(tmp_path, file=file)


def test_plain_http_may_listen_wider_behind_a_named_proxy(tmp_path: Path) -> None:
    made = config.load(data=str(tmp_path), env={}, options={"http_host": "0.0.0.0", "trusted_proxies": ("10.0.0.0/8",)})
    assert made.http_host == "0.0.0.0"


def test_a_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / config.FILE).mkdir()
    with pytest.raises(Fatal, match="cannot be read"):
        config.load(data=str(tmp_path), env={})


def test_every_setting_explains_itself() -> None:
    described = config.settings()
    assert [one.key for one in described] == list(config.Config.__struct_fields__)
    for one in described:
        assert one.env == f"STARTALK_{one.key.upper()}"
        assert one.help.endswith(".")
        assert one.kind in {"str", "int", "bool", "list", "choice"}
        assert (one.kind == "choice") == bool(one.choices)


def test_lists_are_written_with_commas_everywhere(tmp_path: Path) -> None:
    made = config.load(
        data=str(tmp_path),
        env={"STARTALK_NET_ALLOW": "10.8.0.0/24, fd00::/64"},
        options={"net_hosts": "a.test=127.0.0.1:18443,b.test=[::1]", "bootstrap": "casa.example:8444"},
    )
    assert made.net_allow == ("10.8.0.0/24", "fd00::/64")
    assert made.net_hosts == ("a.test=127.0.0.1:18443", "b.test=[::1]")
    assert made.bootstrap == ("casa.example:8444",)


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("net_allow = ['next door']", "net_allow"),
        ("net_hosts = ['a.test']", "name=address"),
        ("net_ca = 'nowhere.pem'", "nowhere.pem"),
        ("public_url = 'http://casa.example/'", "public_url"),
        ("bootstrap = ['casa.example']", "casa.example:8444"),
        ("bootstrap = ['casa.example:0']", "bootstrap"),
    ],
)
def test_wrong_settings_about_other_nodes_are_refused(tmp_path: Path, file: str, named: str) -> None:
    assert named in refusal(tmp_path, file=file)


def test_a_public_url_names_the_path_of_links(tmp_path: Path) -> None:
    (tmp_path / config.FILE).write_text('public_url = "wss://casa.example:8443/s2s"', encoding="utf-8")
    assert config.load(data=str(tmp_path), env={}).public_url == "wss://casa.example:8443/s2s"
