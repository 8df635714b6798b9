"""How a refusal or a fault leaves over HTTP: the body is always `api.base.Failure`, the status comes from one table.

Only what was meant for the caller gets out. An unexpected exception becomes `internal` with an id; the same id
stands in the log beside the place in the program, so an admin can find it from what a user quotes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from aiohttp import web

from node.base.errors import Code, Rejected
from node.base.ids import format_id
from node.runtime.entropy import Entropy
from node.runtime.log import Log
from node.wire import api

ERROR_ID_BYTES: Final = 6  # enough to find a line in a log
JSON: Final = "application/json"
_encode: Final = msgspec.json.Encoder().encode
_log = Log("web")


def answer(value: api.base.Answer, *, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=_encode(value), status=status, content_type=JSON)


class Failures:
    """Turns exceptions into answers."""

    def __init__(self, *, entropy: Entropy, count: Callable[[str], None], count_fault: Callable[[], None]) -> None:
        self._entropy = entropy
        self._count = count
        self._count_fault = count_fault

    def refusal(self, error: Rejected) -> web.Response:
        """What the user did wrong."""
        self._count(error.code.value)
        return self._response(error)

    def http(self, error: web.HTTPException) -> web.Response:
        """What the HTTP library refused by itself."""
        refused = _TRANSLATED.get(error.status, Rejected(Code.BAD_REQUEST, "This request is not valid HTTP."))
        response = self.refusal(refused)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response

    def fault(self, error: BaseException, *, method: str, route: str) -> web.Response:
        """Our own fault: logged with an id, told with the id only."""
        self._count_fault()
        mark = format_id(self._entropy.token_bytes(ERROR_ID_BYTES))
        _log.error("a request met a fault", error, error_id=mark, method=method, route=route)
        text = "Something went wrong inside the node; tell its admin the id of this error."
        return self._response(Rejected(Code.INTERNAL, text), mark)

    def _response(self, error: Rejected, mark: str = "") -> web.Response:
        mark = mark or format_id(self._entropy.token_bytes(ERROR_ID_BYTES))
        problem = api.base.Problem(code=error.code.value, text=error.text, detail=error.detail, id=mark)
        response = answer(api.base.Failure(error=problem), status=error.http_status)
        wait_s = error.detail.get("retry_after_s")
        if isinstance(wait_s, int):
            response.headers["Retry-After"] = str(wait_s)
        return response


_TRANSLATED: Final = {
    404: Rejected(Code.NOT_FOUND, "There is nothing at this address."),
    405: Rejected(Code.METHOD_NOT_ALLOWED, "This address does not know this method."),
    413: Rejected(Code.TOO_LARGE, "The request is too large."),
    415: Rejected(Code.UNSUPPORTED, "This content type is not supported."),
}
