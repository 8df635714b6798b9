"""A node with people on it, made over the HTTP API so that a test of one screen need not click its way there."""

from __future__ import annotations

import base64
import itertools
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from playwright.sync_api import APIRequestContext

from node.wire import address
from tests.e2e.person import PASSWORD, Person
from tests.e2e.program import Program

Json = Mapping[str, Any]
PATIENCE_S = 20
LOOK_EACH_S = 0.05
# A test says in a second what people say in an evening.
HASTE = ("posts_per_account_per_s", "posts_per_account_burst", "posts_per_room_per_s", "posts_per_room_burst",
         "api_per_session_per_s", "api_per_session_burst", "api_per_address_per_s", "api_per_address_burst")  # fmt: skip


class Village:
    """One node with its owner Olga; `settle` brings a person in, signed in as a browser is."""

    def __init__(self, program: Program, olga: Person, *, name: str = "Casa") -> None:
        self._program = program
        self._name = name
        self._numbers = itertools.count(1)
        self.last = ""
        self.olga = self._found(olga)
        self._invite = str(self.olga.post("/admin/invites", {"uses": 200})["token"])

    @property
    def origin(self) -> str:
        """Where browsers go."""
        return self._program.origin

    def crashes(self) -> None:
        """Its node is killed and starts anew, where browsers find it again."""
        self._program.kill()
        self._program.start()

    def _found(self, owner: Person) -> Villager:
        token = address.parse_link(self._program.owner_link)[1].token
        me = self._register(owner, base64.urlsafe_b64encode(token).decode().rstrip("="), "olga")
        phrase = me.get("/setup/phrase")
        words = {str(place): phrase["words"][place - 1] for place in phrase["ask"]}
        me.post("/setup/confirm", {"words": words, "node_name": self._name, "registration": "invite"})
        me.patch("/admin/settings", {"rates": dict.fromkeys(HASTE, 10_000)})
        return me

    def settle(self, person: Person) -> Villager:
        """A new account with a user name nobody had."""
        self.last = f"{re.sub('[^a-z]', '', person.name.split()[0].lower()) or 'x'}{next(self._numbers)}"
        return self._register(person, self._invite, self.last)

    def sign_in(self, person: Person, local: str) -> Villager:
        """One more device of an account."""
        me = Villager(person.context.request, self.origin, {})
        body = {"local": local, "password": PASSWORD, "device_name": person.name, "mode": "cookie", "end_oldest": True}
        me.me = me.post("/login", body)["me"]
        return me

    def _register(self, person: Person, token: str, local: str) -> Villager:
        me = Villager(person.context.request, self.origin, {})
        account = {
            "local": local,
            "name": person.name,
            "password": PASSWORD,
            "device_name": "Chromium",
            "mode": "cookie",
            "lang": "",
        }
        session = me.post("/register", {**account, "token": token})
        me.me = session["me"]
        return me


class Villager:
    """A signed-in person, from the side of the API."""

    def __init__(self, request: APIRequestContext, origin: str, me: Json) -> None:
        self._request = request
        self._origin = origin
        self.me = me

    def on(self, origin: str) -> Villager:
        """The same session on another address."""
        return Villager(self._request, origin, self.me)

    @property
    def user(self) -> str:
        """`local@nid`."""
        return str(self.me["user"])

    @property
    def local(self) -> str:
        """The user name."""
        return str(self.me["local"])

    def get(self, path: str) -> Json:
        """GET below /api/v1."""
        return self._call("GET", path, None)

    def delete(self, path: str) -> Json:
        """DELETE below /api/v1."""
        return self._call("DELETE", path, None)

    def post(self, path: str, body: Json) -> Json:
        """POST below /api/v1."""
        return self._call("POST", path, body)

    def patch(self, path: str, body: Json) -> Json:
        """PATCH below /api/v1."""
        return self._call("PATCH", path, body)

    def _call(self, method: str, path: str, body: Json | None) -> Json:
        headers = {"Origin": self._origin, "X-Startalk": "1"}
        answer = self._request.fetch(
            f"{self._origin}/api/v1{path}",
            method=method,
            headers=headers,
            data=None if body is None else dict(body),
        )
        assert answer.ok, answer.text()
        found: Json = answer.json()
        return found

    def chat_with(self, other: Villager) -> str:
        """A direct chat."""
        return str(self.post("/rooms/direct", {"user": other.user})["room"])

    def befriend(self, other: Villager) -> str:
        """Contacts on two nodes, by a link of the other one; the direct chat."""
        link = str(other.post("/contact-links", {})["url"])
        self.post("/contacts", {"address": link, "text": ""})
        return self._when(lambda: self._room_with(other))

    def _room_with(self, other: Villager) -> str:
        found = [one for one in self.get("/contacts")["contacts"] if one["person"]["user"] == other.user]
        return str(self.chat_with(other)) if found and found[0]["state"] == "contact" else ""

    def _when(self, look: Callable[[], str]) -> str:
        end = time.monotonic() + PATIENCE_S
        while not (found := look()):
            assert time.monotonic() < end
            time.sleep(LOOK_EACH_S)
        return found

    def group(self, name: str, guests: Sequence[Villager] = (), topic: str = "") -> str:
        """A group whose guests have all accepted."""
        body = {"name": name, "topic": topic, "guests": [guest.user for guest in guests], "client_id": client_id()}
        room = str(self.post("/rooms", body)["room"])
        for guest in guests:
            guest.act(room, "join", {"via": "invite"})
        return room

    def act(self, room: str, kind: str, body: Json) -> Json:
        """Any post."""
        return self.post(f"/rooms/{room}/events", {"client_id": client_id(), "kind": kind, "body": body})

    def says(self, room: str, text: str, **more: object) -> str:
        """A message; its event id."""
        return str(self.act(room, "text", {"text": text, **more})["event_id"])


def client_id() -> str:
    """A fresh id of a post."""
    return base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
