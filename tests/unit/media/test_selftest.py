"""What the relay relies on in aiortc and pylibsrtp: an upgrade that changes it fails here first."""

from __future__ import annotations

import importlib

import pylibsrtp
import pytest
from aiortc.rtcdtlstransport import RTCDtlsTransport

from node.media import compat, selftest
from node.media.transport import _Flights


async def test_this_machine_has_the_fast_path() -> None:
    assert await selftest.examine() == selftest.Found(2, direct=True, batches=True)


@pytest.mark.parametrize(("owner", "names"), compat.PRIVATE.items())
def test_every_private_name_is_there(owner: str, names: tuple[str, ...]) -> None:
    module, _, member = owner.rpartition(".")
    if owner == "pylibsrtp":
        found: object = importlib.import_module(owner)
    else:
        found = getattr(importlib.import_module(module), member)
    assert [name for name in names if not hasattr(found, name)] == []


def test_attributes_of_objects_are_there() -> None:
    transport = RTCDtlsTransport(_Flights.__new__(_Flights), [compat.Certificate().raw])  # type: ignore[arg-type]
    for name in ("_srtp_profiles", "_rx_srtp", "_tx_srtp", "_role"):
        assert hasattr(transport, name)
    session = compat.sessions(bytes(28), gcm=True)[0]
    assert hasattr(session, "_srtp")
    assert isinstance(session, pylibsrtp.Session)


def test_the_cheapest_profile_comes_first() -> None:
    assert [profile.openssl_profile for profile in compat._PROFILES] == [
        b"SRTP_AEAD_AES_128_GCM",
        b"SRTP_AES128_CM_SHA1_80",
    ]


def test_packets_by_copies_are_the_same_as_in_place() -> None:
    slots = compat.Slots(2)
    direct = compat.DirectSrtp(*compat.sessions(bytes(range(28)), gcm=True))
    copied = compat.PortableSrtp(*compat.sessions(bytes(range(28)), gcm=True))
    packet = bytes.fromhex("8060000100000001000000ff") + bytes(100)
    report = bytes.fromhex("80c9000100000001")
    for name, data in (("protect", packet), ("protect_rtcp", report)):
        made = []
        for at, srtp in enumerate((direct, copied)):
            view = slots.views[at]
            view[: len(data)] = data
            size = getattr(srtp, name)(view, slots.pointers[at], len(data))
            made.append(bytes(view[:size]))
            assert getattr(srtp, f"un{name}")(view, slots.pointers[at], size) == len(data)
            assert bytes(view[: len(data)]) == data
            assert getattr(srtp, f"un{name}")(view, slots.pointers[at], len(data)) == -1
        assert made[0] == made[1]
