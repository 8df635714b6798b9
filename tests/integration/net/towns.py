"""Whole nodes in namespaces, and people with devices inside them.

    async with AsyncExitStack() as stack:
        pub = await settle(stack, net, "pub", tmp_path / "pub", https_port=443)
        carol = await pub.person("carol")

A node is a real ``startalk run``. A device's connection is made in the namespace of its node: the socket is created there, and belongs to
it from then on, though this process lives outside.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from node.cli.welcome import LAST_LINE
from node.client import Client
from node.client.admin import AdminClient
from node.services.settings import RATE_MAX, RATES
from node.storage import database
from node.wire import api
from tests.integration.net.netns import Internet, Program

PASSWORD = "a-long-enough-word"
HTTP_PORT = 8080
CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def socket_in(space: str) -> socket.socket:
    """A TCP socket of the namespace `space`."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{space}", os.O_RDONLY)
    try:
        if _LIBC.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        finally:
            if _LIBC.setns(home, CLONE_NEWNET):
                os._exit(70)  # this thread would go on in the wrong network
    finally:
        os.close(home)
        os.close(there)


@asynccontextmanager
async def door(space: str, port: int) -> AsyncIterator[str]:
    """The address of a port of 127.0.0.1 in `space`, reachable from here."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(64 * 1024):
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = socket_in(space)
        try:
            await asyncio.get_running_loop().sock_connect(inner, ("127.0.0.1", port))
            far_reader, far_writer = await asyncio.open_connection(sock=inner)
        except OSError:
            inner.close()
            writer.close()
            return
        async with asyncio.TaskGroup() as both:
            both.create_task(pipe(reader, far_writer))
            both.create_task(pipe(far_reader, writer))

    async with asyncio.TaskGroup() as calls:
        tasks: list[asyncio.Task[None]] = []
        server = await asyncio.start_server(lambda r, w: tasks.append(calls.create_task(take(r, w))), "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in tasks:
                task.cancel()


class Settler:
    """A node that lives in a namespace."""

    def __init__(self, net: Internet, name: str, data: Path, url: str, people: AsyncExitStack) -> None:
        self.net, self.name, self.data, self.url = net, name, data, url
        self.admin = AdminClient(data)
        self._people = people
        self.program: Program | None = None

    def start(self, *, ahead_s: int = 0) -> None:
        """Runs it, until it serves; on a day so far ahead."""
        if ahead_s:
            self.program = self.net.python(self.name, "later.py", str(ahead_s), "--data", str(self.data))
        else:
            command = (sys.executable, "-u", "-m", "node", "run", "--data", str(self.data))
            self.program = self.net.start(self.name, *command)
        self.program.wait_for(LAST_LINE, within_s=30)

    def stop(self) -> None:
        """Ends it in order."""
        assert self.program is not None
        self.program.stop()

    async def relax(self) -> None:
        """Rates as high as they go."""
        change = api.admin.ChangeSettings(rates=dict.fromkeys(RATES, RATE_MAX))
        await asyncio.to_thread(self.admin.patch, "/admin/settings", change, api.admin.NodeSettings)

    async def person(self, local: str) -> Client:
        """Somebody new with a device."""
        made = await asyncio.to_thread(self.admin.post, "/admin/invites", api.admin.MakeInvite(), api.rooms.Link)
        coming = Client.register(self.url, invite=made.token, local=local, password=PASSWORD, name=local.title())
        return await self._people.enter_async_context(coming)

    def ask(self, sql: str, *args: object) -> Any:
        """One value of its database, also while it runs."""
        with sqlite3.connect(f"file:{self.data / database.FILE}?mode=ro", uri=True, timeout=10) as db:
            (value,) = db.execute(sql, args).fetchone()
        db.close()
        return value


async def settle(stack: AsyncExitStack, net: Internet, name: str, data: Path, **boot: Any) -> Settler:
    """A running node."""
    data.mkdir(parents=True)
    settings: dict[str, Any] = {
        "http_port": HTTP_PORT, "https_port": 8443, "mdns": False, "dht": False, "portmap": False,
        "password_cost": "small", "log_level": "info", **boot,
    }  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]  # of these, TOML and JSON say the same
    (data / "startalk.toml").write_text("\n".join(lines), encoding="utf-8")
    url = await stack.enter_async_context(door(net.space(name), HTTP_PORT))
    settler = Settler(net, name, data, url, stack)
    settler.start()
    await settler.relax()
    return settler
