"""What works on this machine, tried at the start of a worker: two DTLS transports shake hands in memory, SRTP called in place does what
it does by byte strings, a batch of datagrams goes through the two system calls.

=====  ====================================================  ==============================================
level  path                                                  when
=====  ====================================================  ==============================================
2      batches by one system call, libsrtp in place          everything works (Linux)
1      one call per datagram; libsrtp in place, else copied  other systems, or one of the two does not work
0      no calls, for `reason`; the node runs                 no DTLS, no SRTP, no UDP
=====  ====================================================  ==============================================
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from node.base import limits
from node.base.errors import RemoteError
from node.media import compat, mmsg
from node.media.proto.sdpread import Fingerprint

HANDSHAKE_S: Final = 10.0
_PACKET: Final = bytes.fromhex("8060000100000001000000ff") + bytes(range(200))
_KEYS: Final = ((bytes(range(28)), True), (bytes(range(30)), False))
_LOOPBACK: Final = "127.0.0.1"


class Found(Struct, frozen=True):
    """See the table above."""

    level: int
    direct: bool = False
    batches: bool = False
    reason: str = ""


async def examine() -> Found:
    """Never raises."""
    try:
        await _try_handshake()
        _try_srtp()
    except Exception as error:  # noqa: BLE001 - whatever another version of a library does, the node goes on without calls
        return Found(0, reason=f"DTLS or SRTP does not work on this machine ({error!r})")
    direct = _works(_try_direct)
    batches = direct and mmsg.available() and _works(_try_batches)
    return Found(2 if batches else 1, direct=direct, batches=batches)


def _works(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


class _End:
    """One end of a line in memory (`compat.Ice`)."""

    role = "controlled"
    state = "completed"

    def __init__(self) -> None:
        self.other = self
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue()

    async def _recv(self) -> bytes:
        return await self.waiting.get()

    async def _send(self, data: bytes) -> None:
        self.other.waiting.put_nowait(data)


async def _try_handshake() -> None:
    certificate = compat.Certificate()
    left, right = _End(), _End()
    left.other, right.other = right, left
    ends = [
        compat.Dtls(end, certificate, server=server, closed=lambda: None)
        for end, server in ((left, True), (right, False))
    ]
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            here, there = await asyncio.gather(
                *(end.handshake((certificate.fingerprint,), direct=False) for end in ends)
            )
        slots = compat.Slots(1)
        size = _round_trip(here, there, slots)
        _expect(size == len(_PACKET), "media keys of both ends differ")
        _expect(await _refused(certificate), "a wrong certificate was believed")
    finally:
        for end in ends:
            await end.close()


async def _refused(certificate: compat.Certificate) -> bool:
    """A fingerprint that is not the certificate's ends the handshake."""
    wrong: Sequence[Fingerprint] = (Fingerprint("sha-256", ":".join(["00"] * 32)),)
    left, right = _End(), _End()
    left.other, right.other = right, left
    server = compat.Dtls(left, certificate, server=True, closed=lambda: None)
    client = compat.Dtls(right, certificate, server=False, closed=lambda: None)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            results = await asyncio.gather(
                server.handshake(wrong, direct=False),
                client.handshake((certificate.fingerprint,), direct=False),
                return_exceptions=True,
            )
        return isinstance(results[0], RemoteError)
    finally:
        await server.close()
        await client.close()


def _round_trip(sender: compat.Srtp, receiver: compat.Srtp, slots: compat.Slots) -> int:
    view, pointer = slots.views[0], slots.pointers[0]
    view[: len(_PACKET)] = _PACKET
    size = sender.protect(view, pointer, len(_PACKET))
    _expect(size > len(_PACKET) and bytes(view[12 : len(_PACKET)]) != _PACKET[12:], "nothing was encrypted")
    size = receiver.unprotect(view, pointer, size)
    _expect(bytes(view[:size]) == _PACKET, "a packet did not come back")
    return size


def _try_srtp() -> None:
    slots = compat.Slots(1)
    for key, gcm in _KEYS:
        tx, rx = compat.sessions(key, gcm=gcm)
        both = compat.PortableSrtp(tx, rx)
        _round_trip(both, both, slots)


def _try_direct() -> None:
    """In place gives the same bytes as by copies; a replayed packet is refused; so is a changed one."""
    slots = compat.Slots(1)
    view, pointer = slots.views[0], slots.pointers[0]
    for key, gcm in _KEYS:
        direct = compat.DirectSrtp(*compat.sessions(key, gcm=gcm))
        expected = compat.sessions(key, gcm=gcm)[0].protect(_PACKET)
        view[: len(_PACKET)] = _PACKET
        size = direct.protect(view, pointer, len(_PACKET))
        _expect(bytes(view[:size]) == expected, "libsrtp called in place differs")
        view[20] ^= 1
        _expect(direct.unprotect(view, pointer, size) < 0, "a changed packet was believed")
        view[:size] = expected
        _expect(direct.unprotect(view, pointer, size) == len(_PACKET), "a packet was refused")
        _expect(bytes(view[: len(_PACKET)]) == _PACKET, "a packet did not come back")
        view[:size] = expected
        _expect(direct.unprotect(view, pointer, size) < 0, "a replayed packet was believed")


def _try_batches() -> None:
    """`MEDIA_BATCH` datagrams of different sizes over loopback, by one call each way."""
    count = limits.MEDIA_BATCH
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
    ):
        for sock in (here, there):
            sock.bind((_LOOPBACK, 0))
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, count * 4096)
        out_slots, in_slots = compat.Slots(count), compat.Slots(count)
        out = mmsg.Messages(out_slots, socket.AF_INET)
        arrived = mmsg.Messages(in_slots, socket.AF_INET)
        here_port, there_port = (sock.getsockname()[1] for sock in (here, there))
        family = bytes(_key(there_port))
        target = out.sockaddr(family)
        for at in range(count):
            out_slots.views[at][: at + 1] = bytes([at]) * (at + 1)
            out.iovs[at].iov_len = at + 1
            out.headers[at].msg_name = target
        _expect(out.send(here.fileno(), 0, count) == count, "sendmmsg does not work")
        _expect(arrived.receive(there.fileno()) == count, "recvmmsg does not work")
        for at in range(count):
            _expect(arrived.lengths[at].msg_len == at + 1, "a datagram has another size")
            _expect(bytes(in_slots.views[at][: at + 1]) == bytes([at]) * (at + 1), "a datagram has other bytes")
            _expect(mmsg.address(bytes(arrived.names[at][:])) == (_LOOPBACK, here_port), "an address is another one")
        _expect(arrived.receive(there.fileno()) < 1, "datagrams came from nowhere")
        _expect(arrived.errno in {errno.EAGAIN, errno.EWOULDBLOCK}, "errno is not told")


def _key(port: int) -> bytes:
    """A raw sockaddr of loopback: family, port, address."""
    return int(socket.AF_INET).to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + socket.inet_aton(_LOOPBACK)


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise RemoteError(text)
