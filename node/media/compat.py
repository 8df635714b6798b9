"""Everything private of aiortc and pylibsrtp that the relay uses, and the only file that may name it.

* `Certificate`: the DTLS certificate of a worker. `Dtls`: a handshake of aiortc's `RTCDtlsTransport` over any object that has ``_recv``,
  ``_send``, ``role`` and ``state``; it gives the SRTP keys as `Srtp`.
* `Srtp`: both directions of one association. `DirectSrtp` calls libsrtp in place, `PortableSrtp` goes by `Session` and byte strings.
* `Slots`: memory in which libsrtp works.
* What is named here and private: ``RTCDtlsTransport._set_role _srtp_profiles _rx_srtp _tx_srtp``, ``pylibsrtp.ffi``, ``pylibsrtp.lib``
  (``srtp_protect srtp_unprotect srtp_protect_rtcp srtp_unprotect_rtcp``), ``Session._srtp``. `PRIVATE` lists them for the contract test,
  so that an upgrade that changes one fails there first; selftest.py finds it at the start of a worker.

Profiles: AES-128-GCM first (it costs least), then AES-CM with HMAC-SHA1-80, which every browser has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

import pylibsrtp
from aiortc import rtcdtlstransport
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport

from node.base import limits
from node.base.errors import RemoteError
from node.media.proto.sdpread import Fingerprint

ffi: Final[Any] = vars(pylibsrtp)["ffi"]
_lib: Final[Any] = vars(pylibsrtp)["lib"]
protect: Final[Callable[[Any, Any, Any], int]] = _lib.srtp_protect
unprotect: Final[Callable[[Any, Any, Any], int]] = _lib.srtp_unprotect
_protect_rtcp: Final[Callable[[Any, Any, Any], int]] = _lib.srtp_protect_rtcp
_unprotect_rtcp: Final[Callable[[Any, Any, Any], int]] = _lib.srtp_unprotect_rtcp

PRIVATE: Final = {
    "aiortc.rtcdtlstransport.RTCDtlsTransport": ("_set_role", "_setup_srtp", "_validate_peer_identity"),
    "pylibsrtp": ("ffi", "lib"),
    "pylibsrtp.lib": ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp"),
}
_PROFILES: Final = tuple(
    profile
    for profile in (rtcdtlstransport.SRTP_AEAD_AES_128_GCM, rtcdtlstransport.SRTP_AES128_CM_SHA1_80)
    if profile in rtcdtlstransport.SRTP_PROFILES
)
FINGERPRINT: Final = "sha-256"


class Slots:
    """`count` pieces of memory of `MEDIA_SLOT_BYTES` each: as `views` for Python, as `pointers` for libsrtp."""

    def __init__(self, count: int) -> None:
        size = limits.MEDIA_SLOT_BYTES
        self._memory = ffi.new("char[]", count * size)
        self.pointers: Sequence[Any] = tuple(self._memory + at * size for at in range(count))
        self.views: Sequence[memoryview] = tuple(memoryview(ffi.buffer(pointer, size)) for pointer in self.pointers)

    @property
    def address(self) -> int:
        """Of the first slot, for other users of the memory. It lives as long as this object."""
        return int(ffi.cast("uintptr_t", self._memory))


class Srtp(Protocol):
    """SRTP of one association. Each call works in a slot and returns the new size, or -1: not authentic, replayed, unusable."""

    tx: Any  # srtp_t, for whoever calls `protect` itself
    rx: Any

    def protect(self, view: memoryview, pointer: Any, size: int) -> int:
        """An RTP packet, to be sent."""

    def unprotect(self, view: memoryview, pointer: Any, size: int) -> int:
        """A received RTP packet."""

    def protect_rtcp(self, view: memoryview, pointer: Any, size: int) -> int:
        """A compound RTCP packet, to be sent."""

    def unprotect_rtcp(self, view: memoryview, pointer: Any, size: int) -> int:
        """A received compound RTCP packet."""


class DirectSrtp:
    """libsrtp works in the slot itself."""

    def __init__(self, tx: pylibsrtp.Session, rx: pylibsrtp.Session) -> None:
        self._sessions = (tx, rx)  # own the memory of the two pointers
        self._size = ffi.new("int *")
        self.tx = tx._srtp[0]  # noqa: SLF001 - this file is for that
        self.rx = rx._srtp[0]  # noqa: SLF001

    def protect(self, view: memoryview, pointer: Any, size: int) -> int:
        """An RTP packet, to be sent."""
        return self._call(protect, self.tx, pointer, size)

    def unprotect(self, view: memoryview, pointer: Any, size: int) -> int:
        """A received RTP packet."""
        return self._call(unprotect, self.rx, pointer, size)

    def protect_rtcp(self, view: memoryview, pointer: Any, size: int) -> int:
        """A compound RTCP packet, to be sent."""
        return self._call(_protect_rtcp, self.tx, pointer, size)

    def unprotect_rtcp(self, view: memoryview, pointer: Any, size: int) -> int:
        """A received compound RTCP packet."""
        return self._call(_unprotect_rtcp, self.rx, pointer, size)

    def _call(self, function: Callable[[Any, Any, Any], int], session: Any, pointer: Any, size: int) -> int:
        self._size[0] = size
        return -1 if function(session, pointer, self._size) else int(self._size[0])


class PortableSrtp:
    """Through pylibsrtp's public calls, which copy."""

    tx: Any = None
    rx: Any = None

    def __init__(self, tx: pylibsrtp.Session, rx: pylibsrtp.Session) -> None:
        self._tx = tx
        self._rx = rx

    def protect(self, view: memoryview, pointer: Any, size: int) -> int:
        """An RTP packet, to be sent."""
        return _replace(view, self._tx.protect, size)

    def unprotect(self, view: memoryview, pointer: Any, size: int) -> int:
        """A received RTP packet."""
        return _replace(view, self._rx.unprotect, size)

    def protect_rtcp(self, view: memoryview, pointer: Any, size: int) -> int:
        """A compound RTCP packet, to be sent."""
        return _replace(view, self._tx.protect_rtcp, size)

    def unprotect_rtcp(self, view: memoryview, pointer: Any, size: int) -> int:
        """A received compound RTCP packet."""
        return _replace(view, self._rx.unprotect_rtcp, size)


def _replace(view: memoryview, function: Callable[[bytes], bytes], size: int) -> int:
    try:
        made = function(bytes(view[:size]))
    except (pylibsrtp.Error, ValueError):  # ValueError: too long for its buffer of 1,500 bytes
        return -1
    view[: len(made)] = made
    return len(made)


class Certificate:
    """A DTLS certificate with its key (ECDSA P-256, good for 30 days; aiortc makes it)."""

    def __init__(self) -> None:
        self._made = RTCCertificate.generateCertificate()

    @property
    def fingerprint(self) -> Fingerprint:
        """SHA-256."""
        found = next(each for each in self._made.getFingerprints() if each.algorithm == FINGERPRINT)
        return Fingerprint(found.algorithm, found.value)

    @property
    def expires_ms(self) -> int:
        """Unix milliseconds."""
        return int(self._made.expires.timestamp() * 1000)

    @property
    def raw(self) -> RTCCertificate:
        """For `Dtls`."""
        return self._made


class Ice(Protocol):
    """What aiortc's DTLS asks of the ICE transport below it."""

    role: str
    state: str

    async def _recv(self) -> bytes:
        """The next DTLS datagram. Raises ConnectionError when there will be none."""

    async def _send(self, data: bytes) -> None:
        """Sends a DTLS datagram."""


class Dtls:
    """One DTLS association."""

    def __init__(self, ice: Ice, certificate: Certificate, *, server: bool, closed: Callable[[], None]) -> None:
        """`closed` is called when the other side ends it."""
        self._closed = closed
        self._transport = RTCDtlsTransport(cast(Any, ice), [certificate.raw])
        self._transport._srtp_profiles = list(_PROFILES)  # noqa: SLF001
        self._transport._set_role("server" if server else "client")  # noqa: SLF001

    async def handshake(self, fingerprints: Sequence[Fingerprint], *, direct: bool) -> Srtp:
        """Raises RemoteError when it fails or the certificate is not the announced one; wrap it in a timeout."""
        known = [RTCDtlsFingerprint(each.algorithm, each.value) for each in fingerprints]
        await self._transport.start(RTCDtlsParameters(fingerprints=known))
        if self._transport.state != "connected":
            raise RemoteError("the DTLS handshake failed")
        tx, rx = self._transport._tx_srtp, self._transport._rx_srtp  # noqa: SLF001
        self._transport.on("statechange", self._changed)
        return DirectSrtp(tx, rx) if direct else PortableSrtp(tx, rx)

    async def close(self) -> None:
        """Says goodbye and ends; no other call is needed."""
        self._transport.remove_all_listeners()
        await self._transport.stop()

    def _changed(self) -> None:
        if self._transport.state in {"closed", "failed"}:
            self._closed()


def sessions(key: bytes, *, gcm: bool) -> tuple[pylibsrtp.Session, pylibsrtp.Session]:
    """A sender and a receiver with one key (28 bytes with GCM, else 30): pipes between nodes, self test, tests."""
    profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM if gcm else pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    made = []
    for direction in (pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND):
        policy = pylibsrtp.Policy(key=key, ssrc_type=direction, srtp_profile=profile)
        policy.window_size = 1_024
        made.append(pylibsrtp.Session(policy))
    return made[0], made[1]
