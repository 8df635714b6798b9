"""What a node signed lately it knows again, by event and signature, once."""

from __future__ import annotations

import pytest

from node.core import hub
from node.services import roomkeys
from node.services.roomkeys import RoomKeys
from node.wire import keys
from tests.links import identity


@pytest.fixture
def own() -> RoomKeys:
    return RoomKeys(identity("a"))


def test_a_signature_is_known_again_once(own: RoomKeys) -> None:
    signature = own.sign_event(b"event")
    assert keys.is_signed(own.key.op, signature, hub.CONTEXT + b"event")
    assert own.has_signed(b"event", signature)
    assert not own.has_signed(b"event", signature), "it is verified the next time"


@pytest.mark.parametrize(("event", "signature"), [(b"other", None), (b"event", None), (b"event", bytes(64))])
def test_what_it_did_not_sign_it_does_not_know(own: RoomKeys, event: bytes, signature: bytes | None) -> None:
    signed = own.sign_event(b"event")
    assert not own.has_signed(event, signature if event == b"event" else signed)


def test_what_is_remembered_has_an_end(own: RoomKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roomkeys, "LATELY_MAX", 2)
    signed = {event: own.sign_event(event) for event in (b"1", b"2", b"3")}
    assert [own.has_signed(event, signature) for event, signature in signed.items()] == [False, True, True]
