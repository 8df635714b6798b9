"""What the HTTP API consists of: its resources, each with the services it needs."""

from __future__ import annotations

from node.federation.service import Federation
from node.main.finding import Finding
from node.main.inside import Services
from node.services.probe import Probe
from node.web.api.account import AccountResource
from node.web.api.admin import AdminResource
from node.web.api.calls import CallsResource
from node.web.api.contacts import ContactResource
from node.web.api.door import DoorResource, Greeter
from node.web.api.links import Origins
from node.web.api.peers import PeerResource
from node.web.api.people import PeopleResource
from node.web.api.rooms import RoomResource
from node.web.api.setup import SetupResource


def resources(
    services: Services, *, greeter: Greeter, origins: Origins, finding: Finding, federation: Federation
) -> tuple[object, ...]:
    """All of them. `origins` are the addresses that links name."""
    accounts, invites, settings = services.accounts, services.invites, services.settings
    return (
        DoorResource(
            greeter=greeter, accounts=accounts, sessions=services.sessions, invites=invites, settings=settings
        ),
        AccountResource(greeter=greeter, accounts=accounts, sessions=services.sessions),
        PeopleResource(accounts=accounts),
        RoomResource(
            book=services.book,
            posting=services.posting,
            sync=services.sync,
            receipts=services.receipts,
            invites=invites,
            origins=origins,
        ),
        ContactResource(
            db=services.db,
            contacts=services.contacts,
            introductions=services.introductions,
            invites=invites,
            posting=services.posting,
            forwarding=services.forwarding,
            successors=services.successors,
            origins=origins,
        ),
        _peers(services, finding, federation),
        SetupResource(phrase=services.identity, settings=settings),
        AdminResource(origins=origins, accounts=accounts, invites=invites, settings=settings),
        CallsResource(calls=services.calls),
    )


def _peers(services: Services, finding: Finding, federation: Federation) -> PeerResource:
    return PeerResource(
        node=services.identity.nid,
        peers=services.peer_book,
        introductions=services.introductions,
        neighbours=finding.discovery,
        probe=Probe(clock=services.clock, own=services.identity.nid, resolver=finding.resolver, links=federation),
        outlook=finding.outlook,
    )
