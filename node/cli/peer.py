"""``startalk peer``: other nodes, as the running node sees them. Everything is asked over ``admin.sock``; a node that does not
run has no links, so these verbs need one that does.

A node is named by its domain, its id (52 characters) or the beginning of one, as long as only one known node fits.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.base.errors import Code, Rejected
from node.base.ids import format_node, parse_node
from node.cli.boot import Data, load

if TYPE_CHECKING:
    from node.client.admin import AdminClient
    from node.wire import api

PREFIX_CHARS_MIN: Final = 4
SHOWN_CHARS: Final = 12  # of an id in a table
SAFETY_COLUMNS: Final = 4
_MINUTE_MS: Final = 60_000
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (_MINUTE_MS, "min"), (1_000, "s"))

app = typer.Typer(no_args_is_help=True)
Node = Annotated[str, typer.Argument(help="Domain, id, or the beginning of the id.", metavar="NODE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _group() -> None:
    """Other nodes: who is linked, who waits, who is blocked."""


@app.command("list")
def list_peers(data: Data = None, as_json: AsJson = False) -> None:
    """Print every node that is known here, linked ones first."""
    from node.cli.terminal import table
    from node.runtime.clock import SystemClock

    peers = _admin(data).peers()
    if as_json:
        _print_json(peers)
        return
    now_ms = SystemClock().now_ms()
    print(table(_HEAD, [_row(peer, now_ms) for peer in peers]) if peers else "No other node is known here.")


@app.command("add")
def add(
    address: Annotated[
        str, typer.Argument(help="Domain, address (bob@b.example), node id or link.", metavar="ADDRESS|DOMAIN|LINK")
    ],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Connect to a node now, and print who answered with the words to compare with its admin."""
    peer = _admin(data).meet(address)
    if as_json:
        _print_json(peer)
        return
    print(f"{_name(peer)} answers: {peer.node}")
    print(f"Connection: {_path(peer)}")
    print(
        "\nCompare these words with the admin of the other node, by voice or face to face. They are the same on both:\n"
    )
    words = peer.safety.split()
    for start in range(0, len(words), SAFETY_COLUMNS):
        print("  " + "  ".join(f"{word:<10}" for word in words[start : start + SAFETY_COLUMNS]).rstrip())


@app.command("block")
def block(
    node: Node, data: Data = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Close the link with a node and refuse it from now on."""
    admin = _admin(data)
    nid = _known(admin, node)
    _confirm(f"{_name(admin.peer(nid))} and everybody on it is cut off: no messages either way. Block it?", yes=yes)
    print(f"{_name(admin.set_policy(nid, 'block'))} is blocked.")


@app.command("unblock")
def unblock(
    node: Node, data: Data = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Talk to a blocked node again."""
    admin = _admin(data)
    nid = _known(admin, node)
    _confirm(f"Talk to {_name(admin.peer(nid))} again?", yes=yes)
    print(f"{_name(admin.set_policy(nid, 'open'))} may connect again.")


@app.command("allow")
def allow(node: Node, data: Data = None) -> None:
    """Talk to a node also where only allowed nodes are talked to (a setting of the node's admin)."""
    admin = _admin(data)
    print(f"{_name(admin.set_policy(_known(admin, node), 'allow'))} is allowed.")


@app.command("ping")
def ping(
    node: Node,
    data: Data = None,
    count: Annotated[int, typer.Option("--count", "-n", help="How often.", min=1, max=100)] = 4,
    as_json: AsJson = False,
) -> None:
    """Measure the way to a node and back; connects first if there is no link."""
    admin = _admin(data)
    peer = admin.dial(_known(admin, node))
    took_ms = []
    for number in range(1, count + 1):
        took_ms.append(admin.ping(peer.node))
        if not as_json:
            print(f"{number:>3}  {_duration(took_ms[-1])}")
    if as_json:
        _print_json({"node": peer.node, "path": peer.path, "rtt_ms": took_ms})
        return
    least, most, mean = min(took_ms), max(took_ms), sum(took_ms) / len(took_ms)
    print(f"{_name(peer)}: least {_duration(least)}, mean {_duration(mean)}, most {_duration(most)}, {_path(peer)}")


@app.command("trace")
def trace(
    node: Annotated[
        str, typer.Argument(help="Domain, address, id or its beginning, or link.", metavar="NODE|ADDRESS|LINK")
    ],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show how a node is looked for: each source in the order of its answer, each address, and who answered there.

    Links stay as they are. Exit status 1 if the node answered at no address.
    """
    from node.cli.terminal import table

    admin = _admin(data)
    found = admin.trace(_spelt_out(admin, node))
    reached = any(step.fine and step.url for step in found.steps)
    if as_json:
        _print_json(found)
    else:
        print(f"Node: {found.node or 'nobody says which one is meant'}\n")
        rows = [(_duration(step.at_ms), step.source, *_outcome(step)) for step in found.steps]
        print(table(("AFTER", "SOURCE", "ADDRESS", "RESULT", "TOOK"), rows))
        print(f"\n{'It can be reached.' if reached else 'It answered nowhere.'}")
    if not reached:
        raise typer.Exit(1)


# --- which node -----------------------------------------------------------------------------------------


def _admin(data: str | None) -> AdminClient:
    """The running node. Raises NotRunning with the first request."""
    from node.client.admin import AdminClient

    return AdminClient(load(data).folder)


def _known(admin: AdminClient, text: str) -> str:
    """The id of a node that is known here. Raises Rejected."""
    wanted = text.strip().lower()
    fits = [
        peer.node
        for peer in admin.peers()
        if peer.domain == wanted or (len(wanted) >= PREFIX_CHARS_MIN and peer.node.startswith(wanted))
    ]
    if len(fits) == 1:
        return fits[0]
    try:
        return format_node(parse_node(wanted))
    except ValueError:
        pass
    if fits:
        raise Rejected(Code.BAD_REQUEST, f"{text!r} fits {len(fits)} nodes; write more of the id.", field="node")
    raise Rejected(Code.NOT_FOUND, f"No node called {text!r} is known here. `startalk peer list` shows those that are.")


def _spelt_out(admin: AdminClient, text: str) -> str:
    """What is traced may be unknown here: only the beginning of an id is completed."""
    wanted = text.strip().lower()
    if len(wanted) < PREFIX_CHARS_MIN or not wanted.isalnum():
        return text
    fits = [peer.node for peer in admin.peers() if peer.node.startswith(wanted)]
    return fits[0] if len(fits) == 1 else text


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Rejected(Code.BAD_REQUEST, "There is no terminal to ask whether this is meant; use --yes.", field="yes")
    typer.confirm(question, abort=True)


# --- how it is shown ------------------------------------------------------------------------------------

_HEAD: Final = ("STATE", "NAME", "ID", "PATH", "LAST SEEN", "ROUND TRIP", "CLOCK", "QUEUE", "REFUSED", "LAST DIAL")


def _row(peer: api.peers.Peer, now_ms: int) -> tuple[str, ...]:
    return (
        "blocked" if peer.policy == "block" else peer.state,
        _name(peer),
        peer.node[:SHOWN_CHARS],
        _path(peer),
        "now" if peer.state == "linked" else _ago(peer.seen_ms, now_ms),
        "" if peer.rtt_ms is None else _duration(peer.rtt_ms),
        _clock(peer.skew_ms),
        f"{peer.queue_rows} ({peer.queue_bytes / 1024:.0f} KiB)" if peer.queue_rows else "",
        str(peer.refused or ""),
        peer.dial_error,
    )


def _name(peer: api.peers.Peer) -> str:
    """Its domain, marked unless both sides say so; else the beginning of the id."""
    if not peer.domain:
        return peer.node[:SHOWN_CHARS]
    return peer.domain if peer.domain_state == "verified" else f"{peer.domain} ({peer.domain_state or 'unproved'})"


def _path(peer: api.peers.Peer) -> str:
    """Who connected, and where."""
    way, _, place = peer.path.partition(" ")
    return {"out": f"we dialled {place}", "in": f"it dialled from {place}"}.get(way, "")


def _ago(unix_ms: int, now_ms: int) -> str:
    return f"{_coarse(max(0, now_ms - unix_ms))} ago" if unix_ms else "never"


def _clock(skew_ms: int) -> str:
    """The other clock against ours, when a person would notice."""
    if abs(skew_ms) < 1_000:
        return ""
    return f"{_coarse(abs(skew_ms))} {'ahead' if skew_ms > 0 else 'behind'}"


def _coarse(duration_ms: int) -> str:
    unit_ms, unit = next((one for one in _UNITS if duration_ms >= one[0]), _UNITS[-1])
    return f"{duration_ms // unit_ms} {unit}"


def _duration(duration_ms: float) -> str:
    return f"{duration_ms:.1f} ms" if duration_ms < 1_000 else f"{duration_ms / 1_000:.2f} s"


def _outcome(step: api.peers.TraceStep) -> tuple[str, str, str]:
    """Address, result, time."""
    return step.url, step.text, _duration(step.took_ms) if step.url else ""


def _print_json(value: Any) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value)).decode())
