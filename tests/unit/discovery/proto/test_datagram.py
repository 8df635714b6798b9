"""Datagrams: what is read, what is refused, what fits."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import RemoteError
from node.discovery.proto import datagram
from node.discovery.proto.datagram import Answer, Request
from node.discovery.proto.policy import Contact

MESSAGE = bytes(range(20))
NODE = b"n" * 20
TOKEN = b"t" * 8
CONTACT = Contact(NODE, "93.184.216.34", 8444)
CONTACT6 = Contact(NODE, "2606:2800:220::1", 8444)
ids = st.binary(min_size=20, max_size=20)


@given(
    st.sampled_from(["find_node", "find_value", "store"]), ids, st.integers(0, 255), st.sampled_from([b"", TOKEN]), ids,
    st.binary(max_size=1_000),
)  # fmt: skip
def test_a_request_survives_the_wire(method: datagram.Method, node: bytes, flags: int, token: bytes, key: bytes, value: bytes) -> None:  # fmt: skip
    request = Request(method, node, flags, token, key, value)
    data = datagram.encode_request(MESSAGE, request)
    assert datagram.kind_of(data) == datagram.REQUEST
    assert datagram.message_id_of(data) == MESSAGE
    assert datagram.decode_request(data) == request
    assert request.read_only is bool(flags & 1)


@given(ids, st.binary(max_size=18), st.binary(max_size=760), st.binary(max_size=1_000), st.integers(0, 255))
def test_an_answer_survives_the_wire(node: bytes, seen: bytes, nodes: bytes, value: bytes, code: int) -> None:
    answer = Answer(node, TOKEN, seen, nodes, value, code)
    assert datagram.decode_answer(datagram.encode_answer(MESSAGE, answer)) == answer


@given(st.binary(max_size=1_500))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (datagram.kind_of, datagram.decode_request, datagram.decode_answer):
        try:
            read(data)
        except RemoteError:
            continue


@pytest.mark.parametrize("nested", [b"\x91", b"\x81\xa0"])
def test_deep_nesting_is_refused(nested: bytes) -> None:
    data = b"\x00" + MESSAGE + nested * 600
    with pytest.raises(RemoteError):
        datagram.decode_request(data)
    with pytest.raises(RemoteError):
        datagram.decode_answer(data)


@pytest.mark.parametrize(("size", "kept"), [(21, False), (22, True), (1_400, True), (1_401, False)])
def test_sizes_at_the_edge(size: int, kept: bool) -> None:
    assert (limits.DHT_DATAGRAM_BYTES_MIN, limits.DHT_DATAGRAM_BYTES_MAX) == (22, 1_400)
    data = bytes(size)
    if kept:
        assert datagram.kind_of(data) == datagram.REQUEST
    else:
        with pytest.raises(RemoteError):
            datagram.kind_of(data)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(RemoteError, match="kind"):
        datagram.kind_of(b"\x02" + bytes(30))


@pytest.mark.parametrize(
    "fields",
    [
        ["get", NODE],
        ["ping", NODE[:19]],
        ["ping", NODE, 256],
        ["ping", NODE, 0, b"1234567"],
        ["ping", NODE, 0, b"123456789"],
        ["ping", NODE, 0, b"", NODE],
        ["find_node", NODE],
        ["find_node", NODE, 0, b"", NODE[:19]],
        ["store", NODE, 0, TOKEN, NODE, bytes(1_001)],
        ["store", NODE, 0, TOKEN, NODE, "text"],
        {"method": "ping"},
        [],
        7,
    ],
)
def test_other_requests_are_refused(fields: object) -> None:
    with pytest.raises(RemoteError):
        datagram.decode_request(b"\x00" + MESSAGE + msgspec.msgpack.encode(fields))


def test_later_fields_are_ignored() -> None:
    data = b"\x00" + MESSAGE + msgspec.msgpack.encode(["ping", NODE, 0, b"", b"", b"", b"", "new"])
    assert datagram.decode_request(data) == Request("ping", NODE)


@pytest.mark.parametrize("contact", [CONTACT, CONTACT6])
def test_contacts_survive_the_wire(contact: Contact) -> None:
    family = 4 if contact is CONTACT else 6
    packed = datagram.pack_contacts([contact] * limits.DHT_K)
    assert len(packed) == limits.DHT_K * datagram.contact_bytes(family)
    assert datagram.unpack_contacts(packed, family=family) == [contact] * limits.DHT_K
    assert datagram.unpack_contacts(b"", family=family) == []


@pytest.mark.parametrize("size", [25, 27, 26 * 21])
def test_ragged_or_long_lists_are_refused(size: int) -> None:
    with pytest.raises(RemoteError):
        datagram.unpack_contacts(bytes(size), family=4)


def test_an_endpoint_of_the_other_family_is_refused() -> None:
    data = datagram.pack_endpoint("93.184.216.34", 8444)
    assert datagram.unpack_endpoint(data, family=4) == ("93.184.216.34", 8444)
    with pytest.raises(RemoteError):
        datagram.unpack_endpoint(data, family=6)


# --- sizes ------------------------------------------------------------------------------------------------------


def full(family: int, contacts: int, value_bytes: int) -> Answer:
    contact = CONTACT if family == 4 else CONTACT6
    seen = datagram.pack_endpoint(contact.ip, 65_535)
    return Answer(NODE, TOKEN, seen, datagram.pack_contacts([contact] * contacts), bytes(value_bytes), 2)


@pytest.mark.parametrize("family", [4, 6])
def test_the_largest_answers_fit_a_datagram_and_a_padded_request_pays_for_them(family: int) -> None:
    ping = datagram.PING_BYTES_MAX
    for answer in (full(family, limits.DHT_NEAR_WITH_VALUE, 1_000), full(family, limits.DHT_K, 0)):
        size = len(datagram.encode_answer(MESSAGE, answer))
        assert size <= limits.DHT_DATAGRAM_BYTES_MAX
        request = Request("find_value", NODE, 0, b"", NODE)
        asked = len(datagram.encode_request(MESSAGE, request, size_bytes=limits.DHT_PADDED_BYTES))
        assert size + ping <= limits.DHT_AMPLIFICATION_MAX * asked


def test_a_ping_its_answer_and_a_ping_back_stay_under_three_times() -> None:
    asked = len(datagram.encode_request(MESSAGE, Request("ping", NODE)))
    back = len(datagram.encode_request(MESSAGE, Request("ping", NODE, 255, TOKEN)))
    assert back <= datagram.PING_BYTES_MAX
    for family in (4, 6):
        answer = len(datagram.encode_answer(MESSAGE, full(family, 0, 0)))
        assert answer + back <= limits.DHT_AMPLIFICATION_MAX * asked


def test_the_largest_store_fits_a_datagram() -> None:
    request = Request("store", NODE, 255, TOKEN, NODE, bytes(1_000))
    assert len(datagram.encode_request(MESSAGE, request)) <= limits.DHT_DATAGRAM_BYTES_MAX


@pytest.mark.parametrize("size", [100, 300, 470, 1_000])
def test_padding_reaches_its_size(size: int) -> None:
    data = datagram.encode_request(MESSAGE, Request("find_node", NODE, 0, b"", NODE), size_bytes=size)
    assert size <= len(data) <= size + 2
    assert datagram.decode_request(data).key == NODE


@given(st.integers(0, 1_500), st.integers(0, 8), st.integers(0, 1_000))
def test_what_fits_is_cut_from_the_far_end(size: int, contacts: int, value_bytes: int) -> None:
    whole = full(4, contacts, value_bytes)
    cut = datagram.fit(whole, size_bytes=size, family=4)
    if cut is None:
        assert len(datagram.encode_answer(MESSAGE, full(4, 0, 0))) > size
        return
    assert len(datagram.encode_answer(MESSAGE, cut)) <= size
    assert whole.nodes.startswith(cut.nodes)
    assert len(cut.nodes) % datagram.contact_bytes(4) == 0
    assert cut.value in {whole.value, b""}
