"""What admins see of calls: who is in which, how the media goes, what the relay costs. Nothing that is said."""

from __future__ import annotations

from typing import Literal, cast

from node.base.errors import Rejected
from node.base.ids import NodeId, format_id, format_node
from node.services.calls import Calls
from node.services.relay import CallReport, Quality, RelayReport, SeatReport
from node.services.seats import There
from node.web.endpoints import Access, Call, endpoint
from node.wire import api
from node.wire.focus import SeatNow

_UNKNOWN = Quality(-1, 0, -1, 0, -1)


class CallsResource:
    """``/admin/calls``."""

    def __init__(self, *, calls: Calls) -> None:
        self._calls = calls

    @endpoint("GET", "/admin/calls", answer=api.admin.AdminCalls, access=Access.ADMIN)
    async def list_calls(self, call: Call[None]) -> api.admin.AdminCalls:
        """Calls that people here are in or that this node keeps, with the state of the relay."""
        report = await self._report()
        by_call = {one.call: one for one in report.calls}
        return api.admin.AdminCalls(
            level=report.standing.level,
            reason=report.standing.reason,
            port=report.standing.port,
            cpu=round(report.cpu, 4),
            packets_in=report.packets_in,
            packets_out=report.packets_out,
            dropped=dict(report.dropped),
            calls=[_call(there, by_call.get(there.now.call)) for there in self._calls.known],
        )

    async def _report(self) -> RelayReport:
        """Without an answer of the relay there is still the list of calls."""
        try:
            return await self._calls.report()
        except Rejected:
            return RelayReport(standing=self._calls.standing)


def _call(there: There, report: CallReport | None) -> api.admin.AdminCall:
    now = there.now
    seats = {} if report is None else {one.seat: one for one in report.seats}
    return api.admin.AdminCall(
        call=format_id(now.call),
        room=format_id(now.room),
        kind="direct" if there.direct else "group",
        media=cast(Literal["audio", "video"], now.media),
        by=now.by,
        state="live" if now.live_ms else "ringing",
        started_ms=now.live_ms or now.started_ms,
        focus=format_node(NodeId(there.focus)),
        pipes=[] if report is None else list(report.pipes),
        seats=[_seat(one, seats.get(one.seat), here=one.seat in there.mine) for one in now.seats],
        in_kbps=0 if report is None else report.in_kbps,
        out_kbps=0 if report is None else report.out_kbps,
    )


def _seat(one: SeatNow, report: SeatReport | None, *, here: bool) -> api.admin.AdminSeat:
    quality = _UNKNOWN if report is None else report.quality
    return api.admin.AdminSeat(
        seat=format_id(one.seat),
        user=one.user,
        here=here,
        state=cast(Literal["connecting", "live", "reconnecting"], one.state),
        mic=one.mic,
        camera=one.camera,
        screen=one.screen,
        muted=one.muted,
        joined_ms=one.joined_ms,
        path="" if report is None else report.path,
        legs=0 if report is None else report.legs,
        up_kbps=quality.up_kbps,
        down_kbps=quality.down_kbps,
        up_loss=quality.up_loss,
        down_loss=quality.down_loss,
        rtt_ms=quality.rtt_ms,
    )
