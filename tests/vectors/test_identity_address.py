"""docs/spec/vectors/address.json both ways: links and addresses are made and read as written, the bad ones refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.base.errors import Code, Rejected
from node.base.ids import NodeId
from node.wire import address
from node.wire.address import DomainAddress, Invitation, KeyAddress, LinkKind, Place

FILE = Path(__file__).parents[2] / "docs" / "spec" / "vectors" / "address.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text())


@pytest.mark.parametrize("case", VECTORS["links"], ids=lambda case: str(case["name"]))
def test_links(case: dict[str, Any]) -> None:
    invitation = Invitation(
        kind=LinkKind(case["kind"]),
        nid=bytes.fromhex(case["nid"]),
        subject=bytes.fromhex(case["subject"]),
        hint=case["hint"],
        addresses=tuple(Place(bytes.fromhex(ip), port) for ip, port in case["addresses"]),
        token=bytes.fromhex(case["token"]),
    )
    assert address.format_link(case["origin"], invitation) == case["link"]
    assert address.parse_link(case["link"]) == (case["host"], invitation)


@pytest.mark.parametrize("case", VECTORS["refused_links"], ids=lambda case: str(case["why"]))
def test_refused_links(case: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as refusal:
        address.parse_link(case["link"])
    assert refusal.value.code is Code.INVITE_INVALID


@pytest.mark.parametrize("case", VECTORS["addresses"], ids=lambda case: str(case["shown"]))
def test_addresses(case: dict[str, Any]) -> None:
    parsed = address.parse_address(case["typed"])
    assert str(parsed) == case["shown"]
    if case["nid"]:
        assert parsed == KeyAddress(case["local"], NodeId(bytes.fromhex(case["nid"])))
    else:
        assert parsed == DomainAddress(case["local"], case["domain"])


@pytest.mark.parametrize("typed", VECTORS["refused_addresses"])
def test_refused_addresses(typed: str) -> None:
    with pytest.raises(Rejected) as refusal:
        address.parse_address(typed)
    assert refusal.value.code is Code.NAME_INVALID
