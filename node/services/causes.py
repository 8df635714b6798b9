"""Why a node could not be reached, as one word that every program can put into the language of its reader; the text beside it is for
those who look closer.

The word is chosen where the exception is caught (`cause_of`) and is kept before the text of the last attempt, as ``word: text`` (`tell`,
`told`). Of several addresses that failed, the word that tells most is kept: the first in the order of `Cause`.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from node.base.errors import Code, RemoteError
from node.runtime.dial import UpgradeRefused
from node.runtime.targets import TargetRefused


class Cause(StrEnum):
    """What went wrong, most telling first."""

    REVOKED = "revoked"  # its owner ended the identity
    OTHER_NODE = "other_node"  # another identity answers there
    CLOSED = "closed"  # it was there and turned us away
    CERTIFICATE = "certificate"  # TLS, or the certificate of the name
    NOT_A_NODE = "not_a_node"  # something else answers
    REFUSED = "refused"  # nothing listens there
    TIMEOUT = "timeout"
    NO_ROUTE = "no_route"  # this machine's network does not lead there
    NO_NAME = "no_name"  # the name has no address
    NOT_ALLOWED = "not_allowed"  # this node does not connect there
    OTHER = "other"
    NO_ADDRESS = "no_address"  # nothing was tried


class NoName(RemoteError):
    """A name without an address."""


class Closed(RemoteError):
    """The other side ended a handshake."""


_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_RANK: Final = {cause: rank for rank, cause in enumerate(Cause)}
_BETWEEN: Final = ": "


def cause_of(error: BaseException) -> Cause:
    """Of what an attempt to connect raised."""
    match error:
        case TargetRefused():
            return Cause.NOT_ALLOWED
        case UpgradeRefused():
            return Cause.NOT_A_NODE
        case NoName() | socket.gaierror():
            return Cause.NO_NAME
        case Closed() | ConnectionResetError() | BrokenPipeError():
            return Cause.CLOSED
        case ssl.SSLError():
            return Cause.CERTIFICATE
        case TimeoutError():
            return Cause.TIMEOUT
        case ConnectionRefusedError():
            return Cause.REFUSED
        case OSError() if error.errno in _ROUTE:
            return Cause.NO_ROUTE
        case _:  # a refusal of the handshake has a code
            return Cause.OTHER_NODE if getattr(error, "code", None) is Code.KEY_CHANGED else Cause.OTHER


def most_telling(causes: Iterable[Cause]) -> Cause:
    """Of many attempts; `no_address` of none."""
    return min(causes, key=_RANK.__getitem__, default=Cause.NO_ADDRESS)


def tell(cause: str, text: str) -> str:
    """To keep both in one text."""
    return f"{cause}{_BETWEEN}{text}"


def told(kept: str) -> tuple[str, str]:
    """(cause, text) of what `tell` made; a text of an older version is of `other` cause, an empty one of none."""
    word, between, text = kept.partition(_BETWEEN)
    if between and word in _RANK:
        return word, text
    return (str(Cause.OTHER) if kept else ""), kept
