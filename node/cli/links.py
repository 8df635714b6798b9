"""Where a node can be opened, as far as its boot settings tell: the origins of the links this program prints."""

from __future__ import annotations

from node.base import limits
from node.base.ids import NodeId, parse_id, parse_node
from node.runtime import lan
from node.runtime.config import Config
from node.wire import address


def origins(config: Config) -> tuple[str, ...]:
    """Like ``https://192.168.1.20:8443``; the one to give to others first, the one for this machine last."""
    found = []
    if config.https:
        found.append(lan.origin(secure=True, host=config.https_host, port=config.https_port, domain=config.domain))
    if config.http:
        found.append(lan.origin(secure=False, host=config.http_host, port=config.http_port))
    return tuple(found)


def account_link(origin: str, node: str, token: str, *, hint: str, local: str = "") -> str:
    """A link from the text forms of nid and token."""
    nid, raw = NodeId(parse_node(node)), parse_id(token, limits.INVITE_TOKEN_BYTES)
    return address.format_link(origin, address.account_invitation(nid, raw, hint=hint, local=local))
