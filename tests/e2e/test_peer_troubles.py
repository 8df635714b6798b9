"""The owner of a node reads, in their own language, why another one is not linked; what the program wrote of it stands below."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Found, Meet
from tests.e2e.person import PHONE
from tests.e2e.test_screens import load_axe, screen

LONG_MS = 40_000


@pytest.mark.timeout(180)
def test_why_a_node_is_not_linked_in_chinese(found: Found, meet: Meet) -> None:
    (casa, other), (_, hut) = found("Casa"), found("Hut")
    hut.olga.post("/introductions", {"address": str(other.olga.post("/contact-links", {})["url"])})
    olga = meet("Olga", hut.origin, locale="zh-CN", viewport=PHONE, has_touch=True)
    hut.sign_in(olga, "olga")
    casa.kill()
    olga.goes(f"/admin/peers/{other.olga.user.partition('@')[2]}")
    load_axe(olga)
    olga.presses("立即连接")
    why = "上次连接失败：该地址上没有程序在监听"
    expect(olga.page.get_by_text(why)).to_be_visible(timeout=LONG_MS)
    expect(
        olga.page.get_by_text(re.compile("Connection refused|Connect call failed|ConnectionRefused"))
    ).to_be_visible()
    olga.presses("开始查找")
    steps = olga.page.get_by_role("list", name="如何查找该节点").get_by_role("listitem")
    expect(steps.filter(has_text="该地址上没有程序在监听").first).to_be_visible(timeout=LONG_MS)
    expect(steps.filter(has_text="已知地址").first).to_be_visible()
    findings = list(screen(olga, "peer-not-linked", "main li", "phone-zh"))
    assert not findings, findings
    olga.goes("/admin/peers")
    expect(olga.page.get_by_text(why)).to_be_visible(timeout=LONG_MS)
