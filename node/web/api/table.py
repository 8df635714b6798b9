"""Every resource of the API, for whoever describes it: the OpenAPI document, the docs, the types of the web UI."""

from __future__ import annotations

from typing import Final

from node.web.api.account import AccountResource
from node.web.api.admin import AdminResource
from node.web.api.contacts import ContactResource
from node.web.api.door import DoorResource
from node.web.api.peers import PeerResource
from node.web.api.people import PeopleResource
from node.web.api.rooms import RoomResource
from node.web.api.setup import SetupResource
from node.web.endpoints import Endpoint, declared

RESOURCES: Final = (
    DoorResource, AccountResource, PeopleResource, RoomResource, ContactResource, PeerResource, SetupResource, AdminResource,
)  # fmt: skip


def endpoints() -> list[Endpoint]:
    """Every row of the table; needs no node."""
    return [row for resource in RESOURCES for row in declared(resource)]
