"""The handshake proves who is there, and every way of pretending fails before anything else is said."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code, RemoteError
from node.base.ids import NodeId
from node.federation.proto import handshake as machine
from node.federation.proto.handshake import PLAIN_BYTES, RECORD_BYTES, Handshake, HandshakeRefused, Role
from node.wire import keys, s2s
from node.wire.keys import Certified
from tests.links import Who, identity
from tests.unit.federation.proto_pair import ALICE, BOB, NOW_S, channels, initiator, responder, run

EVE = identity("eve")


def changed(who: Who, **fields: object) -> Who:
    return msgspec.structs.replace(who, **fields)


def test_both_sides_learn_who_is_there() -> None:
    for_alice, for_bob = run(initiator(), responder())
    assert (for_alice.who.nid, for_bob.who.nid) == (BOB.nid, ALICE.nid)
    assert for_alice.who.op == BOB.cert.op
    assert keys.decode_chain(for_bob.chain) == ALICE.chain
    assert not for_alice.bound


def test_a_long_chain_fits() -> None:
    far = identity("far", rotations=6, incarnation=9)
    _, for_bob = run(initiator(own=far), responder())
    assert (for_bob.who.rotations, for_bob.who.incarnation) == (6, 9)


def test_the_first_message_tells_nothing_and_the_second_asks_for_proof_of_the_target() -> None:
    dials = initiator(target=EVE.nid)
    listens = responder()
    [first] = dials.to_send()
    assert len(first) == 32
    listens.receive(first)
    [second] = listens.to_send()
    with pytest.raises(RemoteError, match="another node"):
        dials.receive(second)


def test_a_wrong_node_that_takes_any_prologue_is_still_refused() -> None:
    dials = initiator(target=BOB.nid)
    listens = responder(own=EVE, target=BOB.nid)  # Eve pretends to be whoever is wanted
    with pytest.raises(HandshakeRefused) as refused:
        run(dials, listens)
    assert refused.value.code is Code.KEY_CHANGED


def test_with_bobs_identity_but_another_noise_key_nothing_is_proved() -> None:
    swapped = changed(BOB, noise_key=EVE.noise_key, op_key=EVE.op_key)  # chain and certificate are public
    with pytest.raises(RemoteError, match="not signed for this handshake"):
        run(initiator(), responder(own=swapped))


def test_an_identity_payload_of_another_handshake_is_refused() -> None:
    class Replaying(Handshake):
        payload = b""

        def _payload(self, kind: int) -> bytes:
            return self.payload or super()._payload(kind)

    recorded = responder()
    made = recorded._payload(0)
    listens = Replaying(role=Role.RESPONDER, own=BOB, target=BOB.nid, now_s=NOW_S, accept=lambda who: None)
    listens.payload = made
    with pytest.raises(RemoteError, match="not signed for this handshake"):
        run(initiator(), listens)


def test_a_replayed_last_message_does_not_decrypt() -> None:
    dials, listens = initiator(), responder()
    listens.receive(*dials.to_send())
    dials.receive(*listens.to_send())
    [last] = dials.to_send()
    again = responder()
    again.receive(*initiator().to_send())
    with pytest.raises(RemoteError, match="does not decrypt"):
        again.receive(last)


def test_a_node_does_not_link_itself() -> None:
    with pytest.raises(HandshakeRefused) as refused:
        run(initiator(own=BOB), responder())
    assert refused.value.code is Code.CONFLICT


def test_a_signature_of_one_role_does_not_serve_the_other() -> None:
    class Reflecting(Handshake):
        def _payload(self, kind: int) -> bytes:
            self._role = Role.RESPONDER
            try:
                return super()._payload(kind)
            finally:
                self._role = Role.INITIATOR

    dials = Reflecting(role=Role.INITIATOR, own=ALICE, target=BOB.nid, now_s=NOW_S, accept=lambda who: None)
    with pytest.raises(RemoteError, match="not signed for this handshake"):
        run(dials, responder())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda who: changed(who, op_key=Ed25519PrivateKey.generate()),
        lambda who: changed(who, cert=msgspec.structs.replace(who.cert, incarnation=7)),
        lambda who: changed(who, chain=EVE.chain),
        lambda who: changed(who, cert=EVE.cert),
    ],
    ids=["signature", "raised incarnation", "foreign chain", "foreign certificate"],
)
@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_every_piece_of_an_identity_must_fit(spoil: Callable[[Who], Who], side: str) -> None:
    pair = (
        (initiator(own=spoil(ALICE)), responder()) if side == "initiator" else (initiator(), responder(own=spoil(BOB)))
    )
    with pytest.raises(RemoteError):
        run(*pair)


@pytest.mark.parametrize("drift_s", [-keys.CERT_BACKDATED_S - 400, keys.CERT_LIFE_S + 400])
def test_a_certificate_outside_its_time_is_refused(drift_s: int) -> None:
    with pytest.raises(RemoteError, match="certificate"):
        run(initiator(now_s=NOW_S + drift_s), responder())


def test_a_pin_is_asked_before_the_initiator_shows_itself() -> None:
    def older(who: Certified) -> None:
        raise HandshakeRefused(Code.KEY_CHANGED, "older")

    dials, listens = initiator(accept=older), responder()
    listens.receive(*dials.to_send())
    with pytest.raises(HandshakeRefused):
        dials.receive(*listens.to_send())
    assert dials.to_send() == []


class TestChannelBinding:
    def test_the_same_certificate_at_both_ends(self) -> None:
        for_alice, for_bob = run(initiator(binding=b"c" * 32), responder(binding=b"c" * 32))
        assert for_alice.bound
        assert for_bob.bound

    def test_somebody_between_two_tls_connections_is_found(self) -> None:
        with pytest.raises(HandshakeRefused, match="not signed"):
            run(initiator(binding=b"m" * 32), responder(binding=b"c" * 32))

    def test_tls_that_ends_in_a_proxy_is_not_bound(self) -> None:
        for_alice, for_bob = run(initiator(binding=b"p" * 32), responder())
        assert not for_alice.bound
        assert not for_bob.bound

    def test_unless_this_address_once_was(self) -> None:
        with pytest.raises(HandshakeRefused) as refused:
            run(initiator(binding=b"p" * 32, binding_required=True), responder())
        assert refused.value.code is Code.KEY_CHANGED

    def test_a_responder_that_served_tls_where_none_was_seen(self) -> None:
        with pytest.raises(HandshakeRefused, match="where there is none"):
            run(initiator(), responder(binding=b"c" * 32))


def test_messages_are_short_and_three() -> None:
    listens = responder()
    with pytest.raises(RemoteError):
        listens.receive(bytes(33))
    with pytest.raises(RemoteError):
        responder().receive(bytes(limits.HANDSHAKE_MESSAGE_BYTES_MAX + 1))
    dials, done = initiator(), responder()
    run(dials, done)
    with pytest.raises(RemoteError):
        done.receive(bytes(48))


def test_a_payload_above_its_limit_is_refused() -> None:
    class Talkative(Handshake):
        def _payload(self, kind: int) -> bytes:
            return super()._payload(kind) + bytes(limits.HANDSHAKE_PAYLOAD_BYTES_MAX)

    listens = Talkative(role=Role.RESPONDER, own=BOB, target=BOB.nid, now_s=NOW_S, accept=lambda who: None)
    with pytest.raises(RemoteError):
        run(initiator(), listens)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31)], ids=["zero", "one"])
def test_keys_of_low_order_are_useless(key: bytes) -> None:
    with pytest.raises(RemoteError):
        responder().receive(key)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_bytes_of_any_kind_never_make_it_crash(data: st.DataObject) -> None:
    dials, listens = initiator(), responder()
    listens.receive(*dials.to_send())
    [second] = listens.to_send()
    hurt = bytearray(second)
    for _ in range(data.draw(st.integers(1, 4))):
        hurt[data.draw(st.integers(0, len(hurt) - 1))] ^= data.draw(st.integers(1, 255))
    junk = data.draw(st.one_of(st.binary(max_size=300), st.just(bytes(hurt))))
    if junk != second:
        with pytest.raises(RemoteError):
            dials.receive(junk)
    with pytest.raises(RemoteError):
        listens.receive(data.draw(st.binary(max_size=300)))


class TestChannel:
    @pytest.mark.parametrize(
        "size", [1, PLAIN_BYTES - 1, PLAIN_BYTES, PLAIN_BYTES + 1, 4 * PLAIN_BYTES, limits.FRAME_BYTES_MAX]
    )
    def test_a_frame_is_one_to_five_records_all_but_the_last_full(self, size: int) -> None:
        one, two = channels()
        sealed = one.seal(b"x" * size)
        records = -(-size // PLAIN_BYTES)
        assert len(sealed) == size + 16 * records
        assert records <= 5
        assert len(sealed) <= limits.LINK_MESSAGE_BYTES_MAX
        assert records == 1 or len(sealed) > (records - 1) * RECORD_BYTES
        assert two.open(sealed) == b"x" * size

    @pytest.mark.parametrize("size", [0, 16, limits.LINK_MESSAGE_BYTES_MAX + 1])
    def test_sizes_that_no_frame_has(self, size: int) -> None:
        _, two = channels()
        with pytest.raises(RemoteError):
            two.open(bytes(size))

    def test_each_message_is_read_once_and_in_order(self) -> None:
        one, two = channels()
        first, second = one.seal(b"first"), one.seal(b"second")
        with pytest.raises(RemoteError):
            channels()[1].open(first)
        assert two.open(first) == b"first"
        with pytest.raises(RemoteError):
            two.open(first)
        assert two.open(second) == b"second", "a failed one does not move the counter"

    def test_the_next_key(self) -> None:
        one, two = channels()
        one.seal(b"x")
        assert one.records_out == 1
        one.rekey_out()
        with pytest.raises(RemoteError):
            two.open(one.seal(b"too early"))


def test_the_signature_covers_everything() -> None:
    base = machine.signing_input(Role.INITIATOR, ALICE.nid, b"s" * 32, b"h" * 32, b"")
    assert base == b"startalk-noise-v1\x00\x01" + ALICE.nid + b"s" * 32 + b"h" * 32
    assert machine.prologue(NodeId(bytes(32))).startswith(s2s.SUBPROTOCOL.encode() + b"\x00")
