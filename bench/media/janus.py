"""Debian's Janus with its videoroom, configured for this run alone: loopback HTTP for signalling, one event loop, ICE-lite as our relay.

The configuration is a folder of its own with everything that is not needed switched off. Signalling is Janus' HTTP API: a session with
one handle per peer; answers and events of a handle are fetched by long polling.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from bench.media import process
from bench.media.relays import Offer

ROOM: Final = 1234
START_S: Final = 20
FOLDERS: Final = (
    "/usr/lib/x86_64-linux-gnu/janus",
    "/usr/lib/aarch64-linux-gnu/janus",
    "/usr/lib/janus",
    "/usr/local/lib/janus",
)


class Janus:
    """Starts in ``async with``. `loops` is Janus' event_loops; 0: a thread for each peer, its default."""

    def __init__(self, *, loops: int = 1) -> None:
        self.name = "janus" if loops == 1 else "janus-threads"
        self._loops = loops
        self._sessions: dict[str, str] = {}  # handle urls, by peer
        self._feeds: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        program = shutil.which("janus")
        if program is None:
            raise SystemExit("startalk: this benchmark compares with Janus; install it (Debian: apt-get install janus)")
        self._folder = tempfile.TemporaryDirectory(prefix="startalk-janus-")
        self._port = _free_port()
        _configure(Path(self._folder.name), self._port, self._loops)
        self._process = process.start([program, "-F", self._folder.name, "--disable-colors"])
        self._http = aiohttp.ClientSession()
        for _ in range(START_S * 10):
            try:
                await self._post("", {"janus": "info"})
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
            else:
                return self
        raise RuntimeError("Janus did not start")

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        process.end(self._process)
        self._folder.cleanup()

    @property
    def pids(self) -> list[int]:
        """The one."""
        return [self._process.pid]

    async def publish(self, name: str, sdp: str, sources: Mapping[str, str]) -> str:
        """The answer to the offer of a publisher."""
        handle = await self._handle(name)
        joined = await self._ask(handle, {"request": "join", "ptype": "publisher", "room": ROOM, "display": name})
        self._feeds[name] = joined["plugindata"]["data"]["id"]
        body = {"request": "publish", "audiocodec": "opus", "videocodec": "vp8"}
        answer = await self._ask(handle, body, {"type": "offer", "sdp": sdp})
        return str(answer["jsep"]["sdp"])

    async def subscribe(self, name: str, publishers: list[str]) -> Offer:
        """An offer of everything these publishers send."""
        handle = await self._handle(name)
        streams = [{"feed": self._feeds[whose]} for whose in publishers]
        offer = await self._ask(handle, {"request": "join", "ptype": "subscriber", "room": ROOM, "streams": streams})
        whose = {feed: name for name, feed in self._feeds.items()}
        tracks = {
            stream["mid"]: (whose[stream["feed_id"]].encode(), "camera" if stream["type"] == "video" else "mic")
            for stream in offer["plugindata"]["data"]["streams"]
        }
        return Offer(handle=handle, sdp=offer["jsep"]["sdp"], tracks=tracks)

    async def answer(self, handle: object, sdp: str) -> None:
        """The subscriber's answer."""
        await self._ask(str(handle), {"request": "start", "room": ROOM}, {"type": "answer", "sdp": sdp})

    async def _handle(self, name: str) -> str:
        session = f"/{(await self._post('', {'janus': 'create'}))['data']['id']}"
        made = await self._post(session, {"janus": "attach", "plugin": "janus.plugin.videoroom"})
        handle = self._sessions[name] = f"{session}/{made['data']['id']}"
        return handle

    async def _ask(self, handle: str, body: dict[str, Any], jsep: dict[str, str] | None = None) -> dict[str, Any]:
        message: dict[str, Any] = {"janus": "message", "body": body}
        await self._post(handle, message if jsep is None else {**message, "jsep": jsep})
        session = handle.rpartition("/")[0]
        while True:
            async with self._http.get(f"http://127.0.0.1:{self._port}/janus{session}?maxev=1") as answer:
                event = await answer.json()
            if event.get("janus") == "event":
                if "error" in event.get("plugindata", {}).get("data", {}):
                    raise RuntimeError(str(event))
                return dict(event)

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["janus"] == "info":
            async with self._http.get(f"http://127.0.0.1:{self._port}/janus/info") as answer:
                return dict(await answer.json())
        body = {**body, "transaction": os.urandom(6).hex()}
        async with self._http.post(f"http://127.0.0.1:{self._port}/janus{path}", json=body) as answer:
            said = dict(await answer.json())
        if said.get("janus") == "error":
            raise RuntimeError(str(said))
        return said


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configure(folder: Path, port: int, loops: int) -> None:
    home = next((Path(place) for place in FOLDERS if Path(place).is_dir()), None)
    if home is None:
        raise SystemExit(f"startalk: Janus' plugins are in none of {', '.join(FOLDERS)}")
    plugins = sorted(path.name for path in (home / "plugins").glob("*.so") if "videoroom" not in path.name)
    transports = sorted(path.name for path in (home / "transports").glob("*.so") if "http" not in path.name)
    event_loops = f"event_loops = {loops}\n" if loops else ""
    (folder / "janus.jcfg").write_text(
        f'general: {{\n  configs_folder = "{folder}"\n  plugins_folder = "{home}/plugins"\n'
        f'  transports_folder = "{home}/transports"\n  events_folder = "{home}/events"\n  loggers_folder = "{home}/loggers"\n'
        f"  debug_level = 3\n  session_timeout = 0\n  {event_loops}}}\n"
        "certificates: { }\n"
        'media: { ipv6 = false; rtp_port_range = "40000-49999"; }\n'
        "nat: { ice_lite = true; nice_debug = false; ignore_mdns = true; full_trickle = false; }\n"
        f'plugins: {{ disable = "{",".join(plugins)}"; }}\n'
        f'transports: {{ disable = "{",".join(transports)}"; }}\n'
        "events: { broadcast = false; }\n"
    )
    (folder / "janus.transport.http.jcfg").write_text(
        f'general: {{ json = "compact"; base_path = "/janus"; http = true; port = {port}; ip = "127.0.0.1"; https = false; }}\n'
        "admin: { admin_http = false; }\n"
    )
    (folder / "janus.plugin.videoroom.jcfg").write_text(
        "general: { }\n"
        f'room-{ROOM}: {{ description = "bench"; secret = "bench"; publishers = 64; bitrate = 0; fir_freq = 0; record = false;'
        ' audiocodec = "opus"; videocodec = "vp8"; }\n'
    )
