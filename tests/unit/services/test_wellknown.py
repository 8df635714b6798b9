"""The page that a domain shows is one that others believe."""

from __future__ import annotations

import json

from node.base.ids import format_node
from node.discovery.wellknown import parse_body, parse_txt
from node.services.wellknown import WellKnownPage
from node.wire.record import Verifier
from tests.unit.discovery.records import NOW_S, nid_of, raw_of

ALICE = nid_of("alice")
RAW = raw_of("alice", domain="casa.example", spots=("1.1.1.1",))


def page(*, domain: str = "casa.example", public_url: str = "", record: bytes | None = RAW) -> WellKnownPage:
    return WellKnownPage(nid=ALICE, domain=domain, public_url=public_url, record=lambda: record)


def test_what_is_shown_is_understood() -> None:
    body = page().body()
    assert body is not None
    read = parse_body(json.dumps(body).encode(), domain="casa.example", now_s=NOW_S, verify=Verifier())
    assert (read.nid, read.record.raw, read.url) == (ALICE, RAW, "wss://casa.example/s2s")


def test_another_url_may_be_named() -> None:
    body = page(public_url="wss://casa.example:8443/s2s").body()
    assert body is not None
    assert body["url"] == "wss://casa.example:8443/s2s"


def test_without_a_domain_or_a_record_there_is_nothing() -> None:
    assert page(domain="").body() is None
    assert page(record=None).body() is None


def test_the_line_for_the_zone_is_understood() -> None:
    line = page().txt_line(7)
    assert line.startswith("_startalk.casa.example. ")
    word = parse_txt([line.split('"')[1]])
    assert word is not None
    assert (format_node(word.nid), word.seq) == (format_node(ALICE), 7)
