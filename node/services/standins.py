"""Who keeps a group call while the hub of its room is away.

The focus of a call is *away* for a node when it said nothing for 16 s and there is no link to it, nor to the hub. Of the nodes with seats
in the call the one with the smallest id that can be reached then *stands in*: it goes on with the roster as the focus told it last, and
the others, who choose by the same rule, take its word. As soon as the hub is linked again every home says its seats to it; the hub takes
the call back, and its word counts at once. A call that begins while the hub is away is kept by the node of whoever begins it; others
believe that node about its own person's call only, and only while they do not reach the hub either.
"""

from __future__ import annotations

from collections.abc import Callable

from node.base import limits
from node.base.ids import NodeId, UserId, parse_user
from node.core import call as rules
from node.core import room
from node.core.roles import Capability
from node.runtime.clock import Clock
from node.services.focus import Focus
from node.services.seats import Table, There
from node.storage.rooms import RoomRow
from node.wire.focus import CallNow


class Standins:
    """Decides for this node who stands in. `linked` says whether a node can be spoken to now; it is true of this one."""

    def __init__(
        self, *, node: NodeId, table: Table, focus: Focus, linked: Callable[[NodeId], bool], clock: Clock
    ) -> None:
        self._node = node
        self._table = table
        self._focus = focus
        self._linked = linked
        self._clock = clock

    def is_away(self, there: There, row: RoomRow) -> bool:
        """Whether nobody keeps this call of a group now, as far as this node can tell."""
        if there.direct or there.focus == self._node or self._linked(there.focus) or self._linked(row.hub):
            return False
        return self._clock.monotonic() - there.heard_at > limits.CALL_SILENT_S

    def choose(self, there: There) -> NodeId | None:
        """Who stands in; None if none of its homes is reached."""
        homes = {parse_user(one.user)[1] for one in there.now.seats}
        return min((home for home in homes if self._linked(home)), default=None)

    def may_take_over(self, there: There, teller: NodeId, now: CallNow, row: RoomRow) -> bool:
        """Whether `teller`, who is not its focus so far, is from now on."""
        if there.direct:
            return False
        if teller == row.hub:
            return True
        return now.by == there.now.by and self.is_away(there, row) and teller == self.choose(there)

    def may_tell(self, teller: NodeId, now: CallNow, row: RoomRow) -> bool:
        """Whether a node other than the hub of a group may tell of this call."""
        there = self._table.calls.get(now.call)
        if row.kind == room.DIRECT:
            return False
        if there is not None:
            return there.focus == teller or self.may_take_over(there, teller, now, row)
        return not now.result and self._may_begin(teller, now, row)

    def _may_begin(self, teller: NodeId, now: CallNow, row: RoomRow) -> bool:
        """A new call while the hub is away: of somebody of that node who may call, and if there is no other in the room that stays."""
        others = [there for there in self._table.calls.values() if there.now.room == row.room]
        if self._linked(row.hub) or any(self._stays(there, now, row) for there in others):
            return False
        may = parse_user(now.by)[1] == teller and Capability.CALL in room.capabilities(
            row.state, UserId(now.by), self._clock.now_ms()
        )
        return may and self._focus.affords((teller, now.by))

    def _stays(self, there: There, now: CallNow, row: RoomRow) -> bool:
        """Whether a call of the room goes on although there is another: somebody keeps it, and they did not begin at the same time."""
        if there.focus == self._node and not there.now.live_ms:
            return rules.winner(there.now.call, now.call) == there.now.call
        return bool(there.mine) or not self.is_away(there, row)

    def stand_in(self, there: There, row: RoomRow) -> None:
        """Takes the call over if that is for this node."""
        if there.mine and self.is_away(there, row) and self.choose(there) == self._node:
            self._focus.take_over(there.now, row)

    def is_to_be_handed_back(self, there: There, row: RoomRow) -> bool:
        """Whether the hub, which is there again, has to hear of the seats here."""
        return not there.direct and there.focus != row.hub and bool(there.mine) and self._linked(row.hub)

    def is_forsaken(self, there: There, row: RoomRow) -> bool:
        """Whether nobody here is in the call, its focus is away and nobody stood in for long: a new one may begin."""
        silent_s = self._clock.monotonic() - there.heard_at
        return not there.mine and self.is_away(there, row) and silent_s > 2 * limits.CALL_SILENT_S


def is_given_up(now: CallNow, seat: bytes) -> bool:
    """Whether the focus took a seat away because it heard nothing of it."""
    return not now.result and now.gone.get(seat) == rules.FAILED
