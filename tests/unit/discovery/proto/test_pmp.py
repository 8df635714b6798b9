"""NAT-PMP and PCP on the wire: the figures of the RFCs, and nothing a router sends breaks the reader."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base.errors import RemoteError
from node.discovery.proto import pmp

NONCE = bytes(range(12))
OWN = IPv4Address("192.168.1.11")


def test_nat_pmp_asks_in_two_and_twelve_bytes() -> None:
    assert pmp.ask_address() == b"\0\0"
    assert pmp.ask_map(internal=8443, external=443, lifetime_s=3600).hex() == "0002000020fb01bb00000e10"


def test_nat_pmp_answers() -> None:
    assert pmp.read_address(bytes.fromhex("0080000000000064cb007101")) == IPv4Address("203.0.113.1")
    mapped = pmp.read_map(bytes.fromhex("008200000000006420fb20fc00000e10"), internal=8443)
    assert (mapped.port, mapped.lifetime_s, mapped.epoch_s) == (8444, 3600, 100)


@pytest.mark.parametrize(
    "answer", ["", "00", "0081000000000064cb007101", "0280000000000064cb007101", "00800000", "008000000000"]
)
def test_what_is_no_answer_of_nat_pmp_is_not_taken(answer: str) -> None:
    with pytest.raises(RemoteError):
        pmp.read_address(bytes.fromhex(answer))


def test_a_refusal_has_its_number() -> None:
    with pytest.raises(pmp.Refused) as caught:
        pmp.read_map(bytes.fromhex("0082000200000064"), internal=1)
    assert caught.value.result == 2
    with pytest.raises(RemoteError, match="another port"):
        pmp.read_map(bytes.fromhex("008200000000006420fb20fc00000e10"), internal=1)


def test_pcp_asks_in_sixty_bytes() -> None:
    packet = pmp.pcp_map(own=OWN, nonce=NONCE, internal=8443, external=8443, external_ip=None, lifetime_s=3600)
    assert len(packet) == 60
    assert packet[:8].hex() == "0201000000000e10"
    assert packet[8:24] == bytes(10) + b"\xff\xff" + OWN.packed
    assert packet[24:44] == NONCE + bytes.fromhex("06000000" + "20fb20fb")
    assert packet[44:60] == bytes(10) + b"\xff\xff" + bytes(4)
    assert len(pmp.pcp_announce(OWN)) == 24


def answer(
    *, result: int = 0, nonce: bytes = NONCE, internal: int = 8443, ip: str = "203.0.113.1", version: int = 2
) -> bytes:
    """What a PCP server says to a MAP."""
    address = ip_address(ip)
    sixteen = bytes(10) + b"\xff\xff" + address.packed if address.version == 4 else address.packed
    head = struct.pack("!BBBBII", version, 129, 0, result, 3600, 7) + bytes(12)
    return head + nonce + struct.pack("!B3xHH", 6, internal, 9000) + sixteen


def test_pcp_answers() -> None:
    mapped = pmp.read_pcp_map(answer(), nonce=NONCE, internal=8443)
    assert (mapped.external, mapped.port, mapped.lifetime_s, mapped.epoch_s) == (
        IPv4Address("203.0.113.1"),
        9000,
        3600,
        7,
    )
    assert pmp.read_pcp_map(answer(ip="2001:db8::1"), nonce=NONCE, internal=8443).external == ip_address("2001:db8::1")
    assert pmp.read_pcp(answer(result=3)) == 3


@pytest.mark.parametrize("wrong", [answer(nonce=bytes(12)), answer(internal=1), answer()[:59], b"", answer(version=0)])
def test_what_is_no_answer_to_this_mapping_is_not_taken(wrong: bytes) -> None:
    with pytest.raises(RemoteError):
        pmp.read_pcp_map(wrong, nonce=NONCE, internal=8443)


def test_a_router_of_nat_pmp_says_so_to_pcp() -> None:
    assert pmp.read_pcp(bytes.fromhex("0080000100000064")) == pmp.Result.UNSUPPORTED_VERSION


def test_the_waits_are_those_of_the_rfcs() -> None:
    assert list(pmp.nat_pmp_waits()) == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64]
    assert list(pmp.pcp_waits()) == [3, 6, 12, 24]


@given(st.binary(max_size=1200))
def test_no_bytes_break_a_reader(data: bytes) -> None:
    for read in (
        pmp.read_address,
        pmp.read_pcp,
        lambda data: pmp.read_map(data, internal=1),
        lambda data: pmp.read_pcp_map(data, nonce=NONCE, internal=1),
    ):
        try:
            read(data)
        except RemoteError:
            continue


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 2**32 - 1))
def test_a_mapping_comes_back_as_asked(internal: int, external: int, lifetime_s: int) -> None:
    asked = pmp.ask_map(internal=internal, external=external, lifetime_s=lifetime_s)
    said = struct.pack("!BBHI", 0, 130, 0, 1) + asked[4:8] + asked[8:12]
    mapped = pmp.read_map(said, internal=internal)
    assert (mapped.port, mapped.lifetime_s) == (external, lifetime_s)
