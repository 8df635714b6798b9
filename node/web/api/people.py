"""How a person is shown: user id, local name, display name."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from node.services.accounts import PAGE_MAX, Accounts
from node.web.endpoints import Access, Call, endpoint
from node.wire import api

Query = Annotated[str, Meta(max_length=64)]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX)]


class Page(api.base.Request, frozen=True, kw_only=True):
    """`q` is the beginning of a local name or a part of a display name; `after` is the last page's `after`."""

    q: Query = ""
    after: Query = ""
    limit: Limit = 50


def person(user: str, name: str) -> api.people.Person:
    """Who has no display name is shown by the local one."""
    local = user.partition("@")[0]
    return api.people.Person(user=user, local=local, name=name or local)


class PeopleResource:
    """The directory of this node."""

    def __init__(self, *, accounts: Accounts) -> None:
        self._accounts = accounts

    @endpoint("GET", "/users", request=Page, answer=api.people.People, access=Access.USER)
    async def find_people(self, call: Call[Page]) -> api.people.People:
        """People with an account on this node, by local name."""
        page = call.body
        found = await self._accounts.directory(page.q, page.after, page.limit)
        people = [api.people.Person(user=user, local=local, name=name or local) for user, local, name in found]
        return api.people.People(people=people, after=people[-1].local if len(people) == page.limit else "")
