"""docs/spec/vectors/dht.json, in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.base.ids import NodeId
from node.discovery.proto import datagram
from node.discovery.proto.policy import Tokens, is_bound, make_id
from node.wire.record import dht_key
from tests.vectors import generate_dht

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(generate_dht.FILE.read_text(encoding="utf-8"))


def test_the_file_is_what_the_generator_makes() -> None:
    assert json.loads(json.dumps(generate_dht.vectors())) == VECTORS, "run python -m tests.vectors.generate_dht"


@pytest.mark.parametrize("vector", VECTORS["ids"])
def test_ids(vector: dict[str, str]) -> None:
    made = bytes.fromhex(vector["id"])
    assert make_id(vector["ip"], bytes.fromhex(vector["noise"])) == made
    assert is_bound(made, vector["ip"])


@pytest.mark.parametrize("vector", VECTORS["ids_of_others"])
def test_ids_of_others(vector: dict[str, str]) -> None:
    assert not is_bound(bytes.fromhex(vector["id"]), vector["ip"])


@pytest.mark.parametrize("vector", VECTORS["keys"])
def test_keys(vector: dict[str, str]) -> None:
    assert dht_key(NodeId(bytes.fromhex(vector["nid"])), vector["salt"].encode()).hex() == vector["key"]


@pytest.mark.parametrize("vector", VECTORS["tokens"])
def test_tokens(vector: dict[str, str]) -> None:
    tokens = Tokens(fresh=lambda: bytes.fromhex(vector["secret"]))
    assert tokens.check(bytes.fromhex(vector["token"]), vector["ip"], now=0)


@pytest.mark.parametrize("vector", VECTORS["requests"])
def test_requests(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["datagram"])
    request = datagram.decode_request(data)
    assert datagram.kind_of(data) == datagram.REQUEST
    assert datagram.encode_request(datagram.message_id_of(data), request) == data
    assert _matches(request, vector)


@pytest.mark.parametrize("vector", VECTORS["answers"])
def test_answers(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["datagram"])
    answer = datagram.decode_answer(data)
    assert datagram.kind_of(data) == datagram.ANSWER
    assert datagram.encode_answer(datagram.message_id_of(data), answer) == data
    assert _matches(answer, vector)


def _matches(message: datagram.Request | datagram.Answer, vector: dict[str, Any]) -> bool:
    read = {name: getattr(message, name) for name in message.__struct_fields__}
    shown = {name: value.hex() if isinstance(value, bytes) else value for name, value in read.items()}
    return {**shown, "datagram": vector["datagram"]} == vector
