"""Addresses, certificates, links and refusals, without a node."""

from __future__ import annotations

import ssl

import pytest

from node.base.errors import Code, Rejected, RemoteError
from node.base.ids import NodeId, format_id
from node.client.api import Api, invite_token, make_refusal, refusal, trust
from node.client.errors import Lost
from node.wire.address import account_invitation, format_link


def test_certificates_are_checked_unless_somebody_says_otherwise(tmp_path: object) -> None:
    assert trust() is True
    assert trust(insecure=True) is False
    with pytest.raises((ssl.SSLError, OSError)):
        trust(ca=f"{tmp_path}/none.pem")


def test_an_invitation_may_be_a_link_or_its_token() -> None:
    token = bytes(range(16))
    link = format_link("https://casa.example", account_invitation(NodeId(bytes(32)), token))
    assert invite_token(link) == invite_token(format_id(token)) == format_id(token)


@pytest.mark.parametrize("url", ["casa.example", "ftp://casa.example", "https://", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Rejected):
        Api(url)


async def test_a_node_that_does_not_answer_is_lost() -> None:
    async with Api("http://127.0.0.1:1") as api:
        with pytest.raises(Lost):
            await api.node()


def test_refusals_keep_code_sentence_and_detail() -> None:
    made = refusal(429, b'{"error":{"code":"rate_limited","text":"Too fast.","detail":{"retry_after_s":2}}}')
    assert isinstance(made, Rejected)
    assert (made.code, made.text, made.detail) == (Code.RATE_LIMITED, "Too fast.", {"retry_after_s": 2})
    assert make_refusal("from_the_future", "Something new.", {}).code is Code.INTERNAL
    assert isinstance(refusal(502, b"<html>"), RemoteError)
