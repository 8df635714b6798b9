"""Each way in which a connection fails has its word, which is kept before the text and read back."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from node.base.errors import Code, RemoteError
from node.federation.proto.handshake import HandshakeRefused
from node.runtime.dial import UpgradeRefused
from node.runtime.targets import TargetRefused
from node.services.causes import Cause, Closed, NoName, cause_of, most_telling, tell, told

CASES = {
    Cause.NOT_ALLOWED: TargetRefused("a private address"),
    Cause.NOT_A_NODE: UpgradeRefused(404, "not found"),
    Cause.NO_NAME: socket.gaierror(-2, "unknown"),
    Cause.CLOSED: ConnectionResetError(),
    Cause.CERTIFICATE: ssl.SSLCertVerificationError("expired"),
    Cause.TIMEOUT: TimeoutError(),
    Cause.REFUSED: ConnectionRefusedError(),
    Cause.NO_ROUTE: OSError(errno.EHOSTUNREACH, "no route"),
    Cause.OTHER_NODE: HandshakeRefused(Code.KEY_CHANGED, "somebody else"),
    Cause.OTHER: HandshakeRefused(Code.NODE_BLOCKED, "not wanted"),
}


@pytest.mark.parametrize("cause", CASES)
def test_a_failure_has_its_word(cause: Cause) -> None:
    assert cause_of(CASES[cause]) is cause


def test_what_has_no_case_of_its_own() -> None:
    assert cause_of(NoName("the name has no address")) is Cause.NO_NAME
    assert cause_of(Closed("it refuses us")) is Cause.CLOSED
    assert cause_of(RemoteError("odd")) is Cause.OTHER
    assert cause_of(OSError("odd")) is Cause.OTHER


def test_of_many_the_most_telling_is_kept() -> None:
    assert most_telling([Cause.TIMEOUT, Cause.OTHER_NODE, Cause.REFUSED]) is Cause.OTHER_NODE
    assert most_telling([]) is Cause.NO_ADDRESS


def test_word_and_text_are_kept_in_one() -> None:
    kept = tell(Cause.TIMEOUT, "wss://a.example: nobody")
    assert told(kept) == ("timeout", "wss://a.example: nobody")
    assert told("wss://a.example: an older version wrote this") == (
        "other",
        "wss://a.example: an older version wrote this",
    )
    assert told("") == ("", "")
