"""docs/spec/vectors/c2s.json and c2s-invalid.json: what the code makes is what the files say, both ways."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from node.base import limits
from node.base.errors import Code, Rejected
from node.wire import c2s
from tests.vectors import generate

CASES: list[dict[str, Any]] = json.loads((generate.FOLDER / "c2s.json").read_text(encoding="utf-8"))
BAD: list[dict[str, str]] = json.loads((generate.FOLDER / "c2s-invalid.json").read_text(encoding="utf-8"))


def _key(text: str) -> str | bytes:
    return bytes.fromhex(text.removeprefix("hex ")) if text.startswith("hex ") else text


def from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"hex"}:
            return bytes.fromhex(value["hex"])
        return {_key(key): from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return value


def test_the_files_are_what_the_generator_makes() -> None:
    for name, text in generate.files().items():
        assert (generate.FOLDER / name).read_text(encoding="utf-8") == text, (
            f"{name}: run python -m tests.vectors.generate"
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['direction']}: {case['name']}")
def test_bytes_array_and_struct_agree(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    assert msgspec.msgpack.decode(data) == from_json(case["frame"])
    if case["direction"] == "client":  # cards of the node have map headers longer than the shortest
        assert msgspec.msgpack.encode(from_json(case["frame"])) == data
    decode = c2s.decode_client_frame if case["direction"] == "client" else c2s.decode_node_frame
    frame: c2s.Frame = decode(data)
    assert c2s.encode_frame(frame) == data


def test_every_frame_has_a_vector() -> None:
    def names(union: Any) -> set[str]:
        return {frame.__struct_config__.tag for frame in union.__args__}

    for direction, union in (("client", c2s.ClientFrame), ("node", c2s.NodeFrame)):
        assert {case["frame"][0] for case in CASES if case["direction"] == direction} == names(union)


def test_unknown_trailing_fields_are_ignored() -> None:
    for case in CASES:
        if case["direction"] == "client":
            whole = msgspec.convert(from_json(case["frame"]), list)
            newest = c2s.decode_client_frame(bytes.fromhex(case["hex"]))
            full = msgspec.msgpack.decode(c2s.encode_frame(newest))
            assert whole == full
            assert c2s.decode_client_frame(msgspec.msgpack.encode([*full, "later", {"x": 1}])) == newest


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["name"])
def test_hostile_frames_are_refused(case: dict[str, str]) -> None:
    data = bytes.fromhex(case["hex"])
    if case["code"] == Code.UNSUPPORTED:  # well formed; the session refuses it, see tests/integration/test_socket.py
        frame = c2s.decode_client_frame(data)
        assert isinstance(frame, c2s.Hello)
        assert frame.version != c2s.VERSION
        return
    with pytest.raises(Rejected) as refusal:
        c2s.decode_client_frame(data)
    assert refusal.value.code == case["code"]


def test_a_frame_above_the_limit_is_too_large() -> None:
    with pytest.raises(Rejected) as refusal:
        c2s.decode_client_frame(bytes(limits.FRAME_BYTES_MAX + 1))
    assert refusal.value.code == Code.TOO_LARGE
