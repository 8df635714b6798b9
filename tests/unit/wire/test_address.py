"""Links stay strict and small; the vectors hold the single cases."""

from __future__ import annotations

import base64
import contextlib

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from node.base.errors import Rejected
from node.base.ids import NodeId, RoomId
from node.wire import address
from node.wire.address import Invitation, LinkKind, Place

NID = NodeId(bytes(range(32)))
TOKEN = bytes(range(16))
ROOM = RoomId(bytes(range(32, 64)))
LAN = "https://192.168.100.200:8443"

places = st.builds(
    Place,
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
    st.integers(min_value=1, max_value=65_535),
)
hints = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=60)


@given(st.lists(places, max_size=3), hints)
def test_a_link_gives_its_content_back(addresses: list[Place], hint: str) -> None:
    whole = Invitation(kind=LinkKind.ROOM, nid=NID, subject=ROOM, hint=hint, addresses=tuple(addresses), token=TOKEN)
    link = address.format_link(LAN, whole)
    host, read = address.parse_link(link)
    assert host == "192.168.100.200:8443"
    assert (read.nid, read.subject, read.token) == (NID, ROOM, TOKEN)
    assert hint.startswith(read.hint)
    assert whole.addresses[: len(read.addresses)] == read.addresses


@given(st.lists(places, max_size=3), hints)
def test_every_link_fits_a_qr_code_of_version_10(addresses: list[Place], hint: str) -> None:
    whole = Invitation(kind=LinkKind.ROOM, nid=NID, subject=ROOM, hint=hint, addresses=tuple(addresses), token=TOKEN)
    link = address.format_link(LAN, whole)
    assert len(link) <= address.QR_CHARS_MAX


def test_the_longest_link_really_fits() -> None:
    link = address.format_link(LAN, address.room_invitation(NID, TOKEN, room=ROOM, hint="W" * 60))
    assert address.QR_CHARS_MAX - 4 <= len(link) <= address.QR_CHARS_MAX
    assert int(segno.make(link, error="m", boost_error=False, micro=False).version) <= 10


def test_addresses_go_before_the_hint() -> None:
    whole = Invitation(
        kind=LinkKind.ROOM, nid=NID, subject=ROOM, hint="Casa", addresses=(Place(bytes(16), 443),) * 3, token=TOKEN
    )
    _, read = address.parse_link(address.format_link(LAN, whole))
    assert (read.hint, len(read.addresses)) == ("Casa", 1)


def test_a_long_host_keeps_a_valid_link() -> None:
    origin = f"https://{'a' * 60}.{'b' * 60}.{'c' * 60}.example"
    link = address.format_link(origin, address.room_invitation(NID, TOKEN, room=ROOM, hint="Casa"))
    host, read = address.parse_link(link)
    assert f"https://{host}" == origin
    assert read.hint == ""


def test_a_shortened_hint_never_ends_in_space() -> None:
    link = address.format_link(LAN, address.room_invitation(NID, TOKEN, room=ROOM, hint="W " * 30))
    assert address.parse_link(link)[1].hint.endswith("W")


def test_an_invitation_that_cannot_be_read_is_not_written() -> None:
    with pytest.raises(Rejected):
        address.format_link(LAN, address.account_invitation(NID, TOKEN, local="Not A Name"))


@given(st.text(max_size=300))
def test_no_fragment_crashes(text: str) -> None:
    with contextlib.suppress(Rejected):
        address.parse_fragment(text)


@given(st.binary(max_size=200))
def test_no_bytes_crash(data: bytes) -> None:
    with contextlib.suppress(Rejected):
        address.parse_fragment(base64.urlsafe_b64encode(data).decode().rstrip("="))


@given(st.text(max_size=100))
def test_no_address_crashes(text: str) -> None:
    with contextlib.suppress(Rejected):
        parsed = address.parse_address(text)
        assert address.parse_address(str(parsed)) == parsed


def test_a_contact_link_names_the_inviter() -> None:
    places = [Place(bytes([203, 0, 113, i]), 8443) for i in range(5)]
    made = address.contact_invitation(NID, TOKEN, local="alice", hint="  Alice  ", addresses=places)
    assert (made.subject, made.hint) == (b"alice", "Alice")
    assert made.addresses == tuple(places[: address.ADDRESSES_MAX])
    host, read = address.parse_link(address.format_link("https://casa.example", made))
    assert (host, read.kind, read.nid, read.subject) == ("casa.example", LinkKind.CONTACT, NID, b"alice")
    assert read.addresses == made.addresses[: len(read.addresses)] != ()


def test_a_contact_link_without_a_name_is_not_written() -> None:
    for local in ("", "A", "al ice"):
        with pytest.raises(Rejected):
            address.format_link(LAN, address.contact_invitation(NID, TOKEN, local=local))


def test_a_room_link_may_say_where_its_hub_is() -> None:
    place = Place(bytes([203, 0, 113, 1]), 8443)
    made = address.room_invitation(NID, TOKEN, room=ROOM, hint="Walk", addresses=[place])
    assert address.parse_link(address.format_link("https://casa.example", made))[1] == made
