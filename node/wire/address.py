"""Addresses people type, and invitation links.

*Addresses.* ``alice@casa.example`` (the domain in lower-case A-labels) or, for a node without a domain,
``alice@<52 characters of the nid>.startalk.alt``; ``.alt`` cannot collide with the DNS (RFC 9476).

*Links.* ``https://<node>/i#`` + base64url, without padding, of a msgpack array in its shortest form:

==  =========  ==============================================================================================
 #  field      meaning
==  =========  ==============================================================================================
 0  version    1
 1  kind       0 account on this node, 1 contact, 2 room
 2  nid        32 bytes: the node that made the link; accepting pins it
 3  subject    bytes. Kind 0: empty for a new account, or the local name of the account whose password may be
               set anew; kind 1: the local name of the inviter; kind 2: the room, 32 bytes
 4  hint       a name to show until the link has proved the nid; at most 60 characters, a claim of the maker
 5  addresses  at most 3 of [ip 4 or 16 bytes, port]: where else the node may be found
 6  token      16 bytes; only its hash is stored, and it is spent in the transaction of its effect
==  =========  ==============================================================================================

The fragment (after #) is not sent to a server by browsers. A link has one spelling: another base64, padding,
longer msgpack, spare elements or trailing bytes are refused. `format_link` drops addresses, then shortens the hint,
until the link fits a QR code of version 10 at level M, which a phone reads off a terminal; a very long host may
still exceed it, and the link stays valid. Vectors: docs/spec/vectors/address.json.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from node.base import limits
from node.base.errors import Code, Rejected
from node.base.ids import LOCAL_NAME, NODE_ID_BYTES, ROOM_ID_BYTES, NodeId, RoomId, format_node, parse_node
from node.core.content import check_line
from node.wire.codec import encode

KEY_SUFFIX: Final = ".startalk.alt"
PATH: Final = "/i#"
VERSION: Final = 1
ADDRESSES_MAX: Final = 3
LINK_CHARS_MAX: Final = 1_024  # 253 of host and 60 wide characters of hint stay below
QR_CHARS_MAX: Final = 213  # bytes in a QR code of version 10, level M (ISO/IEC 18004 table 7)
DOMAIN_CHARS_MAX: Final = 253

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_HOST = re.compile(r"(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::[1-9][0-9]{0,4})?")
_LINK = re.compile(r"https?://([^/?#@\\\s]{1,264})/i#([A-Za-z0-9_-]{1,800})")


# --- addresses ------------------------------------------------------------------------------------------


class DomainAddress(Struct, frozen=True):
    """``local@domain``; which node that is has still to be resolved."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


class KeyAddress(Struct, frozen=True):
    """``local@<nid>.startalk.alt``; says by itself which node."""

    local: str
    nid: NodeId

    def __str__(self) -> str:
        return f"{self.local}@{format_node(self.nid)}{KEY_SUFFIX}"


Address = DomainAddress | KeyAddress


def parse_address(text: str) -> Address:
    """An address as typed; case and outer space are forgiven. Raises Rejected with `name_invalid`."""
    local, at, domain = text.strip().lower().partition("@")
    if not at or not LOCAL_NAME.fullmatch(local):
        raise Rejected(
            Code.NAME_INVALID, "An address looks like alice@casa.example; check the part before the @.", field="local"
        )
    if domain.endswith(KEY_SUFFIX):
        try:
            return KeyAddress(local, parse_node(domain.removesuffix(KEY_SUFFIX)))
        except ValueError as error:
            raise Rejected(Code.NAME_INVALID, f"This key address is misspelt: {error}.", field="domain") from None
    return DomainAddress(local, check_domain(domain))


def check_domain(text: str) -> str:
    """A domain in its one spelling: lower-case A-labels, no final dot. Raises Rejected with `name_invalid`."""
    if not text.isascii():
        raise Rejected(
            Code.NAME_INVALID, "Write this domain in its xn-- form; other letters look too much alike.", field="domain"
        )
    if len(text) > DOMAIN_CHARS_MAX or not _DOMAIN.fullmatch(text):
        raise Rejected(Code.NAME_INVALID, "A domain looks like casa.example, in lower case.", field="domain")
    last = text.rpartition(".")[2]
    if last.isdigit() or last == "alt":
        raise Rejected(
            Code.NAME_INVALID,
            "A domain is a name like casa.example, not an IP address and not under .alt.",
            field="domain",
        )
    return text


# --- invitation links -----------------------------------------------------------------------------------


class LinkKind(IntEnum):
    """What accepting a link does."""

    ACCOUNT = 0
    CONTACT = 1
    ROOM = 2


class Place(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An IP address (4 or 16 bytes) and a TCP port."""

    ip: Annotated[bytes, Meta(min_length=4, max_length=16)]
    port: Annotated[int, Meta(ge=1, le=65_535)]


class Invitation(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """The content of a link, see the table above; unsigned, so only a token and a claim."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION
    kind: LinkKind
    nid: Annotated[bytes, Meta(min_length=NODE_ID_BYTES, max_length=NODE_ID_BYTES)]
    subject: Annotated[bytes, Meta(max_length=ROOM_ID_BYTES)]
    hint: Annotated[str, Meta(max_length=limits.NAME_CHARS_MAX)]
    addresses: Annotated[tuple[Place, ...], Meta(max_length=ADDRESSES_MAX)]
    token: Annotated[bytes, Meta(min_length=limits.INVITE_TOKEN_BYTES, max_length=limits.INVITE_TOKEN_BYTES)]


def account_invitation(nid: NodeId, token: bytes, *, hint: str = "", local: str = "") -> Invitation:
    """A new account on `nid`, or with `local` a new password for that account."""
    return Invitation(
        kind=LinkKind.ACCOUNT, nid=nid, subject=local.encode(), hint=_fit(hint), addresses=(), token=token
    )


def contact_invitation(
    nid: NodeId, token: bytes, *, local: str, hint: str = "", addresses: Iterable[Place] = ()
) -> Invitation:
    """The account `local` on `nid` as a contact; of `addresses`, the best first, three are kept."""
    places = tuple(addresses)[:ADDRESSES_MAX]
    return Invitation(
        kind=LinkKind.CONTACT, nid=nid, subject=local.encode(), hint=_fit(hint), addresses=places, token=token
    )


def room_invitation(
    nid: NodeId, token: bytes, *, room: RoomId, hint: str = "", addresses: Iterable[Place] = ()
) -> Invitation:
    """A room whose hub is `nid`; of `addresses`, the best first, three are kept."""
    places = tuple(addresses)[:ADDRESSES_MAX]
    return Invitation(kind=LinkKind.ROOM, nid=nid, subject=room, hint=_fit(hint), addresses=places, token=token)


def _fit(hint: str) -> str:
    return hint.strip()[: limits.NAME_CHARS_MAX].rstrip()


def format_link(origin: str, invitation: Invitation) -> str:
    """The link; `origin` is like ``https://casa.example`` or ``http://127.0.0.1:8080``. Shortened to fit a QR code."""
    _check_shape(invitation)
    link = _spell(origin, invitation)
    while len(link) > QR_CHARS_MAX and (invitation.addresses or invitation.hint):
        if invitation.addresses:
            invitation = msgspec.structs.replace(invitation, addresses=invitation.addresses[:-1])
        else:
            invitation = msgspec.structs.replace(invitation, hint=invitation.hint[:-1].rstrip())
        link = _spell(origin, invitation)
    return link


def parse_link(text: str) -> tuple[str, Invitation]:
    """(host with port, content) of a link. Raises Rejected with `invite_invalid`."""
    text = text.strip()
    found = _LINK.fullmatch(text) if len(text) <= LINK_CHARS_MAX else None
    if not found or not _HOST.fullmatch(found[1].lower()):
        raise _invalid("An invitation looks like https://casa.example/i#…; copy the whole link.")
    return found[1].lower(), parse_fragment(found[2])


def parse_fragment(text: str) -> Invitation:
    """The content of what follows the #. Raises Rejected with `invite_invalid`."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        invitation = _decode(raw)
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        raise _invalid("This invitation is damaged; copy the whole link or ask for a new one.") from None
    _check_shape(invitation)
    if _fragment(invitation) != text:
        raise _invalid("This invitation is not spelt in the usual way; ask for a new one.")
    return invitation


def _check_shape(invitation: Invitation) -> None:
    """What the types alone do not say."""
    if not _subject_fits(invitation) or any(len(place.ip) not in {4, 16} for place in invitation.addresses):
        raise _invalid("This invitation is not complete; ask for a new one.")
    if invitation.hint:
        try:
            check_line(invitation.hint, "hint")
        except Rejected:
            raise _invalid("The name in this invitation has hidden characters; do not trust it.") from None


def _subject_fits(invitation: Invitation) -> bool:
    match invitation.kind:
        case LinkKind.ACCOUNT:
            return not invitation.subject or _is_local(invitation.subject)
        case LinkKind.CONTACT:
            return _is_local(invitation.subject)
        case LinkKind.ROOM:
            return len(invitation.subject) == ROOM_ID_BYTES


def _is_local(subject: bytes) -> bool:
    return subject.isascii() and LOCAL_NAME.fullmatch(subject.decode("ascii")) is not None


def _spell(origin: str, invitation: Invitation) -> str:
    return f"{origin}{PATH}{_fragment(invitation)}"


def _fragment(invitation: Invitation) -> str:
    return base64.urlsafe_b64encode(encode(invitation)).decode().rstrip("=")


def _invalid(text: str) -> Rejected:
    return Rejected(Code.INVITE_INVALID, text)


_decode = msgspec.msgpack.Decoder(Invitation).decode
