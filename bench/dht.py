"""The DHT under attack, printed as a table and written to ``build/bench/dht.json`` and docs/reference/benchmarks-dht.md.

All nodes run in this process, on loopback addresses in networks of their own, with the limits they are shipped with. In each
cell of the table the owners of 40 records publish version 1, then version 2, each through some node; a fifth of the honest
nodes vanishes and as many new ones join through 8 random contacts, hostile ones among them; then nodes that do not hold the
record look it up. *ok* is version 2, *stale* is version 1, *none* is neither, *forged* is anything else. Three seeds a cell.

==========================  ==============================================================================================
``<cell>_ok_pct`` …         share of look-ups by result; ``<cell>_forged`` is a number; ``_p50_s`` and ``_p95_s`` their time
forged_total lookups_total  over all cells
flood_…                     what floods of stores, pings and answers left in the victim, and the largest reflection
join_cpu_ms kib_per_node    CPU of a join and memory of a node in a network of 200, all sides included
==========================  ==============================================================================================

``python -m bench.dht --quick`` takes one seed; other words choose cells by name.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import dht_floods
from bench.dht_village import FRIENDS, Home, Village
from node.base import limits
from node.discovery.dht import Dht

OUT: Final = Path("build/bench/dht.json")
PAGE: Final = Path("docs/reference/benchmarks-dht.md")
SEEDS: Final = (1, 2, 3)
HOMES: Final = 40
LOOKUPS: Final = 160
AT_ONCE: Final = 10  # look-ups at once in the whole process
CHURN: Final = 0.2
MEMORY_NODES: Final = 199


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row: a network, an attack, and what was measured with the unchanged library for the same."""

    name: str
    what: str
    nodes: int
    attack: str = ""
    share: float = 0.0
    beside: int = 0  # attackers with ids beside every key
    ground_from: int = 0  # addresses from which they pick ids that they may have
    homes: int = HOMES
    quorum: int = limits.DHT_QUORUM
    min_seq: int = 0
    friends: int = FRIENDS
    stock: str = ""
    aim_ok_pct: float = 0.0


CELLS: Final = (
    Cell(name="n50_none", what="no attack", nodes=50, stock="98.8 / 5.0", aim_ok_pct=99.5),
    Cell(name="n50_forge20", what="forged values, 20 %", nodes=50, attack="forge", share=0.2, stock="82 / 5.0", aim_ok_pct=98),
    Cell(name="n50_forge30", what="forged values, 30 %", nodes=50, attack="forge", share=0.3, stock="76 / 5.0", aim_ok_pct=98),
    Cell(name="n50_forge50", what="forged values, 50 %", nodes=50, attack="forge", share=0.5, stock="23 / 5.0"),
    Cell(name="n50_stale30", what="old signed record, 30 %", nodes=50, attack="stale", share=0.3, aim_ok_pct=98),
    Cell(name="n50_stale50", what="old signed record, 50 %", nodes=50, attack="stale", share=0.5, stock="51 / 5.0"),
    Cell(name="n50_stale50_q20", what="the same, quorum 20", nodes=50, attack="stale", share=0.5, quorum=limits.DHT_QUORUM_FIRST),
    Cell(name="n50_stale50_pin", what="the same, with a pin", nodes=50, attack="stale", share=0.5, min_seq=2),
    Cell(name="n50_stale_collude30", what="old record and colluding neighbours, 30 %", nodes=50, attack="stale+collude", share=0.3, aim_ok_pct=98),
    Cell(name="n50_stale_collude50_q20", what="the same, 50 %, quorum 20", nodes=50, attack="stale+collude", share=0.5, quorum=limits.DHT_QUORUM_FIRST),
    Cell(name="n50_crash10", what="crash packet, 10 %", nodes=50, attack="crash", share=0.1, stock="70 / 5.0", aim_ok_pct=98),
    Cell(name="n50_crash30", what="crash packet, 30 %", nodes=50, attack="crash", share=0.3, aim_ok_pct=98),
    Cell(name="n50_sink30", what="colluding black hole, 30 %", nodes=50, attack="sink", share=0.3, aim_ok_pct=98),
    Cell(name="n50_sink50", what="colluding black hole, 50 %", nodes=50, attack="sink", share=0.5, stock="94 / 5.3"),
    Cell(name="n50_sink30_join3", what="black hole, 30 %, joining through 3 contacts", nodes=50, attack="sink", share=0.3, friends=3),
    Cell(name="n50_beside_forge", what="20 ids beside each key, forging", nodes=50, attack="forge", beside=20, homes=5, stock="0 (100 forged) / –", aim_ok_pct=98),
    Cell(name="n50_beside_sink", what="20 ids beside each key, black hole", nodes=50, attack="sink", beside=20, homes=5, stock="0 / 5.0", aim_ok_pct=98),
    Cell(name="n50_ground_sink", what="the same, ids ground from 1,024 own addresses in four /24", nodes=50, attack="sink", beside=20, ground_from=1_024, homes=5),
    Cell(name="n200_none", what="no attack", nodes=200, stock="98.8 / 10.0", aim_ok_pct=99.5),
    Cell(name="n200_forge30", what="forged values, 30 %", nodes=200, attack="forge", share=0.3, aim_ok_pct=98),
    Cell(name="n200_forge50", what="forged values, 50 %", nodes=200, attack="forge", share=0.5, stock="54 / 5.1"),
    Cell(name="n200_stale30", what="old signed record, 30 %", nodes=200, attack="stale", share=0.3, aim_ok_pct=98),
    Cell(name="n200_stale50", what="old signed record, 50 %", nodes=200, attack="stale", share=0.5, stock="53 / 5.0"),
    Cell(name="n200_sink30", what="colluding black hole, 30 %", nodes=200, attack="sink", share=0.3, aim_ok_pct=98),
    Cell(name="n200_beside_sink", what="20 ids beside each key, black hole", nodes=200, attack="sink", beside=20, homes=5, aim_ok_pct=98),
    Cell(name="n200_ground_sink", what="the same, ids ground from 1,024 own addresses in four /24", nodes=200, attack="sink", beside=20, ground_from=1_024, homes=5),
)  # fmt: skip


@dataclass
class Tally:
    """What look-ups of a cell gave, over its seeds."""

    results: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    join_cpu_ms: list[float] = field(default_factory=list)

    def pct(self, result: str) -> float:
        """Share of look-ups."""
        return 100 * self.results[result] / max(1, self.results.total())

    def quantile(self, share: float) -> float:
        """Seconds within which so many were answered, whatever the answer."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Trial:
    """One cell with one seed."""

    def __init__(self, cell: Cell, seed: int, tally: Tally, *, lookups: int = LOOKUPS) -> None:
        self._cell = cell
        self._lookups = lookups
        self._tally = tally
        self._village = Village(seed=seed, attack=cell.attack, friends=cell.friends)
        now_s = self._village.clock.now_ms() // 1000
        self._homes = [Home(1_000 * seed + number, now_s=now_s) for number in range(cell.homes)]
        self._versions = {home.nid: (home.version(1), home.version(2)) for home in self._homes}

    async def run(self) -> None:
        """Builds, attacks, looks up, takes down."""
        try:
            await self._build()
            await self._publish()
            await self._village.churn(CHURN)
            gate = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self._look_up(gate) for _ in range(self._lookups)))
        finally:
            self._village.close()
            await asyncio.sleep(0)

    async def _build(self) -> None:
        cell, village = self._cell, self._village
        hostile = int(cell.nodes * cell.share)
        kinds = ["hostile"] * hostile + ["honest"] * (cell.nodes - hostile - 1)
        village.random.shuffle(kinds)
        cpu = time.process_time()
        await village.grow(["honest", *kinds])
        self._tally.join_cpu_ms.append(1000 * (time.process_time() - cpu) / cell.nodes)
        for home in self._homes:
            village.plot.old[home.key] = self._versions[home.nid][0]
            if cell.ground_from:
                await village.surround_by_grinding(home.key, cell.beside, addresses=cell.ground_from)
            elif cell.beside:
                await village.surround(home.key, cell.beside)
        await village.settle()

    async def _publish(self) -> None:
        for version in (0, 1):
            for start in range(0, len(self._homes), AT_ONCE):
                some = self._homes[start : start + AT_ONCE]
                await asyncio.gather(*(self._put(self._versions[home.nid][version]) for home in some))

    async def _put(self, raw: bytes) -> None:
        await self._village.random.choice(self._village.alive).put_record(raw)

    async def _look_up(self, gate: asyncio.Semaphore) -> None:
        home = self._village.random.choice(self._homes)
        asker = self._asker(home)
        async with gate:
            began = time.perf_counter()
            record = await asker.get_record(home.nid, quorum=self._cell.quorum, min_seq=self._cell.min_seq)
            self._tally.seconds.append(time.perf_counter() - began)
        names: dict[bytes | None, str] = {
            None: "none",
            self._versions[home.nid][0]: "stale",
            self._versions[home.nid][1]: "ok",
        }
        self._tally.results[names.get(None if record is None else record.raw, "forged")] += 1

    def _asker(self, home: Home) -> Dht:
        village = self._village
        some = village.random.sample(village.alive, min(12, len(village.alive)))
        strangers = [dht for dht in some if dht.servers[4].storage.find(home.key) is None]
        return (strangers or some)[0]


def _rss_kib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def measure(cells: Sequence[Cell] = CELLS, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """All figures, by name; prints the rows as they come."""
    figures: dict[str, Any] = {}
    tallies = []
    for cell in cells:
        tally = Tally()
        for seed in seeds:
            _run(Trial(cell, seed, tally).run)
        tallies.append(tally)
        figures |= _figures(cell, tally)
        print(_row(cell, figures), flush=True)
    figures |= _run(dht_floods.measure)
    figures["forged_total"] = sum(tally.results["forged"] for tally in tallies)
    figures["lookups_total"] = sum(tally.results.total() for tally in tallies)
    big = [tally for cell, tally in zip(cells, tallies, strict=True) if cell.name == "n200_none"]
    for tally in big:
        figures["join_cpu_ms"] = statistics.median(tally.join_cpu_ms)
        figures["kib_per_node"] = _ask_memory()
    return figures


def _ask_memory() -> float:
    """KiB of a node, from a process that has held nothing else."""
    asked = subprocess.run([sys.executable, "-m", "bench.dht", "--memory"], check=True, capture_output=True, text=True)
    return float(asked.stdout)


async def _tell_memory() -> None:
    village = Village(seed=1)
    await village.grow(["honest"])
    before = _rss_kib()
    await village.grow(["honest"] * MEMORY_NODES)
    await village.settle()
    print((_rss_kib() - before) / MEMORY_NODES)
    village.close()


def _run(work: Callable[[], Any]) -> Any:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.run(work())
    return uvloop.run(work())


def _figures(cell: Cell, tally: Tally) -> dict[str, Any]:
    shares = {f"{cell.name}_{result}_pct": round(tally.pct(result), 2) for result in ("ok", "stale", "none")}
    times = {f"{cell.name}_p{share}_s": round(tally.quantile(share / 100), 3) for share in (50, 95)}
    return shares | times | {f"{cell.name}_forged": tally.results["forged"]}


def _row(cell: Cell, figures: dict[str, Any]) -> str:
    def of(name: str) -> Any:
        return figures[f"{cell.name}_{name}"]

    rest = ", ".join(f"{of(f'{result}_pct'):.1f} {result}" for result in ("stale", "none") if of(f"{result}_pct"))
    ok = f"{of('ok_pct'):.1f}" + (f" ({rest})" if rest else "")
    aim = f"≥ {cell.aim_ok_pct:g}" if cell.aim_ok_pct else ""
    return f"| {cell.nodes} | {cell.what} | {cell.stock} | {ok} | {aim} | {of('forged')} | {of('p50_s'):.2f} / {of('p95_s'):.2f} |"


HEAD: Final = (
    "| nodes | attack | stock library: ok % / p95 s | ok % (rest) | aim | forged | p50 / p95 s |",
    "|---|---|---|---|---|---|---|",
)


def page(figures: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = [
        "# Benchmarks: the DHT under attack",
        "",
        f"Written by `make bench-dht` on {datetime.now(UTC):%Y-%m-%d}: {_machine()}, all nodes in one process, {AT_ONCE} look-ups at",
        f"once, {len(SEEDS)} seeds, {CHURN * 100:g} % of the honest nodes replaced between publishing and looking up. Each node joins through",
        f"{FRIENDS} random contacts unless the row says otherwise. The column of the stock library was measured earlier with",
        "kademlia 2.2.3 unchanged, on a machine of the same size, joining through 3 contacts and with 20 look-ups at once. What the",
        "words mean: [the specification](../spec/dht.md).",
        "",
        *HEAD,
        *(_row(cell, figures) for cell in CELLS),
        "",
        f"Forged records accepted: {figures['forged_total']} in {figures['lookups_total']:,} look-ups.",
        f"A join costs {figures['join_cpu_ms']:.0f} ms of CPU on all sides together (aim ≤ 40), a node in a network of 200 holds",
        f"{figures['kib_per_node']:.0f} KiB (aim ≤ 200).",
        "",
        "## Floods",
        "",
        "| figure | value | what |",
        "|---|---|---|",
        *(f"| `{name}` | {figures[name]:g} | {what} |" for name, what in dht_floods.ROWS),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _machine() -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Measures, prints; writes when everything was measured."""
    words = set(sys.argv[1:])
    if "--memory" in words:
        _run(_tell_memory)
        return
    chosen = [cell for cell in CELLS if not words - {"--quick"} or cell.name in words]
    print("\n".join(HEAD), flush=True)
    figures = measure(chosen, SEEDS[:1] if "--quick" in words else SEEDS)
    for name, _ in dht_floods.ROWS:
        print(f"{name:40} {figures[name]:g}")
    print(f"{'forged_total':40} {figures['forged_total']} of {figures['lookups_total']} look-ups")
    if not words:
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
        PAGE.write_text(page(figures))
        print(f"\nwritten: {PAGE}, {OUT}")


if __name__ == "__main__":
    main()
