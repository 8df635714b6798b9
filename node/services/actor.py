"""Who is asking: the proof, made only by `services/accounts.py`, that somebody is signed in.

Use cases take an `Actor` and never a user id of their own choosing, so that a handler cannot act for somebody else.
It is a snapshot of one moment: a role may have changed since, so use cases that need it now ask again inside
their transaction.
"""

from __future__ import annotations

from msgspec import Struct

from node.base.ids import DeviceId, UserId
from node.core.account import NodeRole


class Actor(Struct, frozen=True, kw_only=True):
    """A signed-in account on one of its devices. `user_pk` and `device_pk` are the database's short names."""

    user: UserId
    user_pk: int
    account_role: NodeRole
    device: DeviceId
    device_pk: int
    local: str
    name: str
