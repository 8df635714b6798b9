"""The last step of the first run: the recovery phrase is shown until three of its words were typed back."""

from __future__ import annotations

from node.base.errors import Code, Rejected
from node.core.account import Registration
from node.services.ports import PhraseKeeper
from node.services.settings import Change, Settings
from node.web.endpoints import Access, Call, endpoint
from node.wire import api


class SetupResource:
    """``/setup``, for the owner."""

    def __init__(self, *, phrase: PhraseKeeper, settings: Settings) -> None:
        self._phrase = phrase
        self._settings = settings

    @endpoint("GET", "/setup/phrase", answer=api.admin.Phrase, access=Access.OWNER, errors=(Code.ALREADY_DONE,))
    async def show_phrase(self, call: Call[None]) -> api.admin.Phrase:
        """The 24 words and the places to type back."""
        return api.admin.Phrase(words=list(self._phrase.phrase()), ask=list(self._phrase.asked()))

    @endpoint(
        "POST",
        "/setup/confirm",
        request=api.admin.ConfirmSetup,
        answer=api.base.Empty,
        access=Access.OWNER,
        errors=(Code.ALREADY_DONE, Code.PHRASE_MISMATCH),
    )
    async def confirm_setup(self, call: Call[api.admin.ConfirmSetup]) -> api.base.Empty:
        """Right words: the phrase is erased for good, and the node gets its name and registration mode."""
        body = call.body
        registration = None if body.registration is None else Registration(body.registration)
        change = Change(name=body.node_name, registration=registration)
        self._settings.check(change)
        self._phrase.confirm(_places(body.words))
        await self._settings.change(change, actor=call.actor.user)
        return api.base.Empty()


def _places(words: dict[str, str]) -> dict[int, str]:
    if len(words) > 24 or not all(place.isascii() and place.isdigit() and len(place) <= 2 for place in words):
        raise Rejected(Code.BAD_REQUEST, "The words are given by their places, 1 to 24.", field="words")
    return {int(place): word for place, word in words.items()}
