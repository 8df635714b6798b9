"""Structs of the HTTP API ``/api/v1``: JSON bodies of requests and answers. OpenAPI is generated from them.

Ids are text here (node/base/ids.py), times are unix milliseconds, durations seconds. A request struct refuses
unknown fields, so that a misspelt one is an error and not silence; an answer may gain fields.
"""

from node.wire.api import account, admin, base, peers, people, rooms

__all__ = ["account", "admin", "base", "peers", "people", "rooms"]
