"""What ``startalk run`` says once it serves: where the node is, and while it has no owner, how to become that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TextIO

from node import __version__
from node.cli.links import account_link
from node.cli.terminal import print_qr

LAST_LINE: Final = "Stop it with Ctrl+C."  # `startalk demo` waits for it


def greet(
    *, name: str, node: str, origins: Sequence[str], self_signed: bool, owner_token: str | None, to: TextIO
) -> None:
    """Prints the addresses, the first being the one for others; with `owner_token` the owner's link and QR code."""
    print(
        f"\n{name} · Startalk Node {__version__}\n" if name != "Startalk" else f"\nStartalk Node {__version__}\n",
        file=to,
    )
    for origin in origins:
        print(f"  {origin:<36} {_remark(origin, self_signed=self_signed)}".rstrip(), file=to)
    if owner_token is not None:
        _greet_owner(name=name, node=node, origins=origins, token=owner_token, to=to)
    print(f"\n{LAST_LINE}", file=to, flush=True)


def _remark(origin: str, *, self_signed: bool) -> str:
    if origin.startswith("http://"):
        return "this machine only"
    return (
        "everybody in your network; the browser warns once, since the certificate is the node's own"
        if self_signed
        else ""
    )


def _greet_owner(*, name: str, node: str, origins: Sequence[str], token: str, to: TextIO) -> None:
    links = [account_link(origin, node, token, hint=name) for origin in origins]
    print("\nThis node has no owner yet. Whoever opens this link first becomes the owner; it works once:\n", file=to)
    for link in reversed(links):
        print(f"  {link}", file=to)
    print(file=to)
    print_qr(links[0], to)
