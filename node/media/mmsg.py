"""Many datagrams by one system call: recvmmsg(2) and sendmmsg(2) of Linux, through cffi without a compiler (ABI mode).

The structures are those of the C library's <sys/socket.h> on Linux, both glibc and musl (whose padding is zero and little-endian);
`selftest` sends real datagrams through them before anybody relies on it. Addresses are the raw bytes of a sockaddr: 16 of IPv4,
28 of IPv6; as a key of a table they are sliced off as they come.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

import cffi

from node.base import limits
from node.media import compat

MSG_DONTWAIT: Final = 0x40
SOCKADDR_BYTES: Final = {socket.AF_INET: 16, socket.AF_INET6: 28}
KEY_BYTES: Final = {socket.AF_INET: 8, socket.AF_INET6: 28}  # of IPv4 the rest is padding
_MAPPED: Final = bytes(10) + b"\xff\xff"
_DECLARATIONS: Final = """
struct iovec { void *iov_base; size_t iov_len; };
struct msghdr {
    void *msg_name; unsigned int msg_namelen; struct iovec *msg_iov; size_t msg_iovlen;
    void *msg_control; size_t msg_controllen; int msg_flags;
};
struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
int sendmmsg(int, struct mmsghdr *, unsigned int, int);
int recvmmsg(int, struct mmsghdr *, unsigned int, int, void *);
"""


def available() -> bool:
    """This system may have the two calls; `selftest` makes sure."""
    return sys.platform == "linux" and sys.byteorder == "little"


class Messages:
    """`MEDIA_BATCH` message headers over the memory of `slots`, and the two calls. Addresses are of `family`."""

    def __init__(self, slots: compat.Slots, family: socket.AddressFamily) -> None:
        self._ffi = cffi.FFI()
        self._ffi.cdef(_DECLARATIONS)
        self._libc = self._ffi.dlopen(None)
        self._slots = slots  # owns the memory
        count, size = limits.MEDIA_BATCH, limits.MEDIA_SLOT_BYTES
        name_bytes = SOCKADDR_BYTES[family]
        self.vector: Any = self._ffi.new("struct mmsghdr[]", count)
        self._iovs: Any = self._ffi.new("struct iovec[]", count)
        self._names: Any = self._ffi.new("char[]", count * 32)
        for at in range(count):
            self._iovs[at].iov_base = self._ffi.cast("void *", slots.address + at * size)
            self._iovs[at].iov_len = size
            header = self.vector[at].msg_hdr
            header.msg_iov = self._iovs + at
            header.msg_iovlen = 1
            header.msg_name = self._names + at * 32
            header.msg_namelen = name_bytes
        self.iovs: Sequence[Any] = tuple(self._iovs[at] for at in range(count))
        self.headers: Sequence[Any] = tuple(self.vector[at].msg_hdr for at in range(count))
        self.lengths: Sequence[Any] = tuple(self.vector[at] for at in range(count))  # .msg_len
        self.names: Sequence[Any] = tuple(
            self._ffi.buffer(self._names + at * 32, KEY_BYTES[family]) for at in range(count)
        )

    def receive(self, fd: int) -> int:
        """How many were received, at most `MEDIA_BATCH`; 0 or less: none now."""
        return int(self._libc.recvmmsg(fd, self.vector, limits.MEDIA_BATCH, MSG_DONTWAIT, self._ffi.NULL))

    def send(self, fd: int, start: int, count: int) -> int:
        """How many of the messages from `start` on were sent; below 1: see `errno`."""
        return int(self._libc.sendmmsg(fd, self.vector + start, count, MSG_DONTWAIT))

    @property
    def errno(self) -> int:
        """Of the last call."""
        return int(self._ffi.errno)

    def sockaddr(self, key: bytes) -> Any:
        """An address in memory, to be pointed to by `headers[…].msg_name`; the caller keeps it as long as that."""
        return self._ffi.new("char[]", key.ljust(32, b"\0"))


def shown(key: bytes) -> tuple[bytes, int]:
    """The IP address (4 or 16 bytes; IPv4 in IPv6 clothes as 4) and port of a raw sockaddr."""
    port = int.from_bytes(key[2:4], "big")
    if len(key) < SOCKADDR_BYTES[socket.AF_INET6]:
        return key[4:8], port
    ip = key[8:24]
    return (ip[12:] if ip.startswith(_MAPPED) else ip), port


def address(key: bytes) -> tuple[str, int] | tuple[str, int, int, int]:
    """What `socket.sendto` takes."""
    port = int.from_bytes(key[2:4], "big")
    if len(key) < SOCKADDR_BYTES[socket.AF_INET6]:
        return socket.inet_ntop(socket.AF_INET, key[4:8]), port
    return socket.inet_ntop(socket.AF_INET6, key[8:24]), port, 0, int.from_bytes(key[24:28], sys.byteorder)
