"""The links of a node in virtual time: who is dialled and why, which of two links stays, what a peer may do and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.federation.proto.handshake import Channel, Handshake, Role
from node.services.ports import Candidate
from node.storage.database import Tx
from node.storage.outbox import DIRECT, HEAD
from node.storage.peers import BLOCK
from node.wire import keys, s2s
from tests.links import Home, Who, identity
from tests.sim.loop import HOST
from tests.unit.federation.conftest import MemorySocket, Story, Town
from tests.unit.federation.proto_pair import hello

Simulate = Callable[[Story], None]


class Stranger:
    """A peer written by hand: it does the handshake and then whatever it likes."""

    def __init__(self, socket: MemorySocket, channel: Channel) -> None:
        self.socket, self.channel = socket, channel

    @classmethod
    async def call(cls, town: Town, home: Home, who: Who) -> Stranger:
        socket = await town.street.open(Candidate(home.url, "test"))
        shake = Handshake(
            role=Role.INITIATOR, own=who, target=home.nid, now_s=town.clock.now_ms() // 1000, accept=lambda who: None
        )
        while True:
            for message in shake.to_send():
                socket.send(message)
            if shake.proven is not None:
                break
            data = await socket.receive()
            assert data is not None
            shake.receive(data)
        assert shake.channel is not None
        return cls(socket, shake.channel)

    def say(self, frame: s2s.AnyFrame) -> None:
        self.socket.send(self.channel.seal(s2s.encode_frame(frame)))

    async def hears(self) -> s2s.AnyFrame | None:
        data = await self.socket.receive()
        return None if data is None else s2s.decode_frame(self.channel.open(data))

    async def hears_until(self, kind: type[s2s.Frame]) -> s2s.AnyFrame | None:
        """The next frame of this kind; None when the link ends before."""
        async with asyncio.timeout(600):
            while (frame := await self.hears()) is not None:
                if isinstance(frame, kind):
                    return frame
        return None

    async def rest(self) -> list[s2s.AnyFrame]:
        """All that comes until the link ends."""
        found = []
        async with asyncio.timeout(600):
            while (frame := await self.hears()) is not None:
                found.append(frame)
        return found


def mallory(town: Town, incarnation: int = 1) -> Who:
    return identity("mallory", incarnation=incarnation, now_s=town.clock.now_ms() // 1000)


async def befriend(town: Town, home: Home) -> int:
    """Mallory is no stranger to `home`; the number it has there."""
    who = mallory(town)
    return (await home.db.write(lambda tx: home.peers.ensure(tx, who.nid, 1))).pk


# --- who is dialled -------------------------------------------------------------------------------------


def test_both_dial_at_once_and_one_link_stays(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a)
        await asyncio.gather(a.post(b, b"1"), b.post(a, b"2"))
        await a.until(lambda: a.noted() and b.noted() and not a.waiting() and not b.waiting())
        await asyncio.sleep(30)
        for here, there in ((a, b), (b, a)):
            [link] = here.federation.open_links()
            assert link.dialled is (here.nid < there.nid)
            assert here.inbox.links == [("linked", there.nid)], "services see one link, whatever happens below"

    simulate(story)


def test_after_a_restart_the_backlog_goes_out_by_itself(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await town.stop(b)
        await a.post(b, *(b"%d" % n for n in range(100)))
        await town.stop(a)
        b = await town.home("b")
        a = await town.home("a")
        before = town.loop.time()
        await b.until(lambda: len(b.noted()) == 100)
        assert town.loop.time() - before < 5

    simulate(story)


def test_a_peer_that_comes_back_after_hours_does_not_wait_for_a_back_off(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a)
        await a.post(b, b"first")
        await b.until(b.noted)
        await town.stop(b)
        await a.post(b, b"while away")
        await asyncio.sleep(6 * 3600)
        assert a.federation.dialling == [b.nid]
        b = await town.home("b")
        before = town.loop.time()
        await b.until(lambda: len(b.noted()) == 2)
        assert town.loop.time() - before < 5, "b dials whoever it was linked with, and a has something for it"

    simulate(story)


def test_news_about_a_peer_ends_the_wait(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await town.stop(b)
        await a.post(b, b"x")
        await asyncio.sleep(6 * 3600)
        row = a.db.view(lambda tx: a.peers.find(tx, b.nid))
        assert row is not None
        assert "ConnectionRefused" in row.dial_error or "b.test" in row.dial_error
        b = await town.home("b", life="new disk")
        a.federation.nudge()
        before = town.loop.time()
        await b.until(b.noted)
        assert town.loop.time() - before < 2

    simulate(story)


def test_a_link_is_made_anew_every_day(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "LINK_AGE_S", 600)
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await b.knows(a)
        await a.post(b, b"x")
        await b.until(b.noted)
        before = a.federation._links[b.nid]
        await asyncio.sleep(limits.LINK_AGE_S + 60)
        assert a.federation._links[b.nid] is not before
        assert a.inbox.links == [("linked", b.nid)]
        await a.post(b, b"y")
        await b.until(lambda: len(b.noted()) == 2)

    simulate(story)


def test_a_link_that_died_in_silence_is_found_by_the_heartbeat(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"x")
        await b.until(b.noted)
        [(socket, _)] = [pair for pair in town.street.open_sockets if not pair[0].over]
        socket.cut(ours=False, theirs=False)
        await a.post(b, b"y")
        before = town.loop.time()
        await b.until(lambda: len(b.noted()) == 2, patience_s=200)
        assert town.loop.time() - before < 4 * limits.HEARTBEAT_S

    simulate(story)


def test_a_peer_that_lost_its_network_is_back_within_seconds(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        names = sorted("ab", key=lambda name: identity(name).nid)
        small, large = await town.home(names[0]), await town.home(names[1])
        await small.knows(large)
        await large.knows(small)
        await small.post(large, b"x")
        await large.until(large.noted)
        [(socket, _)] = [pair for pair in town.street.open_sockets if not pair[0].over]
        socket.cut(ours=False, theirs=True)  # the one that was dialled notices; the other one keeps a dead link
        await large.post(small, b"y")
        before = town.loop.time()
        await small.until(small.noted)
        assert town.loop.time() - before < 3 * limits.LINK_PROBE_S

    simulate(story)


# --- what is sent ---------------------------------------------------------------------------------------


def test_rows_by_reference_get_their_bytes_when_they_are_sent(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.refer(b, 7, 1, 2, 3, 4, 5, 7, 9)  # odd ones concern nobody any more
        await a.post(b, b"direct")
        await a.refer(b, 7, 11)
        await b.until(lambda: len(b.noted()) == 3)
        assert b.noted() == [b"0/7/2", b"0/7/4", b"direct"]
        await a.until(lambda: not a.waiting())

    simulate(story)


def test_an_outbox_over_its_bounds_says_so(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "OUTBOX_ROWS_MAX", 10)
        a, b = await town.home("a"), await town.home("b")
        pk = await a.knows(b)
        await town.stop(b)
        await a.refer(b, 7, *range(2, 42, 2))
        await a.post(b, *(b"%d" % n for n in range(8)))
        await asyncio.sleep(1300)
        assert a.returned() == [(b"%d" % n, Code.UNDELIVERABLE) for n in range(3)]
        rows = a.db.view(lambda tx: a.outbox.page(tx, pk, 0, 100))
        assert [(row.cls, row.idx) for row in rows] == [(HEAD, 40)] + [(DIRECT, 0)] * 5
        b = await town.home("b")
        a.federation.nudge()
        await b.until(lambda: len(b.noted()) == 6)
        assert b.noted() == [b"2/7/40", b"3", b"4", b"5", b"6", b"7"]
        await a.until(lambda: not a.waiting())

    simulate(story)


def test_poison_goes_to_quarantine_and_the_queue_goes_on(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1", b"bad rule", b"2", b"bad signature", b"3", b"bug", b"4")
        await b.until(lambda: len(b.noted()) == 4)
        await a.until(lambda: len(a.returned()) == 3)
        assert b.noted() == [b"1", b"2", b"3", b"4"]
        assert a.returned() == [
            (b"bad rule", Code.NOT_MEMBER),
            (b"bad signature", Code.BAD_REQUEST),
            (b"bug", Code.INTERNAL),
        ]
        kept = b.db.view(lambda tx: tx.all("SELECT seq, code, body FROM quarantine ORDER BY seq"))
        assert [row[0] for row in kept] == [2, 4, 6]

    simulate(story)


def test_a_peer_that_lost_its_database_gets_what_still_waits(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1", b"2")
        await a.until(lambda: b.noted() and not a.waiting())
        await town.stop(b)
        await a.post(b, b"3")
        b = await town.home("b", life="empty disk")
        await b.until(b.noted)
        assert b.noted() == [b"3"]

    simulate(story)


def test_a_node_that_lost_its_numbers_begins_a_new_run(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.post(b, b"1", b"2")
        await b.until(lambda: len(b.noted()) == 2)
        await a.until(lambda: not a.waiting())
        await asyncio.sleep(limits.LINK_NEW_RUN_S)
        await town.stop(a)
        # An old backup: the run is the same, the numbers are behind what b has.
        a = await town.home("a")
        session_pk = await a.knows(b)
        await a.db.write(lambda tx: tx.execute("UPDATE outbox_runs SET next = 1 WHERE peer = ?", (session_pk,)))
        await a.post(b, b"after the restore")
        await b.until(lambda: len(b.noted()) == 3)
        assert b.noted()[-1] == b"after the restore"

    simulate(story)


# --- what a peer may not do -----------------------------------------------------------------------------


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


def test_of_two_links_with_the_same_numbers_one_is_fenced(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        pk = await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        peer.say(s2s.Msg(1, 1, b"once"))
        await a.until(a.noted)
        await a.db.write(
            lambda tx: tx.execute("UPDATE peer_in SET last = 5 WHERE peer = ?", (pk,))
        )  # another link wrote
        peer.say(s2s.Msg(2, 1, b"again"))
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("fenced", limits.LINK_RETRY_S)
        assert a.noted() == [b"once"]

    simulate(story)


def test_a_peer_numbers_anew_once_in_ten_minutes(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        for run, wait_s in ((b"run 0001", 0), (b"run 0002", 0), (b"run 0002", limits.LINK_NEW_RUN_S)):
            await asyncio.sleep(wait_s)
            peer = await Stranger.call(town, a, mallory(town))
            peer.say(hello(run_out=run))
            peer.say(s2s.Msg(1, 1, run))
            if run == b"run 0002" and not wait_s:
                assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("new_run", limits.LINK_NEW_RUN_S)
            else:
                await a.until(lambda run=run: run in a.noted())  # type: ignore[misc]
            peer.socket.close()
        assert a.noted() == [b"run 0001", b"run 0002"]

    simulate(story)


def test_an_older_copy_of_a_node_is_refused(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        newer = await Stranger.call(town, a, mallory(town, 2))
        newer.say(hello())
        await newer.hears_until(s2s.Ack)
        older = await Stranger.call(town, a, mallory(town, 1))
        [goaway] = await older.rest()
        assert isinstance(goaway, s2s.Goaway)
        assert goaway.reason == "superseded"
        assert s2s.decode_later(goaway.proof) == (mallory(town, 2).chain, mallory(town, 2).cert)
        row = a.db.view(lambda tx: a.peers.find(tx, newer_nid))
        assert row is not None
        assert row.incarnation == 2

    newer_nid = identity("mallory").nid
    simulate(story)


def test_a_node_from_an_old_backup_is_shown_its_later_state(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        now_s = town.clock.now_ms() // 1000
        a, b = await town.home("a", who=identity("a", incarnation=2, now_s=now_s)), await town.home("b")
        await a.knows(b)
        await b.knows(a, url=False)
        await a.federation.reach(b.nid)
        await town.stop(a)
        old = await town.home("a", who=identity("a", incarnation=1, now_s=now_s), life="backup")
        await old.knows(b)
        with pytest.raises(Rejected) as refused:
            await old.federation.reach(b.nid)
        assert refused.value.detail["reason"] == "superseded"
        [(chain, cert)] = old.hints.shown
        assert keys.check_identity(chain, cert, now_s=now_s).incarnation == 2

    simulate(story)


def test_a_second_op_key_at_one_incarnation_is_refused(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        first = await Stranger.call(town, a, mallory(town))
        first.say(hello())
        await first.hears_until(s2s.Ack)
        second = await Stranger.call(town, a, identity("mallory", copy="two", now_s=town.clock.now_ms() // 1000))
        assert await second.rest() == []

    simulate(story)


def test_a_blocked_node_is_told_and_not_served(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        pk = await befriend(town, a)
        await a.db.write(lambda tx: a.peers.set_policy(tx, pk, BLOCK))
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        peer.say(s2s.Msg(1, 1, b"x"))
        assert await peer.rest() == [s2s.Goaway("blocked", limits.BLOCKED_RETRY_S)]
        assert not a.noted()
        with pytest.raises(Rejected) as refused:
            await a.federation.reach(mallory(town).nid)
        assert refused.value.code is Code.NODE_BLOCKED

    simulate(story)


def test_an_idle_stranger_is_sent_away_and_forgotten(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        before = town.loop.time()
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("idle")
        assert limits.STRANGER_IDLE_S <= town.loop.time() - before < limits.STRANGER_IDLE_S + 5
        await asyncio.sleep(1)
        assert a.db.view(a.peers.all) == []

    simulate(story)


def test_strangers_have_a_number_of_links_together(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "STRANGERS_MAX", 2)
        a = await town.home("a")
        heard = []
        for name in ("x", "y", "z"):
            peer = await Stranger.call(town, a, identity(name, now_s=town.clock.now_ms() // 1000))
            peer.say(hello())
            heard.append(await peer.hears())
        assert isinstance(heard[0], s2s.Hello)
        assert isinstance(heard[1], s2s.Hello)
        assert heard[2] == s2s.Goaway("busy", limits.STRANGER_IDLE_S)

    simulate(story)


def test_a_slow_handshake_ends_and_half_open_ones_are_counted(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        sockets = [await town.street.open(Candidate(a.url, "test")) for _ in range(limits.HANDSHAKES_PER_NETWORK_MAX)]
        await asyncio.sleep(0.1)
        assert a.federation.listener.half_open == limits.HANDSHAKES_PER_NETWORK_MAX
        with pytest.raises(Rejected) as refused:
            a.federation.listener.admit("192.0.2.2")
        assert refused.value.code is Code.RATE_LIMITED
        before = town.loop.time()
        assert await sockets[0].receive() is None
        assert town.loop.time() - before < limits.HANDSHAKE_S + 1
        await asyncio.sleep(1)
        assert a.federation.listener.half_open == 0
        a.federation.listener.admit("192.0.2.2")

    simulate(story)


def test_a_peer_without_hello_is_dropped(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        peer = await Stranger.call(town, a, mallory(town))
        before = town.loop.time()
        await peer.rest()
        assert town.loop.time() - before < limits.HELLO_S + 1

    simulate(story)


def test_one_that_sends_faster_than_the_disk_is_not_read(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(town: Town) -> None:
        monkeypatch.setattr(limits, "LINK_WAITING_MAX", 10)
        a = await town.home("a")
        await befriend(town, a)
        town.loop.slow_disk[HOST.get()] = 1.0
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        for seq in range(1, limits.LINK_CREDIT + 1):
            peer.say(s2s.Msg(seq, 1, b"%d" % seq))
        await asyncio.sleep(1)
        [session] = a.federation._links.values()
        assert len(session.receiver._waiting) <= 11
        town.loop.slow_disk.clear()
        await a.until(lambda: len(a.noted()) == limits.LINK_CREDIT)

    simulate(story)


# --- reaching, asking -----------------------------------------------------------------------------------


def test_reach_says_who_is_there_or_why_not(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        with pytest.raises(Rejected) as refused:
            await a.federation.reach(b.nid)
        assert refused.value.code is Code.PEER_UNREACHABLE
        await a.knows(b)
        assert await a.federation.reach(b.nid) == b.nid
        assert await a.federation.reach(b.nid) == b.nid
        await a.db.write(lambda tx: a.peers.pin_domain(tx, "b.test", b.nid, 1, "test"))
        assert await a.federation.reach(None, domain="b.test") == b.nid
        for nid, domain in ((None, "unknown.test"), (a.nid, "")):
            with pytest.raises(Rejected):
                await a.federation.reach(nid, domain=domain)

    simulate(story)


def test_reach_finds_another_identity_at_the_address(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        c = identity("c")

        def note(tx: Tx) -> None:
            pk = a.peers.ensure(tx, c.nid, 1).pk
            a.peers.address_ok(tx, pk, b.url, "typed", 1, tls=False)

        await a.db.write(note)
        with pytest.raises(Rejected) as refused:
            await a.federation.reach(c.nid)
        assert refused.value.code is Code.PEER_UNREACHABLE
        assert not a.federation.open_links()

    simulate(story)


def test_who_tells_of_the_asker_and_of_shared_rooms_only(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        c = identity("c")

        def note(tx: Tx) -> None:
            for nid, record in ((c.nid, b"record of c"), (a.nid, b"record of a")):
                b.peers.put_record(tx, b.peers.ensure(tx, nid, 1).pk, record, 1)

        await b.db.write(note)
        await a.federation.reach(b.nid)
        assert await a.federation.request(b.nid, "who", a.nid) == b"record of a"
        for nid in (c.nid, bytes(32), b.nid):
            with pytest.raises(Rejected) as refused:
                await a.federation.request(b.nid, "who", nid)
            assert refused.value.code is Code.NOT_FOUND
        b.inbox.shared, b.inbox.record = {c.nid}, b"record of b"
        assert await a.federation.request(b.nid, "who", c.nid) == b"record of c"
        assert await a.federation.request(b.nid, "who", b.nid) == b"record of b"
        with pytest.raises(Rejected) as refused:
            await a.federation.request(b.nid, "who", b"short")
        assert refused.value.code is Code.BAD_REQUEST

    simulate(story)


def test_dialback_goes_to_the_address_of_the_link_once_a_minute(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a, b = await town.home("a"), await town.home("b")
        await a.knows(b)
        await a.federation.reach(b.nid)
        town.street.homes["ws://192.0.2.2:8443/s2s"] = a  # where b sees this link come from
        port = msgspec.msgpack.encode([8443, False])
        assert await a.federation.request(b.nid, "dialback", port) == b""
        with pytest.raises(Rejected) as refused:
            await a.federation.request(b.nid, "dialback", port)
        assert refused.value.code is Code.RATE_LIMITED
        await asyncio.sleep(limits.DIALBACK_S)
        with pytest.raises(Rejected) as refused:
            await a.federation.request(b.nid, "dialback", msgspec.msgpack.encode([8444, False]))
        assert refused.value.code is Code.PEER_UNREACHABLE

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


def test_a_stopping_node_says_so(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        a.federation.stop()
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("restarting", limits.LINK_RETRY_S)
        with pytest.raises(Rejected) as refused:
            a.federation.listener.admit("192.0.2.2")
        assert refused.value.code is Code.UPGRADING

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


def test_a_disk_in_trouble_sends_peers_away_until_it_is_well(simulate: Simulate) -> None:
    async def story(town: Town) -> None:
        a = await town.home("a")
        await befriend(town, a)
        peer = await Stranger.call(town, a, mallory(town))
        peer.say(hello())
        await peer.hears_until(s2s.Ack)
        a.db.trouble, a.db._final = "The disk is on fire.", True
        peer.say(s2s.Msg(1, 1, b"x"))
        assert await peer.hears_until(s2s.Goaway) == s2s.Goaway("read_only", limits.LINK_RETRY_S)
        later = await Stranger.call(town, a, mallory(town))
        later.say(hello())
        assert await later.hears_until(s2s.Goaway) == s2s.Goaway("read_only", limits.LINK_RETRY_S)
        a.db.trouble, a.db._final = "", False
        well = await Stranger.call(town, a, mallory(town))
        well.say(hello())
        await well.hears_until(s2s.Ack)
        well.say(s2s.Msg(1, 1, b"x"))
        await a.until(a.noted)

    simulate(story)
