"""Bodies: what is accepted, what is refused, and that no bytes make the decoder fall over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.base import limits
from node.base.errors import Code, Rejected
from node.core import content, message
from node.core.content import Body
from node.core.roles import Role
from tests.unit.core.chronicle import ALICE, BOB

pack = msgspec.msgpack.encode
lines = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=60)
ids = st.binary(min_size=32, max_size=32)
users = st.sampled_from((ALICE, BOB))
mention = st.builds(content.Mention, user=users | st.just("all"), start=st.integers(0, 9), len=st.integers(1, 9))
mentions = st.lists(mention, max_size=3).map(tuple)
reply = st.none() | st.builds(content.ReplyTo, event=ids, author=users, quote=lines)
BODIES: dict[str, st.SearchStrategy[Body]] = {
    "text": st.builds(
        content.Text, text=lines, format=st.sampled_from(("plain", "md")), reply_to=reply, mentions=mentions
    ),
    "x.poll": st.builds(content.Unknown, fallback=lines, reply_to=reply, mentions=mentions),
    "edit": st.builds(content.Edit, target=ids, text=lines, mentions=mentions),
    "redact": st.builds(content.Redact, target=ids, reason=lines),
    "reaction": st.builds(content.Reaction, target=ids, value=st.sampled_from("👍🌱x"), on=st.booleans()),
    "create": st.builds(content.Create, name=lines, topic=lines),
    "join": st.builds(content.Join, via=st.sampled_from(("invite", "link"))),
    "role": st.builds(content.SetRole, user=users, role=st.sampled_from(list(Role))),
    "mute": st.builds(content.Mute, user=users, until_ms=st.integers(0, limits.INTEGER_MAX)),
    "settings": st.builds(
        content.Settings,
        recall_window_s=st.none() | st.integers(0, limits.RECALL_WINDOW_S_MAX),
        edit_window_s=st.none() | st.integers(0, limits.EDIT_WINDOW_S_MAX),
    ),
}


def refusal(kind: str, data: bytes) -> Code:
    with pytest.raises(Rejected) as refused:
        content.decode_body(kind, data)
    return refused.value.code


@given(st.data())
@settings(deadline=None)
def test_a_body_comes_back_as_it_went(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(BODIES)))
    body = data.draw(BODIES[kind])
    assert content.decode_body(kind, content.encode_body(body)) == body


@given(st.sampled_from([*sorted(content.KINDS), "x.poll", "", "BAD KIND", "é"]), st.binary(max_size=200))
@settings(deadline=None, max_examples=500)
def test_no_bytes_break_the_decoder(kind: str, data: bytes) -> None:
    try:
        content.decode_body(kind, data)
    except Rejected as error:
        if error.code not in {Code.BAD_REQUEST, Code.TOO_LARGE}:
            raise


anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(-9, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from([*sorted(content.KINDS), "x.poll"]),
    st.dictionaries(st.sampled_from(("text", "target", "user", "name", "on", "fallback", "new")), anything),
)
@settings(deadline=None, max_examples=500)
def test_no_map_breaks_the_decoder(kind: str, fields: dict[str, Any]) -> None:
    try:
        content.decode_body(kind, pack(fields))
    except Rejected as error:
        if error.code not in {Code.BAD_REQUEST, Code.TOO_LARGE}:
            raise


def nested(depth: int) -> bytes:
    """A body with an unknown field, `depth` levels in all."""
    value: object = 1
    for _ in range(depth - 2):
        value = [value]
    return pack({"text": "x", "fallback": "x", "new": value})


@pytest.mark.parametrize("kind", ["text", "x.poll"])
class TestFieldsNobodyKnows:
    """A newer client may send more; it is kept, and bounded."""

    def test_depth(self, kind: str) -> None:
        content.decode_body(kind, nested(limits.DEPTH_MAX))
        assert refusal(kind, nested(limits.DEPTH_MAX + 1)) is Code.BAD_REQUEST
        assert (
            refusal(kind, b"\x82" + pack("text") + pack("x") + pack("n") + b"\x91" * 50_000 + b"\x01")
            is Code.BAD_REQUEST
        )

    def test_keys(self, kind: str) -> None:
        base = {"text": "x", "fallback": "x"}
        content.decode_body(kind, pack(base | {f"k{n}": n for n in range(limits.KEYS_MAX - 2)}))
        assert refusal(kind, pack(base | {f"k{n}": n for n in range(limits.KEYS_MAX - 1)})) is Code.TOO_LARGE

    def test_items(self, kind: str) -> None:
        base = {"text": "x", "fallback": "x"}
        content.decode_body(kind, pack(base | {"new": [0] * limits.ITEMS_MAX}))
        assert refusal(kind, pack(base | {"new": [0] * (limits.ITEMS_MAX + 1)})) is Code.TOO_LARGE

    @pytest.mark.parametrize(
        "value",
        [
            2**53 + 1,
            -(2**53) - 1,
            float("nan"),
            float("inf"),
            msgspec.msgpack.Ext(5, b"x"),
            datetime(2026, 1, 1, tzinfo=UTC),
            {1: 2},
        ],
        ids=["too big", "too small", "nan", "infinite", "extension", "time", "key is no text"],
    )
    def test_values_that_not_every_client_can_hold(self, kind: str, value: object) -> None:
        assert refusal(kind, pack({"text": "x", "fallback": "x", "new": value})) is Code.BAD_REQUEST

    def test_values_at_the_edge(self, kind: str) -> None:
        content.decode_body(kind, pack({"text": "x", "fallback": "x", "new": [2**53, -(2**53), 0.5, None, b""]}))


def test_the_size_of_a_body() -> None:
    def body(size: int) -> bytes:
        empty = len(pack({"fallback": "x", "new": bytes(60_000)})) - 60_000
        return pack({"fallback": "x", "new": bytes(size - empty)})

    assert len(body(limits.BODY_BYTES_MAX)) == limits.BODY_BYTES_MAX
    content.decode_body("x.poll", body(limits.BODY_BYTES_MAX))
    assert refusal("x.poll", body(limits.BODY_BYTES_MAX + 1)) is Code.TOO_LARGE


@pytest.mark.parametrize(
    ("kind", "field", "size", "more"),
    [
        ("text", "text", limits.TEXT_CHARS_MAX, {}),
        ("edit", "text", limits.TEXT_CHARS_MAX, {"target": bytes(32)}),
        ("x.poll", "fallback", limits.FALLBACK_CHARS_MAX, {}),
        ("name", "name", limits.NAME_CHARS_MAX, {}),
        ("create", "topic", limits.TOPIC_CHARS_MAX, {"name": "x"}),
        ("topic", "topic", limits.TOPIC_CHARS_MAX, {}),
        ("redact", "reason", limits.REASON_CHARS_MAX, {"target": bytes(32)}),
        ("kick", "reason", limits.REASON_CHARS_MAX, {"user": ALICE}),
        ("reaction", "value", limits.REACTION_BYTES_MAX, {"target": bytes(32)}),
    ],
)
def test_texts_have_an_end(kind: str, field: str, size: int, more: dict[str, object]) -> None:
    content.decode_body(kind, pack({field: "a" * size} | more))
    assert refusal(kind, pack({field: "a" * (size + 1)} | more)) is Code.BAD_REQUEST


def test_the_longest_text_fits_whatever_its_script() -> None:
    """20,000 characters of four bytes each do not fit into 64 KiB, and the refusal says so."""
    content.decode_body("text", pack({"text": "字" * limits.TEXT_CHARS_MAX}))
    assert refusal("text", pack({"text": "🌱" * limits.TEXT_CHARS_MAX})) is Code.TOO_LARGE


def test_a_reaction_is_counted_in_bytes() -> None:
    content.decode_body("reaction", pack({"target": bytes(32), "value": "👍" * 16}))
    assert refusal("reaction", pack({"target": bytes(32), "value": "👍" * 17})) is Code.TOO_LARGE


def test_50_people_can_be_mentioned() -> None:
    one = {"user": ALICE, "start": 0, "len": 1}
    content.decode_body("text", pack({"text": "x", "mentions": [one] * limits.MENTIONS_MAX}))
    assert refusal("text", pack({"text": "x", "mentions": [one] * (limits.MENTIONS_MAX + 1)})) is Code.BAD_REQUEST


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("text", {"text": "  \n "}),
        ("text", {"text": "bell\x07"}),
        ("text", {}),
        ("text", {"text": 5}),
        ("text", {"text": "x", "format": "html"}),
        ("name", {"name": " "}),
        ("name", {"name": "two\nlines"}),
        ("name", {"name": "\u202egnp.exe"}),
        ("x.poll", {}),
        ("x.poll", {"fallback": ""}),
        ("role", {"user": ALICE, "role": "king"}),
        ("recall", {"target": bytes(31)}),
        ("mute", {"user": ALICE, "until_ms": -1}),
        ("kick", {"user": "short"}),
        ("settings", {"recall_window_s": limits.RECALL_WINDOW_S_MAX + 1}),
        ("settings", {"edit_window_s": limits.EDIT_WINDOW_S_MAX + 1}),
    ],
)
def test_what_no_body_says(kind: str, fields: dict[str, object]) -> None:
    assert refusal(kind, pack(fields)) is Code.BAD_REQUEST


@pytest.mark.parametrize(
    ("kind", "good"), [("a", True), ("x" * 32, True), ("x" * 33, False), ("X", False), ("1a", False)]
)
def test_how_a_kind_is_spelt(kind: str, good: bool) -> None:
    data = pack({"fallback": "x"})
    if good:
        content.decode_body(kind, data)
    else:
        assert refusal(kind, data) is Code.BAD_REQUEST


def test_a_text_may_have_lines_and_tabs() -> None:
    content.decode_body("text", pack({"text": "a\n\tb"}))


def test_content_is_what_is_shown() -> None:
    assert content.is_content("text")
    assert content.is_content("x.poll")
    assert not any(content.is_content(kind) for kind in content.MARKS | content.ROOM_KINDS)


# --- calls ----------------------------------------------------------------------------------------------------


def test_the_end_of_a_call_names_its_start_and_its_result() -> None:
    start = content.Call(call=bytes(16), state="start", media="audio", fallback="A call")
    end = content.Call(call=bytes(16), state="end", media="video", start=bytes(32), result="missed", missed=(ALICE,))
    for body in (start, end):
        assert content.decode_body("call", content.encode_body(body)) == body
    assert [content.counts("call", body) for body in (start, end)] == [False, True]
    assert message.named_by(end) == bytes(32)
    assert message.named_by(start) is None
    assert message.mentions(end, BOB) == (ALICE,)


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "end"}, {"state": "end", "start": bytes(32)}, {"state": "end", "result": "missed"}, {"state": "begun"},
        {"state": "start", "start": bytes(32), "result": "missed"}, {"state": "start", "media": "smell"},
        {"state": "end", "start": bytes(32), "result": "who knows"}, {"state": "start", "call": b"short"},
        {"state": "end", "start": bytes(32), "result": "missed", "missed": (ALICE,) * (limits.CALL_TARGETS_MAX + 1)},
        {"state": "start", "fallback": "\x07"},
    ],
    ids=str,
)  # fmt: skip
def test_a_call_that_is_not_one(fields: dict[str, Any]) -> None:
    body = {"call": bytes(16), "media": "audio"} | fields
    with pytest.raises(Rejected) as refusal:
        content.decode_body("call", msgspec.msgpack.encode(body))
    assert refusal.value.code is Code.BAD_REQUEST
