"""From what somebody typed to who is meant; a domain that led there is pinned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from node.base.errors import Code, Rejected
from node.base.ids import NodeId, RoomId, format_node, make_user
from node.runtime.clock import ManualClock
from node.runtime.entropy import SeededEntropy
from node.services.introductions import Introductions
from node.services.peers import Peers
from node.services.ports import Place
from node.storage.database import Database
from node.storage.outbox import Outbox
from node.storage.peers import PeerStore, Quarantine
from node.wire import address

OWN, BOB, MALLORY = (NodeId(bytes([n]) * 32) for n in (1, 2, 3))
DOMAIN = "b.example"


class Links:
    """Whoever is asked for, is reached."""

    def __init__(self) -> None:
        self.owner = BOB
        self.asked: list[tuple[NodeId | None, str, Sequence[Place]]] = []
        self.admitted: list[bool] = []

    def linked(self, nid: NodeId) -> bool:
        return False

    async def reach(
        self, nid: NodeId | None, *, domain: str = "", places: Sequence[Place] = (), admit: bool = False
    ) -> NodeId:
        self.asked.append((nid, domain, places))
        self.admitted.append(admit)
        return self.owner if nid is None else nid

    def wake(self, nid: NodeId) -> None:
        raise AssertionError("nothing waits")

    def whisper(self, nid: NodeId, topic: str, body: bytes) -> bool:
        raise AssertionError("nothing is whispered")

    async def request(self, nid: NodeId, method: str, args: bytes) -> bytes:
        raise AssertionError("nothing is asked")


class Office:
    def __init__(self, path: Path) -> None:
        clock, store = ManualClock(), PeerStore()
        self.db = Database(path=path / "startalk.db", clock=clock)
        outbox = Outbox(clock=clock, entropy=SeededEntropy("introductions"))
        self.peers = Peers(db=self.db, store=store, outbox=outbox, quarantine=Quarantine(), clock=clock)
        self.links = Links()
        self.introductions = Introductions(db=self.db, node=OWN, peers=store)
        self.introductions.links, self.introductions.pins = self.links, self.peers


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.db.abandon()


async def test_an_address_with_a_domain_pins_it(office: Office) -> None:
    found = await office.introductions.meet(f" bob@{DOMAIN} ")
    assert (found.kind, found.user, found.home) == ("person", make_user("bob", BOB), False)
    assert office.peers.has_domain(BOB)
    assert office.introductions.shown(found.user) == f"bob@{DOMAIN}"
    assert await office.introductions.meet_node(DOMAIN) == BOB


async def test_a_domain_that_is_pinned_to_another_node_leads_nowhere(office: Office) -> None:
    await office.introductions.meet_node(DOMAIN)
    office.links.owner = MALLORY
    with pytest.raises(Rejected) as refused:
        await office.introductions.meet(f"bob@{DOMAIN}")
    assert refused.value.code is Code.KEY_CHANGED
    assert not office.peers.has_domain(MALLORY)


async def test_the_own_domain_is_home(office: Office) -> None:
    office.links.owner = OWN
    assert (await office.introductions.meet(f"alice@{DOMAIN}")).home
    assert not office.peers.has_domain(OWN)


async def test_ids_and_links_need_no_domain(office: Office) -> None:
    place = Place(bytes([8, 8, 4, 4]), 8443)
    token, room = bytes(16), RoomId(bytes(32))
    contact = address.format_link(
        "https://b.example", address.contact_invitation(BOB, token, local="bob", addresses=(place,))
    )
    group = address.format_link("https://b.example", address.room_invitation(BOB, token, room=room))
    account = address.format_link("https://b.example", address.account_invitation(BOB, token))
    for text, kind in (
        (make_user("bob", BOB), "person"),
        (f"bob@{format_node(BOB)}.startalk.alt", "person"),
        (contact, "person"),
        (group, "room"),
        (account, "account"),
    ):
        found = await office.introductions.meet(text)
        assert (found.kind, found.nid) == (kind, BOB), text
    assert (BOB, DOMAIN, (place,)) in office.links.asked, "a link carries places to look"
    assert await office.introductions.meet_node(format_node(BOB)) == BOB
    assert not office.peers.has_domain(BOB)
    assert office.introductions.shown(make_user("bob", BOB)).endswith(".startalk.alt")


@pytest.mark.parametrize(("text", "code"), [("bob", Code.NAME_INVALID), ("https://b.example/i#x", Code.INVITE_INVALID)])
async def test_nobody_is_meant(office: Office, text: str, code: Code) -> None:
    with pytest.raises(Rejected) as refused:
        await office.introductions.meet(text)
    assert refused.value.code is code


async def test_an_admin_admits_whom_they_meet_and_nobody_else_does(office: Office) -> None:
    for text in (DOMAIN, f"bob@{DOMAIN}", format_node(BOB), make_user("bob", BOB)):
        await office.introductions.meet_node(text, admit=True)
    assert office.links.admitted == [True] * 4
    await office.introductions.meet(make_user("bob", BOB))
    assert not office.links.admitted[-1]
