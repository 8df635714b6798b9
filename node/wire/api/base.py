"""Bases of requests and answers, what every refusal looks like, and text of which several parts speak."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

DisplayName = Annotated[str, Meta(max_length=256)]
RegistrationMode = Literal["open", "invite", "closed"]
InviteToken = Annotated[str, Meta(max_length=64)]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies."""


class Answer(Struct, frozen=True, kw_only=True):
    """Base of answers."""


class Empty(Answer, frozen=True, kw_only=True):
    """Done; nothing to tell."""


class Problem(Answer, frozen=True, kw_only=True):
    """A refusal. `id` can be quoted to the admin."""

    code: str
    text: str
    detail: dict[str, str | int | bool | None] = {}
    id: str = ""


class Failure(Answer, frozen=True, kw_only=True):
    """Body of every answer with a status of 400 or more."""

    error: Problem
