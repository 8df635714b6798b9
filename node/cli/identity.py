"""``startalk identity``: what others may know about this node's identity, and the few changes that need its phrase.

`show` reads the keys folder only. The others replace keys, so they take the data directory for themselves: the node has to
be stopped. The phrase is never an argument, which others on the machine could see; it is typed without echo, or read
from a pipe, and not kept.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.base.errors import Code, Rejected
from node.cli.boot import Data, load

if TYPE_CHECKING:
    from node.runtime.config import Config
    from node.services.identity import Identity

app = typer.Typer(no_args_is_help=True)
PHRASE_CHARS_MAX: Final = 4_096  # 24 words have at most 215
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant; needed where there is no terminal.")]

_MOVE: Final = """\
This machine becomes the only place where node {node} runs.

It gets new running keys at incarnation {next}. Every other copy of the node, and every backup made until now, is
refused by others from then on. Messages that only such a copy has stay there: stop it first, and restore its newest
backup here if this one is older."""
_ALONE: Final = """Nobody is asked what this backup lacks. Chats that this node orders go on where the backup ends, and nodes that have
more of them keep what they have and take nothing new there. Do this only if too many of the other nodes are gone for good."""
_ROTATE: Final = """\
The root key of node {node} is replaced by the next one (rotation {rotation} of {rotations_max}), and its running keys too.

Do this if a root key, not the phrase, may be known to others. If the phrase is known, a rotation does not help: all
root keys come from it. The node keeps its name, its phrase and its contacts. Backups made until now are refused."""
_REVOKE: Final = """\
Node {node} ends, for good.

Everybody who knows it is told never to trust it again, and there is no way back: not with the phrase and not from a
backup. Its people keep what they have on this machine, and need accounts on another node to write to others. Do this if
the phrase is known to others, or the node is given up."""


_TRANSFER: Final = """\
The contacts of node {node} are told to go on with another node, whose phrase is asked for too. This one should then be
revoked, or kept until everybody has heard of it.

Contacts follow by themselves only if they trust this identity. If its phrase is known to others, tell them in person."""


@app.callback()
def _group() -> None:
    """The node's id and keys."""


@app.command("show")
def show(data: Data = None) -> None:
    """Print the node's id, its certificate and the fingerprint of its TLS certificate."""
    from node.base.ids import format_node
    from node.runtime import tls
    from node.storage.keys import KeyFolder
    from node.wire import address, keys

    config = load(data)
    _check_exists(config)
    folder = KeyFolder(config.folder)
    identity, fence = folder.identity, folder.fence()
    cert, node = identity.cert, format_node(keys.node_id(identity.inception))
    print(f"node          {node}")
    print(f"address       <name>@{config.domain or node + address.KEY_SUFFIX}")
    print(f"root key      {identity.chain[-1].root.hex()}, rotation {len(identity.rotations)} of {keys.ROTATIONS_MAX}")
    print(f"op key        {cert.op.hex()}")
    print(f"certified     {_day(cert.nbf)} to {_day(cert.exp)}, incarnation {cert.incarnation}")
    print(f"phrase        {'waits to be written down' if folder.setup() else 'confirmed and erased'}")
    own = folder.tls / tls.FILE
    if config.tls_cert or own.exists():
        from pathlib import Path

        served = Path(config.tls_cert) if config.tls_cert else own
        print(f"TLS SHA-256   {tls.fingerprint(served).hex(':')}")
    if "rev" in identity.statements:
        print("REVOKED       This identity has ended.")
    if fence is not None:
        print(f"READ-ONLY     {fence.reason}")


@app.command("move")
def move(
    data: Data = None,
    alone: Annotated[
        bool,
        typer.Option("--alone", help="After a restore: do not wait for the other nodes of each chat, who may be gone."),
    ] = False,
    yes: Yes = False,
) -> None:
    """Make this machine the one place where the node runs: new running keys. Asks for the recovery phrase.

    For a node that moved here, that came back from a backup, that is read-only because others have seen a later copy, or whose
    certificate ends soon. The node must be stopped.
    """
    from node.runtime.entropy import SystemEntropy
    from node.storage.database import RESTORED

    config = load(data)
    with _stopped(config) as identity:
        text = _MOVE.format(node=identity.text, next=identity.next_incarnation)
        _explain(f"{text}\n\n{_ALONE}" if alone else text, yes=yes)
        identity.renew(_ask_phrase(), entropy=SystemEntropy())
        if alone:  # after the new incarnation: what both copies wrote is a roll-back then, and no lie
            (config.folder / RESTORED).unlink(missing_ok=True)
        print(f"The node lives here now, at incarnation {identity.incarnation}. Make a new backup, then: startalk run")


@app.command("rotate")
def rotate(data: Data = None, yes: Yes = False) -> None:
    """Replace the root key by the next one, six times at most. Asks for the recovery phrase.

    The node keeps its id and its phrase. The node must be stopped.
    """
    from node.runtime.entropy import SystemEntropy
    from node.wire.keys import ROTATIONS_MAX

    with _stopped(load(data)) as identity:
        text = _ROTATE.format(node=identity.text, rotation=identity.rotations + 1, rotations_max=ROTATIONS_MAX)
        _explain(text, yes=yes)
        identity.rotate(_ask_phrase(), entropy=SystemEntropy())
        print(
            f"Root key {identity.rotations} is in force, at incarnation {identity.incarnation}. Make a new backup, then: "
            "startalk run"
        )


@app.command("revoke")
def revoke(data: Data = None, yes: Yes = False) -> None:
    """End this identity for good. Asks for the recovery phrase.

    The node must be stopped. Run it afterwards for some days: it tells everybody it knows.
    """
    with _stopped(load(data)) as identity:
        if identity.revoked:
            raise Rejected(Code.ALREADY_DONE, "This identity has been revoked already.")
        _explain(_REVOKE.format(node=identity.text), yes=yes)
        identity.revoke(_ask_phrase())
        print("The identity is revoked. Run the node for some days, so that it tells everybody it knows: startalk run")


@app.command("transfer")
def transfer(
    data: Data = None,
    rotations: Annotated[int, typer.Option(help="How often the other node's root key was rotated.", min=0, max=6)] = 0,
    yes: Yes = False,
) -> None:
    """Hand the contacts, and the domain if there is one, over to another node. Asks for both recovery phrases.

    From a pipe, the first line is the phrase of this node and the second that of the other. The node must be stopped. Run
    it afterwards for some days: it tells everybody it knows.
    """
    config = load(data)
    with _stopped(config) as identity:
        _explain(_TRANSFER.format(node=identity.text), yes=yes)
        words, new_words = _ask_phrase(), _ask_phrase("Recovery phrase of the other node")
        identity.transfer(words, new_words=new_words, new_rotations=rotations, domain=config.domain)
        print("The transfer is signed. Run the node for some days, so that it tells everybody it knows: startalk run")


def _day(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")


def _check_exists(config: Config) -> None:
    from node.base.errors import ExitStatus, Fatal
    from node.storage.keys import KeyFolder

    if not KeyFolder.exists(config.folder):
        raise Fatal(ExitStatus.FAILED, f"{config.folder} has no identity yet; the first `startalk run` makes one.")


@contextmanager
def _stopped(config: Config) -> Iterator[Identity]:
    """The identity of a node that does not run, and nobody else's until the end. Raises Fatal with DATA_IN_USE."""
    from node.runtime.clock import SystemClock
    from node.runtime.entropy import SystemEntropy
    from node.services.identity import Identity
    from node.storage.lock import DataLock

    _check_exists(config)
    with DataLock(config.folder):
        yield Identity.open(data=config.folder, clock=SystemClock(), entropy=SystemEntropy())


def _explain(text: str, *, yes: bool) -> None:
    """Says what will happen and asks whether it shall. Raises Rejected, or typer.Abort for a no."""
    print(text, end="\n\n")
    if yes:
        return
    if not sys.stdin.isatty():
        raise Rejected(Code.BAD_REQUEST, "There is no terminal to ask whether this is meant; use --yes.", field="yes")
    typer.confirm("Go on?", abort=True)


def _ask_phrase(of: str = "Recovery phrase") -> list[str]:
    """The words, from the terminal without echo, or a line of a pipe."""
    if sys.stdin.isatty():
        return str(typer.prompt(f"{of}, 24 words", hide_input=True)).split()
    return sys.stdin.readline(PHRASE_CHARS_MAX).split()
