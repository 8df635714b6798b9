"""What an admin asks about other nodes and about this one's place among them, over HTTP."""

from __future__ import annotations

from node.base.ids import NodeId, format_node
from tests.integration.house import House

STRANGER = format_node(NodeId(bytes([7]) * 32))


async def test_how_the_node_looks_from_outside(home: House) -> None:
    owner = await home.owner()
    reach = await owner.ok("GET", "/admin/reach")
    assert (reach["standing"], reach["port"], reach["published"], reach["txt"]) == ("no_https", 0, [], "")
    assert await owner.ok("POST", "/admin/reach/call-back", {}) == {"calls": []}


async def test_a_ping_needs_a_node_and_a_link(home: House) -> None:
    console = home.console()
    assert await console.refused("POST", f"/admin/peers/{STRANGER}/ping", {}) == "not_found"
    assert await console.refused("POST", "/admin/peers/nobody/ping", {}) == "not_found"
    await console.ok("PATCH", f"/admin/peers/{STRANGER}", {"policy": "block"})
    assert await console.refused("POST", f"/admin/peers/{STRANGER}/ping", {}) == "peer_offline"


async def test_what_can_be_traced(home: House) -> None:
    console = home.console()
    traced = await console.ok("POST", "/admin/trace", {"address": STRANGER})
    assert traced["node"] == STRANGER
    assert await console.refused("POST", "/admin/trace", {"address": "not a name"}) == "name_invalid"
    assert await console.refused("POST", "/admin/trace", {"address": home.services.identity.text}) == "conflict"


async def test_only_admins(home: House) -> None:
    bert = await home.person("bert")
    for method, path, body in (
        ("GET", "/admin/reach", None),
        ("POST", "/admin/reach/call-back", {}),
        ("POST", "/admin/trace", {"address": STRANGER}),
        ("POST", f"/admin/peers/{STRANGER}/ping", {}),
    ):
        assert await bert.refused(method, path, body) == "role_too_low"
