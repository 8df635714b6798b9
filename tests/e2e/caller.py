"""A person in a call: what they press, what they see of others, and what their browser counts of sound and picture.

The counts are those of `getStats`, read from the connections that the page made: frames that were decoded, energy that was
heard. Nothing is asked of the page's own code.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from playwright.sync_api import Locator, Page, expect

from tests.e2e.person import Person
from tests.e2e.village import Villager

RING_MS = 15_000
MEDIA_MS = 45_000
LOOK_MS = 2_000
SECOND_FRAMES = 30
# Small pictures: several browsers encode on one small machine.
PREPARE = """
localStorage.setItem('startalk.call.lines', '360');
const made = window.connections = [];
const Real = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Real {
  constructor(...how) { super(...how); made.push(this); }
};
"""
COUNTS = """async (kind) => {
  const found = {};
  for (const one of window.connections) {
    if (one.connectionState === 'closed') continue;
    const report = await one.getStats();
    for (const row of report.values()) {
      if (row.type !== 'inbound-rtp' || row.kind !== kind) continue;
      found[row.trackIdentifier] = {
        frames: row.framesDecoded ?? 0, energy: row.totalAudioEnergy ?? 0, seconds: row.totalSamplesDuration ?? 0,
        packets: row.packetsReceived, width: row.frameWidth ?? 0, at: row.timestamp,
      };
    }
  }
  return found;
}"""
# End-to-end encryption of frames, as a browser does it: the bytes that a relay reads stay clear (node/media/proto), the rest is AES-GCM.
SEALING = """globalThis[Symbol.for('startalk.seal')] = {
  sends: (sender) => { sender.transform = new RTCRtpScriptTransform(new Worker('/seal.js'), { how: 'seal', key: %d }); },
  receives: (receiver) => { receiver.transform = new RTCRtpScriptTransform(new Worker('/seal.js'), { how: 'open', key: %d }); },
};"""
SEAL_WORKER = """onrtctransform = async ({ transformer }) => {
  const { how, key } = transformer.options;
  const aes = await crypto.subtle.importKey('raw', new Uint8Array(16).fill(key), 'AES-GCM', false, ['encrypt', 'decrypt']);
  const turn = async (frame, out) => {
    const data = new Uint8Array(frame.data);
    const clear = frame instanceof RTCEncodedVideoFrame ? (frame.type === 'key' ? 10 : 3) : 1;
    const additionalData = data.slice(0, clear);
    try {
      let iv = crypto.getRandomValues(new Uint8Array(12));
      let parts;
      if (how === 'seal') {
        parts = [additionalData, await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData }, aes, data.slice(clear)), iv];
      } else {
        iv = data.slice(-12);
        parts = [additionalData, await crypto.subtle.decrypt({ name: 'AES-GCM', iv, additionalData }, aes, data.slice(clear, -12))];
      }
      frame.data = await new Blob(parts).arrayBuffer();
    } catch {
      return; // not for us
    }
    out.enqueue(frame);
  };
  await transformer.readable.pipeThrough(new TransformStream({ transform: turn })).pipeTo(transformer.writable);
};"""
Counts = dict[str, dict[str, float]]


class Caller:
    """`person` in calls; `me` is their side of the API."""

    def __init__(self, person: Person, me: Villager) -> None:
        self.person = person
        self.me = me
        person.context.add_init_script(PREPARE)

    @property
    def page(self) -> Page:
        """The page."""
        return self.person.page

    def seals(self, key: int) -> None:
        """Whatever this browser sends is sealed by `key`, and what comes is opened by it."""
        self.person.context.add_init_script(SEALING % (key, key))
        self.person.context.route(
            "**/seal.js", lambda route: route.fulfill(content_type="text/javascript", body=SEAL_WORKER)
        )

    # --- doing ----------------------------------------------------------------------------------------------

    def waits_in(self, room: str) -> None:
        """Has the chat open, connected."""
        self.person.goes(f"/c/{room}")
        expect(self.page.get_by_role("button", name="Voice call", exact=True)).to_be_visible()

    def calls(self, *, video: bool = True) -> None:
        """Presses the button in the head of the chat."""
        self.person.presses("Video call" if video else "Voice call")

    def answers(self, *, video: bool = True) -> None:
        """Takes the call that rings."""
        expect(self.ring).to_be_visible(timeout=RING_MS)
        self.ring.get_by_role("button", name="With video" if video else "Answer").click()

    def declines(self) -> None:
        """Does not."""
        expect(self.ring).to_be_visible(timeout=RING_MS)
        self.ring.get_by_role("button", name="Decline").click()

    def leaves(self) -> None:
        """The red button."""
        self.person.presses("Leave call")

    def toggles(self, what: str) -> None:
        """One of the buttons of the call: Mute, Share screen, …"""
        self.controls.get_by_role("button", name=re.compile(f"^{what}")).click()

    # --- looking --------------------------------------------------------------------------------------------

    @property
    def ring(self) -> Locator:
        """Somebody calls."""
        return self.page.get_by_role("alertdialog")

    @property
    def controls(self) -> Locator:
        """The buttons of the call."""
        return self.page.get_by_role("group", name="Call controls")

    def tile(self, name: str) -> Locator:
        """The picture of somebody."""
        return self.page.get_by_role("figure", name=re.compile(f"^{re.escape(name)}")).first

    def is_in(self) -> None:
        """In a live call: its page counts the time. (The chat, which has times of its own, may go a moment later.)"""
        expect(self.page.locator("main[data-phase=live] time")).to_be_visible(timeout=RING_MS)

    def counts(self, kind: str) -> Counts:
        """What arrives now, by track."""
        found: Counts = self.page.evaluate(COUNTS, kind)
        return found

    def sees(self, people: int, *, fps: float) -> None:
        """Pictures of so many others move, each with at least so many frames a second over two seconds."""
        self._until(lambda: sum(rate >= fps for rate in self._rates("video", "frames").values()) >= people)

    def hears(self, people: int = 1) -> None:
        """Sound of so many others arrives; the beep of the false microphone comes each second."""
        self._until(lambda: sum(rate > 0.001 for rate in self._rates("audio", "energy").values()) >= people)

    def hears_nothing(self) -> None:
        """Silence from everybody."""
        self._until(lambda: all(rate < 0.0001 for rate in self._rates("audio", "energy").values()))

    def _rates(self, kind: str, what: str) -> dict[str, float]:
        before = self.counts(kind)
        self.page.wait_for_timeout(LOOK_MS)
        return _rates(before, self.counts(kind), what)

    def _until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + MEDIA_MS / 1_000
        while time.monotonic() < end:
            if holds():
                return
        raise AssertionError(
            f"{self.person.name} gets sound {self.counts('audio')} and pictures {self.counts('video')}"
        )


def see_each_other(callers: Sequence[Caller], *, fps: float) -> None:
    """The pictures of all others come to everybody, a second of them at least, and each moves at that rate at some time: an overloaded browser
    is sent less of them for a while."""
    fine: list[set[str]] = [set() for _ in callers]
    end = time.monotonic() + 2 * MEDIA_MS / 1_000
    while any(len(one) < len(callers) - 1 for one in fine):
        if time.monotonic() > end:
            now = {one.person.name: one.counts("video") for one in callers}
            raise AssertionError(f"of these pictures {fine} are well: {now}")
        before = [one.counts("video") for one in callers]
        callers[0].page.wait_for_timeout(LOOK_MS)
        for one, then, seen in zip(callers, before, fine, strict=True):
            after = one.counts("video")
            rates = _rates(then, after, "frames")
            came = {track for track, count in after.items() if count["frames"] > SECOND_FRAMES}
            seen.update(track for track in came if not fps or rates.get(track, 0.0) >= fps)


def _rates(before: Counts, after: Counts, what: str) -> dict[str, float]:
    return {
        track: (now[what] - before[track][what]) / ((now["at"] - before[track]["at"]) / 1_000)
        for track, now in after.items()
        if track in before and now["at"] > before[track]["at"]
    }
