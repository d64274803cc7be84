"""What the benchmarks share: the clock, and where the shipped weights are."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call, with nothing left over to collect from earlier ones."""
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
