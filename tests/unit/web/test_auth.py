"""Small parts of authentication; the whole is in tests/integration/test_api_sites.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.sessions import shorten
from node.web.auth import is_loopback_host


@pytest.mark.parametrize(
    ("origin", "local"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("https://[::1]:8443", True),
        ("http://127.9.9.9", True),
        ("https://casa.example", False),
        ("https://192.168.1.5:8443", False),
        ("https://localhost.evil.example", False),
        ("", False),
    ],
)
def test_links_for_others_do_not_name_this_machine(origin: str, local: bool) -> None:
    assert is_loopback_host(origin) is local


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("192.0.2.77", "192.0.2.x"),
        ("::ffff:192.0.2.77", "192.0.2.x"),
        ("2001:db8:aaaa:bbbb:cccc::1", "2001:db8:aaaa::"),
        ("fe80::1%eth0", "fe80::"),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_addresses_are_kept_shortened(address: str, kept: str) -> None:
    assert shorten(address) == kept


@given(st.ip_addresses(v=4).map(str))
def test_the_last_number_is_never_kept(address: str) -> None:
    assert shorten(address) == address.rpartition(".")[0] + ".x"


@given(st.text(max_size=60))
def test_any_text_can_be_shortened(text: str) -> None:
    shorten(text)
