"""A code in front of the camera. Chromium shows its pages a film in the place of a camera; this one shows a QR code, held still."""

from __future__ import annotations

from pathlib import Path

import segno
from playwright.sync_api import Playwright, expect

from tests.e2e.conftest import Meet, launch
from tests.e2e.person import Person
from tests.e2e.village import Village

WIDTH, HEIGHT, SCALE = 640, 480, 6
DARK, LIGHT, GREY = b"\x20", b"\xe0", b"\x80"


def film(path: Path, text: str) -> None:
    """A few equal frames of YUV4MPEG2 in 4:2:0: the code in the middle of a bright picture."""
    code = [bytes(row) for row in segno.make(text, error="m").matrix_iter(scale=SCALE, border=4)]
    left, top = (WIDTH - len(code[0])) // 2, (HEIGHT - len(code)) // 2
    assert min(left, top) >= 0, "the code fits into the picture"
    blank = LIGHT * WIDTH
    rows = [blank] * top
    for row in code:
        rows.append(
            LIGHT * left + b"".join(DARK if dark else LIGHT for dark in row) + LIGHT * (WIDTH - left - len(row))
        )
    rows += [blank] * (HEIGHT - len(rows))
    frame = b"FRAME\n" + b"".join(rows) + GREY * (WIDTH * HEIGHT // 2)
    path.write_bytes(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420jpeg\n".encode() + frame * 10)


def test_a_code_is_read_with_the_camera(
    pair: tuple[Village, Village], meet: Meet, driver: Playwright, tmp_path: Path
) -> None:
    casa, hut = pair
    ida = meet("Ida Noor", casa.origin)
    link = str(casa.settle(ida).post("/contact-links", {})["url"])
    film(tmp_path / "camera.y4m", link)
    browser = launch(driver, f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}")
    sven = Person(browser, hut.origin, "Sven Holm")
    hut.settle(sven)
    sven.goes("/add")
    sven.presses("Scan a code")
    expect(sven.page.get_by_role("dialog")).to_contain_text("Ida Noor")
    sven.page.get_by_role("dialog").get_by_role("button", name="Add contact").click()
    sven.presses("Send message")
    sven.writes("Read from a screen")
    ida.goes("/")
    ida.opens("Sven Holm")
    expect(ida.message("Read from a screen")).to_be_visible()
    assert not sven.complaints
    browser.close()
