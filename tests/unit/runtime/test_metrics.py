"""Counting without the library, and what a scrape then shows."""

from __future__ import annotations

from node.runtime.metrics import Histogram, Metrics


def test_a_scrape_shows_what_was_counted() -> None:
    metrics = Metrics()
    metrics.posts.inc(of="text")
    metrics.posts.inc(2, of="text")
    metrics.deliveries.inc()
    metrics.post_seconds.observe(0.004)
    metrics.gauge("startalk_sockets", "Open device sockets.", lambda: 3)
    body, content_type = metrics.exposition()
    lines = body.decode().splitlines()
    assert content_type.startswith("text/plain")
    assert 'startalk_posts_total{kind="text"} 3.0' in lines
    assert "startalk_deliveries_total 1.0" in lines
    assert 'startalk_post_seconds_bucket{le="0.0025"} 0.0' in lines
    assert 'startalk_post_seconds_bucket{le="0.005"} 1.0' in lines
    assert "startalk_post_seconds_count 1.0" in lines
    assert "startalk_sockets 3.0" in lines


def test_a_value_on_a_bound_counts_under_it() -> None:
    seconds = Histogram("seconds", "Some.", (1.0, 2.0))
    for value in (1.0, 2.0, 2.1):
        seconds.observe(value)
    assert seconds.counts == [1, 1, 1]


def test_two_nodes_in_one_process_do_not_share_numbers() -> None:
    one, other = Metrics(), Metrics()
    one.deliveries.inc()
    assert b"startalk_deliveries_total 1.0" in one.exposition()[0]
    assert b"startalk_deliveries_total 0.0" in other.exposition()[0]
