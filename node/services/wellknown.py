"""What this node publishes at ``/.well-known/startalk``: that it is the node of its domain, and where it is.

Whoever serves HTTP asks `body` and sends it as JSON; there is nothing to send before the first record is made, or for a node
without a domain. The body is the same for everybody and holds nothing that the record does not.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from node.base.ids import NodeId, format_node

LINK_PATH: Final = "/s2s"


class WellKnownPage:
    """Makes the body from the present record."""

    def __init__(self, *, nid: NodeId, domain: str, public_url: str, record: Callable[[], bytes | None]) -> None:
        """`record` gives the newest own location record, as published."""
        self._nid = nid
        self._domain = domain
        self._url = public_url or f"wss://{domain}{LINK_PATH}"
        self._record = record

    def body(self) -> dict[str, str | int] | None:
        """The JSON object, None while there is nothing to say (the server answers 404)."""
        record = self._record() if self._domain else None
        if record is None:
            return None
        return {
            "v": 1,
            "id": format_node(self._nid),
            "record": base64.urlsafe_b64encode(record).decode().rstrip("="),
            "url": self._url,
        }

    def txt_line(self, seq: int) -> str:
        """The TXT record that the owner of the zone may publish, as a line of a zone file."""
        return f'_startalk.{self._domain}. 3600 IN TXT "v=1;id={format_node(self._nid)};s={seq}"'
