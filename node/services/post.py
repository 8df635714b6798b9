"""What somebody of this node wants to happen in a room: the request, before anybody decided about it."""

from __future__ import annotations

from msgspec import Struct

from node.base.ids import ClientId


class Post(Struct, frozen=True):
    """What somebody wants appended; the fields of the frame `c2s.Post`."""

    room: bytes
    client_id: ClientId
    kind: str
    body: bytes
    guests: tuple[str, ...] = ()
    token: bytes = b""
    hub: bytes = b""  # only to join by a link into a room of another node
