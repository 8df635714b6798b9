"""Unread counts as a fold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.core.unread import Counts
from tests.unit.core.chronicle import ALICE, BOB, CAROL

moves = st.lists(
    st.one_of(
        st.tuples(st.just("entry"), st.sampled_from((ALICE, BOB)), st.sampled_from(("text", "x.poll", "edit", "join")),
                  st.sampled_from(((), (ALICE,), ("all",), (CAROL,)))),
        st.tuples(st.just("erase"), st.integers(1, 30), st.none(), st.none()),
        st.tuples(st.just("read"), st.integers(0, 30), st.none(), st.none()),
    ),
    max_size=40,
)  # fmt: skip


@given(moves)
def test_the_fold_counts_what_a_second_look_counts(plan: list[tuple[str, object, object, object]]) -> None:
    counts, log, erased, mark = Counts(ALICE), [], set(), 0
    for what, first, kind, named in plan:
        if what == "entry":
            log.append((first, kind, named))
            counts.entry(len(log), first, kind, named)  # type: ignore[arg-type]
            mark = max(mark, len(log)) if first == ALICE else mark
        elif what == "erase":
            erased.add(first) if isinstance(first, int) and first <= len(log) else None
            counts.erased(first)  # type: ignore[arg-type]
        else:
            mark = max(mark, int(str(first)))
            counts.read(first)  # type: ignore[arg-type]
    unread = [
        named
        for idx, (author, kind, named) in enumerate(log, start=1)
        if idx > mark and idx not in erased and author != ALICE and kind in {"text", "x.poll"}
    ]
    assert counts.unread == len(unread)
    assert counts.mentions == sum(ALICE in named or "all" in named for named in unread)  # type: ignore[operator]


def test_who_answers_has_read() -> None:
    counts = Counts(ALICE)
    counts.entry(1, BOB, "text", [ALICE])
    assert (counts.unread, counts.mentions) == (1, 1)
    counts.entry(2, ALICE, "text", [])
    assert (counts.unread, counts.mentions) == (0, 0)
    counts.read(1)
    assert counts.read_idx == 2
