"""Requests that wait for their answer. They outlive a connection: after a loss each is said again, in the first order.

That is harmless: a post carries a `client_id` and a repeat is answered with the first result, a page or a read mark may
be asked for twice. So a caller that awaits `Waiting.answer` gets exactly one result for exactly one effect. What a call asks is
of its moment: it waits for a connection, but one that was said on a connection that is gone fails with `Lost` and is not repeated.
"""

from __future__ import annotations

import asyncio

from node.client.connection import Connection
from node.client.errors import Lost
from node.wire import c2s, calling

Answer = c2s.PostedItem | c2s.Page | c2s.Done | calling.CallSeat | calling.CallSdp
CallRequest = (
    calling.CallStart | calling.CallJoin | calling.CallDecline | calling.CallLeave | calling.CallRemove | calling.CallUp
    | calling.CallDown
)  # fmt: skip
Request = c2s.Post | c2s.History | c2s.Read | CallRequest


class _Waiting:
    __slots__ = ("answer", "frame", "sent_on")

    def __init__(self, frame: Request) -> None:
        self.frame = frame
        self.sent_on: Connection | None = None
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()


class Outbox:
    """Requests by number."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._waiting)

    def next_number(self) -> int:
        """The `n` of the next request."""
        self._next += 1
        return self._next - 1

    def add(self, frame: Request) -> asyncio.Future[Answer]:
        """Queues a request; `flush` sends it."""
        waiting = self._waiting[frame.n] = _Waiting(frame)
        return waiting.answer

    def forget(self, n: int) -> None:
        """Nobody waits for request `n` any more."""
        self._waiting.pop(n, None)

    async def flush(self, connection: Connection) -> None:
        """Sends what was not sent on this connection yet, in order."""
        for waiting in list(self._waiting.values()):
            if waiting.sent_on is not connection:
                waiting.sent_on = connection  # before the await: another flush must not send it too
                await connection.send(waiting.frame)

    def lose(self, connection: Connection) -> None:
        """This connection is gone."""
        for n, waiting in list(self._waiting.items()):
            if waiting.sent_on is connection and isinstance(waiting.frame, CallRequest):
                self.fail(n, Lost("The connection was lost before the node answered."))

    def settle(self, n: int, answer: Answer) -> bool:
        """Request `n` was answered; false when nobody waits for it any more."""
        waiting = self._waiting.pop(n, None)
        if waiting is None or waiting.answer.done():
            return False
        waiting.answer.set_result(answer)
        return True

    def fail(self, n: int, error: Exception) -> None:
        """Request `n` was refused."""
        waiting = self._waiting.pop(n, None)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_exception(error)

    def fail_all(self, error: Exception) -> None:
        """No answer will ever come."""
        for n in list(self._waiting):
            self.fail(n, error)
