"""The first words of a node."""

from __future__ import annotations

import io

from node.base.ids import NodeId, format_id, format_node
from node.cli.welcome import greet
from node.wire import address

NODE = format_node(NodeId(bytes(32)))
TOKEN = bytes(range(16))
ORIGINS = ("https://192.168.1.20:8443", "http://127.0.0.1:8080")


def greeting(*, name: str = "Casa", self_signed: bool = True, owner_token: str | None = None) -> str:
    out = io.StringIO()
    greet(name=name, node=NODE, origins=ORIGINS, self_signed=self_signed, owner_token=owner_token, to=out)
    return out.getvalue()


def test_a_node_with_an_owner_shows_no_link() -> None:
    said = greeting()
    assert "Casa · Startalk Node" in said
    assert all(origin in said for origin in ORIGINS)
    assert "/i#" not in said
    assert "█" not in said


def test_a_node_without_one_shows_the_link_for_each_way_and_one_code() -> None:
    said = greeting(owner_token=format_id(TOKEN))
    links = [line.strip() for line in said.split("\n") if "/i#" in line]
    assert [address.parse_link(link)[0] for link in links] == ["127.0.0.1:8080", "192.168.1.20:8443"]
    assert all(address.parse_link(link)[1].token == TOKEN for link in links)


def test_the_warning_of_the_browser_is_announced_only_when_it_will_come() -> None:
    assert "the browser warns once" in greeting()
    assert "warns" not in greeting(self_signed=False)


def test_the_program_s_name_is_not_said_twice() -> None:
    assert greeting(name="Startalk").count("Startalk") == 1
