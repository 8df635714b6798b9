"""An address is published when unrelated peers have shown that it is ours and open."""

from __future__ import annotations

from node.base import limits
from node.discovery.reachability import OBSERVERS_MAX, Endpoint, Reachability, Witness
from node.runtime.targets import Targets
from node.wire.location import Flag
from tests.unit.discovery.records import nid_of, spot

HOME = Endpoint("8.8.4.4", 8443)
SIX = Endpoint("2600::7", 8443)
BOB = Witness(nid_of("bob"), "1.1.1.1")
BOBS_OTHER = Witness(nid_of("bob's other"), "1.1.1.2")
CAROL = Witness(nid_of("carol"), "9.9.9.9")


def reachability() -> Reachability:
    return Reachability(targets=Targets())


def test_nothing_is_published_on_the_word_of_the_router() -> None:
    home = reachability()
    home.mapped(HOME)
    verdict = home.verdict(now_s=0)
    assert (verdict.spots, verdict.flags, verdict.due) == ((), Flag(0), (HOME,))


def test_two_unrelated_peers_are_needed() -> None:
    home = reachability()
    home.mapped(HOME)
    home.dialled_back(BOB, HOME, now_s=0)
    home.dialled_back(BOB, HOME, now_s=1)
    home.dialled_back(BOBS_OTHER, HOME, now_s=2)
    assert home.verdict(now_s=2).spots == ()
    home.dialled_back(CAROL, HOME, now_s=3)
    verdict = home.verdict(now_s=3)
    assert (verdict.spots, verdict.flags, verdict.due) == ((spot("8.8.4.4"),), Flag.PUBLIC, ())


def test_a_proof_gets_old_and_is_asked_for_before() -> None:
    home = reachability()
    home.mapped(HOME)
    for witness in (BOB, CAROL):
        home.dialled_back(witness, HOME, now_s=0)
    assert not home.may_prove(BOB, HOME, now_s=1)
    half = limits.DIALBACK_KEPT_S / 2
    assert home.verdict(now_s=half).due == (HOME,)
    assert home.may_prove(BOB, HOME, now_s=half)
    assert home.verdict(now_s=half).spots
    assert not home.verdict(now_s=limits.DIALBACK_KEPT_S).spots


def test_a_peer_of_the_same_lan_proves_nothing() -> None:
    home = reachability()
    home.mapped(HOME)
    assert home.may_prove(BOB, HOME, now_s=0)
    assert not home.may_prove(Witness(nid_of("dave"), "192.168.1.7"), HOME, now_s=0)


def test_private_addresses_stay_at_home() -> None:
    home = reachability()
    home.listening([Endpoint("192.168.1.5", 8443), Endpoint("fd00::1", 8443), SIX])
    assert home.verdict(now_s=0).due == (SIX,)
    for witness in (BOB, CAROL):
        home.dialled_back(witness, Endpoint("192.168.1.5", 8443), now_s=0)
        home.dialled_back(witness, SIX, now_s=0)
    verdict = home.verdict(now_s=0)
    assert (verdict.spots, verdict.flags) == ((spot("2600::7"),), Flag.PUBLIC | Flag.IPV6)


def test_a_router_with_a_shared_address_is_behind_another() -> None:
    for outside in ("100.64.0.7", "10.0.0.7"):
        home = reachability()
        home.mapped(Endpoint(outside, 8443))
        assert home.verdict(now_s=0).flags == Flag.CGNAT
        assert home.verdict(now_s=0).due == ()


def test_peers_that_see_another_address_show_a_second_nat() -> None:
    home = reachability()
    home.mapped(HOME)
    home.listening([SIX])
    home.observed(BOB, "4.4.4.4", now_s=0)
    assert home.verdict(now_s=0).flags == Flag(0), "one peer may lie"
    home.observed(BOBS_OTHER, "4.4.4.4", now_s=0)
    assert home.verdict(now_s=0).flags == Flag(0), "so may two of one network"
    home.observed(CAROL, "4.4.4.4", now_s=0)
    verdict = home.verdict(now_s=0)
    assert (verdict.flags, verdict.due) == (Flag.CGNAT, (SIX,))
    home.observed(CAROL, "8.8.4.4", now_s=0)
    assert home.verdict(now_s=0).flags == Flag(0)


def test_what_was_proved_elsewhere_is_forgotten() -> None:
    home = reachability()
    home.mapped(HOME)
    for witness in (BOB, CAROL):
        home.dialled_back(witness, HOME, now_s=0)
    home.mapped(None)
    assert not home.verdict(now_s=0).spots
    home.dialled_back(BOB, SIX, now_s=0)
    home.mapped(HOME)
    assert not home.verdict(now_s=0).spots


def test_witnesses_are_few_and_words_may_be_nonsense() -> None:
    home = reachability()
    home.mapped(HOME)
    for number in range(OBSERVERS_MAX + 9):
        witness = Witness(nid_of(f"peer {number}"), f"1.{number}.1.1")
        home.observed(witness, "no address", now_s=0)
        home.dialled_back(witness, HOME, now_s=0)
    assert len(home._observed) == OBSERVERS_MAX
    assert len(home._proved[HOME]) == OBSERVERS_MAX
    assert home.verdict(now_s=0).flags == Flag.PUBLIC


def test_a_record_holds_few_addresses() -> None:
    home = reachability()
    many = [Endpoint(f"8.8.{number}.8", 8443) for number in range(limits.RECORD_ADDRESSES_MAX + 2)]
    home.listening(many)
    for endpoint in many:
        for witness in (BOB, CAROL):
            home.dialled_back(witness, endpoint, now_s=0)
    assert len(home.verdict(now_s=0).spots) == limits.RECORD_ADDRESSES_MAX
    assert limits.DIALBACKS_NEEDED == 2
