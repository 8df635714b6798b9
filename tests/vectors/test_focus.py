"""docs/spec/vectors/calls.json: what nodes say about calls, both ways."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from node.wire import focus
from node.wire.codec import Decoder
from tests.vectors import generate
from tests.vectors.test_c2s import from_json

CASES: list[dict[str, Any]] = json.loads((generate.FOLDER / "calls.json").read_text(encoding="utf-8"))
DECODERS: dict[str, Decoder[Any]] = {
    focus.ASK: focus.decode_ask,
    focus.NOW: focus.decode_now,
    focus.SEATS: focus.decode_seats,
    focus.PIPE: focus.decode_half,
    focus.WANT: focus.decode_want,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_bytes_array_and_struct_agree(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    assert focus.encode_said(DECODERS[case["in"]](data)) == data
    assert msgspec.msgpack.decode(data) == from_json(case["word"])


def test_every_word_has_a_vector() -> None:
    assert {case["in"] for case in CASES} == DECODERS.keys()
    asks = {case["word"][0] for case in CASES if case["in"] == focus.ASK}
    assert asks == {kind.__struct_config__.tag for kind in focus.Ask.__args__}
