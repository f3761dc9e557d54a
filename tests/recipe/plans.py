"""Plans for tests: a machine that is always the same, and recipes from text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from harness.recipe.cells import GridOverrides
from harness.recipe.docker import Terms
from harness.recipe.load import loads
from harness.recipe.resolve import resolve
from harness.schema.machine import Machine
from harness.schema.plan import Image, Plan

ROOT = Path(__file__).parents[2]

MACHINE = Machine(
    hostname="spark",
    os="Ubuntu 24.04",
    kernel="6.17",
    arch="aarch64",
    cpu_model="Cortex-X925",
    cpu_count=20,
    memory_bytes=128 * 10**9,
    engines={
        "embedded": "/venv/bin",
        "paced": "/venv/bin",
        "vllm": "/engines/vllm/bin",
        "sglang": "/engines/sglang/bin",
        "llamacpp": "",
    },
    models={
        "SmolLM2-135M-Instruct-Q4_1": "/wheel/SmolLM2.gguf",
        "smollm2-135m-instruct-bf16": "/engines/models/smollm2-135m-instruct-bf16",
    },
    python="/venv/bin/python",
    home="/home/me",
    hf_home="/home/me/.cache/huggingface",
)


def plan(
    text: str,
    overrides: Mapping[str, str] | None = None,
    *,
    machine: Machine = MACHINE,
    profile: str | None = None,
    grid: GridOverrides | None = None,
    url: str | None = None,
    allow: Collection[str] = (),
    images: Mapping[str, Image] | None = None,
) -> Plan:
    recipe = loads(text, "recipes/x.yaml")
    terms = Terms(allow=frozenset(allow), images=images or {})
    given = grid or GridOverrides()
    return resolve(recipe, machine, overrides=overrides or {}, profile=profile, grid=given, seed=0, url=url, terms=terms)


def argv(made: Plan) -> str:
    assert made.launch is not None
    return " ".join(made.launch.argv)


VLLM = """\
model: org/m
runtime: vllm
defaults:
  host: 0.0.0.0
  port: 8000
  max_model_len: 4096
  unused: 1
command: |
  vllm serve {model} \\
    --host {host} --port {port} \\
    --max-model-len {max_model_len}
"""
