"""What an admin sees of calls and sets for them."""

from __future__ import annotations

import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import format_id, format_node
from node.client import Client
from node.core.account import NodeRole
from node.services.relay import CallReport, Quality, RelayReport, SeatReport, Standing, Track
from node.wire import api
from tests.cast import PASSWORD, Node, refuses
from tests.handset import handset
from tests.tape import Tape

pytestmark = pytest.mark.slow


class Reporting(Tape):
    """A relay that has something to report."""

    found: RelayReport | None = None

    async def report(self) -> RelayReport:
        if self.found is None:
            raise Rejected(Code.UNAVAILABLE, "The worker does not answer.")
        return self.found


async def admin_of(node: Node) -> Client:
    invite = await node.invite(role=NodeRole.ADMIN)
    return await node.enter(Client.register(node.url, invite=invite, local="olga", password=PASSWORD, name="Olga"))


async def test_an_admin_sees_calls_and_their_media(node: Node, alice: Client, bob: Client) -> None:
    tape = Reporting()
    node.services.calls.attach(tape)
    admin = await admin_of(node)
    room = await alice.open_direct(bob.user)
    async with handset(alice) as hers, handset(bob) as his:
        mine = await hers.start(room, media="video")
        seat = await his.join((await his.ring()).call)
        shown = await admin.api.call("GET", "/admin/calls", api.admin.AdminCalls)
        assert (shown.level, shown.cpu, len(shown.calls)) == (2, 0.0, 1), "the relay does not answer, the list is there"
        track = Track(mine.seat, "mic")
        tape.found = RelayReport(
            standing=Standing(level=1, port=8443), cpu=0.12345, packets_in=7, packets_out=70, dropped={"rtcp": 3},
            calls=(
                CallReport(
                    call=mine.call, in_kbps=640, out_kbps=1_280, pipes=(),
                    seats=(SeatReport(seat=mine.seat, tracks=(track,), legs=1, path="udp", quality=Quality(1, 640, 2, 32, 40)),),
                ),
            ),
        )  # fmt: skip
        shown = await admin.api.call("GET", "/admin/calls", api.admin.AdminCalls)
        assert (shown.level, shown.port, shown.dropped) == (1, 8443, {"rtcp": 3})
        assert shown.cpu == pytest.approx(0.1234, abs=2e-4)
        (call,) = shown.calls
        assert (call.call, call.room, call.kind, call.media) == (
            format_id(mine.call),
            format_id(room),
            "direct",
            "video",
        )
        assert (call.by, call.state, call.focus) == (alice.user, "live", format_node(node.nid))
        assert (call.in_kbps, call.out_kbps) == (640, 1_280)
        one, other = call.seats
        assert (one.user, one.path, one.legs, one.up_kbps, one.up_loss, one.rtt_ms) == (
            alice.user,
            "udp",
            1,
            640,
            1,
            40,
        )
        assert (other.seat, other.here, other.rtt_ms) == (format_id(seat.seat), True, -1)
        with pytest.raises(Rejected) as refusal:
            await alice.api.call("GET", "/admin/calls", api.admin.AdminCalls)
        assert refusal.value.code in {Code.FORBIDDEN, Code.ROLE_TOO_LOW}


async def test_an_admin_sets_the_bounds_of_calls(node: Node) -> None:
    admin = await admin_of(node)
    before = await admin.api.call("GET", "/admin/settings", api.admin.NodeSettings)
    assert before.calls == {
        "participants": limits.CALL_PARTICIPANTS, "cameras": limits.CALL_CAMERAS, "up_kbps": limits.CALL_UP_KBPS,
        "hours": limits.CALL_HOURS,
    }  # fmt: skip
    change = api.admin.ChangeSettings(calls={"participants": 3, "hours": 1})
    after = await admin.api.call("PATCH", "/admin/settings", api.admin.NodeSettings, change)
    assert after.calls == before.calls | {"participants": 3, "hours": 1}
    for calls in (
        {"participants": limits.CALL_PARTICIPANTS_MAX + 1},
        {"hours": limits.CALL_HOURS_MAX + 1},
        {"up_kbps": limits.CALL_UP_KBPS_MAX + 1},
        {"depth": 1},
    ):
        await refuses(
            Code.BAD_REQUEST,
            admin.api.call("PATCH", "/admin/settings", api.admin.NodeSettings, api.admin.ChangeSettings(calls=calls)),
        )


async def test_calls_are_counted(node: Node, alice: Client, bob: Client) -> None:
    node.services.calls.attach(Tape())
    room = await alice.open_direct(bob.user)
    async with handset(alice) as hers:
        await hers.start(room)
        text = node.services.metrics.exposition()[0].decode()
    for line in ("startalk_calls 1.0", "startalk_call_seats 1.0", "startalk_relay_level 2.0"):
        assert line in text
