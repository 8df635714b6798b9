"""The ICE-lite agent: who is believed, where media goes, when a proof ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.media.proto import icelite, stun
from node.media.proto.icelite import Credentials, IceLite, Reply, Return, Verdict

OURS = Credentials("ours", "password-of-ours")
NEWER = Credentials("newer", "password-of-newer")
THEIRS = Credentials("them", "password-of-them")
SHOWN = (b"\x01\x02\x03\x04", 5)


class Checker:
    """The other side: sends checks to an agent."""

    def __init__(self, agent: IceLite) -> None:
        self.agent = agent
        self.number = 0

    def selected(self) -> object:
        return self.agent.selected

    def check(
        self, source: str, *, to: Credentials = OURS, nominate: bool = False, now: float = 0.0, number: int = 0
    ) -> Reply:
        if not number:
            self.number += 1
            number = self.number
        data = stun.request(
            number.to_bytes(12, "big"),
            username=f"{to.ufrag}:them".encode(),
            password=to.pwd.encode(),
            priority=1,
            controlling=1,
            nominate=nominate,
        )
        return receive(self.agent, data, source, now)


def receive(agent: IceLite, data: bytes, source: str, now: float = 0.0) -> Reply:
    message = stun.parse(data)
    assert message is not None
    return agent.receive(message, source, SHOWN, now)


def code(reply: Reply) -> int:
    message = stun.parse(reply.answer)
    assert message is not None
    return stun.error_code(message)


def test_a_check_proves_its_source_and_a_nomination_selects_it() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    reply = peer.check("wifi")
    assert reply.verdict is Verdict.CHECKED
    answer = stun.parse(reply.answer)
    assert answer is not None
    assert stun.mapped_address(answer) == SHOWN
    assert answer.verified(OURS.pwd.encode())
    assert peer.selected() is None
    assert not agent.consented(0.0)
    assert peer.check("wifi", nominate=True).verdict is Verdict.NOMINATED
    assert peer.selected() == "wifi"
    assert agent.consented(0.0)


def test_who_does_not_know_the_password_gets_no_answer() -> None:
    agent = IceLite(OURS)
    for wrong in (Credentials("ours", "guess"), Credentials("other", OURS.pwd)):
        assert Checker(agent).check("x", to=wrong, nominate=True) == Reply(Verdict.FORGED)
    bare = stun.build(stun.REQUEST, bytes(12), ((stun.USERNAME, b"ours:them"), (stun.USE_CANDIDATE, b"")))
    assert receive(agent, bare, "x") == Reply(Verdict.FORGED)
    signed = stun.build(stun.INDICATION, bytes(12), ((stun.USERNAME, b"ours:them"),), OURS.pwd.encode())
    assert receive(agent, signed, "x") == Reply(Verdict.FORGED)
    assert agent.sources == ()


def test_a_peer_that_wants_to_be_controlled_is_told_of_the_conflict() -> None:
    data = stun.build(
        stun.REQUEST, bytes(12), ((stun.USERNAME, b"ours:them"), (stun.ICE_CONTROLLED, bytes(8))), OURS.pwd.encode()
    )
    reply = receive(IceLite(OURS), data, "x")
    assert (reply.verdict, code(reply)) == (Verdict.REFUSED, 487)


def test_an_attribute_that_must_be_understood_is_refused() -> None:
    data = stun.build(stun.REQUEST, bytes(12), ((stun.USERNAME, b"ours:them"), (0x7000, b"")), OURS.pwd.encode())
    reply = receive(IceLite(OURS), data, "x")
    assert (reply.verdict, code(reply)) == (Verdict.REFUSED, 420)


def test_a_nomination_from_elsewhere_moves_and_the_old_address_stays_proven() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    peer.check("wifi", nominate=True)
    peer.check("mobile", nominate=True)
    assert peer.selected() == "mobile"
    assert agent.sources == ("wifi", "mobile")


def test_who_has_another_address_without_knowing_is_followed() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    peer.check("wifi", nominate=True, now=0.0)
    assert peer.check("nat", now=1.0).verdict is Verdict.CHECKED
    assert peer.check("nat", now=4.9).verdict is Verdict.CHECKED, "the nominated address may still speak"
    assert peer.check("nat", now=5.0).verdict is Verdict.NOMINATED
    assert peer.selected() == "nat"


def test_an_address_that_is_checked_beside_the_nominated_one_is_not_followed() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    peer.check("wifi", nominate=True, now=0.0)
    for second in range(5, 100, 5):
        assert peer.check("mobile", now=second + 0.5).verdict is Verdict.CHECKED
        peer.check("wifi", now=second + 1)
    assert peer.selected() == "wifi"


def test_whoever_comes_back_after_consent_ended_need_not_nominate_again() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    assert peer.check("nat").verdict is Verdict.CHECKED, "nothing was nominated yet"
    peer.check("wifi", nominate=True, now=0.0)
    assert agent.expire(limits.MEDIA_CONSENT_S) == ("nat", "wifi")
    assert peer.check("nat", now=limits.MEDIA_CONSENT_S + 1).verdict is Verdict.NOMINATED


def test_a_transaction_is_believed_from_where_it_came_first() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    peer.check("wifi", nominate=True, number=77)
    assert peer.check("thief", nominate=True, number=77).verdict is Verdict.FORGED
    assert peer.check("wifi", nominate=True, number=77).verdict is Verdict.NOMINATED  # a retransmission
    for _ in range(limits.MEDIA_TRANSACTIONS_MAX):
        peer.check("wifi")
    assert peer.selected() == "wifi"
    assert peer.check("thief", number=77).verdict is Verdict.CHECKED  # forgotten by now


def test_a_proof_ends_with_consent() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    peer.check("wifi", nominate=True, now=0.0)
    peer.check("mobile", now=1.0)
    assert agent.consented(limits.MEDIA_CONSENT_S - 0.1)
    assert not agent.consented(limits.MEDIA_CONSENT_S)
    assert agent.expire(limits.MEDIA_CONSENT_S) == ("wifi",)
    assert agent.selected is None
    assert agent.sources == ("mobile",)


def test_only_so_many_addresses_are_kept_and_never_the_nominated_one_is_dropped() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    peer.check("wifi", nominate=True, now=0.0)
    dropped = [peer.check(f"port {at}", now=1.0 + at).dropped for at in range(limits.MEDIA_SOURCES_MAX)]
    assert dropped == [()] * (limits.MEDIA_SOURCES_MAX - 1) + [("port 0",)]
    assert peer.selected() == "wifi"
    agent.drop("wifi")
    agent.drop("wifi")
    assert peer.selected() is None


def test_a_restart_lives_beside_the_old_generation_until_it_is_nominated() -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    peer.check("wifi", nominate=True)
    assert agent.restart(NEWER) == ""
    assert agent.ufrags == ("newer", "ours")
    assert agent.credentials == NEWER
    assert peer.check("wifi", nominate=True).verdict is Verdict.NOMINATED
    assert peer.check("mobile", nominate=True).verdict is Verdict.CHECKED  # the old one does not move any more
    assert peer.selected() == "wifi"
    assert peer.check("mobile", to=NEWER).retired == ""
    assert peer.check("mobile", to=NEWER, nominate=True).retired == "ours"
    assert peer.selected() == "mobile"
    assert peer.check("wifi", nominate=True).verdict is Verdict.FORGED


def test_a_second_restart_replaces_the_one_nobody_used() -> None:
    agent = IceLite(OURS)
    agent.restart(NEWER)
    assert agent.restart(Credentials("third", "password")) == "newer"
    assert agent.ufrags == ("third", "ours")


def test_the_way_back_is_proven_by_an_answer_from_there() -> None:
    back = Return()
    message = stun.parse(back.check("mobile", b"t" * 12, theirs=THEIRS, ours="ours"))
    assert message is not None
    assert message.users == (b"them", b"ours")
    assert message.verified(THEIRS.pwd.encode())

    def answer(password: str = THEIRS.pwd, transaction: bytes = b"t" * 12) -> stun.Message:
        made = stun.parse(stun.success(transaction, SHOWN, password.encode()))
        assert made is not None
        return made

    assert not back.answered(answer("guess"), "mobile")
    assert not back.answered(answer(), "elsewhere")
    assert not back.answered(answer(transaction=b"u" * 12), "mobile")
    assert not back.answered(message, "mobile")
    assert back.answered(answer(), "mobile")
    assert not back.answered(answer(), "mobile")


def test_only_so_many_ways_back_are_asked_at_once() -> None:
    back = Return()
    for number in range(limits.MEDIA_SOURCES_MAX + 1):
        back.check(number, number.to_bytes(12, "big"), theirs=THEIRS, ours="ours")
    for number in range(limits.MEDIA_SOURCES_MAX + 1):
        made = stun.parse(stun.success(number.to_bytes(12, "big"), SHOWN, THEIRS.pwd.encode()))
        assert made is not None
        assert back.answered(made, number) == (number > 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.booleans(), st.sampled_from([OURS, NEWER]), st.integers(0, 40)), max_size=60
    )
)
def test_what_is_selected_is_always_proven_and_bounded(steps: list[tuple[int, bool, Credentials, int]]) -> None:
    agent = IceLite(OURS)
    peer = Checker(agent)
    now = 0.0
    claimed: set[object] = set()
    for source, nominate, to, wait in steps:
        now += wait
        claimed.difference_update(agent.expire(now))
        if wait == 40:
            agent.restart(NEWER if agent.credentials == OURS else OURS)
        reply = peer.check(str(source), to=to, nominate=nominate, now=now)
        claimed.difference_update(reply.dropped)
        if reply.verdict >= Verdict.CHECKED:
            claimed.add(str(source))
        assert claimed == set(agent.sources)
        assert len(claimed) <= limits.MEDIA_SOURCES_MAX
        assert agent.selected is None or agent.selected in claimed


def test_credentials_are_long_enough() -> None:
    assert icelite.UFRAG_BYTES * 4 // 3 >= 4  # RFC 8445 section 5.3: 24 and 128 bits
    assert icelite.PWD_BYTES * 8 >= 128
