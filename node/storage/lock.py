"""One process for one data directory, held by the kernel.

``lock`` is locked with flock(2) for the life of the process, so it is free again after any kind of death; the
file itself stays and means nothing. It holds the pid of the owner, for the sentence that the second process prints.
On a network file system without locks this guards nothing: keep the data directory on a local disk.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from node.base.errors import ExitStatus, Fatal

FILE: Final = "lock"


class DataLock:
    """Takes the lock at once, or raises Fatal with DATA_IN_USE. Release it with `close`, or use ``with``."""

    def __init__(self, data: Path) -> None:
        path = data / FILE
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Fatal(
                ExitStatus.DATA_UNWRITABLE,
                f"{path} cannot be opened for writing ({error.strerror}). Check owner and rights of the folder.",
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read_pid(self._fd)
            os.close(self._fd)
            raise Fatal(
                ExitStatus.DATA_IN_USE,
                f"Another process{owner} uses the data directory {data}. Stop it first, or choose another directory with --data.",
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Gives the directory free."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_locked(data: Path) -> bool:
    """Whether some process uses the directory now."""
    try:
        fd = os.open(data / FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _read_pid(fd: int) -> str:
    text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    return f" (pid {text})" if text.isdigit() else ""
