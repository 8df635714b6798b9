"""The numbers of a leg: without a gap, each used once, and the way back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.media.proto.loss import ONE_CYCLE
from node.media.proto.munger import STEPS_KEPT, Munger


def test_a_stream_begins_where_it_was_told_to() -> None:
    munger = Munger(100)
    assert munger.end(0) == ONE_CYCLE + 100
    step = munger.switch(7, 5000, munger.end(0))
    assert munger.end(5009) == ONE_CYCLE + 110
    assert munger.find(7, 5003) is step
    assert munger.find(7, 4999) is None
    assert munger.find(8, 5003) is None
    assert munger.origin(ONE_CYCLE + 103) == (7, 5003, step)
    assert munger.origin(ONE_CYCLE + 99) is None


def test_what_is_left_out_leaves_no_gap() -> None:
    munger = Munger(0)
    munger.switch(7, 10, munger.end(0), pid=3)
    munger.skip(12, picture=True)
    step = munger.skip(13, picture=False)
    assert munger.find(7, 14) is step
    assert (step.begin, step.out - ONE_CYCLE, step.pid) == (14, 2, 2)
    assert munger.find(7, 12) is None
    assert munger.find(7, 13) is None
    assert munger.find(7, 11) is not None


def test_another_layer_goes_on_with_the_next_number() -> None:
    munger = Munger(0)
    munger.switch(7, 10, munger.end(0))
    munger.switch(8, 900, munger.end(19), timestamp=-5, pid=4, tl0=2)
    assert munger.step is not None
    assert munger.step.out == ONE_CYCLE + 10
    assert munger.step.timestamp == 0xFFFFFFFB
    assert munger.find(7, 20) is None, "a packet of the old layer after the change"
    assert munger.find(7, 19) is not None
    origin = munger.origin(ONE_CYCLE + 11)
    assert origin is not None
    assert origin[:2] == (8, 901)


def test_a_layer_that_was_left_before_anything_came_of_it_leaves_nothing() -> None:
    munger = Munger(0)
    munger.switch(7, 10, munger.end(0))
    munger.switch(8, 50, munger.end(9))
    assert munger.find(7, 10) is None
    assert munger.origin(ONE_CYCLE) == (8, 50, munger.step)


def test_the_list_is_bounded() -> None:
    munger = Munger(0)
    munger.switch(7, 0, munger.end(0))
    for index in range(0, 20 * STEPS_KEPT, 2):
        munger.skip(index + 1, picture=True)
    assert len(munger._steps) == STEPS_KEPT


EVENT = st.sampled_from(["take", "take", "take", "lose", "skip", "switch"])


@given(st.integers(0, 0x7FFF), st.lists(EVENT, max_size=200))
def test_numbers_are_used_once_and_without_a_gap(start: int, events: list[str]) -> None:
    """A model: three layers whose packets are taken, lost, left out; a change of layer now and then."""
    munger = Munger(start)
    layer, highest, nexts = 0, 0, {0: 100, 1: 70_000, 2: 5}
    munger.switch(layer, nexts[layer], munger.end(0))
    highest = nexts[layer] - 1
    used: dict[int, tuple[int, int]] = {}
    lost: list[tuple[int, int]] = []
    for event in events:
        index = nexts[layer]
        nexts[layer] += 1
        if event == "lose":
            lost.append((layer, index))
            continue
        if event == "switch":
            new = (layer + 1) % 3
            munger.switch(new, nexts[new], munger.end(highest))
            layer, highest = new, nexts[new] - 1
            continue
        if event == "skip":
            munger.skip(index, picture=True)
            highest = index
            continue
        highest = index
        step = munger.find(layer, index)
        assert step is munger.step
        assert step is not None
        out = step.out + index - step.begin
        assert out not in used
        used[out] = (layer, index)
    first = ONE_CYCLE + start
    came_late = {}
    for layer_, index in lost:
        step = munger.find(layer_, index)
        if step is not None:
            out = step.out + index - step.begin
            assert out not in used
            assert out not in came_late
            came_late[out] = (layer_, index)
    # A number that nothing took was kept free for a packet that may still come.
    for out, origin in used.items():
        found = munger.origin(out)
        if found is not None:
            assert found[:2] == origin
    if used and len(munger._steps) < STEPS_KEPT:
        assert set(range(first, max(used) + 1)) == {out for out in used | came_late if out <= max(used)}
