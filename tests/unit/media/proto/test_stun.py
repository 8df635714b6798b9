"""STUN: the vectors of RFC 5769, what is not protected, and any bytes at all; the first byte of a datagram."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.media.proto import demux, stun

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
# RFC 5769 sections 2.1 to 2.3
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b1"
    "51263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RESPONSE_4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599"
    "fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5"
    "bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
addresses = st.tuples(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), st.integers(0, 65535))


def parsed(data: bytes) -> stun.Message:
    message = stun.parse(data)
    assert message is not None
    return message


def test_the_sample_request_of_rfc_5769_is_read_and_verified() -> None:
    message = parsed(REQUEST)
    assert message.kind == stun.REQUEST
    assert message.transaction == TRANSACTION
    assert message.users == (b"evtj", b"h6vY")
    assert message.priority == 0x6E0001FF
    assert message.attributes[stun.ICE_CONTROLLED] == bytes.fromhex("932ff9b151263b36")
    assert not message.unknown
    assert message.verified(PASSWORD)
    assert not message.verified(PASSWORD + b"x")


@pytest.mark.parametrize(
    ("data", "ip"),
    [(RESPONSE_4, bytes((192, 0, 2, 1))), (RESPONSE_6, bytes.fromhex("20010db8123456780011223344556677"))],
)
def test_the_sample_responses_of_rfc_5769_are_read_and_verified(data: bytes, ip: bytes) -> None:
    message = parsed(data)
    assert message.kind == stun.SUCCESS
    assert stun.mapped_address(message) == (ip, 32853)
    assert message.verified(PASSWORD)


def test_one_changed_bit_anywhere_is_noticed() -> None:
    for at in range((len(REQUEST) - 8) * 8):  # but in the fingerprint, which is no secret
        changed = bytearray(REQUEST)
        changed[at // 8] ^= 1 << at % 8
        message = stun.parse(bytes(changed))
        assert message is None or not message.verified(PASSWORD)


def test_what_follows_the_integrity_is_not_believed() -> None:
    late = stun.USE_CANDIDATE.to_bytes(2, "big") + bytes(2)
    whole = bytearray(REQUEST[:-8] + late)
    whole[2:4] = (len(whole) - 20).to_bytes(2, "big")
    message = parsed(bytes(whole))
    assert stun.USE_CANDIDATE not in message.attributes
    assert message.verified(PASSWORD)


def test_a_request_of_ours_is_what_it_says() -> None:
    data = stun.request(TRANSACTION, username=b"a:b", password=b"p", priority=7, controlling=9, nominate=True)
    message = parsed(data)
    assert message.users == (b"a", b"b")
    assert (message.priority, message.attributes[stun.ICE_CONTROLLING]) == (7, bytes(7) + b"\x09")
    assert stun.USE_CANDIDATE in message.attributes
    assert message.verified(b"p")


@pytest.mark.parametrize("code", [400, 401, 420, 487])
def test_refusals_carry_their_code(code: int) -> None:
    message = parsed(stun.error(TRANSACTION, code, b"p", unknown=(0x7FFF,) if code == 420 else ()))
    assert message.kind == stun.ERROR
    assert stun.error_code(message) == code
    assert message.verified(b"p")
    assert (stun.UNKNOWN_ATTRIBUTES in message.attributes) == (code == 420)


def test_attributes_that_must_be_understood_are_named() -> None:
    data = stun.build(stun.REQUEST, TRANSACTION, ((0x7FFF, b"x"), (0xFFFF, b"y")))
    assert parsed(data).unknown == (0x7FFF,)


def test_too_many_attributes_and_too_many_bytes_are_no_message() -> None:
    many = tuple((0x8000 + number, b"") for number in range(stun.ATTRIBUTES_MAX))
    assert stun.parse(stun.build(stun.REQUEST, TRANSACTION, many)) is None  # and the fingerprint
    assert stun.parse(stun.build(stun.REQUEST, TRANSACTION, many[1:])) is not None
    assert stun.parse(stun.build(stun.REQUEST, TRANSACTION, ((0x8000, bytes(stun.BYTES_MAX)),))) is None


def test_an_ipv4_address_on_an_ipv6_socket_is_shown_as_ipv4() -> None:
    seen = parsed(stun.success(TRANSACTION, (bytes(10) + b"\xff\xff\x01\x02\x03\x04", 5)))
    assert stun.mapped_address(seen) == (b"\x01\x02\x03\x04", 5)


@given(addresses, st.binary(min_size=12, max_size=12), st.binary(max_size=30))
def test_an_address_comes_back(address: stun.Address, transaction: bytes, password: bytes) -> None:
    message = parsed(stun.success(transaction, address, password))
    ip, port = address
    shown = ip[12:] if ip.startswith(bytes(10) + b"\xff\xff") else ip
    assert stun.mapped_address(message) == (shown, port)
    assert message.verified(password) == bool(password)


@given(st.binary(max_size=600))
@example(REQUEST[:-4])
@example(REQUEST + bytes(4))
@example(bytes.fromhex("000100042112a442") + bytes(12) + b"\xff\xff\xff\xff")
def test_any_bytes_are_a_message_or_none(data: bytes) -> None:
    message = stun.parse(data)
    assert message is None or message.verified(b"x") in {True, False}


@given(st.binary(max_size=200), st.integers(0, len(REQUEST)), st.integers(0, len(REQUEST)))
def test_a_torn_message_never_raises(noise: bytes, start: int, end: int) -> None:
    message = stun.parse(REQUEST[:start] + noise + REQUEST[end:])
    if message is not None:
        _ = message.users, message.priority, stun.mapped_address(message), stun.error_code(message)


@given(st.binary(max_size=40))
def test_every_datagram_has_one_kind(data: bytes) -> None:
    kind = demux.kind(data)
    assert (kind is demux.Kind.STUN) == (len(data) >= 2 and data[0] <= 3)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", demux.Kind.UNKNOWN),
        (b"\x00", demux.Kind.UNKNOWN),
        (b"\x00\x01", demux.Kind.STUN),
        (b"\x16\xfe", demux.Kind.DTLS),
        (b"\x3f\x00", demux.Kind.DTLS),
        (b"\x40\x00", demux.Kind.UNKNOWN),
        (b"\x80\x60", demux.Kind.RTP),
        (b"\x80\xe0", demux.Kind.RTP),
        (b"\x80\xc8", demux.Kind.RTCP),
        (b"\xbf\xdf", demux.Kind.RTCP),
        (b"\xc0\x00", demux.Kind.UNKNOWN),
    ],
)
def test_kinds_by_the_table_of_rfc_7983(head: bytes, kind: demux.Kind) -> None:
    assert demux.kind(head) is kind
