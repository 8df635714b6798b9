"""Whoever brings much waits for their own turn, and nobody else waits for more than one share of them."""

from __future__ import annotations

from node.base import limits
from node.base.ids import NodeId
from node.storage.turns import Turns

FLOODER, HONEST, OTHER = NodeId(b"f" * 32), NodeId(b"h" * 32), NodeId(b"o" * 32)
SHARE = limits.BATCH_PEER_BYTES


def batch(turns: Turns[str], most: int = 10_000) -> list[str]:
    turns.begin()
    found: list[str] = []
    while len(found) < most and (job := turns.take()) is not None:
        found.append(job)
    return found


def test_own_people_have_nothing_of_a_flood_in_front() -> None:
    turns: Turns[str] = Turns()
    for n in range(1000):
        turns.put(f"f{n}", FLOODER, SHARE // 4)
    turns.put("post", None, 0)
    assert len(turns) == 1001
    assert batch(turns) == ["post", "f0", "f1", "f2", "f3"]
    turns.put("next", None, 0)
    assert batch(turns)[0] == "next"


def test_an_honest_peer_has_one_share_of_each_other_in_front() -> None:
    turns: Turns[str] = Turns()
    for n in range(1000):
        turns.put(f"f{n}", FLOODER, SHARE // 2)
    for n in range(3):
        turns.put(f"h{n}", HONEST, SHARE // 2)
    assert batch(turns) == ["f0", "f1", "h0", "h1"]
    assert batch(turns) == ["f2", "f3", "h2"]
    assert batch(turns) == ["f4", "f5"], "who is done leaves the round"


def test_a_job_above_a_share_waits_until_enough_is_saved() -> None:
    turns: Turns[str] = Turns()
    turns.put("large", FLOODER, 3 * SHARE)
    turns.put("after", FLOODER, 0)
    for n in range(9):
        turns.put(f"h{n}", HONEST, SHARE)
    assert [batch(turns), batch(turns), batch(turns)] == [["h0"], ["h1"], ["large", "after", "h2"]]


def test_with_nothing_else_to_do_a_large_job_does_not_wait() -> None:
    turns: Turns[str] = Turns()
    turns.put("large", FLOODER, 20 * SHARE)
    turns.put("larger", OTHER, 30 * SHARE)
    assert batch(turns) == ["large"]
    assert batch(turns) == ["larger"]
    assert batch(turns) == []


def test_nobody_saves_while_there_is_nothing_to_do() -> None:
    turns: Turns[str] = Turns()
    for _ in range(50):
        turns.put("small", FLOODER, 1)
        assert batch(turns) == ["small"]
    for n in range(9):
        turns.put(f"f{n}", FLOODER, SHARE)
    turns.put("post", None, 0)
    assert batch(turns) == ["post", "f0"]


def test_own_people_do_not_starve_peers() -> None:
    turns: Turns[str] = Turns()
    for n in range(limits.BATCH_OWN_WRITES + 2):
        turns.put(f"o{n}", None, 0)
    turns.put("h", HONEST, 1)
    found = batch(turns)
    assert found.index("h") == limits.BATCH_OWN_WRITES
    assert found[-2:] == [f"o{limits.BATCH_OWN_WRITES}", f"o{limits.BATCH_OWN_WRITES + 1}"], "what is left is theirs"


def test_a_round_goes_on_where_its_batch_ended() -> None:
    turns: Turns[str] = Turns()
    for nid, name in ((FLOODER, "f"), (HONEST, "h"), (OTHER, "o")):
        for n in range(4):
            turns.put(f"{name}{n}", nid, SHARE // 2)
    assert batch(turns, 3) == ["f0", "f1", "h0"]
    assert batch(turns, 3) == ["h1", "o0", "o1"]
    assert batch(turns, 3) == ["f2", "f3", "h2"]


def test_everything_can_be_taken_out() -> None:
    turns: Turns[str] = Turns()
    turns.put("f", FLOODER, 9)
    turns.put("post", None, 0)
    assert turns.drain() == ["post", "f"]
    assert len(turns) == 0
    assert batch(turns) == []
