"""``startalk invite``: a link that opens an account, and its QR code."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from node.base.errors import Code, Rejected
from node.cli.boot import Data, load

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def invite(
    data: Data = None,
    role: Annotated[str, typer.Option(help="What the new account may do: user, node_admin or bot.")] = "user",
    uses: Annotated[int, typer.Option(help="How many accounts it opens.", min=1)] = 1,
    expires: Annotated[str, typer.Option(help="How long it works, like 30m, 12h or 7d; never for no end.")] = "7d",
    qr: Annotated[bool, typer.Option(help="Show the QR code.")] = True,
) -> None:
    """Make an invitation link to open an account.

    The token is shown now and never again; the node stores only its hash.
    """
    from node.cli.desk import open_desk
    from node.cli.terminal import print_qr

    config = load(data)
    expires_s = parse_span(expires)
    with open_desk(config) as desk:
        links = desk.invite(role=role, expires_s=expires_s, uses=uses)
    for url in links.urls:
        print(url)
    if qr:
        print()
        print_qr(links.urls[0])


def parse_span(text: str) -> int:
    """Seconds of ``90s``, ``30m``, ``12h``, ``7d``; 0 for ``never``. Raises Rejected."""
    if text == "never":
        return 0
    found = _SPAN.fullmatch(text.strip().lower())
    if not found or not int(found[1]):
        raise Rejected(
            Code.BAD_REQUEST, f"{text!r} is no length of time; write 30m, 12h, 7d or never.", field="expires"
        )
    return int(found[1]) * _UNIT_S[found[2]]
