"""Each id has one text spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base import ids
from node.base.ids import NodeId

NID = NodeId(bytes(range(32)))


@given(st.binary(min_size=32, max_size=32))
def test_a_node_comes_back(raw: bytes) -> None:
    text = ids.format_node(NodeId(raw))
    assert len(text) == 52
    assert ids.parse_node(text) == raw


@given(st.sampled_from((16, 32)), st.data())
def test_an_id_comes_back(size: int, data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=size, max_size=size))
    assert ids.parse_id(ids.format_id(raw), size) == raw


@given(st.text(max_size=60))
def test_no_text_breaks_a_parser(text: str) -> None:
    for parse in (ids.parse_node, ids.parse_user, lambda t: ids.parse_id(t, 16)):
        try:
            parse(text)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "text", [ids.format_id(bytes(16)) + "=", "A" * 21 + "B", "A" * 20 + " A", "A" * 43, "", "+" * 22]
)
def test_other_spellings_of_an_id(text: str) -> None:
    with pytest.raises(ValueError, match="id"):
        ids.parse_id(text, 16)


def test_other_spellings_of_a_node_and_a_user() -> None:
    good = ids.format_node(NID)
    for text in (good.upper(), good[:-1] + "b", good + "a", good[:-1]):
        with pytest.raises(ValueError, match="node id"):
            ids.parse_node(text)
    assert ids.parse_user(ids.make_user("alice", NID)) == ("alice", NID)
    for text in (f"Alice@{good}", f"@{good}", good, f"alice@{good}@", f"a@{good}"):
        with pytest.raises(ValueError, match=r"user id|node id"):
            ids.parse_user(text)
