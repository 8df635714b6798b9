"""Asking for a new password: on the terminal twice without echo, from a pipe once, or made up here."""

from __future__ import annotations

import base64
import sys
from typing import Annotated

import typer

from node.base.errors import Code, Rejected

FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a password up and print it.")]


def ask(of: str, *, from_stdin: bool, generate: bool) -> str:
    """The password for the account `of`; a made-up one is printed. Raises Rejected if there is nobody to ask."""
    if generate:
        return _made_up(of)
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Rejected(
            Code.BAD_REQUEST,
            "There is no terminal to ask for a password; use --password-stdin or --generate.",
            field="password",
        )
    answer: str = typer.prompt(f"Password for {of}", hide_input=True, confirmation_prompt=True)
    return answer


def _made_up(of: str) -> str:
    """80 random bits in four groups."""
    from node.runtime.entropy import SystemEntropy

    text = base64.b32encode(SystemEntropy().token_bytes(10)).decode().lower()
    password = "-".join(text[i : i + 4] for i in range(0, 16, 4))
    print(f"Password of {of}: {password}")
    return password
