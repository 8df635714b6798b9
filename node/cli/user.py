"""``startalk user``: accounts of this node."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from node.cli import passwords
from node.cli.boot import Data, load

app = typer.Typer(no_args_is_help=True)
Local = Annotated[str, typer.Argument(help="User name, the part before the @.", metavar="NAME")]


@app.callback()
def _group() -> None:
    """List, add and change accounts."""


@app.command("list")
def list_users(data: Data = None) -> None:
    """Print every account."""
    from node.cli.desk import open_desk
    from node.cli.terminal import table

    with open_desk(load(data)) as desk:
        people = desk.people()
    rows = [
        (
            person.local,
            person.name,
            person.role,
            str(person.devices),
            _day(person.seen_ms),
            "frozen" if person.frozen else "",
        )
        for person in people
    ]
    print(table(("NAME", "SHOWN AS", "ROLE", "DEVICES", "LAST SEEN", ""), rows))


@app.command("add")
def add(
    local: Local,
    data: Data = None,
    name: Annotated[str, typer.Option(help="Name that others see; the user name if left out.")] = "",
    role: Annotated[str, typer.Option(help="user, node_admin or bot.")] = "user",
    password_stdin: passwords.FromStdin = False,
    generate: passwords.Generate = False,
) -> None:
    """Open an account with a password, without an invitation link."""
    from node.cli.desk import NEWCOMER_S, open_desk
    from node.core.account import check_local_name

    check_local_name(local)
    password = passwords.ask(local, from_stdin=password_stdin, generate=generate)
    with open_desk(load(data)) as desk:
        token = desk.invite(role=role, expires_s=NEWCOMER_S, uses=1).token
        desk.add(local=local, name=name, password=password, token=token)
    print(f"{local} can sign in now.")


@app.command("reset-password")
def reset_password(local: Local, data: Data = None) -> None:
    """Print a link, good once and for 30 minutes, with which somebody sets a new password."""
    from node.cli.desk import open_desk

    with open_desk(load(data)) as desk:
        print("\n".join(desk.reset(local).urls))


@app.command("freeze")
def freeze(local: Local, data: Data = None) -> None:
    """Close an account to its user, at once; nothing is deleted."""
    _set_frozen(local, data, frozen=True)


@app.command("unfreeze")
def unfreeze(local: Local, data: Data = None) -> None:
    """Open a frozen account again."""
    _set_frozen(local, data, frozen=False)


def _set_frozen(local: str, data: str | None, *, frozen: bool) -> None:
    from node.cli.desk import open_desk

    with open_desk(load(data)) as desk:
        desk.freeze(local, frozen=frozen)
    print(f"{local} is {'frozen' if frozen else 'open again'}.")


def _day(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%d") if unix_ms else "never"
