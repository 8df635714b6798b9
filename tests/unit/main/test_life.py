"""What the process sets up for itself once its node serves."""

from __future__ import annotations

import gc

from node.main import life


def test_the_collector_leaves_alone_what_stays() -> None:
    before = gc.get_threshold()
    try:
        life.calm_collector()
        assert gc.get_freeze_count() > 10_000, "modules, classes and services are looked at no more"
        assert gc.get_threshold() == life.GC_THRESHOLDS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
