"""Whatever is sent to the API, the answer is one its document promises, and never a fault of ours.

Schemathesis makes requests from the document itself, valid ones and nearly valid ones. The node runs in a thread with its own loop;
the sender is the owner, who is a member of a room with messages, so that many requests get past the first check.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from node.base.ids import format_id
from node.client.admin import AdminClient
from node.services.settings import RATE_MAX, RATES
from node.wire import api
from tests.integration.house import DOCUMENT, House, house

NOT_A_FAULT: Final = CHECKS.get_one("not_a_server_error")
PROMISES: Final = [NOT_A_FAULT, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES: Final = 25  # of each endpoint; about a thousand requests in all
RATES_BODY: Final = api.admin.ChangeSettings(rates=dict.fromkeys(RATES, RATE_MAX), registration="invite")

# The session is needed; and a made-up domain would be asked of the DNS: these have tests of their own.
ELSEWHERE: Final = r"/(logout|introductions(/join)?|contacts|admin/peers|admin/trace)$"
schema = schemathesis.openapi.from_dict(DOCUMENT).exclude(path_regex=ELSEWHERE)


class Served:
    """A node in a thread, and what a request needs to reach something."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = ""
        self.headers: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def relax(self) -> None:
        """Undoes what fuzzing did to the settings."""
        AdminClient(self.folder).patch("/admin/settings", RATES_BODY, api.admin.NodeSettings)

    async def _run(self) -> None:
        async with house(self.folder) as home:
            await self._furnish(home)
            self._ready.set()
            await self._stop.wait()

    async def _furnish(self, home: House) -> None:
        token = await home.services.invites.owner_invite() or ""
        owner = await home.person("olga", token=token, mode="token")
        other = await home.bot("bert")
        room = await owner.ok("POST", "/rooms", {"name": "Garden", "client_id": home.fresh_id()})
        link = await owner.ok("POST", f"/rooms/{room['room']}/links", {"uses": 1000})
        self.base, self.headers = home.base, owner.headers
        self.ids = {
            "room": room["room"], "user": other.me["user"], "device": other.me["device"], "id": link["id"],
            "token": link["token"], "client_id": format_id(bytes(16)),
        }  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("fuzz") / "node") as running:
        yield running


@pytest.mark.slow
@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
def test_every_answer_is_a_promised_one(case: Any, served: Served) -> None:
    _aim(case, served.ids)
    response = case.call(base_url=served.base, headers=served.headers)
    if case.path.endswith("/admin/settings"):
        served.relax()
    case.validate_response(response, checks=PROMISES)


def _aim(case: Any, ids: dict[str, str]) -> None:
    """Puts a real id in place of every other invented one, by the parity of its length."""
    for holder in (case.path_parameters, case.body):
        if isinstance(holder, dict):
            for name in holder.keys() & ids.keys():
                if isinstance(holder[name], str) and len(holder[name]) % 2:
                    holder[name] = ids[name]
