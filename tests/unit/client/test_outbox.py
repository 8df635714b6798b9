"""Requests outlive connections: each is said once on each of them, in the first order, until it is answered."""

from __future__ import annotations

import pytest

from node.base.errors import Code, Rejected
from node.client.connection import Connection
from node.client.errors import Lost
from node.client.outbox import Outbox
from node.wire import c2s, calling


class Ear(Connection):
    """A connection that writes down what is sent."""

    def __init__(self) -> None:
        self.heard: list[c2s.Frame] = []

    async def send(self, frame: c2s.Frame) -> None:
        self.heard.append(frame)


def read(n: int) -> c2s.Read:
    return c2s.Read(n, bytes(32), n)


async def test_everything_unanswered_is_said_again_in_order() -> None:
    outbox, first, second = Outbox(), Ear(), Ear()
    answers = [outbox.add(read(outbox.next_number())) for _ in range(3)]
    await outbox.flush(first)
    await outbox.flush(first)
    assert first.heard == [read(1), read(2), read(3)]
    outbox.settle(2, c2s.Done(2))
    assert await answers[1] == c2s.Done(2)
    late = outbox.add(read(outbox.next_number()))
    await outbox.flush(second)
    assert second.heard == [read(1), read(3), read(4)]
    outbox.fail_all(Rejected(Code.NOT_SIGNED_IN, "Signed out."))
    for answer in (answers[0], answers[2], late):
        with pytest.raises(Rejected):
            await answer
    assert len(outbox) == 0


async def test_answers_to_nobody_are_ignored() -> None:
    outbox = Outbox()
    answer = outbox.add(read(1))
    answer.cancel()
    assert not outbox.settle(1, c2s.Done(1))
    assert not outbox.settle(1, c2s.Done(1))
    outbox.fail(7, Rejected(Code.NOT_FOUND, "x"))
    outbox.forget(7)


async def test_what_a_call_asks_is_of_its_moment() -> None:
    outbox, first, second = Outbox(), Ear(), Ear()
    said = outbox.add(calling.CallDecline(outbox.next_number(), bytes(16)))
    kept = outbox.add(read(outbox.next_number()))
    await outbox.flush(first)
    waiting = outbox.add(calling.CallDecline(outbox.next_number(), bytes(16)))
    outbox.lose(first)
    with pytest.raises(Lost):
        await said
    await outbox.flush(second)
    assert second.heard == [read(2), calling.CallDecline(3, bytes(16))]
    outbox.settle(2, c2s.Done(2))
    outbox.settle(3, c2s.Done(3))
    assert await kept == c2s.Done(2)
    assert await waiting == c2s.Done(3)
