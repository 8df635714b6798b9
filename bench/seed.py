"""A data directory with people, sessions and rooms, made through the services while no server runs.

Accounts get one shared password hash and tokens without a password check: 5,000 real sign-ins would take half an hour of
Argon2 and are measured separately. Everything else (rooms, joins, messages) goes through the ordinary doors.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from msgspec import Struct

from node.base.errors import Rejected
from node.base.ids import ClientId, DeviceId, RoomId, format_id, make_user
from node.core.account import NodeRole, skeleton
from node.main import Services, open_services
from node.runtime.clock import SystemClock
from node.runtime.config import Config
from node.runtime.entropy import SystemEntropy
from node.services.actor import Actor
from node.services.post import Post
from node.services.settings import RATE_MAX, RATES, Change
from node.storage.accounts import AccountStore, NewAccount
from node.storage.database import Tx
from node.storage.devices import DeviceStore, NewDevice
from node.wire.codec import encode

PEOPLE: Final = 1_000
DEVICES_EACH: Final = 5
PAIRS: Final = 100
GROUP_SIZES: Final = (100, 500)
HISTORY: Final = 10_000
PASSWORD: Final = "a long enough pass phrase"


class Seed(Struct, frozen=True, kw_only=True):
    """What the generator needs to know. `tokens[i]` are the sessions of person i."""

    tokens: list[list[str]]
    direct: list[bytes]  # room of persons 2k and 2k + 1
    groups: dict[int, bytes]
    history: bytes
    rates: dict[str, int]


def seed(data: Path) -> Seed:
    """Fills `data`."""
    return asyncio.run(_seed(data))


async def _seed(data: Path) -> Seed:
    services = open_services(Config(data=str(data)), clock=SystemClock(), entropy=SystemEntropy())
    try:
        rates = dict.fromkeys(RATES, RATE_MAX)
        await services.settings.change(Change(rates=rates), actor="bench")
        hashed = await services.passwords.hash(PASSWORD)
        made = await services.db.write(lambda tx: _people(services, tx, hashed.text, hashed.pepper))
        actors = [actor for actor, _ in made]
        direct = [await services.posting.open_direct(actors[2 * k], actors[2 * k + 1].user) for k in range(PAIRS)]
        groups = {size: bytes(await _group(services, actors[:size])) for size in GROUP_SIZES}
        history = await _group(services, actors[-2:])
        await _fill(services, actors[-1], history)
    finally:
        await services.close()
    tokens = [tokens for _, tokens in made]
    return Seed(tokens=tokens, direct=[bytes(room) for room in direct], groups=groups, history=history, rates=rates)


def _people(services: Services, tx: Tx, password: str, pepper: int) -> list[tuple[Actor, list[str]]]:
    return [add_person(services, tx, f"person{number:04}", password, pepper) for number in range(PEOPLE)]


def add_person(services: Services, tx: Tx, local: str, password: str, pepper: int) -> tuple[Actor, list[str]]:
    """An account with `DEVICES_EACH` devices, and their tokens."""
    accounts, devices, now_ms = AccountStore(users=services.users), DeviceStore(), services.clock.now_ms()
    user = make_user(local, services.identity.nid)
    new = NewAccount(
        user=user,
        local=local,
        skeleton=skeleton(local) + local,
        name=local.title(),
        role=NodeRole.USER,
        password=password,
        pepper=pepper,
        lang="en",
        invited_by=0,
    )
    pk = accounts.insert(tx, new, now_ms)
    tokens, first = [], (DeviceId(b""), 0)
    for _ in range(DEVICES_EACH):
        secret, device = services.entropy.token_bytes(32), DeviceId(services.entropy.token_bytes(16))
        digest = hashlib.sha256(secret).digest()
        row = NewDevice(account=pk, device=device, token_hash=digest, name="bench", client="bench", address="127.0.0.1")
        first = (device, devices.insert(tx, row, now_ms))
        tokens.append(format_id(secret))
    actor = Actor(
        user=user, user_pk=pk, account_role=NodeRole.USER, device=first[0], device_pk=first[1], local=local, name=local
    )
    return actor, tokens


async def _group(services: Services, members: list[Actor]) -> RoomId:
    owner, *others = members
    made = await services.posting.post(owner, new_post(services, b"", "create", {"name": f"{len(members)} people"}))
    for member in others:
        await services.posting.post(owner, new_post(services, made.room, "invite", {"user": member.user}))
        await services.posting.post(member, new_post(services, made.room, "join", {"via": "invite"}))
    return made.room


async def _fill(services: Services, author: Actor, room: RoomId) -> None:
    for start in range(0, HISTORY, 500):
        posts = [new_post(services, room, "text", {"text": f"message {start + k} of the history"}) for k in range(500)]
        results = await asyncio.gather(*(services.posting.post(author, post) for post in posts), return_exceptions=True)
        assert not [result for result in results if isinstance(result, Rejected)]


def new_post(services: Services, room: bytes, kind: str, body: dict[str, object]) -> Post:
    """A post with a fresh client id."""
    return Post(room, ClientId(services.entropy.uuid7(services.clock.now_ms())), kind, encode(body))
