"""The memory canary. Ratios only: this machine may have others on it."""

from __future__ import annotations

import os
import threading

import psutil
import pytest

from harness.sense.canary import BLOCK_BYTES, SIZE_BYTES, memory_bandwidth

pytestmark = pytest.mark.quiet


def test_it_is_repeatable_and_all_cores_are_not_slower_than_half_of_them() -> None:
    """With half of the cores a neighbour on one of the others is not in it."""
    cores = len(os.sched_getaffinity(0))
    whole, half = [], []
    for _ in range(3):
        whole.append(memory_bandwidth(0.15) or 0.0)
        half.append(memory_bandwidth(0.15, threads=max(1, cores // 2)) or 0.0)
    assert max(half) < 2 * sorted(half)[1]
    assert max(half) < 1.3 * max(whole)
    assert min(whole) > 1e9  # no memory is so slow: it would not have read


def test_it_gives_its_memory_and_threads_back() -> None:
    before = psutil.Process().memory_info().rss
    assert memory_bandwidth(0.05, 128 << 20) is not None
    assert psutil.Process().memory_info().rss < before + (64 << 20)
    assert not [thread for thread in threading.enumerate() if thread.name == "canary"]


def test_too_little_memory_is_no_figure() -> None:
    assert memory_bandwidth(0.05, psutil.virtual_memory().available // 4) is None


def test_a_gb10_has_more_cores_than_the_arrays_have_blocks() -> None:
    """It has 20."""
    assert SIZE_BYTES // BLOCK_BYTES < 20
    assert (memory_bandwidth(threads=20) or 0.0) > 1e9
