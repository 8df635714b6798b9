"""How an invitation is shown, and whose address its link carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.storage.invites import InviteRow
from node.web.auth import is_loopback_host
from node.web.endpoints import Call
from node.wire import api


class Origins:
    """The address others reach this node by. A link made on the node's own machine must not say 127.0.0.1 to them."""

    def __init__(self, *, public: Callable[[], str]) -> None:
        self._public = public

    def of(self, call: Call[Any]) -> str:
        """How the maker of a link reaches us, unless only this machine can."""
        here = call.peer.origin
        if not here or is_loopback_host(here):
            return self._public() or here or "http://localhost"
        return here


def to_link(row: InviteRow, *, url: str = "", token: str = "") -> api.rooms.Link:
    """With `url` and `token` only when it is made."""
    return api.rooms.Link(
        id=str(row.id),
        url=url,
        token=token,
        made_by=row.made_by,
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        uses=row.uses,
        uses_max=row.uses_max,
        role=row.role if row.kind == "account" else "",
    )
