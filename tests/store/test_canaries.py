"""What is remembered of a machine's earlier runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.errors import StoreError
from harness.schema.health import Canary
from harness.store import canaries
from tests.store.sample_run import plan, result

ONE, TWO = Canary(t_ns=1, request_ms=5.0, memory_bytes_s=1e11), Canary(t_ns=2, request_ms=6.0)


def test_they_come_back_in_order_and_only_the_newest(tmp_path: Path) -> None:
    assert canaries.earlier(tmp_path, plan(), result()) == []
    for number in range(canaries.KEPT + 5):
        canaries.add(tmp_path, plan(), result(), Canary(t_ns=number))
    assert [each.t_ns for each in canaries.earlier(tmp_path, plan(), result())] == list(range(5, canaries.KEPT + 5))


def test_another_configuration_has_a_history_of_its_own(tmp_path: Path) -> None:
    canaries.add(tmp_path, plan(), result(), ONE)
    changed = msgspec.structs.replace(plan(), overrides={"max_model_len": "4096"})
    assert canaries.earlier(tmp_path, changed, result()) == []
    moved = msgspec.structs.replace(plan(), overrides={"port": "9"})
    assert canaries.earlier(tmp_path, moved, result()) == [ONE]
    machine = msgspec.structs.replace(result().machine, cpu_model="another")
    assert canaries.earlier(tmp_path, plan(), msgspec.structs.replace(result(), machine=machine)) == []


def test_half_a_line_does_not_cost_the_history(tmp_path: Path) -> None:
    for canary in (ONE, TWO):
        canaries.add(tmp_path, plan(), result(), canary)
    (file,) = (tmp_path / canaries.FOLDER).iterdir()
    file.write_bytes(b'{"t_ns": 0, "requ\n\xff\xfe\n' + file.read_bytes() + b'{"t_n')
    assert canaries.earlier(tmp_path, plan(), result()) == [ONE, TWO]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / canaries.FOLDER).write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        canaries.add(tmp_path, plan(), result(), ONE)
