"""``make bench-media``: the relay of calls beside aiortc's MediaRelay and Debian's Janus, in one run with the same peers.

=============================  ==============================================================================================
us_per_packet_8                CPU of our worker per packet it forwarded, real stream to 8 subscribers
janus_us_per_packet_8          the same of Janus (videoroom, event_loops=1); ``janus_threads_``: Janus' default
ratio_janus_8                  the first by the second
ratio_mediarelay_4             CPU per subscriber-second at 4 subscribers, ours by MediaRelay's
packets_per_s_core             packets that one core forwards in a second: at the highest rate that lost nothing, per CPU-second
packets_per_s_carried          that rate
added_p50_ms                   from the camera to the last packet of a frame, p50 at 4 subscribers, less the same without a relay
message_latency_ratio_in_call  p50 of a message during a call of 32 subscribers on the same node, by its value when idle
=============================  ==============================================================================================

CPU is user and system time of the relay's processes. The relay has one core for itself, the peers the other. Each figure is the median
of the rounds, in which the order of the relays rotates; the page shows the spread. All use AES-128-GCM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from bench.__main__ import machine, number
from bench.media import messages, stream
from bench.media.direct import direct_row
from bench.media.janus import Janus
from bench.media.measure import Row, rate_row, stream_row
from bench.media.mediarelay import MediaRelay
from bench.media.ours import Ours
from bench.media.peers import same_profile
from bench.media.process import PEERS_CORE
from bench.media.relays import Relay

OUT: Final = Path("build/bench/media.json")
ROWS_OUT: Final = Path("build/bench/media-rows.json")
PAGE: Final = Path("docs/reference/benchmarks-media.md")
WINDOW_S: Final = 10.0
PUBLISHERS: Final = 8  # of the packet-rate runs
RATE: Final = 600  # packets/s of each: 5.3 Mb/s, below what one device may send
STEPS: Final = (4, 8, 10, 12, 14)  # subscribers: 19,200 to 67,200 packets/s
LOST_MAX: Final = 0.001
RELAYS: Final[dict[str, Callable[[], Relay]]] = {
    "startalk": Ours,
    "janus": Janus,
    "janus-threads": lambda: Janus(loops=0),
    "mediarelay": MediaRelay,
}
PLAN: Final = {
    "startalk": (1, 4, 8, 32),
    "janus": (1, 4, 8, 32),
    "janus-threads": (8,),
    "mediarelay": (1, 4),
}
FIGURES: Final = (
    ("us_per_packet_8", "µs", "CPU of the worker per forwarded packet, 8 subscribers", ""),
    ("janus_us_per_packet_8", "µs", "the same of Janus, event_loops=1", ""),
    ("janus_threads_us_per_packet_8", "µs", "the same of Janus as it comes", ""),
    ("ratio_janus_8", "", "ours by Janus, event_loops=1", "≤ 1.0"),
    ("ratio_mediarelay_4", "", "CPU per subscriber-second at 4 subscribers, ours by MediaRelay's", "≤ 0.04"),
    ("packets_per_s_core", "/s", "forwarded per CPU-second at the highest rate that lost nothing", "≥ 45,000"),
    ("packets_per_s_carried", "/s", "that rate", ""),
    ("janus_packets_per_s_core", "/s", "the same of Janus, event_loops=1", ""),
    ("added_p50_ms", "ms", "what the relay adds from camera to subscriber, 4 subscribers", "≤ 5"),
    ("janus_added_p50_ms", "ms", "the same of Janus", ""),
    ("message_p50_ms_idle", "ms", "a message from post to the other's device, idle node", ""),
    ("message_latency_ratio_in_call", "", "the same during a call of 32 subscribers, by the idle value", "≤ 2"),
)  # fmt: skip


async def _rounds(rounds: int, only: set[str]) -> list[Row]:
    content, rows = stream.load(), []
    names = [name for name in PLAN if name in only]
    for turn in range(rounds):
        rows.append(await _show(direct_row(content, WINDOW_S)))
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            rows += [await _show(stream_row(RELAYS[name](), content, n, WINDOW_S)) for n in PLAN[name]]
        for name in ("startalk", "janus"):
            if name in only:
                rows += await _ramp(RELAYS[name])
    return rows


async def _ramp(relay: Callable[[], Relay]) -> list[Row]:
    """Rising rates until something is lost."""
    rows = []
    for subscribers in STEPS:
        row = await _show(rate_row(relay(), PUBLISHERS, subscribers, RATE, WINDOW_S))
        rows.append(msgspec.structs.replace(row, relay=f"{row.relay}, blank packets"))
        if row.lost_share > LOST_MAX:
            break
    return rows


async def _show(row: object) -> Row:
    done = await row  # type: ignore[misc]
    assert isinstance(done, Row)
    print(
        f"{done.relay:14} n={done.subscribers:<3} cpu {done.cpu_percent:5.1f} %  {done.forwarded_per_s:8.0f}/s  {done.us_per_packet:8.2f} µs"
        f"  lost {100 * done.lost_share:.3f} %  {done.fps:4.1f} fps  packet {done.packet_p50_ms:.2f}/{done.packet_p95_ms:.2f} ms"
        f"  decoded {done.decoded_p50_ms:.1f} ms  load {done.load:.1f}",
        flush=True,
    )
    return done


def figures(rows: list[Row], latency: dict[str, float]) -> dict[str, float]:
    """The named figures, medians over the rounds."""

    def median(relay: str, subscribers: int, field: str) -> float:
        values = [getattr(row, field) for row in rows if row.relay == relay and row.subscribers == subscribers]
        return statistics.median(values) if values else 0.0

    def carried(relay: str) -> tuple[float, float]:
        clean = [row for row in rows if row.relay == f"{relay}, blank packets" and row.lost_share <= LOST_MAX]
        if not clean:
            return 0.0, 0.0
        top = max(row.subscribers for row in clean)
        at_top = [row for row in clean if row.subscribers == top]
        return (
            statistics.median(1e6 / row.us_per_packet for row in at_top),
            statistics.median(row.forwarded_per_s for row in at_top),
        )

    ours, theirs = median("startalk", 8, "us_per_packet"), median("janus", 8, "us_per_packet")
    direct = median("direct", 1, "packet_p50_ms")
    each, mixed = median("startalk", 4, "ms_per_subscriber_s"), median("mediarelay", 4, "ms_per_subscriber_s")
    return {
        "us_per_packet_8": ours,
        "janus_us_per_packet_8": theirs,
        "janus_threads_us_per_packet_8": median("janus-threads", 8, "us_per_packet"),
        "ratio_janus_8": ours / theirs if theirs else 0.0,
        "ratio_mediarelay_4": each / mixed if mixed else 0.0,
        "packets_per_s_core": carried("startalk")[0],
        "packets_per_s_carried": carried("startalk")[1],
        "janus_packets_per_s_core": carried("janus")[0],
        "added_p50_ms": median("startalk", 4, "packet_p50_ms") - direct,
        "janus_added_p50_ms": median("janus", 4, "packet_p50_ms") - direct,
        **latency,
    }


def page(result: dict[str, float], rows: list[Row], rounds: int) -> str:
    """The Markdown page."""
    lines = [
        "# Benchmarks: calls",
        "",
        f"Written by `make bench-media` on {datetime.now(UTC):%Y-%m-%d}: {machine()}; the relay on one core, all peers on the other; medians of",
        f"{rounds} round{'' if rounds == 1 else 's'}, windows of {WINDOW_S:.0f} s, the order of the relays rotates. One publisher sends 640×360 at 30 frames/s, VP8 at 1 Mb/s, and",
        "Opus, encoded once; the first subscriber decodes, the others count and decrypt each 64th packet. CPU is user and system time of the",
        "relay's process. All use SRTP with AES-128-GCM. Janus is Debian's, videoroom, ICE-lite. For message latency node and worker share one core.",
        "",
        "| figure | value | what | aim |",
        "|---|---|---|---|",
    ]
    lines.insert(
        -3, f"Load average meanwhile: {min(row.load for row in rows):.0f} to {max(row.load for row in rows):.0f}."
    )
    for name, unit, what, aim in FIGURES:
        lines.append(f"| `{name}` | {number(result[name])} {unit} | {what} | {aim} |".replace("  ", " "))
    lines += [
        "",
        "## Each relay",
        "",
        "| relay | subscribers | CPU % | packets/s | µs per packet (spread) | lost % | frames/s | packet p50 / p95 ms | decoded p50 ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.relay, row.subscribers), []).append(row)
    for (relay, subscribers), some in sorted(groups.items()):
        lines.append(_line(relay, subscribers, some))
    return "\n".join([*lines, ""])


def _line(relay: str, subscribers: int, rows: list[Row]) -> str:
    def middle(field: str) -> float:
        return float(statistics.median(getattr(row, field) for row in rows))

    costs = [row.us_per_packet for row in rows]
    cost = f"{statistics.median(costs):.1f} ({min(costs):.1f}–{max(costs):.1f})" if any(costs) else "–"
    packet = f"{middle('packet_p50_ms'):.2f} / {middle('packet_p95_ms'):.2f}" if middle("packet_p50_ms") else "–"
    decoded = f"{middle('decoded_p50_ms'):.0f}" if middle("decoded_p50_ms") else "–"
    fps = f"{middle('fps'):.1f}" if middle("fps") else "–"
    return (
        f"| {relay} | {subscribers} | {middle('cpu_percent'):.1f} | {middle('forwarded_per_s'):,.0f} | {cost} |"
        f" {100 * middle('lost_share'):.2f} | {fps} | {packet} | {decoded} |"
    )


def run(rounds: int, only: set[str], *, quick: bool) -> None:
    """Measures, writes, prints."""
    os.sched_setaffinity(0, {PEERS_CORE})
    same_profile()
    rows = asyncio.run(_rounds(rounds, only))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    ROWS_OUT.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    latency = {"message_p50_ms_idle": 0.0, "message_latency_ratio_in_call": 0.0} if quick else messages.run()
    result = figures(rows, latency)
    OUT.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    if only == set(PLAN) and not quick:
        PAGE.write_text(page(result, rows, rounds))
    for name, value in sorted(result.items()):
        print(f"{name:40} {round(value, 3)}")


def main() -> None:
    """The verb."""
    parser = argparse.ArgumentParser(prog="make bench-media")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=sorted(PLAN), help="these relays alone; writes no page")
    parser.add_argument("--quick", action="store_true", help="without the message latency; writes no page")
    args = parser.parse_args()
    run(args.rounds, set(args.only or PLAN), quick=args.quick)


if __name__ == "__main__":
    main()
