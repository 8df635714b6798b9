"""Callers on a real relay: a room on a real port, and devices that send and get RTP through real ICE, DTLS and SRTP.

A `Caller` offers with numbers of its own (like Firefox, not the canonical ones), answers what it is offered, and keeps what came, by mid.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from node.media import compat, port, udpmux
from node.media.fanout import Fanout
from node.media.proto import rtcp, rtp, sdp, sdpread
from node.media.room import Room
from node.runtime.clock import SystemClock
from node.runtime.entropy import SystemEntropy
from node.services.relay import Quality, Track, Wanted
from tests.integration.media.device import CERTIFICATE, Device

OPUS, VP8, RTX = 109, 120, 124
LEVEL, SEND_TIME, MID, RID, REPAIRED = 14, 2, 3, 10, 11
PATIENCE_S = 10
Item = TypeVar("Item")


class House:
    """The worker of a test."""

    def __init__(self, mux: udpmux.UdpMux, tasks: asyncio.TaskGroup) -> None:
        self.mux = mux
        self.clock = SystemClock()
        self.entropy = SystemEntropy()
        self.tasks = tasks
        self.fanout = Fanout(mux)
        self.callers: list[Caller] = []
        self.said: list[tuple[bytes, ...]] = []
        self.room = Room(b"c" * 16, host=self, events=self, fanout=self.fanout)

    def later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, call)

    def caller(self) -> Caller:
        """A new one, seated."""
        number = len(self.callers)
        made = Caller(self, bytes((number,)) * 8)
        self.callers.append(made)
        self.room.seat(made.seat)
        return made

    def _of(self, seat: bytes) -> Caller:
        return next(caller for caller in self.callers if caller.seat == seat)

    def offered(self, call: bytes, seat: bytes, version: int, sdp: str, tracks: Mapping[str, Track]) -> None:
        for caller in self.callers:
            if caller.seat == seat:
                caller.offered(version, sdp, tracks)

    def connected(self, call: bytes, seat: bytes, *, on: bool) -> None:
        self._of(seat).states.append(on)

    def published(self, call: bytes, seat: bytes, sources: Sequence[str]) -> None:
        self._of(seat).published = tuple(sources)

    def speakers(self, call: bytes, seats: Sequence[bytes]) -> None:
        self.said.append(tuple(seats))

    def quality(self, call: bytes, seat: bytes, quality: Quality) -> None:
        self._of(seat).quality = quality

    def failed(self, call: bytes) -> None:
        raise AssertionError

    def pipe_wanted(self, call: bytes, node: object, tracks: Sequence[Wanted]) -> None:
        raise AssertionError


@asynccontextmanager
async def house(*, fast: bool = True) -> AsyncIterator[House]:
    async with asyncio.TaskGroup() as tasks:
        mux = udpmux.UdpMux(
            port.bind("127.0.0.1", 0),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            tasks=tasks,
            certificate=compat.Certificate(),
            mmsg_works=fast,
            direct=fast,
        )
        mux.candidates = (sdp.Candidate("127.0.0.1", mux.port),)
        made = House(mux, tasks)
        try:
            yield made
        finally:
            made.room.end()
            mux.close()
            for caller in made.callers:
                caller.close()
            assert not mux.dropped.get("fault"), mux.dropped


class Stream:
    """What a caller sends on one m-line (one layer of it)."""

    def __init__(self, caller: Caller, mid: str, *, video: bool, ssrc: int, rid: str = "") -> None:
        self.caller = caller
        self.mid = mid
        self.video = video
        self.ssrc = ssrc
        self.repair = ssrc + 1
        self.rid = rid
        self.seq = 65_500  # the wrap is near
        self.repair_seq = 9
        self.sent: dict[int, bytes] = {}

    def packet(
        self, payload: bytes, *, timestamp: int = 0, mark: bool = False, level: int = -1, extra: bytes = b""
    ) -> bytes:
        """The next one, not sent yet."""
        block = bytes((MID << 4 | len(self.mid) - 1,)) + self.mid.encode()
        if self.rid:
            block += bytes((RID << 4 | len(self.rid) - 1,)) + self.rid.encode()
        if level >= 0:
            block += bytes((LEVEL << 4, level))
        block += bytes((SEND_TIME << 4 | 2, 1, 2, 3)) + extra
        data = self._whole(block, VP8 if self.video else OPUS, self.seq, timestamp, self.ssrc, payload, mark=mark)
        self.sent[self.seq] = data
        self.seq = self.seq + 1 & 0xFFFF
        return data

    @staticmethod
    def _whole(block: bytes, kind: int, seq: int, timestamp: int, ssrc: int, payload: bytes, *, mark: bool) -> bytes:
        block += bytes(-len(block) % 4)
        head = struct.pack("!BBHII", 0x90, mark << 7 | kind, seq, timestamp & 0xFFFFFFFF, ssrc)
        return head + struct.pack("!HH", rtp.ONE_BYTE, len(block) // 4) + block + payload

    def send(self, payload: bytes, *, timestamp: int = 0, mark: bool = False, level: int = -1, extra: bytes = b"") -> None:  # fmt: skip
        assert self.caller.up is not None
        self.caller.up.send_rtp(self.packet(payload, timestamp=timestamp, mark=mark, level=level, extra=extra))

    def repeat(self, seq: int) -> None:
        """Answers a NACK with RTX."""
        data = self.sent[seq]
        where = rtp.layout(data, len(data))
        assert where is not None
        assert self.caller.up is not None
        block = bytes((MID << 4 | len(self.mid) - 1,)) + self.mid.encode()
        if self.rid:
            block += bytes((REPAIRED << 4 | len(self.rid) - 1,)) + self.rid.encode()
        _, mark_type, _, timestamp, _ = rtp.FIXED.unpack_from(data)
        payload = seq.to_bytes(2, "big") + data[where.payload :]
        self.repair_seq += 1
        self.caller.up.send_rtp(
            self._whole(block, RTX, self.repair_seq, timestamp, self.repair, payload, mark=mark_type > 127)
        )


class Caller:
    """One device. `got`: packets by mid, repairs undone; `loses` says which arriving packets are lost, by mid and sequence number."""

    def __init__(self, house: House, seat: bytes) -> None:
        self.house = house
        self.seat = seat
        self.up: Device | None = None
        self.down: Device | None = None
        self.states: list[bool] = []
        self.published: tuple[str, ...] = ()
        self.quality: Quality | None = None
        self.tracks: dict[str, Track] = {}
        self.offers: list[str] = []
        self.version = 0
        self.answers = True
        self.sources: dict[str, str] = {}
        self.rids: tuple[str, ...] = ()
        self._joining: asyncio.Task[None] | None = None

    # --- up ---------------------------------------------------------------------------------------------

    async def publish(self, *sources: str, rids: tuple[str, ...] = (), fid: dict[str, tuple[int, int]] | None = None) -> None:  # fmt: skip
        """Offers these, one m-line each, and connects. `fid`: SSRCs of a source that are announced."""
        self.sources = {str(number): source for number, source in enumerate(sources)}
        self.rids = rids
        first = self.up is None
        if self.up is None:
            local = sdp.Local(ufrag="", pwd="", fingerprint=CERTIFICATE.fingerprint, candidates=())
            self.up = Device(local, self.house.tasks)
        text = self.offer(fid or {})
        answer = self.house.room.offer(self.seat, text, self.sources)
        self.up.local = local_of(answer)
        if first:
            await self.up.connect()
            await self.until(lambda: bool(self.states) and self.states[-1])

    def offer(self, fid: Mapping[str, tuple[int, int]]) -> str:
        assert self.up is not None
        lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", f"a=group:BUNDLE {' '.join(self.sources)}"]
        for mid, source in self.sources.items():
            video = source in {"camera", "screen"}
            kinds = f"{VP8} {RTX}" if video else str(OPUS)
            lines += [f"m={'video' if video else 'audio'} 9 UDP/TLS/RTP/SAVPF {kinds}", "c=IN IP4 0.0.0.0"]
            lines += [f"a=mid:{mid}", "a=sendonly", "a=rtcp-mux", "a=setup:actpass"]
            lines += [f"a=ice-ufrag:{self.up.ufrag}", f"a=ice-pwd:{self.up.pwd}"]
            lines += [f"a=fingerprint:sha-256 {CERTIFICATE.fingerprint.value}"]
            lines += [f"a=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid"]
            lines += [f"a=extmap:{SEND_TIME} http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"]
            if video:
                lines += [f"a=rtpmap:{VP8} VP8/90000", f"a=rtpmap:{RTX} rtx/90000", f"a=fmtp:{RTX} apt={VP8}"]
                lines += [f"a=rtcp-fb:{VP8} nack", f"a=rtcp-fb:{VP8} nack pli", f"a=rtcp-fb:{VP8} goog-remb"]
                lines += [f"a=extmap:{RID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"]
                lines += [f"a=extmap:{REPAIRED} urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"]
                lines += ["a=extmap:13 urn:3gpp:video-orientation"]
                if self.rids and source == "camera":
                    lines += [f"a=rid:{rid} send" for rid in self.rids]
                    lines += [f"a=simulcast:send {';'.join(self.rids)}"]
            else:
                lines += [f"a=rtpmap:{OPUS} opus/48000/2"]
                lines += [f"a=extmap:{LEVEL} urn:ietf:params:rtp-hdrext:ssrc-audio-level"]
            if source in fid:
                main, repair = fid[source]
                lines += [f"a=ssrc-group:FID {main} {repair}", f"a=ssrc:{main} cname:x", f"a=ssrc:{repair} cname:x"]
        return "\r\n".join(lines) + "\r\n"

    def stream(self, source: str, *, ssrc: int, rid: str = "") -> Stream:
        mid = next(mid for mid, name in self.sources.items() if name == source)
        return Stream(self, mid, video=source in {"camera", "screen"}, ssrc=ssrc, rid=rid)

    # --- down -------------------------------------------------------------------------------------------

    def offered(self, version: int, text: str, tracks: Mapping[str, Track]) -> None:
        self.version = version
        self.tracks = dict(tracks)
        self.offers.append(text)
        if self.answers:
            asyncio.get_running_loop().call_soon(self.answer, version, text)

    def answer(self, version: int, text: str) -> None:
        if self.seat not in self.house.room._seats:
            return
        local = local_of(text)
        if self.down is None:
            self.down = Device(local, self.house.tasks)
            self._joining = self.house.tasks.create_task(self._join(self.down))
        self.down.local = local
        self.house.room.answer(self.seat, version, self.answer_to(text))

    @staticmethod
    async def _join(device: Device) -> None:
        """Checks until it is in: a node begins only a few handshakes a second with one address."""
        joining = asyncio.ensure_future(device.connect())
        try:
            while not joining.done():
                await asyncio.wait((joining,), timeout=0.2)
                device.check()
        finally:
            joining.cancel()

    def answer_to(self, text: str) -> str:
        """Takes everything that was offered."""
        assert self.down is not None
        ours = {
            "a=ice-ufrag": f"a=ice-ufrag:{self.down.ufrag}",
            "a=ice-pwd": f"a=ice-pwd:{self.down.pwd}",
            "a=fingerprint": f"a=fingerprint:sha-256 {CERTIFICATE.fingerprint.value}",
            "a=sendonly": "a=recvonly",
            "a=setup": "a=setup:active",
        }
        left_out = {"a=candidate", "a=end-of-candidates", "a=ssrc", "a=ssrc-group", "a=msid", "a=ice-lite"}
        lines = [(line.partition(":")[0], line) for line in text.split("\r\n")]
        return "\r\n".join(ours.get(name, line) for name, line in lines if name not in left_out)

    def mid_of(self, seat: bytes, source: str) -> str:
        return next((mid for mid, track in self.tracks.items() if track == Track(seat, source)), "")

    def ssrcs(self, mid: str) -> tuple[int, int]:
        """(media, repair) of an m-line in the newest offer."""
        part = self.offers[-1].split(f"a=mid:{mid}\r\n")[1].split("\r\nm=")[0]
        numbers = [int(line.split(":")[1].split()[0]) for line in part.split("\r\n") if line.startswith("a=ssrc:")]
        return (*numbers, 0, 0)[0], (*numbers, 0, 0)[1]

    @property
    def connected(self) -> bool:
        return self.down is not None and self.down.srtp is not None

    def packets(self, ssrc: int) -> list[bytes]:
        """What came with this SSRC, as it came."""
        if self.down is None:
            return []
        return [data for data in self.down.rtp if int.from_bytes(data[8:12], "big") == ssrc]

    def items(self, kind: type[Item]) -> list[Item]:
        """What RTCP said, up and down, of one kind."""
        said = [data for device in (self.up, self.down) if device for data in device.rtcp]
        return [item for data in said for item in rtcp.parse(data) if isinstance(item, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.005)

    async def sees(self, seat: bytes, source: str) -> str:
        """The mid of this track, once it was offered and answered."""
        await self.until(lambda: self.connected and bool(self.mid_of(seat, source)))
        return self.mid_of(seat, source)

    async def leave(self) -> None:
        """Ends both associations, so that nothing of this caller is left."""
        for device in (self.up, self.down):
            if device is not None and device.srtp is not None:
                async with asyncio.timeout(PATIENCE_S):
                    await device.dtls.close()
        self.close()

    def close(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
        for device in (self.up, self.down):
            if device is not None:
                device.close()


def local_of(text: str) -> sdp.Local:
    """The node's side of a description of its."""

    def value(name: str) -> str:
        return text.split(f"a={name}:")[1].split("\r\n", maxsplit=1)[0]

    candidate = value("candidate").split()
    return sdp.Local(
        ufrag=value("ice-ufrag"),
        pwd=value("ice-pwd"),
        fingerprint=sdpread.Fingerprint("sha-256", value("fingerprint").split()[1]),
        candidates=(sdp.Candidate(candidate[4], int(candidate[5])),),
    )


def by_seq(packets: Sequence[bytes]) -> dict[int, list[bytes]]:
    """Packets by sequence number."""
    found = defaultdict(list)
    for data in packets:
        found[int.from_bytes(data[2:4], "big")].append(data)
    return dict(found)


def payload_of(data: bytes) -> bytes:
    """What an RTP packet carries."""
    where = rtp.layout(data, len(data))
    assert where is not None
    return data[where.payload : where.end]
