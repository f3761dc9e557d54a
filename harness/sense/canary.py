"""A small fixed piece of work for the memory, to tell a machine that has become slower."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import psutil
from numpy.typing import NDArray

from harness import clock

BLOCK_BYTES = 4 << 20
"""One call of numpy: long beside the switch of threads, short beside a pass."""
SIZE_BYTES = 64 << 20
"""More than the caches: a GB10 has 24 MiB of L3. Its 20 cores take a little more, a block for each."""
SHARE = 8
"""At most this part of the memory that is free is taken."""
PASSES = 3


def memory_bandwidth(seconds: float = 0.03, size_bytes: int = SIZE_BYTES, threads: int | None = None) -> float | None:
    """Bytes per second that the CPU reads from memory: the best of three short passes, which together take `seconds`. Filling the
    arrays comes on top. None where there is too little free memory for it.

    Each thread (one per usable core, or `threads`) looks for the largest of the 32-bit numbers in arrays of its own, block by block,
    over and over, so cores of unequal speed all count. Bytes are those of the blocks read, each once; nothing is written. This
    reduction reads as fast as a C loop of vector instructions does; a sum of floats reaches half of that, being slower than the
    memory.
    """
    count = threads or len(psutil.Process().cpu_affinity() or [0])
    blocks = max(1, size_bytes // BLOCK_BYTES // count)
    if blocks * count * BLOCK_BYTES > psutil.virtual_memory().available // SHARE:
        return None
    stop = threading.Event()
    try:
        readers = [_Reader([np.empty(BLOCK_BYTES // 4, np.int32) for _ in range(blocks)], stop) for _ in range(count)]
    except MemoryError:
        return None
    for reader in readers:
        reader.start()
    try:
        for reader in readers:
            reader.filled.wait()
        return max(_rate(readers, seconds / PASSES) for _ in range(PASSES))
    finally:
        stop.set()
        for reader in readers:
            reader.join()


class _Reader(threading.Thread):
    def __init__(self, blocks: Sequence[NDArray[np.int32]], stop: threading.Event) -> None:
        super().__init__(name="canary", daemon=True)
        self.blocks, self.stop = blocks, stop
        self.filled = threading.Event()
        self.done_bytes = 0

    def run(self) -> None:
        for block in self.blocks:
            block.fill(1)  # what was never written has no memory of its own
        self.filled.set()
        while not self.stop.is_set():
            for block in self.blocks:
                np.maximum.reduce(block)
                self.done_bytes += BLOCK_BYTES
                if self.stop.is_set():
                    break


def _rate(readers: Sequence[_Reader], seconds: float) -> float:
    start, before = clock.now(), sum(reader.done_bytes for reader in readers)
    clock.sleep(seconds)
    return (sum(reader.done_bytes for reader in readers) - before) / clock.since(start)
