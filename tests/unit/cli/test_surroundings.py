"""What the doctor says of others, router and domain, and that none of it is a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.cli.findings import Finding, Level
from node.cli.surroundings import (
    CLOCK_APART_MS,
    check_call_backs,
    check_clocks,
    check_domain,
    check_mapping,
    check_queues,
    check_standing,
    look_around,
)
from node.client.admin import AdminClient
from node.runtime.config import Config
from node.wire import api


def peer(node: str = "bob", **more: Any) -> api.peers.Peer:
    known: dict[str, Any] = {
        "node": node * 8, "domain": f"{node}.example", "domain_state": "verified", "policy": "open", "state": "linked",
        "path": "in 192.0.2.1", "seen_ms": 1, "rtt_ms": 1.0, "skew_ms": 20, "queue_rows": 0, "queue_bytes": 0, "under_way": 0,
        "refused": 0, "rotations": 0, "incarnation": 1, "dialled_ms": 0, "dial_cause": "", "dial_error": "", "addresses": [], "safety": "",
    }  # fmt: skip
    return api.peers.Peer(**{**known, **more})


def reach(**more: Any) -> api.peers.Reach:
    known: dict[str, Any] = {
        "standing": "private", "port": 8443, "published": [], "unproved": [], "mapping": "", "outside": "", "mapping_problem": "",
        "domain": "", "txt": "", "well_known": "",
    }  # fmt: skip
    return api.peers.Reach(**{**known, **more})


def said(source: str, text: str, *, fine: bool) -> api.peers.TraceStep:
    return api.peers.TraceStep(source=source, url="", cause="", text=text, fine=fine, at_ms=0, took_ms=0)


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


class TestClocks:
    def test_nobody_to_compare_with(self) -> None:
        assert only(list(check_clocks([peer(state="offline", skew_ms=10**9)]))).level is Level.OK

    def test_all_agree(self) -> None:
        found = only(list(check_clocks([peer(), peer("carol", skew_ms=-400)])))
        assert (found.level, "2 nodes" in found.text, "0.4 s" in found.text) == (Level.OK, True, True)

    def test_one_that_differs_is_wrong_itself(self) -> None:
        found = only(list(check_clocks([peer(skew_ms=CLOCK_APART_MS + 1), peer("carol"), peer("dave")])))
        assert (found.level, found.text.startswith("The clock of bob.example")) == (Level.WARN, True)

    def test_when_most_differ_it_is_ours(self) -> None:
        found = only(list(check_clocks([peer(skew_ms=90_000), peer("carol", skew_ms=91_000), peer("dave")])))
        assert (found.level, found.text.startswith("The clock of this machine")) == (Level.WARN, True)


def test_what_waits_and_what_was_refused() -> None:
    assert not list(check_queues([peer(), peer(queue_rows=4)])), "it is under way"
    waits, refused = check_queues(
        [peer(state="offline", queue_rows=4, dial_error="refused"), peer("carol", refused=2, domain_state="claimed")]
    )
    assert "4 messages wait for bob.example" in waits.text
    assert "startalk peer trace bobbobbobbob" in waits.text
    assert "2 items of carolcarolca" in refused.text


@pytest.mark.parametrize(
    ("standing", "level", "says"),
    [
        ("public", Level.OK, "8.8.4.4:8443"),
        ("unproved", Level.WARN, "TCP port 8443"),
        ("cgnat", Level.WARN, "Carrier-grade NAT"),
        ("private", Level.WARN, "Behind NAT"),
        ("no_https", Level.WARN, "https = true"),
    ],
)
def test_the_verdict(standing: str, level: Level, says: str) -> None:
    asked = reach(standing=standing, published=["8.8.4.4:8443"], unproved=["8.8.4.4:8443"])
    found = only(list(check_standing(asked, Config())))
    assert (found.level, says in found.text) == (level, True)


def test_a_proxy_that_does_https() -> None:
    found = only(list(check_standing(reach(standing="no_https"), Config(trusted_proxies=("192.0.2.1",)))))
    assert found.level is Level.OK


def test_the_router() -> None:
    assert only(list(check_mapping(reach(mapping="off")))).level is Level.OK
    assert "8.8.4.4:8443" in only(list(check_mapping(reach(mapping="pcp", outside="8.8.4.4:8443")))).text
    refused = only(list(check_mapping(reach(mapping_problem="upnp: no"))))
    assert (refused.level, "upnp: no" in refused.text, "8443" in refused.text) == (Level.WARN, True, True)
    assert only(list(check_mapping(reach(standing="public")))).level is Level.OK


class TestDomain:
    ASKED = reach(domain="casa.example", txt="_startalk.casa.example. 3600 IN TXT …", well_known='{"v":1}')

    def test_both_say_so(self) -> None:
        steps = [said("well-known", "names us", fine=True), said("txt", "names us", fine=True)]
        assert {found.level for found in check_domain(self.ASKED, api.peers.Trace(node="", steps=steps))} == {Level.OK}

    def test_neither_does(self) -> None:
        steps = [said("well-known", "status 404", fine=False), said("txt", "no record", fine=False)]
        web, zone = check_domain(self.ASKED, api.peers.Trace(node="", steps=steps))
        assert (web.level, "status 404" in web.text, '{"v":1}' in web.text) == (Level.WARN, True, True)
        assert (zone.level, self.ASKED.txt in zone.text) == (Level.OK, True)

    def test_they_disagree(self) -> None:
        steps = [
            said("well-known", "a", fine=True),
            said("txt", "b", fine=True),
            said("domain", "disagree", fine=False),
        ]
        assert [found.level for found in check_domain(self.ASKED, api.peers.Trace(node="", steps=steps))][
            -1
        ] is Level.WARN


def test_who_called_back() -> None:
    bob = peer()
    calls = [
        api.peers.CallBack(node=bob.node, reached=True, code="", text=""),
        api.peers.CallBack(node=bob.node, reached=False, code="rate_limited", text="Once a minute."),
        api.peers.CallBack(node="x" * 52, reached=False, code="peer_unreachable", text="No answer."),
    ]
    found = list(check_call_backs(calls, [bob], 8443))
    assert [one.level for one in found] == [Level.OK, Level.OK, Level.WARN]
    assert "bob.example" in found[0].text
    assert "No answer." in found[2].text
    assert only(list(check_call_backs([], [bob], 8443))).level is Level.OK


def test_a_node_that_has_stopped_meanwhile(tmp_path: Path) -> None:
    found = only(list(look_around(AdminClient(tmp_path), Config())))
    assert found.level is Level.WARN
