"""How each inference server is spoken to. `ENGINES` is the dict of them; `detect` tells which one answers at a URL.

The engines are loaded when `ENGINES` is first asked for, because two of them (`embedded`, `paced`) are also programs, started
as `python -m harness.engines.embedded`, and Python warns when a program was imported before it is run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.engines.base import Engine

    ENGINES: dict[str, Engine]


def __getattr__(name: str) -> object:
    if name == "ENGINES":
        return _engines()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _engines() -> dict[str, Engine]:
    from harness.engines import embedded, llamacpp, openai_api, paced, sglang, vllm

    engines: tuple[Engine, ...] = (embedded, llamacpp, openai_api, paced, sglang, vllm)
    return {engine.NAME: engine for engine in engines}


def detect(get: Callable[[str], object | None]) -> Engine:
    """The engine that answers; `get(path)` gives a decoded JSON body or None. What nobody recognises is `openai`.

    A model list names its engine in `owned_by`; where a gateway rewrites that, each engine has a page that the others lack.
    """
    engines = _engines()
    owner = _owner(get("/v1/models"))
    if owner in engines:
        return engines[owner]
    for name, path, key in (
        ("sglang", "/server_info", "internal_states"),
        ("sglang", "/get_server_info", "internal_states"),
        ("llamacpp", "/props", "default_generation_settings"),
        ("vllm", "/version", "version"),
    ):
        page = get(path)
        if isinstance(page, dict) and key in page:
            return engines[name]
    return engines["openai"]


def _owner(models: object) -> str:
    match models:
        case {"data": [{"owned_by": str(owner)}, *_]}:
            return owner
        case _:
            return ""
