"""The command line: ``startalk <verb>``. Each verb is a file; all of them are thin, the work is done below.

A verb that acts on a node talks to the running one over ``admin.sock``, or, if none runs, takes the data directory for
itself and calls the same services (desk.py). Importing this costs little: what a verb needs is imported when it
runs, because ``startalk run`` should be serving within a second.

An expected failure is one sentence on standard error and a documented status (node/base/errors.py, `ExitStatus`); a
traceback is a bug.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from node import __version__
from node.base.errors import ExitStatus, Fatal, LocalError, Rejected
from node.cli import backup, demo, doctor, identity, init, invite, peer, run, user

app = typer.Typer(
    name="startalk",
    help="Startalk Node: accounts, rooms, history and a web UI for one domain, in one process.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"startalk {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the verb."""


app.command("run", short_help="Start the node and serve until it is stopped.")(run.command())
app.command("init", short_help="Set a new node up without a browser.")(init.init)
app.command("demo", short_help="Run three nodes on this machine to try out.")(demo.demo)
app.command("invite", short_help="Make an invitation link to open an account.")(invite.invite)
app.command("doctor", short_help="Examine the node and its data.")(doctor.doctor)
app.command("backup", short_help="Write database and keys into one file, also while the node runs.")(backup.backup)
app.command("restore", short_help="Fill a new data folder from a backup.")(backup.restore)
app.add_typer(user.app, name="user", help="List, add and change accounts.")
app.add_typer(peer.app, name="peer", help="Other nodes: links, queues, blocks.")
app.add_typer(identity.app, name="identity", help="The node's id and keys.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script and of ``python -m node``. Always ends in SystemExit."""
    try:
        app(arguments)
    except Fatal as fault:
        sys.exit(_say(fault.text, fault.status))
    except Rejected as refusal:
        sys.exit(_say(refusal.text, ExitStatus.FAILED))
    except LocalError as error:
        sys.exit(_say(str(error), ExitStatus.FAILED))


def _say(text: str, status: ExitStatus) -> int:
    print(f"startalk: {text}", file=sys.stderr)
    return int(status)
