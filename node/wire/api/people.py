"""People of this node and contacts on others."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from node.base import limits
from node.wire.api.base import Answer, Request


class Person(Answer, frozen=True, kw_only=True):
    """Somebody, as others see them."""

    user: str
    local: str
    name: str


class People(Answer, frozen=True, kw_only=True):
    """A page of the directory; `after` asks for the next one, empty = the end."""

    people: list[Person]
    after: str = ""


class Contact(Answer, frozen=True, kw_only=True):
    """Somebody on another node. `state`: asked (by us), asking (they ask, with `text`), contact, ignored, blocked; `room` is the direct
    chat, which exists once both agreed."""

    person: Person
    address: str
    state: Literal["asked", "asking", "contact", "ignored", "blocked"]
    text: str
    at_ms: int
    room: str


class Contacts(Answer, frozen=True, kw_only=True):
    """All of them, newest first."""

    contacts: list[Contact]


class Meet(Request, frozen=True, kw_only=True):
    """An address like ``alice@casa.example``, a key address, a canonical user id, or an invitation link."""

    address: Annotated[str, Meta(min_length=1, max_length=1_100)]


class Introduction(Answer, frozen=True, kw_only=True):
    """What an address or link leads to. `hint` is a claim of the link's maker; `home`: it is this node itself."""

    kind: Literal["person", "room", "account"]
    node: str
    home: bool
    user: str
    address: str
    room: str
    hint: str


class AskContact(Request, frozen=True, kw_only=True):
    """Who is asked, and a few words for them."""

    address: Annotated[str, Meta(min_length=1, max_length=1_100)]
    text: Annotated[str, Meta(max_length=limits.REQUEST_CHARS_MAX)] = ""


class JoinElsewhere(Request, frozen=True, kw_only=True):
    """A link into a chat; `client_id` makes a repeat harmless."""

    link: Annotated[str, Meta(min_length=1, max_length=1_100)]
    client_id: str
