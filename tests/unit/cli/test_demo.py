"""What the demo writes before its nodes run, and the folders it does not touch."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node.base.errors import ExitStatus
from node.cli import demo
from node.runtime import config
from node.runtime.targets import Exceptions, Pin

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Startalk


@pytest.mark.slow
def test_a_house_is_a_node_on_loopback_that_knows_the_other_two(tmp_path: Path) -> None:
    houses = demo._houses(tmp_path, 0)
    assert [house.domain for house in houses] == ["a.test", "b.test", "c.test"]
    assert len({house.port for house in houses} | {house.https_port for house in houses}) == 6
    (tmp_path / demo.AUTHORITIES).touch()
    for house in houses:
        demo._furnish(house, houses, fresh=True)
    demo._believe(houses, tmp_path / demo.AUTHORITIES)
    for house in houses:
        settings = config.load(data=str(house.folder), env={})
        assert (settings.domain, settings.http_host, settings.https_host) == (house.domain, "127.0.0.1", "127.0.0.1")
        assert (settings.mdns, settings.dht, settings.portmap) == (False, False, False)
        hosts = Exceptions.parse(allow=settings.net_allow, hosts=settings.net_hosts).hosts
        assert dict(hosts) == {one.domain: Pin("127.0.0.1", one.https_port) for one in houses}
    ssl.create_default_context(cafile=str(tmp_path / demo.AUTHORITIES))
    assert "PRIVATE" not in (tmp_path / demo.AUTHORITIES).read_text()
    assert (tmp_path / demo.AUTHORITIES).read_text().count("BEGIN CERTIFICATE") == 3


def test_a_port_in_use_is_named(startalk: Startalk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = startalk("demo", "--port", str(port))
    assert said.status == ExitStatus.PORT_IN_USE
    assert str(port) in said.err


def test_a_folder_that_is_no_demo(startalk: Startalk, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    said = startalk("demo", "--data", str(tmp_path / "other"), "--port", "0")
    assert said.status == ExitStatus.FAILED
    assert "no finished demo" in said.err


def test_a_kept_folder_is_taken_again(tmp_path: Path) -> None:
    (tmp_path / demo.READY).touch()
    with demo._folder(str(tmp_path)) as folder:
        assert folder == tmp_path
    assert tmp_path.exists()
    with demo._folder(None) as made:
        (made / "a.test").mkdir()
    assert not made.exists()


def test_everybody_has_a_link_and_two_of_a_node_differ_in_host(tmp_path: Path) -> None:
    seats = demo._seats(demo._houses(tmp_path, 0))
    assert list(seats) == ["alice", "bob", "carol", "dave", "erin", "frank"]
    assert seats["dave"].address == "dave@a.test"
    assert seats["alice"].link.replace("127.0.0.1", "localhost") == seats["dave"].link
    told = demo._told(seats, tmp_path, kept=False)
    assert all(seat.link in told and seat.address in told for seat in seats.values())
    assert demo.PASSWORD in told
    assert "deletes" in told
    assert "kept" in demo._told(seats, tmp_path, kept=True)
