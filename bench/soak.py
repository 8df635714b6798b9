"""``make soak``: a call of half an hour on a whole node, looked at every half minute. Prints a table, writes build/bench/soak.json.

One device sends the stream of bench/media (VP8 at 30 frames/s and Opus), three receive it through the node's worker. For each look:

* memory of the node's process and of its worker;
* packets that a receiver should have had and had not;
* drift: how far audio and video have moved apart at the receiver since the beginning. Sender reports say which time of the sender's clock an
  RTP timestamp stands for; what a packet of sound and one of video that arrive together say about the sender's clock must keep
  agreeing. The relay translates the reports, so an error in that shows here and nowhere else.
"""
# ruff: noqa: SLF001 - looks into aiortc for reports and timestamps

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import struct
import subprocess
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
from aiortc.rtp import RtcpPacket, RtcpSrPacket

from bench.media import messages, stream
from bench.media.peers import Count, sink
from bench.media.process import rss_kib
from bench.server import GENERATOR_CORE, Server
from node.base.ids import RoomId
from node.client import Call, Client

OUT: Final = Path("build/bench/soak.json")
RECEIVERS: Final = 3
LOOK_S: Final = 30.0
CLOCKS: Final = {111: 48_000, 96: 90_000}
SAMPLES_KEPT: Final = 400
_HEAD: Final = struct.Struct("!BBHII")


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    minute: float
    node_mib: float
    worker_mib: float
    packets: int
    missing: int
    drift_ms: float


class LipSync:
    """What the streams of one receiver say about the sender's clock."""

    def __init__(self, call: Call) -> None:
        assert call.transports is not None
        self.count = Count()
        self._reports: dict[int, tuple[float, int]] = {}  # NTP seconds and RTP timestamp, by SSRC
        self._samples: dict[int, list[float]] = {kind: [] for kind in CLOCKS}
        self._base: float | None = None
        dtls = call.transports[1].dtls
        inner_rtcp = dtls._handle_rtcp_data

        async def rtcp(data: bytes) -> None:
            for packet in RtcpPacket.parse(data):
                if isinstance(packet, RtcpSrPacket):
                    info = packet.sender_info
                    self._reports[packet.ssrc] = (info.ntp_timestamp / 2**32, info.rtp_timestamp)
            await inner_rtcp(data)

        async def rtp(data: bytes, arrival_time_ms: int) -> None:
            del arrival_time_ms
            self.count.take(data)
            _, kind, _, timestamp, ssrc = _HEAD.unpack_from(data)
            self._sample(kind & 0x7F, timestamp, ssrc)

        dtls._handle_rtcp_data = rtcp  # type: ignore[method-assign]
        dtls._handle_rtp_data = rtp  # type: ignore[method-assign]

    def _sample(self, kind: int, timestamp: int, ssrc: int) -> None:
        if kind not in CLOCKS or ssrc not in self._reports:
            return
        ntp, at = self._reports[ssrc]
        ahead = ((timestamp - at + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        samples = self._samples[kind]
        samples.append(time.time() - (ntp + ahead / CLOCKS[kind]))
        del samples[:-SAMPLES_KEPT]

    def drift_ms(self) -> float:
        """Milliseconds between sound and picture, less what it was at the first look."""
        if not all(self._samples.values()):
            return 0.0
        sound, picture = (statistics.median(samples) for samples in self._samples.values())
        apart = 1e3 * (sound - picture)
        if self._base is None:
            self._base = apart
        return apart - self._base


def _workers(node: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(node)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


async def _soak(folder: Path, minutes: float) -> list[Look]:
    home = await messages.settle(folder / "data")
    looks = []
    with Server(folder / "data") as server:
        url = f"http://127.0.0.1:{server.port}"
        async with AsyncExitStack() as stack:
            content = stream.load()
            people = [
                await stack.enter_async_context(Client.connect(url, token=token))
                for token in home.callers[: RECEIVERS + 1]
            ]
            say = {"mic": stream.microphone(content), "camera": stream.camera(content)}
            call = await stack.enter_async_context(people[0].calls.start(RoomId(home.room), media="video", say=say))
            await call.until(lambda: call.connected)
            ears: list[LipSync] = []
            counts: list[Count] = []
            for person in people[1:]:
                seat = await stack.enter_async_context(person.calls.join(call.id))
                await seat.until(lambda seat=seat: seat.receiving and len(seat.tracks) == 2)  # type: ignore[misc]
                if not ears:
                    ears.append(LipSync(seat))
                else:
                    assert seat.transports is not None
                    counts.append(Count())
                    sink(seat.transports[1], counts[-1])
            began = time.monotonic()
            while time.monotonic() - began < 60 * minutes:
                await asyncio.sleep(min(LOOK_S, max(1.0, 60 * minutes / 4)))
                tallies = [ears[0].count, *counts]
                looks.append(
                    Look(
                        minute=(time.monotonic() - began) / 60,
                        node_mib=server.rss_kib / 1024,
                        worker_mib=sum(rss_kib(pid) for pid in _workers(server.pid)) / 1024,
                        packets=sum(tally.packets for tally in tallies),
                        missing=sum(tally.missing for tally in tallies),
                        drift_ms=ears[0].drift_ms(),
                    )
                )
                _print(looks[-1])
                if call.over:
                    raise RuntimeError(f"the call ended: {call.over}")
    return looks


def _print(look: Look) -> None:
    print(
        f"{look.minute:7.1f} {look.node_mib:9.1f} {look.worker_mib:11.1f} {look.packets:10,} {look.missing:8} {look.drift_ms:9.2f}",
        flush=True,
    )


def main() -> None:
    """The verb."""
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    os.sched_setaffinity(0, {GENERATOR_CORE})
    print(" minute  node MiB  worker MiB    packets  missing  drift ms")
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="build") as folder:
        looks = asyncio.run(_soak(Path(folder).resolve(), minutes))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(msgspec.to_builtins(looks), indent=1) + "\n")
    half = looks[len(looks) // 2 :]
    grown = half[-1].worker_mib - half[0].worker_mib
    drift = max(abs(look.drift_ms) for look in looks)
    print(
        f"worker grew by {grown:.1f} MiB in the second half; {looks[-1].missing} of {looks[-1].packets:,} packets missing;"
        f" sound and picture at most {drift:.1f} ms apart from where they began"
    )


if __name__ == "__main__":
    main()
