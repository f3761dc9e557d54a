"""Memory, swap and stalls."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from harness.sense.base import Reading
from harness.sense.files import File
from harness.sense.memory import Memory, available, free_bytes
from tests.sysfs_tree import meminfo, pressure, put, vmstat

PAGE = os.sysconf("SC_PAGE_SIZE")


def values(source: Memory) -> dict[str, float]:
    return {name: value for _, name, value, _ in source.read()}


def healthy(root: Path) -> Memory:
    meminfo(root, 110_000_000, SwapTotal=16_000_000, SwapFree=15_000_000)
    vmstat(root, 3, 5)
    pressure(root, "memory", 12.5, 2.25, full_avg10=7.5)
    pressure(root, "cpu", 100.5, 0)
    pressure(root, "io", 30, 20.125)
    return Memory(root)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, (1000, 50)),
        ({"HugePages_Total": 0, "HugePages_Free": 0}, (1000, 50)),
        ({"HugePages_Total": 8, "HugePages_Free": 3}, (3 * 2048, 0)),
        ({"HugePages_Total": 8, "HugePages_Free": 0}, (0, 0)),
        ({"HugePages_Total": 2, "HugePages_Free": 1, "Hugepagesize": 1048576}, (1048576, 0)),
    ],
)
def test_the_formula_for_unified_memory(tmp_path: Path, more: dict[str, int], expected: tuple[int, int]) -> None:
    """Huge pages that are set aside are all that the GPU can have, and cannot be swapped."""
    meminfo(tmp_path, 1000, SwapTotal=60, SwapFree=50, **more)
    free, swap = available((tmp_path / "proc/meminfo").read_text())
    assert (free / 1024, swap / 1024) == expected


def test_a_kernel_without_huge_pages() -> None:
    assert available("MemAvailable:   12 kB\nSwapFree:  3 kB\n") == (12 * 1024, 3 * 1024)


def test_no_meminfo_is_no_number() -> None:
    with pytest.raises(KeyError):
        available("MemTotal:   12 kB\n")


def test_all_readings(tmp_path: Path) -> None:
    source = healthy(tmp_path)
    expected: list[Reading] = [
        ("host", "memory.available", 110_000_000 * 1024, "bytes"),
        ("host", "memory.total", 127_600_748 * 1024, "bytes"),
        ("host", "swap.free", 15_000_000 * 1024, "bytes"),
        ("host", "swap.used", 1_000_000 * 1024, "bytes"),
        ("host", "swap.in", 3 * PAGE, "bytes"),
        ("host", "swap.out", 5 * PAGE, "bytes"),
        ("host", "psi.memory_some", 12.5, "s"),
        ("host", "psi.memory_full", 2.25, "s"),
        ("host", "psi.memory_full_avg10", 0.075, "share"),
        ("host", "psi.cpu_some", 100.5, "s"),
        ("host", "psi.io_full", 20.125, "s"),
    ]
    assert list(source.read()) == expected
    assert (source.name, source.period_s, source.alone, source.absent) == ("memory", 1.0, False, ())


def test_each_read_is_a_new_one(tmp_path: Path) -> None:
    source = healthy(tmp_path)
    list(source.read())
    meminfo(tmp_path, 9_000_000, SwapTotal=16_000_000, SwapFree=1_000_000)
    vmstat(tmp_path, 1003, 2005)
    pressure(tmp_path, "memory", 20, 10, full_avg10=50)
    found = values(source)
    assert found["memory.available"] == 9_000_000 * 1024
    assert (found["swap.in"], found["swap.out"], found["psi.memory_full"]) == (1003 * PAGE, 2005 * PAGE, 10)


def test_stalls_that_the_kernel_does_not_count(tmp_path: Path) -> None:
    meminfo(tmp_path, 1000)
    vmstat(tmp_path)
    source = Memory(tmp_path)
    assert {name.partition(".")[0] for name in values(source)} == {"memory", "swap"}
    assert [(absent.scope, absent.code, absent.text.split()[0]) for absent in source.absent] == [
        ("host", "not_supported", f"psi.{what}") for what in ("memory", "cpu", "io")
    ]


def test_huge_pages_change_what_is_free_not_what_is_used(tmp_path: Path) -> None:
    meminfo(tmp_path, 1000, SwapTotal=60, SwapFree=50, HugePages_Total=8, HugePages_Free=3)
    found = values(Memory(tmp_path))
    assert (found["memory.available"], found["swap.free"], found["swap.used"]) == (3 * 2048 * 1024, 0, 10 * 1024)


def test_a_file_that_comes_a_page_at_a_time_is_read_to_its_end() -> None:
    """Of the kernel's own: nothing else does."""
    path = Path("/proc/self/maps")
    text = File(path).text()
    assert len(text) > PAGE
    assert text.splitlines()[-1] == path.read_text().splitlines()[-1]


def test_what_is_lost_is_said_once(tmp_path: Path) -> None:
    source = healthy(tmp_path)
    put(tmp_path / "proc/meminfo", "")
    for _ in range(3):
        assert "memory.available" not in values(source)
    assert [absent.code for absent in source.absent] == ["lost"]
    meminfo(tmp_path, 5000)
    assert values(source)["memory.available"] == 5000 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 300,
        "MemTotal:",
        "MemTotal: -1 kB\nMemAvailable: -1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        f"MemTotal: {'9' * 400} kB\nMemAvailable: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        f"MemTotal: {'9' * 5000} kB\nMemAvailable: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        "MemAvailable: 1 kB\nMemTotal: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nHugePages_Total: 4\n",
    ],
)
def test_nonsense_is_no_reading_and_stops_nothing_else(tmp_path: Path, text: str) -> None:
    """The sampler's thread reads other sources, too: nothing that a file says may end it."""
    source = healthy(tmp_path)
    put(tmp_path / "proc/meminfo", text)
    found = values(source)
    assert not [name for name in found if name.startswith("memory")]
    assert found["psi.memory_full"] == 2.25
    assert [absent.code for absent in source.absent] == ["lost"]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "some\nfull\n", "some avg10=0.00 total\n", f"some total={'9' * 400}\nfull total=1\n", "some a=b=c\n"]
)
def test_stalls_that_make_no_sense(tmp_path: Path, text: str) -> None:
    source = healthy(tmp_path)
    put(tmp_path / "proc/pressure/memory", text)
    found = values(source)
    assert not [name for name in found if name.startswith("psi.memory")]
    assert found["psi.cpu_some"] == 100.5
    assert [absent.code for absent in source.absent] == ["lost"]


def test_nothing_at_all(tmp_path: Path) -> None:
    source = Memory(tmp_path)
    assert list(source.read()) == []
    assert {absent.code for absent in source.absent} == {"not_supported"}
    assert free_bytes(tmp_path) is None


def test_what_the_watchdog_looks_at(tmp_path: Path) -> None:
    meminfo(tmp_path, 1000, HugePages_Total=8, HugePages_Free=3)
    assert free_bytes(tmp_path) == 1000 * 1024
    assert free_bytes(Path("/")) == pytest.approx(psutil.virtual_memory().available, rel=0.1)


def test_this_machine() -> None:
    found = values(Memory())
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    assert found["memory.total"] == memory.total
    assert found["swap.used"] == pytest.approx(swap.used, abs=2**26)
    if Path("/proc/sys/vm/nr_hugepages").read_text().strip() == "0":
        assert found["memory.available"] == pytest.approx(memory.available, rel=0.1)
    vm = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    assert found["swap.in"] <= int(vm["pswpin"]) * PAGE
    if Path("/proc/pressure/cpu").exists():
        assert 0 < found["psi.cpu_some"] < 1e9
        assert 0 <= found["psi.memory_full"] <= found["psi.memory_some"]
