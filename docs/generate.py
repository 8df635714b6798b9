"""Writes the pages of docs/reference that follow from the code: ``make generate``. A test asks that they are current.

A page is a function that returns its text. Sentences that the code does not hold (what a code means, what a status asks the
operator to do) are tables here; a page is refused when a table has a gap, so a new code cannot go undocumented.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import node.web.api
from node.base import limits
from node.base.errors import HTTP_STATUS, Code, ExitStatus
from node.runtime import config
from node.runtime.metrics import Counter, Histogram, Metrics
from node.web.endpoints import Endpoint, declared

FOLDER: Final = Path(__file__).parent / "reference"
NOTE: Final = "% Made by docs/generate.py from the code; `make generate` renews it.\n\n"

MEANINGS: Final[dict[Code, str]] = {
    Code.BAD_REQUEST: "The request cannot be understood. `detail.field` names the part, if there is one. Correct it; repeating does not help.",
    Code.NOT_SIGNED_IN: "There is no session, or it has ended or expired. Sign in.",
    Code.BAD_CREDENTIALS: "Name or password is wrong; which of them is not said.",
    Code.REAUTH_NEEDED: "This needs the password again, given within the last five minutes.",
    Code.FORBIDDEN: "This account may not do this.",
    Code.ROLE_TOO_LOW: "The role in this room, or on this node, does not allow it. `detail.role_needed` names the lowest that does.",
    Code.NOT_MEMBER: "Only members of the room may do this.",
    Code.MUTED: "You, or all members, may not post now. `detail.until_ms` says until when, if it ends by itself.",
    Code.BLOCKED: "The other side does not accept anything from you.",
    Code.CONSENT_NEEDED: "The other side has to agree first.",
    Code.NOT_FOUND: "There is no such thing, or you may not know that there is.",
    Code.GONE: "It was there and has been removed.",
    Code.EXPIRED: "It was valid for a time that is over. Ask for a new one.",
    Code.WINDOW_CLOSED: "The time in which this was possible (recall, edit) is over.",
    Code.ALREADY_DONE: "The present state is already the one asked for.",
    Code.CONFLICT: "The state is another than the request assumes. Read it again and decide.",
    Code.NAME_TAKEN: "Another account has this name, or one that looks the same. Choose another.",
    Code.NAME_INVALID: "The name breaks the rules for names, which the text states.",
    Code.PASSWORD_TOO_SHORT: "The password has too few characters; `detail.limit` says how many it needs.",
    Code.PASSWORD_TOO_LONG: "The password has too many characters.",
    Code.PASSWORD_TOO_COMMON: "The password is in the list of those that are tried first. Choose another.",
    Code.PASSWORD_HAS_NAME: "The password contains the account's name.",
    Code.REGISTRATION_CLOSED: "This node opens no accounts now.",
    Code.INVITE_NEEDED: "This node opens accounts by invitation only.",
    Code.INVITE_INVALID: "There is no such invitation, or it was withdrawn. Ask for a new one.",
    Code.INVITE_USED_UP: "The invitation was used as often as it allowed. Ask for a new one.",
    Code.PHRASE_MISMATCH: "The words are not those of the recovery phrase at these places.",
    Code.RATE_LIMITED: "Too much in too short a time. Wait `detail.retry_after_s` seconds (also the header `Retry-After`).",
    Code.LIMIT_REACHED: "A number of things has reached its bound; `detail.limit` says which. Remove one first.",
    Code.QUOTA_FULL: "The space of this account is used up.",
    Code.TOO_LARGE: "The text, body or frame is larger than `detail.limit`.",
    Code.UNSUPPORTED: "This kind, version or type is not known here.",
    Code.METHOD_NOT_ALLOWED: "The path exists, the method does not; `Allow` lists those that do.",
    Code.CROSS_SITE: "A request with a cookie came from another site, or without the header `X-Startalk: 1`.",
    Code.NOT_HUB: "Another node orders this room.",
    Code.STALE_EPOCH: "The room has a new hub since.",
    Code.PEER_OFFLINE: "There is no link to the other node now. What was posted waits and is delivered later; a question has to be asked again.",
    Code.PEER_UNREACHABLE: "The other node was not found, or none of its addresses answered. Check the address, or try again later.",
    Code.KEY_CHANGED: "The other node does not show the identity that this one remembers. Compare its safety phrase with its owner before going on.",
    Code.NODE_BLOCKED: "This node does not talk to the other one, or the other one not to this.",
    Code.UNDELIVERABLE: "The other node could not be reached for so long, or so much waits for it, that this was given up. Send it again.",
    Code.BAD_SIGNATURE: "What arrived is not signed by the one it names.",
    Code.READ_ONLY: "The node cannot store anything now (disk full or faulty, or it is stopping). Keep it and try again.",
    Code.UPGRADING: "The node is being upgraded. Try again in a minute.",
    Code.SLOW_READER: "The device acknowledged nothing for a minute and was disconnected. Connect again and resume.",
    Code.BUSY: "There is a call in this chat already (`call` names it). Join it.",
    Code.UNAVAILABLE: "This part of the node does not work now, and the text says why. Try again later, or tell the admin.",
    Code.INTERNAL: "A fault of the node. `id` names it in the log; tell the admin.",
}

STATUSES: Final[dict[ExitStatus, str]] = {
    ExitStatus.OK: "The verb did its work; a node was stopped in order.",
    ExitStatus.FAILED: "It did not work, for a reason the last line tells. Also: `doctor` found something.",
    ExitStatus.USAGE: "An option, a setting or `startalk.toml` is wrong; the text names it.",
    ExitStatus.DATA_IN_USE: "Another process works on this data folder.",
    ExitStatus.DATA_UNWRITABLE: "The data folder cannot be made or written. Check owner and rights.",
    ExitStatus.DATA_CORRUPT: "The database or a key file is damaged. Restore a backup.",
    ExitStatus.DATA_TOO_NEW: "A newer version of the program has changed this data. Use that one.",
    ExitStatus.PORT_IN_USE: "A listener's port is taken; the text names port and setting.",
    ExitStatus.DISK_FULL: "There is no space to open the database.",
    ExitStatus.KEYS_UNSAFE: "Others could read the key files. Run the `chmod` the text shows.",
}


def configuration() -> str:
    """Every setting of the boot file."""
    lines = [
        "# Configuration\n",
        f"What must be known before the database opens. Later sources win: `{config.FILE}` in the data folder, environment, command line.",
        "What an admin changes while the node runs (name, registration, rates) is on the admin page and in `PATCH /api/v1/admin/settings`.\n",
        "| Setting | Environment | Default | Meaning |",
        "|---|---|---|---|",
    ]
    for one in config.settings():
        kind = " or ".join(f"`{choice}`" for choice in one.choices)
        meaning = one.help + (f" One of {kind}." if kind else "")
        lines.append(f"| `{one.key}` | `{one.env}` | {f'`{one.default}`' if one.default else 'empty'} | {meaning} |")
    lines += [
        "",
        "Lists are written with commas in the environment and on the command line. An unknown key or variable is an error that names it.",
        "`STARTALK_WEBUI` (`auto`, `skip`, `force`) is read by the build of the web messenger, not by the node.",
    ]
    return "\n".join(lines)


def errors() -> str:
    """Every code of a refusal."""
    lines = [
        "# Error codes\n",
        'A refusal over HTTP has the body `{"error": {"code", "text", "detail", "id"}}`; on the device socket it is an `error` or `refused` frame',
        "with the same code. A code is never renamed. `text` is English and for people who write programs; a client shows its own words.\n",
        "| Code | HTTP | Meaning, and what to do |",
        "|---|---|---|",
    ]
    lines += [f"| `{code}` | {HTTP_STATUS[code]} | {MEANINGS[code]} |" for code in Code]
    return "\n".join(lines)


def exit_statuses() -> str:
    """Every status a verb may end with."""
    lines = ["# Exit statuses\n", "| Status | Name | Meaning |", "|---|---|---|"]
    lines += [f"| {int(status)} | `{status.name.lower()}` | {STATUSES[status]} |" for status in ExitStatus]
    return "\n".join(lines)


def limits_page() -> str:
    """Every number of node/base/limits.py with its comment."""
    shown = set()
    lines = [
        "# Limits\n",
        "Every number that bounds something, from `node/base/limits.py`. The unit is in the name: `_S` seconds, `_MS` milliseconds, `_BYTES`, `_CHARS`.",
        "Rates are defaults of live settings.",
    ]
    for raw in inspect.getsource(limits).splitlines():
        if section := re.fullmatch(r"# --- (.+?) -+", raw):
            lines += [f"\n## {section[1][:1].upper() + section[1][1:]}\n", "| Limit | Value | Why |", "|---|---|---|"]
        elif found := re.fullmatch(r"([A-Z][A-Z0-9_]+): Final = .+?(?:  # (.*))?", raw):
            shown.add(found[1])
            lines.append(f"| `{found[1]}` | {getattr(limits, found[1]):,} | {found[2] or ''} |")
    assert shown == {name for name in vars(limits) if name.isupper()}, (
        "a limit stands on one line: NAME: Final = number  # why"
    )
    return "\n".join(lines)


def metrics() -> str:
    """Every metric a node has from its start."""
    lines = [
        "# Metrics\n",
        "`GET /metrics` answers in Prometheus' text format, to the same machine, or to whoever has the setting `metrics_token` as bearer token.",
        "Gauges of single parts are listed there as well.\n",
        "| Name | Kind | Label | Meaning |",
        "|---|---|---|---|",
    ]
    for held in vars(Metrics()).values():
        if isinstance(held, Counter):
            lines.append(f"| `{held.name}` | counter | {held.label or '–'} | {held.help} |")
        elif isinstance(held, Histogram):
            lines.append(f"| `{held.name}` | histogram | – | {held.help} |")
    return "\n".join(lines)


def http_api() -> str:
    """Every endpoint, from the table that makes the node's routes and its OpenAPI document."""
    who = {"public": "anybody", "user": "signed in", "admin": "admin", "owner": "owner"}
    lines = [
        "# HTTP API\n",
        "All paths begin with `/api/v1`. A running node serves this table as OpenAPI 3.1 at `/api/v1/openapi.json` and, with all",
        "fields, readable at `/api/docs`. A program signs in with `mode: token` and sends the token as `Authorization: Bearer …`.",
        "Refusals have [stable codes](errors.md).\n",
        "| Method and path | Who | What it does |",
        "|---|---|---|",
    ]
    for row in sorted(_endpoints(), key=lambda row: (row.path, row.method)):
        text = " ".join(row.text.split()).replace("|", "\\|")
        lines.append(f"| `{row.method} {row.path}` | {who[row.access.value]} | {text} |")
    return "\n".join(lines)


def _endpoints() -> Iterator[Endpoint]:
    for module in pkgutil.iter_modules(node.web.api.__path__):
        found = vars(importlib.import_module(f"node.web.api.{module.name}"))
        for resource in found.values():
            if inspect.isclass(resource) and resource.__module__ == f"node.web.api.{module.name}":
                yield from declared(resource)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "errors.md": errors,
    "exit-status.md": exit_statuses,
    "http-api.md": http_api,
    "limits.md": limits_page,
    "metrics.md": metrics,
}


def page(name: str) -> str:
    """The present text of a generated page."""
    return NOTE + PAGES[name]().rstrip() + "\n"


def main() -> int:
    """Writes all pages."""
    for name in PAGES:
        (FOLDER / name).write_text(page(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
