"""Addresses are guesses, but sound ones."""

from __future__ import annotations

import ipaddress

from node.runtime import lan


def test_own_addresses_are_addresses_others_could_use() -> None:
    for text in lan.own_addresses():
        address = ipaddress.ip_address(text)
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_unspecified


def test_host_names_can_stand_in_a_certificate() -> None:
    for name in lan.host_names():
        assert name == name.lower()
        assert name.isascii()
        assert name != "localhost"
