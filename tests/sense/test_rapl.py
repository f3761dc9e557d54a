"""Energy counters of x86 processors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.sense.rapl import Rapl
from tests.sysfs_tree import put_number, rapl

NOBODY = 65534


def values(source: Rapl) -> dict[str, float]:
    return {name: value for _, name, value, _ in source.read()}


@contextmanager
def no_root() -> Iterator[Path]:
    """A folder that anybody may enter, and none of root's rights meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_zones_and_their_scopes(tmp_path: Path) -> None:
    rapl(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    rapl(tmp_path, "intel-rapl:0:0", "core", 2_000_000)
    rapl(tmp_path, "intel-rapl:0:1", "dram", 1_500_000)
    rapl(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    rapl(tmp_path, "intel-rapl:1:0", "core", 3_000_000)
    rapl(tmp_path, "intel-rapl:2", "psys", 20_000_000)
    rapl(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_001)
    (tmp_path / "sys/class/powercap/intel-rapl").mkdir()
    source = Rapl(tmp_path)
    assert list(source.read()) == [
        ("soc", "package-0.energy", 5, "J"),
        ("rail", "package-0_core.energy", 2, "J"),
        ("rail", "package-0_dram.energy", 1.5, "J"),
        ("soc", "package-1.energy", 7, "J"),
        ("rail", "package-1_core.energy", 3, "J"),
        ("system", "psys.energy", 20, "J"),
    ]
    assert (source.name, source.period_s, source.alone, source.absent) == ("rapl", 0.1, False, ())


def test_a_counter_wraps_at_its_own_range(tmp_path: Path) -> None:
    energy = rapl(tmp_path, "intel-rapl:0", "package-0", 262_143_000_000, range_uj=262_143_328_850)
    source = Rapl(tmp_path)
    put_number(energy, 20_000_000)
    assert values(source)["package-0.energy"] == pytest.approx(262_163.32885)
    put_number(energy, 21_000_000)
    assert values(source)["package-0.energy"] == pytest.approx(262_164.32885)


def test_a_counter_that_was_set_back_falls(tmp_path: Path) -> None:
    energy = rapl(tmp_path, "intel-rapl:0", "package-0", 100_000_000_000)
    source = Rapl(tmp_path)
    put_number(energy, 20_000_000)
    assert values(source)["package-0.energy"] == 20


def test_without_its_range_a_wrap_is_not_undone(tmp_path: Path) -> None:
    energy = rapl(tmp_path, "intel-rapl:0", "package-0", 262_143_000_000)
    energy.with_name("max_energy_range_uj").unlink()
    source = Rapl(tmp_path)
    put_number(energy, 20_000_000)
    assert values(source)["package-0.energy"] == 20


def test_who_may_not_read_it_is_told_how() -> None:
    """As delivered since 2020: 0400, root's."""
    with no_root() as root:
        for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core")):
            rapl(root, zone, name, 5_000_000).chmod(0o400 if os.geteuid() == 0 else 0)
        with as_nobody():
            source = Rapl(root)
            assert list(source.read()) == []
        (absent,) = source.absent
    assert (absent.source, absent.scope, absent.code) == ("rapl", "soc", "no_permission")
    assert "package-0, package-0_core" in absent.text
    assert "chmod o+r" in absent.text
    assert 'SUBSYSTEM=="powercap"' in absent.text


def test_what_may_be_read_is(tmp_path: Path) -> None:
    with no_root() as root:
        rapl(root, "intel-rapl:0", "package-0", 5_000_000)
        rapl(root, "intel-rapl:1", "psys", 5_000_000).chmod(0o400 if os.geteuid() == 0 else 0)
        with as_nobody():
            source = Rapl(root)
            assert values(source) == {"package-0.energy": 5}
    assert [absent.code for absent in source.absent] == ["no_permission"]
    assert "the energy of psys is not read" in source.absent[0].text


def test_no_zone(tmp_path: Path) -> None:
    source = Rapl(tmp_path)
    assert list(source.read()) == []
    assert [(absent.scope, absent.code) for absent in source.absent] == [("soc", "no_device")]
