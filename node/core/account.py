"""Rules of accounts: names, passwords, roles on the node. Pure; hashing and storing are elsewhere.

A local name is unique after folding case and look-alike characters (`skeleton`), so that ``pau1`` cannot
pose as ``paul``. Passwords have no composition rules (NIST SP 800-63B): length, a list of common ones,
and not containing the name.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import Final

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import LOCAL_NAME
from node.core.content import check_line


class NodeRole(StrEnum):
    """Role of an account on its node."""

    OWNER = "node_owner"
    ADMIN = "node_admin"
    USER = "user"
    BOT = "bot"


class Registration(StrEnum):
    """Who may open an account."""

    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


RESERVED: Final = frozenset(
    [
        "abuse",
        "admin",
        "administrator",
        "all",
        "everyone",
        "help",
        "here",
        "hostmaster",
        "info",
        "mail",
        "moderator",
        "news",
        "noc",
        "no-reply",
        "noreply",
        "node",
        "nobody",
        "null",
        "owner",
        "postmaster",
        "root",
        "security",
        "server",
        "service",
        "startalk",
        "status",
        "support",
        "sysadmin",
        "system",
        "undefined",
        "webmaster",
        "www",
    ]
)
ADMIN_ROLES: Final = frozenset({NodeRole.OWNER, NodeRole.ADMIN})
_LOOK_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "8": "b", ".": None, "_": None, "-": None})


def check_local_name(text: str) -> str:
    """The local name of a new account. Raises Rejected with `name_invalid`."""
    low, high = limits.LOCAL_NAME_CHARS_MIN, limits.LOCAL_NAME_CHARS_MAX
    if not low <= len(text) <= high or not LOCAL_NAME.fullmatch(text):
        raise Rejected(
            Code.NAME_INVALID,
            "A user name has 2 to 32 characters: a-z, 0-9, dot, underscore, hyphen; it begins and ends with a letter or digit.",
            field="local",
        )
    if text in RESERVED:
        raise Rejected(Code.NAME_TAKEN, "This user name is reserved; choose another one.", field="local")
    return text


def skeleton(local: str) -> str:
    """What two look-alike names have in common."""
    return local.translate(_LOOK_ALIKE).replace("rn", "m").replace("vv", "w")


def check_display_name(text: str) -> str:
    """A person's name as shown: 1-60 characters on one line, NFC."""
    text = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(text) <= limits.NAME_CHARS_MAX:
        raise Rejected(Code.BAD_REQUEST, "A name has 1 to 60 characters.", field="name", limit=limits.NAME_CHARS_MAX)
    check_line(text, "name")
    return text


def check_password(password: str, local: str, common: frozenset[str]) -> str:
    """The NFC form of an acceptable password. `common` is the list of refused ones, in lower case."""
    password = unicodedata.normalize("NFC", password)
    if len(password) < limits.PASSWORD_CHARS_MIN:
        raise Rejected(
            Code.PASSWORD_TOO_SHORT,
            "A password has at least 8 characters.",
            field="password",
            limit=limits.PASSWORD_CHARS_MIN,
        )
    if len(password) > limits.PASSWORD_CHARS_MAX:
        raise Rejected(
            Code.PASSWORD_TOO_LONG,
            "A password has at most 256 characters.",
            field="password",
            limit=limits.PASSWORD_CHARS_MAX,
        )
    if password.lower() in common:
        raise Rejected(
            Code.PASSWORD_TOO_COMMON, "This password is among the most common ones; choose another.", field="password"
        )
    if len(local) >= limits.NAME_IN_PASSWORD_CHARS_MIN and local in password.lower():
        raise Rejected(Code.PASSWORD_HAS_NAME, "The password contains the user name; choose another.", field="password")
    return password
