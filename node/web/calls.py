"""Frames of calls on one device socket: which goes where, how many, and how each is answered. The frames are node/wire/calling.py, what
they mean is decided in services/calls.py.

Frames without a number are not answered: one that cannot be obeyed is dropped, the next roster shows what is true.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Protocol

from msgspec.structs import replace

from node.base.errors import Rejected
from node.services.actor import Actor
from node.services.budget import Budget
from node.services.calls import Calls
from node.wire import c2s, calling
from node.wire.calling import DeviceCallFrame
from node.wire.frame import Frame


class Socket(Protocol):
    """The session whose frames these are (`web.session.DeviceSession`)."""

    actor: Actor

    def send(self, frame: Frame) -> None:
        """A small frame."""

    def awaited(self, *, more: int) -> None:
        """That many requests more (or less) wait for an answer."""

    def refuse(self, n: int, error: Exception | None) -> None:
        """Answers a request with a refusal."""


class CallFrames:
    """The call frames of one session."""

    __slots__ = ("_budget", "_calls", "_gone", "_socket")

    def __init__(self, *, calls: Calls, socket: Socket, budget: Budget) -> None:
        self._calls = calls
        self._socket = socket
        self._budget = budget
        self._gone = False

    def came(self, room_pks: Iterable[int]) -> None:
        """The session said hello."""
        self._calls.came(self._socket, room_pks)

    def went(self) -> None:
        """The session is over."""
        self._gone = True
        self._calls.went(self._socket)

    def receive(self, frame: DeviceCallFrame) -> None:
        """One frame."""
        match frame:
            case calling.CallRinging() | calling.CallRestart() | calling.CallState() | calling.CallWant():
                self._signal(frame)
            case _:
                self._request(frame)

    def _signal(self, frame: calling.CallRinging | calling.CallRestart | calling.CallState | calling.CallWant) -> None:
        if not self._budget.affords(self._socket.actor.device_pk):
            return
        with suppress(Rejected):
            match frame:
                case calling.CallRinging():
                    self._calls.ringing(self._socket, frame)
                case calling.CallRestart():
                    self._calls.restart(self._socket, frame)
                case calling.CallState():
                    self._calls.state(self._socket, frame)
                case calling.CallWant():
                    self._calls.want(self._socket, frame)

    def _request(
        self,
        frame: calling.CallStart
        | calling.CallJoin
        | calling.CallDecline
        | calling.CallLeave
        | calling.CallRemove
        | calling.CallUp
        | calling.CallDown,
    ) -> None:
        try:
            self._budget.spend(self._socket.actor.device_pk)
        except Rejected as error:
            self._socket.refuse(frame.n, error)
            return
        calls, socket, n = self._calls, self._socket, frame.n
        match frame:
            case calling.CallStart():
                self._submit(n, calls.start(socket, frame), lambda seat: replace(seat, n=n))
            case calling.CallJoin():
                self._submit(n, calls.join(socket, frame), lambda seat: replace(seat, n=n))
            case calling.CallUp():
                self._submit(n, calls.up(socket, frame), lambda sdp: calling.CallSdp(n, sdp))
            case calling.CallDown():
                self._submit(n, calls.down(socket, frame), lambda _: c2s.Done(n))
            case calling.CallDecline():
                self._submit(n, calls.decline(socket, frame), lambda _: c2s.Done(n))
            case calling.CallLeave():
                self._submit(n, calls.leave(socket, frame), lambda _: c2s.Done(n))
            case calling.CallRemove():
                self._submit(n, calls.remove(socket, frame), lambda _: c2s.Done(n))

    def _submit(self, n: int, work: Coroutine[Any, Any, Any], answered: Callable[[Any], Frame]) -> None:
        self._socket.awaited(more=1)

        def done(result: object, error: Exception | None) -> None:
            self._socket.awaited(more=-1)
            if self._gone:
                self._calls.went(self._socket)  # it may have got a seat after it was gone
                return
            if error is not None:
                self._socket.refuse(n, error)
            else:
                self._socket.send(answered(result))

        self._calls.submit(work, done)
