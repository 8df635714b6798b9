"""Makes docs/spec/vectors/dht.json: ``python -m tests.vectors.generate_dht``. Every byte follows from constants."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from node.base.ids import NodeId
from node.discovery.proto import datagram
from node.discovery.proto.datagram import Answer, Request
from node.discovery.proto.policy import Contact, Tokens, make_id
from node.wire.record import SALT_ID, SALT_LOC, SALT_REVOKE, SALT_TRANSFER, dht_key

FILE: Final = Path(__file__).parents[2] / "docs" / "spec" / "vectors" / "dht.json"
V4: Final = ("93.184.216.34", "8.8.8.8", "1.1.1.1")
V6: Final = ("2606:2800:220:1:248:1893:25c8:1946", "2606:2800:220:1::7", "2001:4860:4860::8888")


def _bytes(label: str, size: int) -> bytes:
    return hashlib.sha256(f"startalk dht vectors {label}".encode()).digest()[:size]


MESSAGE: Final = _bytes("message", 20)
NODE: Final = make_id(V4[0], _bytes("noise", 20))
KEY: Final = dht_key(NodeId(_bytes("nid", 32)), SALT_LOC)
TOKEN: Final = _bytes("token", 8)
CONTACTS: Final = tuple(Contact(make_id(ip, _bytes(ip, 20)), ip, 8_444) for ip in V4)
CONTACTS6: Final = tuple(Contact(make_id(ip, _bytes(ip, 20)), ip, 8_444) for ip in V6)
REQUESTS: Final = (
    Request("ping", NODE),
    Request("stun", NODE, datagram.READ_ONLY),
    Request("find_node", NODE, 0, TOKEN, KEY),
    Request("find_value", NODE, 0, b"", KEY, b"", bytes(8)),
    Request("store", NODE, 0, TOKEN, KEY, _bytes("a record", 32)),
)
ANSWERS: Final = (
    Answer(NODE, TOKEN, datagram.pack_endpoint(V4[1], 8_444)),
    Answer(NODE, TOKEN, datagram.pack_endpoint(V4[1], 8_444), datagram.pack_contacts(CONTACTS), _bytes("a record", 32)),
    Answer(NODE, TOKEN, datagram.pack_endpoint(V6[0], 8_444), datagram.pack_contacts(CONTACTS6)),
    Answer(NODE, TOKEN, datagram.pack_endpoint(V4[1], 8_444), code=datagram.Outcome.BAD_TOKEN),
)


def vectors() -> dict[str, Any]:
    """The content of the file."""
    nid = NodeId(_bytes("nid", 32))
    return {
        "ids": [
            {"ip": ip, "noise": noise.hex(), "id": make_id(ip, noise).hex()}
            for ip in V4 + V6
            for noise in (bytes(20), b"\xff" * 20, _bytes(ip, 20))
        ],
        "ids_of_others": [{"ip": V4[1], "id": NODE.hex()}, {"ip": V6[2], "id": make_id(V6[0], bytes(20)).hex()}],
        "keys": [
            {"nid": nid.hex(), "salt": salt.decode(), "key": dht_key(nid, salt).hex()}
            for salt in (SALT_LOC, SALT_ID, SALT_REVOKE, SALT_TRANSFER)
        ],
        "tokens": [
            {"secret": _bytes("secret", 32).hex(), "ip": ip, "token": _token(ip).hex()} for ip in (V4[0], V6[0])
        ],
        "requests": [
            {**_fields(request), "datagram": datagram.encode_request(MESSAGE, request).hex()} for request in REQUESTS
        ],
        "answers": [
            {**_fields(answer), "datagram": datagram.encode_answer(MESSAGE, answer).hex()} for answer in ANSWERS
        ],
    }


def _token(ip: str) -> bytes:
    return Tokens(fresh=lambda: _bytes("secret", 32)).make(ip, now=0)


def _fields(message: Request | Answer) -> dict[str, Any]:
    values = {name: getattr(message, name) for name in message.__struct_fields__}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
