"""From the command line to a `Config`: ``--data`` for every verb, and each boot setting as an option of ``run``.

Options are made from `node.runtime.config.settings`, so a new setting appears here by itself. Their values go
through the same checks as the file and the environment.
"""

from __future__ import annotations

import inspect
import os
from typing import Annotated, Any, Final

import typer

from node.runtime import config
from node.runtime.config import Config, Described

DATA_HELP: Final = "Folder of the node. [env: STARTALK_DATA; default: data]"
Data = Annotated[str | None, typer.Option("--data", help=DATA_HELP, show_default=False, metavar="FOLDER")]


def load(data: str | None, options: dict[str, object] | None = None) -> Config:
    """The settings of this start: defaults, file, environment, options. Raises Fatal with status USAGE."""
    given = dict(options or {})
    listed = given.get("trusted_proxies")
    if isinstance(listed, str):
        given["trusted_proxies"] = tuple(part.strip() for part in listed.split(",") if part.strip())
    return config.load(data=data, env=os.environ, options=given)


def option_parameters() -> list[inspect.Parameter]:
    """One keyword parameter for each setting, as typer wants them; None means not given."""
    return [
        inspect.Parameter(setting.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(setting))
        for setting in config.settings()
    ]


def _annotation(setting: Described) -> Any:
    flag = "--" + setting.key.replace("_", "-")
    shown = setting.default or "empty"
    text = f"{setting.help} [env: {setting.env}; default: {shown}]"
    if setting.kind == "bool":
        return Annotated[bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=text, show_default=False)]
    metavar = "|".join(setting.choices) or {"int": "NUMBER", "list": "A,B"}.get(setting.kind, "TEXT")
    return Annotated[str | None, typer.Option(flag, help=text, show_default=False, metavar=metavar)]
