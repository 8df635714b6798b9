"""A person at a browser of their own: what they do with words on the screen, and what their browser complains about.

Nothing here knows classes or ids of the page. A move that a person could not describe to another person is no move.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Locator, Page, ViewportSize, expect

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=390, height=844)
WAIT_S = 15
SHOT_MS = 30_000  # with a call running, a busy machine paints slowly
PASSWORD = "four blue herons fly"
_LOOK = {
    "viewport": DESKTOP,
    "locale": "en-US",
    "timezone_id": "Europe/Madrid",
    "color_scheme": "light",
    "reduced_motion": "reduce",
}
# A refusal by the node, or one that another node is away, is an event of a story, and a certificate of the node's own
# allows no service worker; the browser prints all of them as errors.
_USUAL = re.compile(r"status of (?:4\d\d|502)|An SSL certificate error occurred when fetching the script")
_OUTAGE = re.compile(r"WebSocket connection to .* failed|net::ERR_|status of 503|Failed to fetch|FetchEvent")
_WATCH_CSP = """addEventListener('securitypolicyviolation', (event) =>
    console.error(`CSP ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""


class Person:
    """One browser context, one page. `complaints` must stay empty."""

    def __init__(self, browser: Browser, origin: str, name: str, **look: object) -> None:
        self.name = name
        self.origin = origin
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(
            **{**_LOOK, **look},  # type: ignore[arg-type]
        )
        self.context.set_default_timeout(10_000)
        self.context.add_init_script(_WATCH_CSP)
        self.context.tracing.start(screenshots=True, snapshots=True)
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.complaints.append(f"{self.name}: {error.error}"))
        self.page: Page = self.context.new_page()
        self.page.on("dialog", self._dialog)
        self.expects_outage = False

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error" or _USUAL.search(message.text):
            return
        if not (self.expects_outage and _OUTAGE.search(message.text)):
            self.complaints.append(f"{self.name}: {message.text} ({message.page.url if message.page else 'worker'})")

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"{self.name}: the page opened an alert: {dialog.message}")
        dialog.dismiss()

    def leave(self, trace: Path | None = None) -> None:
        """Closes the browser; keeps what it recorded, and its last sight, when `trace` names files."""
        if trace:
            self.page.screenshot(path=f"{trace}.png")
            self.context.tracing.stop(path=f"{trace}.zip")
        self.context.close()

    # --- looking --------------------------------------------------------------------------------------------

    def shot(self, name: str) -> None:
        """A picture of what is on the screen now, for people."""
        self.page.evaluate("document.fonts.ready.then(() => undefined)")
        self.page.screenshot(
            path=SCREENSHOTS / f"{name}.png", animations="disabled", caret="initial", timeout=SHOT_MS
        )  # makes its folder

    def waits(self, holds: str, arg: Any = None) -> None:
        """Until this JavaScript is true. (What the library has for it evaluates strings inside the page, which the page's policy forbids.)"""
        end = time.monotonic() + WAIT_S
        while not self.page.evaluate(holds, arg):
            assert time.monotonic() < end, f"never true: {holds}"
            self.page.wait_for_timeout(100)

    def sees(self, text: str | re.Pattern[str], *, exact: bool = False) -> None:
        """Somewhere on the page, visibly."""
        expect(self.page.get_by_text(text, exact=exact).filter(visible=True).first).to_be_visible()

    def message(self, text: str) -> Locator:
        """The message with this text in the open chat."""
        return self.page.get_by_role("article").filter(has_text=text).last

    def chat(self, name: str) -> Locator:
        """The line of a chat in the list."""
        return self.page.get_by_role("navigation", name="Chat list").get_by_role("link").filter(has_text=name).first

    @property
    def composer(self) -> Locator:
        """Where messages are written."""
        return self.page.get_by_role("textbox", name=re.compile("^(Message |给|发消息|发送给)"))

    # --- doing ----------------------------------------------------------------------------------------------

    def goes(self, path: str) -> None:
        """Types an address; one without a host stays on the node where the person is."""
        here = self.page.url if self.page.url.startswith("http") else self.origin
        self.page.goto(urljoin(here, path))

    def presses(self, name: str, *, role: str = "button", exact: bool = True) -> None:
        """A button, a link, a menu item."""
        self.page.get_by_role(role, name=name, exact=exact).filter(visible=True).first.click()  # type: ignore[arg-type]

    def fills(self, label: str, value: str) -> None:
        """A field of a form."""
        self.page.get_by_label(label, exact=True).fill(value)

    def registers(self, link: str, local: str) -> None:
        """Follows an invitation and makes an account."""
        self.goes(link)
        self.fills("User name", local)
        self.fills("Name", self.name)
        self.fills("Password", PASSWORD)
        self.presses("Create account")

    def opens(self, chat: str) -> None:
        """A chat from the list."""
        self.chat(chat).click()
        expect(self.page.get_by_role("main").get_by_role("heading", name=chat)).to_be_visible()

    def writes(self, text: str, shown: str = "") -> Locator:
        """Writes and sends; the message, as the writer sees it."""
        self.composer.fill(text)
        self.composer.press("Enter")
        sent = self.message(shown or text)
        expect(sent).to_be_visible()
        return sent

    def chooses(self, message: Locator, action: str) -> None:
        """An action from the menu of a message."""
        message.hover()
        message.get_by_role("button", name="More actions").click()
        self.page.get_by_role("menuitem", name=action, exact=True).click()
