"""A relay in a thread, and what a page has to say to it, for tests of the ways between a real browser and the relay."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import Page

from node.media.proto.sdp import Candidate
from node.media.service import Relay, Setting
from node.runtime import tls
from node.runtime.clock import SystemClock
from node.web.peek import PeekServer, bind
from tests.integration.media.test_relay import Events

LOOPBACK = "127.0.0.1"
CALL, UP, DOWN = b"c" * 16, b"the-send", b"the-recv"
PATIENCE_S = 20.0
T = TypeVar("T")

SEND = """
async (layers) => {
  const canvas = document.createElement('canvas'); canvas.width = 640; canvas.height = 360; document.body.append(canvas);
  const pen = canvas.getContext('2d'); let hue = 0;
  setInterval(() => { pen.fillStyle = `hsl(${hue++ % 360},80%,50%)`; pen.fillRect(0, 0, 640, 360); }, 33);
  const audio = new AudioContext(); const tone = audio.createOscillator(); const out = audio.createMediaStreamDestination();
  tone.connect(out); tone.start();
  const pc = window.up = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const sendEncodings = layers.map((rid, at) => ({rid, scaleResolutionDownBy: 2 ** (layers.length - 1 - at)}));
  pc.addTransceiver(out.stream.getAudioTracks()[0], {direction: 'sendonly'});
  pc.addTransceiver(canvas.captureStream(30).getVideoTracks()[0], {direction: 'sendonly', sendEncodings});
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
}"""
AGAIN = """
async () => {
  await up.setLocalDescription(await up.createOffer({iceRestart: true}));
  return up.localDescription.sdp;
}"""
TAKE = "async (sdp) => { await up.setRemoteDescription({type: 'answer', sdp}); }"
RECEIVE = """
async (sdp) => {
  if (!window.down) {
    window.down = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
    down.ontrack = (event) => {
      const shown = document.createElement(event.track.kind);
      shown.srcObject = new MediaStream([event.track]); shown.muted = true; shown.autoplay = true;
      document.body.append(shown);
    };
  }
  await down.setRemoteDescription({type: 'offer', sdp});
  await down.setLocalDescription(await down.createAnswer());
  return down.localDescription.sdp;
}"""
FRAMES = """
async () => {
  let frames = 0;
  (await down.getStats()).forEach((each) => { if (each.type === 'inbound-rtp') frames += each.framesDecoded || 0; });
  return frames;
}"""
CHANGES = """
async () => {
  let changes = 0;
  (await up.getStats()).forEach((each) => { if (each.type === 'transport') changes = each.selectedCandidatePairChanges; });
  return changes;
}"""


class Station:
    """A relay on loopback, its loop in a thread, and an HTTPS port for media over TCP. `ways`: udp, tcp, or deaf: a UDP port
    that swallows everything, as a network does that blocks UDP."""

    def __init__(self, folder: Path, *ways: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.events = Events()
        self._ended = asyncio.Event()
        self.relay = Relay(
            setting=Setting(host=LOOPBACK, port=0, log_level="error"), clock=SystemClock(), reachable=self._reachable
        )
        self._ways = ways
        self._deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._deaf.bind((LOOPBACK, 0))
        self._port = 0
        ready = threading.Event()
        self._life = asyncio.run_coroutine_threadsafe(self._live(folder, ready), self.loop)
        assert ready.wait(PATIENCE_S)

    def _reachable(self) -> list[Candidate]:
        ports = {"udp": 0, "tcp": self._port, "deaf": self._deaf.getsockname()[1]}
        return [Candidate(LOOPBACK, ports[way], "tcp" if way == "tcp" else "udp") for way in self._ways]

    async def _live(self, folder: Path, ready: threading.Event) -> None:
        certificate = tls.Certificate.own(folder, domain="", clock=SystemClock())
        sockets = await bind(LOOPBACK, 0)
        self._port = sockets[0].getsockname()[1]
        server = PeekServer(sockets, tls=certificate.context, factory=asyncio.Protocol, door=self.relay)
        self.relay.attach(self.events)
        async with asyncio.TaskGroup() as tasks:
            server.serve(tasks)
            running = tasks.create_task(self.relay.run(ready.set))
            await self._ended.wait()
            server.close()
            running.cancel()

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """On the relay's loop."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(PATIENCE_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._ended.set)
        self._life.result(PATIENCE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()
        self._deaf.close()

    # --- calls ------------------------------------------------------------------------------------------

    def send(self, page: Page, *layers: str) -> None:
        """A page sends a tone and a picture."""
        self.do(self.relay.seat(CALL, UP))
        self.do(self.relay.seat(CALL, DOWN))
        self._answer(page, page.evaluate(SEND, list(layers)))

    def send_again(self, page: Page) -> None:
        """It restarts ICE."""
        self._answer(page, page.evaluate(AGAIN))

    def _answer(self, page: Page, offer: str) -> None:
        answer = self.do(self.relay.offer(CALL, UP, offer, {"0": "mic", "1": "camera"}))
        page.evaluate(TAKE, answer)

    def watch(self, page: Page, more: int) -> None:
        """Another page answers offers until it has decoded `more` frames."""
        seen, goal = 0, None
        for _ in range(round(PATIENCE_S / 0.1)):
            version, offer, _ = self.events.offers.get(DOWN, (0, "", {}))
            if version > seen:
                seen = version
                self.do(self.relay.answer(CALL, DOWN, version, page.evaluate(RECEIVE, offer)))
            frames = page.evaluate(FRAMES)
            goal = frames + more if goal is None else goal
            if frames >= goal:
                return
            page.wait_for_timeout(100)
        raise AssertionError(f"only {frames} frames were decoded, {goal} were expected")

    def paths(self) -> set[str]:
        """How the seats are connected."""
        (call,) = self.do(self.relay.report()).calls
        return {seat.path for seat in call.seats}
