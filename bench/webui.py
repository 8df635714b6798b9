"""``python -m bench.webui``: a chat of 100,000 messages in Chromium: how soon it is there, how it scrolls, what it keeps.

The node, its browser and the way to them are those of the browser tests. Figures compare only with themselves on one machine;
none of them passes or fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import CDPSession, Page, sync_playwright

from node.base.ids import RoomId, parse_id
from node.client import Client
from tests.e2e.conftest import FLAGS
from tests.e2e.person import PASSWORD, Person
from tests.e2e.program import Program
from tests.e2e.village import Village

OUT: Final = Path("build/bench/webui.json")
MESSAGES: Final = 100_000
IN_FLIGHT: Final = 500
SCROLL_S: Final = 12
STEP_PX: Final = 60  # a frame: about 3,600 px a second, a brisk flick
ROUNDS: Final = 5
TEXTS: Final = (
    "Yes.",
    "I will bring the tent, the stove and whatever is left of the coffee.",
    "Look at https://maps.example/hills?page=7 before you decide; the path on the north side is closed until Friday, they say.",
    "👍",
    "*Really?* The last train leaves at 21:40, and it was late three times this week.",
)
# notes when the first message of a chat has been painted
PAINTED = """window.painted = new Promise((done) => {
    const look = () => document.querySelector('[role=feed] article')
        ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))) : requestAnimationFrame(look)
    look()
})"""
# watches a scroll: the time of each frame, and how often the topmost message was somewhere else altogether in the next one
WATCH = """() => {
    const box = document.querySelector('[role=region][aria-label="Messages"]')
    const frames = [], rows = new Set()
    let last = performance.now(), held = null, top = 0, jumps = 0, going = true
    const frame = (now) => {
        frames.push(now - last)
        last = now
        if (held?.isConnected && Math.abs(held.getBoundingClientRect().top - top) > 8 * %d) jumps += 1
        for (const row of box.querySelectorAll('[data-key^=e]')) rows.add(row.dataset.key)
        held = [...box.querySelectorAll('[data-key]')].find((row) => row.getBoundingClientRect().bottom > 200)
        top = held?.getBoundingClientRect().top ?? 0
        if (going) requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
    window.watched = () => { going = false; return {frames: frames.slice(1), jumps, rows: rows.size} }
}"""


def run() -> dict[str, Any]:
    """Measures, writes `OUT`, prints a table."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        raise SystemExit("There is no chromium on PATH and CHROMIUM is not set.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        program = Program(Path(folder) / "data")
        program.start()
        browser = driver.chromium.launch(executable_path=path, args=[*FLAGS, "--enable-precise-memory-info"])
        try:
            figures = _measure(program, Person(browser, program.origin, "Olga Berg"))
        finally:
            browser.close()
            program.stop()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=1))
    for name, value in figures.items():
        print(f"{name:34} {value:>12,.1f}")
    return figures


def _measure(program: Program, olga: Person) -> dict[str, Any]:
    olga.context.tracing.stop()
    village = Village(program, olga)
    long, short = village.olga.group("Hills"), village.olga.group("Station")
    village.olga.says(short, "A short chat")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _fill(program.origin, RoomId(parse_id(long, 32)))).result()
    figures: dict[str, Any] = {"messages": MESSAGES}
    page = olga.page
    page.add_init_script(PAINTED)
    debugger = olga.context.new_cdp_session(page)
    for rate in (1, 4):
        debugger.send("Emulation.setCPUThrottlingRate", {"rate": rate})
        figures |= {f"{name}_cpu{rate}": value for name, value in _round(olga, long, debugger).items()}
    figures |= _keeps(page, debugger)
    return figures


async def _fill(origin: str, room: RoomId) -> None:
    async with Client.login(origin, local="olga", password=PASSWORD) as olga:
        for start in range(0, MESSAGES, IN_FLIGHT):
            texts = [f"{start + k}: {TEXTS[(start + k) % len(TEXTS)]}" for k in range(IN_FLIGHT)]
            await asyncio.gather(*(olga.say(room, text) for text in texts))


def _round(olga: Person, room: str, debugger: CDPSession) -> dict[str, float]:
    page = olga.page
    olga.goes(f"/c/{room}")
    first = page.evaluate("window.painted")
    again = []
    for _ in range(ROUNDS):
        page.reload()
        again.append(page.evaluate("window.painted"))
    switches = [_switch(olga) for _ in range(ROUNDS)]
    scrolled = _scroll(page, debugger)
    frames = sorted(scrolled["frames"])
    return {
        "first_visit_ms": first,
        "reload_ms": sorted(again)[ROUNDS // 2],
        "switch_ms": sorted(switches)[ROUNDS // 2],
        "frames_per_s": 1000 * len(frames) / sum(frames),
        "frame_p50_ms": frames[len(frames) // 2],
        "frame_p95_ms": frames[int(len(frames) * 0.95)],
        "frame_max_ms": frames[-1],
        "messages_scrolled": scrolled["rows"],
        "jumps": scrolled["jumps"],
    }


def _switch(olga: Person) -> float:
    """From the press on a chat in the list to its painted messages, both in the cache."""
    olga.opens("Station")
    olga.message("A short chat").wait_for()
    press = """() => new Promise((done) => {
        const began = performance.now()
        const look = () => document.querySelectorAll('[role=feed] article').length > 5
            ? requestAnimationFrame(() => done(performance.now() - began)) : requestAnimationFrame(look)
        ;[...document.querySelectorAll('nav a')].find((link) => link.textContent.includes('Hills')).click()
        look()
    })"""
    return float(olga.page.evaluate(press))


def _scroll(page: Page, debugger: CDPSession) -> dict[str, Any]:
    """A hand that turns the wheel without a pause."""
    page.evaluate(WATCH % STEP_PX)
    gesture = {
        "x": 800,
        "y": 400,
        "yDistance": SCROLL_S * 60 * STEP_PX,
        "speed": 60 * STEP_PX,
        "gestureSourceType": "mouse",
    }
    debugger.send("Input.synthesizeScrollGesture", gesture)
    watched: dict[str, Any] = page.evaluate("window.watched()")
    return watched


def _keeps(page: Page, debugger: CDPSession) -> dict[str, float]:
    debugger.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    nodes = page.evaluate("document.querySelectorAll('[role=feed] *').length")
    debugger.send("HeapProfiler.collectGarbage")
    heap = page.evaluate("performance.memory.usedJSHeapSize")
    return {"timeline_nodes": nodes, "heap_mib": heap / 2**20}


if __name__ == "__main__":
    run()
