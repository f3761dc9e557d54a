"""Which engine answers at a URL, from the pages that real servers of each kind gave."""

from __future__ import annotations

import pytest

from harness.engines import ENGINES, detect
from harness.engines.base import Engine


def models(owner: str) -> dict[str, object]:
    return {"object": "list", "data": [{"id": "smollm2", "object": "model", "owned_by": owner}]}


@pytest.mark.parametrize(
    ("pages", "name"),
    [
        ({"/v1/models": models("vllm"), "/version": {"version": "0.32.0"}}, "vllm"),
        ({"/v1/models": models("sglang"), "/server_info": {"internal_states": []}}, "sglang"),
        ({"/v1/models": models("llamacpp"), "/props": {"default_generation_settings": {}}}, "llamacpp"),
        ({"/v1/models": models("a-gateway"), "/version": {"version": "0.32.0"}}, "vllm"),
        ({"/v1/models": models("a-gateway"), "/get_server_info": {"internal_states": []}}, "sglang"),
        ({"/v1/models": models("a-gateway"), "/props": {"default_generation_settings": {}}}, "llamacpp"),
        ({"/v1/models": models("sglang")}, "sglang"),
        ({"/v1/models": models("system")}, "openai"),
        ({"/v1/models": {"data": []}}, "openai"),
        ({}, "openai"),
    ],
)
def test_detect(pages: dict[str, object], name: str) -> None:
    assert name == detect(pages.get).NAME


def test_engines_go_by_their_names() -> None:
    assert [engine.NAME for engine in ENGINES.values()] == list(ENGINES)
    assert {"embedded", "llamacpp", "openai", "sglang", "vllm"} <= set(ENGINES)
    for engine in ENGINES.values():
        assert all(hasattr(engine, member) for member in Engine.__annotations__ | vars(Engine) if not member.startswith("_"))
