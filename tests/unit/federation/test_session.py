"""One open link: what a peer may not say, and what it costs when it says it."""

from __future__ import annotations

import asyncio

import pytest

from node.base import limits
from node.base.errors import Code, Rejected, RemoteError
from node.storage.outbox import DIRECT
from node.storage.peers import Peer
from node.wire import s2s
from tests.unit.federation.conftest import Town
from tests.unit.federation.proto_pair import hello
from tests.unit.federation.stranger import Simulate, Stranger, befriend, mallory


@pytest.mark.parametrize(
    "forged",
    [
        s2s.Ack(99, 256),
        s2s.Nack(99, "bad_request"),
        s2s.Msg(7, 1, b"out of order"),
        hello(),
    ],
    ids=["ack", "nack", "gap", "second hello"],
)
def test_a_broken_protocol_ends_the_link_and_deletes_nothing(simulate: Simulate, forged: s2s.AnyFrame) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        pk = await befriend(town, a)
        await a.db.write(lambda tx: a.outbox.enqueue(tx, pk, DIRECT, body=b"mine"))
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Msg)
        peer.say(forged)
        await peer.rest()
        assert a.waiting() == 1
        assert not a.noted()
        assert not a.federation.open_links()

    simulate(story)


def test_frames_that_are_too_large_end_the_link(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        peer.socket.send(bytes(limits.LINK_MESSAGE_BYTES_MAX + 1))
        await peer.rest()
        assert not a.federation.open_links()

    simulate(story)


def test_a_peer_without_hello_is_dropped(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        peer = await Stranger.call(town, a, mallory(town))
        before = town.loop.time()
        await peer.rest()
        assert town.loop.time() - before < limits.HELLO_S + 1

    simulate(story)


def test_questions_without_a_link_or_an_answer(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        who = mallory(town)
        await befriend(town, a)
        with pytest.raises(Rejected) as refused:
            await a.federation.request(who.nid, "x", b"")
        assert refused.value.code is Code.PEER_OFFLINE
        assert not a.federation.whisper(who.nid, "typing", b"")
        peer = await Stranger.call(town, a, who)
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        before = town.loop.time()
        with pytest.raises(Rejected) as refused:
            await a.federation.request(who.nid, "x", b"")
        assert refused.value.code is Code.PEER_OFFLINE
        assert town.loop.time() - before == pytest.approx(limits.LINK_REQUEST_S, abs=1)
        assert not a.federation.whisper(who.nid, "typing", bytes(limits.WHISPER_BYTES_MAX + 1))

    simulate(story)


def test_a_fault_of_our_own_with_one_peer_ends_its_link_only(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        a.inbox.whispers = Unwilling()
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        peer.say(s2s.Whisper("typing", b""))
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("internal", limits.LINK_RETRY_S)
        again = await Stranger.call(town, a, mallory(town))
        again.say(hello())
        assert await again.hears_until(s2s.Ack)

    simulate(story)


class Unwilling(list[tuple[str, bytes]]):
    """Nothing can be noted here."""

    def append(self, item: tuple[str, bytes]) -> None:
        raise ZeroDivisionError


def test_whispers_beyond_a_rate_are_dropped(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        for _ in range(3 * limits.LINK_WHISPERS_PER_S):
            peer.say(s2s.Whisper("typing", b""))
        await asyncio.sleep(0.5)
        assert len(a.inbox.whispers) <= 2 * limits.LINK_WHISPERS_PER_S
        assert a.federation.open_links()

    simulate(story)


def test_questions_that_cannot_be_answered_are_refused_and_the_link_goes_on(simulate: Simulate) -> None:
    def serve(peer: Peer, method: str, args: bytes) -> bytes:
        match method:
            case "bug":
                raise ZeroDivisionError
            case "nonsense":
                raise RemoteError("malformed")
            case "large":
                return bytes(limits.LINK_BODY_BYTES_MAX + 1)
        return b"fine"

    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        b.inbox.served = serve
        await a.federation.reach(b.nid)
        for method, code in (("bug", Code.INTERNAL), ("nonsense", Code.BAD_REQUEST), ("large", Code.TOO_LARGE)):
            with pytest.raises(Rejected) as refused:
                await a.federation.request(b.nid, method, b"")
            assert refused.value.code is code
        assert await a.federation.request(b.nid, "other", b"") == b"fine"

    simulate(story)


@pytest.mark.parametrize(("size", "cost"), [(0, 1), (8192, 3)])
def test_one_that_asks_without_end_is_read_more_slowly(simulate: Simulate, size: int, cost: int) -> None:
    """A burst is answered at once, what is beyond at a rate, and larger questions count more."""

    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)

        async def ask(number: int) -> float:
            began = town.loop.time()
            for first in range(0, number, 32):
                for n in range(first, min(first + 32, number)):
                    peer.say(s2s.Request(n, "other", bytes(size)))
                for _ in range(first, min(first + 32, number)):
                    assert await peer.hears_until(s2s.Reply)
            return town.loop.time() - began

        assert await ask(limits.LINK_QUESTIONS_BURST // cost) < 1
        assert 9 < await ask(10 * limits.LINK_QUESTIONS_PER_S // cost) < 11
        await asyncio.sleep(10)
        assert await ask(5 * limits.LINK_QUESTIONS_PER_S // cost) < 1

    simulate(story)


def test_a_code_nobody_knows_is_a_bad_request_and_open_questions_are_few(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        who = mallory(town)
        await befriend(town, a)
        peer = await Stranger.call(town, a, who)
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        asking = [
            town.loop.create_task(a.federation.request(who.nid, "x", b"")) for _ in range(limits.LINK_REQUESTS_MAX)
        ]
        asked = await peer.hears_until(s2s.Request)
        assert isinstance(asked, s2s.Request)
        with pytest.raises(Rejected) as refused:
            await a.federation.request(who.nid, "x", b"")
        assert refused.value.code is Code.RATE_LIMITED
        peer.say(s2s.Reply(asked.id, "from_the_future", b""))
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        [first] = done
        error = first.exception()
        assert isinstance(error, Rejected)
        assert error.code is Code.BAD_REQUEST
        peer.socket.close()
        for answer in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(answer, Rejected)

    simulate(story)
