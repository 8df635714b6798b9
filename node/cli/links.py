"""Where a node can be opened, as far as its boot settings tell: the origins of the links this program prints."""

from __future__ import annotations

from typing import Final

from node.base.ids import NodeId, parse_id, parse_node
from node.runtime import lan
from node.runtime.config import Config
from node.wire import address

_ANY: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_USUAL: Final = {"https": 443, "http": 80}


def origins(config: Config) -> tuple[str, ...]:
    """Like ``https://192.168.1.20:8443``; the one to give to others first, the one for this machine last."""
    found = []
    if config.https:
        found.append(_origin("https", _reachable(config), config.https_port))
    if config.http:
        found.append(_origin("http", "127.0.0.1" if config.http_host in _ANY else config.http_host, config.http_port))
    return tuple(found)


def account_link(origin: str, node: str, token: str, *, hint: str, local: str = "") -> str:
    """A link from the text forms of nid and token."""
    nid, raw = NodeId(parse_node(node)), parse_id(token, 16)
    return address.format_link(origin, address.account_invitation(nid, raw, hint=hint, local=local))


def _reachable(config: Config) -> str:
    if config.domain:
        return config.domain
    if config.https_host not in _ANY:
        return config.https_host
    return next(iter(lan.own_addresses()), "localhost")


def _origin(scheme: str, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" if port == _USUAL[scheme] else f"{scheme}://{shown}:{port}"
