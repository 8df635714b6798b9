"""A network that leads nowhere: two nodes on a bridge find each other, and notice when one goes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from tests.integration.net.netns import Internet

pytestmark = [pytest.mark.slow, pytest.mark.netns, pytest.mark.xdist_group("netns")]


def nid_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def test_neighbours_find_each_other(internet: Internet, record_property: Callable[[str, object], None]) -> None:
    internet.lan("br", {"a": "192.168.7.11", "b": "192.168.7.12"})
    alice = internet.python("a", "neighbour.py", "alice", "8443")
    alice.hear("addresses")
    bob = internet.python("b", "neighbour.py", "bob", "9443")
    heard = bob.hear("found")
    record_property("found_s", heard["s"])
    assert heard["found"] == nid_of("alice")
    assert "192.168.7.11" in heard["at"]
    seen = alice.hear("found")
    assert (seen["found"], seen["port"]) == (nid_of("bob"), 9443)
    scoped = [text for text in seen["at"] if text.startswith("fe80:")]
    assert all("%" in text for text in scoped), "a link-local address is of no use without its scope"
    bob.stop()
    alice.hear("left")


def test_a_node_that_joins_another_network_is_found_there(internet: Internet) -> None:
    """The cable of bob is moved while both run: addresses change, nobody restarts."""
    internet.lan("br", {"a": "192.168.7.11"})
    internet.lan("other", {"b": "192.168.8.12"})
    alice = internet.python("a", "neighbour.py", "alice", "8443")
    bob = internet.python("b", "neighbour.py", "bob", "9443")
    for node in (alice, bob):
        node.hear("addresses")
    internet.move("b", "br", "192.168.7.12")
    assert bob.hear("found")["found"] == nid_of("alice")
    assert "192.168.7.12" in alice.hear("found")["at"]
