"""Who may look into a room: the only maker of `RoomAccess`, which every reader of content must hold.

"It does not exist" and "it is not yours" get the same answer, `not_found`, in the same time.
"""

from __future__ import annotations

from msgspec import Struct

from node.base.errors import Code, Rejected
from node.base.ids import RoomId
from node.services.actor import Actor
from node.storage.database import Tx
from node.storage.rooms import RoomRow, Rooms


class RoomAccess(Struct, frozen=True):
    """Proof that `actor` may read idx `first` to `last` of the room; `present` while still a member."""

    actor: Actor
    row: RoomRow
    first: int
    last: int
    present: bool


def access_room(tx: Tx, rooms: Rooms, actor: Actor, room: RoomId) -> RoomAccess:
    """Access of a member or former member. Raises Rejected with `not_found`."""
    row = rooms.peek(tx, room)
    span = None if row is None else rooms.span(tx, row.pk, actor.user_pk)
    if row is None or span is None:
        raise Rejected(Code.NOT_FOUND, "This chat does not exist, or you are not in it.")
    first, last = span
    return RoomAccess(actor, row, first, row.head.idx if last is None else last, last is None)


def knows(tx: Tx, rooms: Rooms, row: RoomRow, actor: Actor) -> bool:
    """Whether somebody may know that a room exists: they are in it, were in it, or are asked into it."""
    state = row.state
    return (
        actor.user in state.members or actor.user in state.invited or rooms.span(tx, row.pk, actor.user_pk) is not None
    )
