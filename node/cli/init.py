"""``startalk init``: a new node without a browser. It does what the owner's first-run page does.

Run again after a refusal or an interruption it goes on where it stopped: an owner is made once, the phrase is shown
until its words were typed back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from node.base.errors import Code, Rejected
from node.cli import passwords
from node.cli.boot import Data, load

if TYPE_CHECKING:
    from node.cli.desk import StoppedDesk
    from node.services.identity import Identity

_TRIES = 5


def init(
    owner: Annotated[str, typer.Option(help="User name of the owner.", prompt="User name of the owner")],
    data: Data = None,
    display_name: Annotated[str, typer.Option(help="Name of the owner that others see.")] = "",
    name: Annotated[str, typer.Option(help="What people call this node.")] = "",
    registration: Annotated[str, typer.Option(help="Who may open an account: open, invite or closed.")] = "invite",
    password_stdin: passwords.FromStdin = False,
    generate: passwords.Generate = False,
    written_down: Annotated[
        bool, typer.Option("--yes-i-wrote-it-down", help="Print the recovery phrase and do not ask for words of it.")
    ] = False,
) -> None:
    """Set a new node up without a browser: owner, name, recovery phrase."""
    from node.cli.desk import stopped
    from node.core.account import check_local_name

    check_local_name(owner)
    config = load(data)
    if not written_down and not sys.stdin.isatty():
        raise Rejected(
            Code.BAD_REQUEST,
            "There is no terminal to type three words back; use --yes-i-wrote-it-down.",
            field="phrase",
        )
    with stopped(config) as desk:
        _change_settings(desk, name, registration)
        if desk.services.accounts.owner_needed:
            password = passwords.ask(owner, from_stdin=password_stdin, generate=generate)
            token = desk.run(desk.services.invites.owner_invite())
            assert token is not None, "an owner is needed"
            desk.add(local=owner, name=display_name, password=password, token=token)
            print(f"{owner} owns this node now.")
        elif not desk.services.identity.phrase_pending:
            raise Rejected(Code.ALREADY_DONE, f"{config.folder} has been set up already.")
        _hand_over(desk.services.identity, ask=not written_down)
    print("The node is ready: startalk run")


def _change_settings(desk: StoppedDesk, name: str, registration: str) -> None:
    from node.core.account import Registration
    from node.services.settings import Change

    if registration not in set(Registration):
        raise Rejected(Code.BAD_REQUEST, "Registration is open, invite or closed.", field="registration")
    change = Change(name=name or None, registration=Registration(registration))
    desk.run(desk.services.settings.change(change, actor=desk.services.accounts.console().user))


def _hand_over(identity: Identity, *, ask: bool) -> None:
    """Shows the phrase; it is erased when its words come back."""
    from node.cli.terminal import CLEAR, numbered

    phrase, places = identity.phrase(), identity.asked()
    print(
        "\nThe recovery phrase of this node. Write it on paper; it is shown only now, and whoever has it is this node.\n"
    )
    print(numbered(phrase), end="\n\n")
    if not ask:
        identity.confirm({place: phrase[place - 1] for place in places})
        return
    typer.prompt("Press Enter when it is written down", default="", show_default=False)
    print(CLEAR, end="", flush=True)
    for left in reversed(range(_TRIES)):
        try:
            identity.confirm(_typed(places))
        except Rejected as refusal:
            if not left:
                raise
            print(refusal.text)
        else:
            return


def _typed(places: tuple[int, ...]) -> Mapping[int, str]:
    return {place: str(typer.prompt(f"Word {place}")) for place in places}
