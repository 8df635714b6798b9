"""Bodies between JSON and msgpack: every kind, both ways."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base.errors import Rejected
from node.base.ids import format_id
from node.core import content
from node.web.api import bodies

EVENT = bytes(range(32))
TEXT = format_id(EVENT)
ALICE = "alice@" + "a" * 52


@pytest.mark.parametrize(
    ("kind", "shown", "stored"),
    [
        ("text", {"text": "hi"}, {"text": "hi"}),
        ("recall", {"target": TEXT}, {"target": EVENT}),
        ("reaction", {"target": TEXT, "value": "👍"}, {"target": EVENT, "value": "👍"}),
        (
            "text",
            {"text": "hi", "reply_to": {"event": TEXT, "author": ALICE}},
            {"text": "hi", "reply_to": {"event": EVENT, "author": ALICE}},
        ),
        ("text", {"text": "hi", "reply_to": None}, {"text": "hi", "reply_to": None}),
        ("poll.v9", {"fallback": "a poll", "newer": {"x": [1, 2]}}, {"fallback": "a poll", "newer": {"x": [1, 2]}}),
        ("text", {"text": "hi", "newer": TEXT}, {"text": "hi", "newer": TEXT}),
    ],
)
def test_both_ways(kind: str, shown: dict[str, Any], stored: dict[str, Any]) -> None:
    data = bodies.encode(kind, shown)
    assert msgspec.msgpack.decode(data) == stored
    content.decode_body(kind, data)
    assert bodies.decode(kind, data) == shown


@pytest.mark.parametrize("target", ["", "short", TEXT + "=", TEXT[:-1] + "9", TEXT.replace("A", "+", 1)])
def test_an_id_has_one_spelling(target: str) -> None:
    with pytest.raises(Rejected):
        bodies.encode("recall", {"target": target})


def test_a_target_that_is_no_text_is_left_to_the_rules() -> None:
    with pytest.raises(Rejected):
        content.decode_body("recall", bodies.encode("recall", {"target": 7}))


def test_every_field_of_bytes_is_found() -> None:
    with_ids = {kind for kind in content.KINDS if bodies._PATHS[kind]}
    assert with_ids == {"text", "call", "edit", "recall", "redact", "reaction", "create"}
    assert bodies._UNKNOWN_PATHS == (("reply_to", "event"),)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from([*content.KINDS, "new.kind", ""]),
    st.dictionaries(st.text(max_size=8) | st.sampled_from(["target", "reply_to", "text", "user"]), JSON, max_size=5),
)
def test_any_body_is_accepted_or_refused(kind: str, body: dict[str, Any]) -> None:
    try:
        data = bodies.encode(kind, body)
        content.decode_body(kind, data)
    except Rejected:
        return
    bodies.decode(kind, data)
