"""The client over TLS: a certificate nobody vouches for is refused, the node's own file or `insecure` opens the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node import main
from node.client import Api, Client
from node.client.api import trust
from node.client.errors import Untrusted
from node.runtime.clock import SystemClock
from tests.cast import PASSWORD, PATIENCE_S, stage


async def test_only_a_certificate_that_is_known_opens_the_way(tmp_path: Path) -> None:
    now_ms = SystemClock().now_ms()  # certificates are checked by the machine's calendar
    async with stage(tmp_path / "node", now_ms=now_ms, https=True, https_host="127.0.0.1", https_port=0) as node:
        port = next(bound.port for bound in node.node.web.bound if bound.name == "https")
        url, invite = f"https://127.0.0.1:{port}", await node.invite()
        files = [*(tmp_path / "node" / main.KEYS / main.TLS_FOLDER).glob("*.pem")]
        ca = next(str(file) for file in files if "BEGIN CERTIFICATE" in file.read_text())

        with pytest.raises(Untrusted, match="ca"):
            async with Api(url) as api:
                await api.node()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Untrusted):
                async with Client.connect(url, token="x"):
                    pass
        async with Client.register(url, invite=invite, local="alice", password=PASSWORD, ca=ca) as alice:
            assert (await alice.api.me()).local == "alice"
            async with Client.connect(url, token=alice.token, insecure=True) as same:
                assert same.user == alice.user
        async with Api(url, trust=trust(ca=ca)) as api:
            assert (await api.node()).registration == "invite"
