from __future__ import annotations

import pytest

from harness.errors import HarnessError, MachineError
from harness.launch import preflight
from harness.schema.machine import Gpu, Machine


def machine(**more: object) -> Machine:
    base = {"hostname": "spark", "os": "", "kernel": "", "arch": "", "cpu_model": "", "cpu_count": 1, "memory_bytes": 1}
    return Machine(**(base | more))  # type: ignore[arg-type]


FULL = machine(gpus=(Gpu(index=0, name="NVIDIA GB10"),), docker="28.1", engines={"vllm": "/x/bin"})


def test_a_machine_that_has_it_all() -> None:
    preflight.check(("gpu", "docker", "engine:vllm", "port:8000"), FULL, "r")


@pytest.mark.parametrize(
    ("requires", "said", "hint"),
    [
        (
            ("engine:vllm", "docker", "gpu"),
            "spark has no NVIDIA GPU that its driver shows, and mistral needs one",
            "run it on the GB10",
        ),
        (("docker",), "no Docker server answers on spark, and mistral runs in a container", "start Docker"),
        (("engine:sglang",), "sglang is not installed on spark, and mistral needs it", "make engines"),
        (("engine:embedded",), "embedded is not installed", "spark-harness[cpu]"),
    ],
)
def test_what_is_missing_and_what_to_do(requires: tuple[str, ...], said: str, hint: str) -> None:
    with pytest.raises(MachineError) as caught:
        preflight.check(requires, machine(), "mistral")
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_a_requirement_nobody_knows_is_our_fault() -> None:
    with pytest.raises(HarnessError, match="'moon'"):
        preflight.check(("moon",), FULL, "r")
