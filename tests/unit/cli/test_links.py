"""Links name the place where somebody else can open them."""

from __future__ import annotations

import pytest

from node.base.ids import NodeId, format_id, format_node
from node.cli import links
from node.runtime import lan
from node.runtime.config import Config
from node.wire import address

NID = NodeId(bytes(range(32)))
TOKEN = bytes(range(16))
LAN = next(iter(lan.own_addresses()), "localhost")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(), (f"https://{LAN}:8443", "http://127.0.0.1:8080")),
        (Config(domain="casa.example", https_port=443, http=False), ("https://casa.example",)),
        (Config(domain="casa.example"), ("https://casa.example:8443", "http://127.0.0.1:8080")),
        (Config(https_host="192.0.2.7", http_port=80), ("https://192.0.2.7:8443", "http://127.0.0.1")),
        (Config(https_host="2001:db8::7", http=False), ("https://[2001:db8::7]:8443",)),
        (Config(https=False, http_host="::1"), ("http://[::1]:8080",)),
    ],
    ids=["usual", "domain", "domain and port", "one address", "IPv6", "no TLS"],
)
def test_origins(config: Config, expected: tuple[str, ...]) -> None:
    assert links.origins(config) == expected


def test_a_link_is_made_of_texts() -> None:
    link = links.account_link("https://casa.example", format_node(NID), format_id(TOKEN), hint="Casa", local="alice")
    host, invitation = address.parse_link(link)
    assert host == "casa.example"
    assert (invitation.nid, invitation.token, invitation.subject) == (NID, TOKEN, b"alice")
